// SPDX-License-Identifier: Apache-2.0
//! Requests to PID 1: fixed keywords in printable ASCII, separated by single spaces.

use std::fmt;

use crate::{MAX_REQUEST_BYTES, ShutdownKind};

/// Maximum length of a service's name, in bytes.
const MAX_NAME_BYTES: usize = 64;
/// Maximum delay of a shutdown, in seconds: a year.
const MAX_DELAY_S: u32 = 31_536_000;

/// Name of a service: `[a-z0-9][a-z0-9-]{0,63}`, which is safe in a request, as a file name
/// and as the name of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Returns `text` as a name, if the text has the form of a name.
    #[must_use]
    pub fn new(text: &str) -> Option<Name> {
        Name::is_valid(text).then(|| Name(text.to_owned()))
    }

    /// Returns true if `text` has the form of a name.
    #[must_use]
    pub fn is_valid(text: &str) -> bool {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let valid = text.bytes().all(|b| letter(b) || b == b'-');
        valid && (1..=MAX_NAME_BYTES).contains(&text.len()) && !text.starts_with('-')
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Request to PID 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Report the state of the machine.
    Status,
    /// Keep the connection, and send a packet after each change of the report.
    Follow,
    /// Start a service.
    Start(Name),
    /// Stop a service.
    Stop(Name),
    /// Stop and start a service.
    Restart(Name),
    /// Forget that a service has failed.
    Reset(Name),
    /// Read the file `/run/boot2podman/services/<name>` as the definition of a service.
    Load(Name),
    /// Stop a service of the user, and forget it.
    Unload(Name),
    /// Shut the machine down after a delay in seconds.
    Shutdown(ShutdownKind, u32),
    /// Cancel the scheduled shutdown.
    Cancel,
    /// Replace the programs on the consoles by shells.
    Rescue,
}

/// Reason why a packet is not a request. [`fmt::Display`] gives the text of the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidRequest {
    /// More than [`MAX_REQUEST_BYTES`].
    TooLong,
    /// Empty, or not printable ASCII.
    NotAscii,
    /// Unknown keyword.
    UnknownKeyword,
    /// An argument where none is taken.
    ExtraArgument,
    /// No name of a service where one is needed.
    BadName,
    /// No delay in seconds where one is needed.
    BadDelay,
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InvalidRequest::TooLong => "the request is too long",
            InvalidRequest::NotAscii => "a request is printable ASCII",
            InvalidRequest::UnknownKeyword => "no such request",
            InvalidRequest::ExtraArgument => "the request takes no argument",
            InvalidRequest::BadName => {
                "the argument is the name of a service: a-z, digits and -, at most 64"
            }
            InvalidRequest::BadDelay => "the argument is a delay in seconds, at most a year",
        })
    }
}

impl std::error::Error for InvalidRequest {}

impl Request {
    /// Reads a request from a packet.
    ///
    /// # Errors
    /// The packet is not one of the requests.
    pub fn parse(packet: &[u8]) -> Result<Request, InvalidRequest> {
        if packet.len() > MAX_REQUEST_BYTES {
            return Err(InvalidRequest::TooLong);
        }
        let text = str::from_utf8(packet).unwrap_or_default();
        if text.is_empty() || !text.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Err(InvalidRequest::NotAscii);
        }
        let (keyword, argument) = match text.split_once(' ') {
            Some((keyword, argument)) => (keyword, Some(argument)),
            None => (text, None),
        };
        if let Some(kind) = ShutdownKind::from_word(keyword) {
            return delay(argument).map(|seconds| Request::Shutdown(kind, seconds));
        }
        match keyword {
            "start" => name(argument).map(Request::Start),
            "stop" => name(argument).map(Request::Stop),
            "restart" => name(argument).map(Request::Restart),
            "reset" => name(argument).map(Request::Reset),
            "load" => name(argument).map(Request::Load),
            "unload" => name(argument).map(Request::Unload),
            "status" => without_argument(argument, Request::Status),
            "follow" => without_argument(argument, Request::Follow),
            "cancel" => without_argument(argument, Request::Cancel),
            "rescue" => without_argument(argument, Request::Rescue),
            _ => Err(InvalidRequest::UnknownKeyword),
        }
    }
}

fn without_argument(argument: Option<&str>, request: Request) -> Result<Request, InvalidRequest> {
    match argument {
        None => Ok(request),
        Some(_) => Err(InvalidRequest::ExtraArgument),
    }
}

fn name(argument: Option<&str>) -> Result<Name, InvalidRequest> {
    argument.and_then(Name::new).ok_or(InvalidRequest::BadName)
}

fn delay(argument: Option<&str>) -> Result<u32, InvalidRequest> {
    let Some(text) = argument else {
        return Ok(0);
    };
    // u32::from_str() takes a sign, too.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let seconds = text.parse().ok();
    seconds
        .filter(|seconds| digits && *seconds <= MAX_DELAY_S)
        .ok_or(InvalidRequest::BadDelay)
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Status => f.write_str("status"),
            Request::Follow => f.write_str("follow"),
            Request::Start(name) => write!(f, "start {}", name.as_str()),
            Request::Stop(name) => write!(f, "stop {}", name.as_str()),
            Request::Restart(name) => write!(f, "restart {}", name.as_str()),
            Request::Reset(name) => write!(f, "reset {}", name.as_str()),
            Request::Load(name) => write!(f, "load {}", name.as_str()),
            Request::Unload(name) => write!(f, "unload {}", name.as_str()),
            Request::Shutdown(kind, 0) => f.write_str(kind.word()),
            Request::Shutdown(kind, seconds) => write!(f, "{} {seconds}", kind.word()),
            Request::Cancel => f.write_str("cancel"),
            Request::Rescue => f.write_str("rescue"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_keyword_is_parsed() {
        let web = Name::new("web-1").expect("a name");
        for (text, request) in [
            ("status", Request::Status),
            ("follow", Request::Follow),
            ("start web-1", Request::Start(web.clone())),
            ("stop web-1", Request::Stop(web.clone())),
            ("restart web-1", Request::Restart(web.clone())),
            ("reset web-1", Request::Reset(web.clone())),
            ("load web-1", Request::Load(web.clone())),
            ("unload web-1", Request::Unload(web)),
            ("poweroff", Request::Shutdown(ShutdownKind::PowerOff, 0)),
            ("reboot 60", Request::Shutdown(ShutdownKind::Reboot, 60)),
            (
                "halt 31536000",
                Request::Shutdown(ShutdownKind::Halt, 31_536_000),
            ),
            ("cancel", Request::Cancel),
            ("rescue", Request::Rescue),
        ] {
            assert_eq!(Request::parse(text.as_bytes()), Ok(request), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let long = "a".repeat(65);
        let longer = format!("start {}", "a".repeat(300));
        for text in [
            "",
            " ",
            "status ",
            " status",
            "status\n",
            "STATUS",
            "statusx",
            "start",
            "start ",
            "start  web",
            "start web x",
            "start -web",
            "start Web",
            "start ../x",
            "start web.x",
            "start wéb",
            "poweroff +5",
            "poweroff -1",
            "poweroff 31536001",
            "poweroff 5 5",
            "poweroff 99999999999",
            "poweroff ",
            "cancel x",
            "follow sshd",
            "rescue now",
            "status\0",
            &format!("start {long}"),
            &longer,
        ] {
            assert!(Request::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(Request::parse(b"start \xff").is_err());
        assert_eq!(Name::new(&long), None);
        assert!(Name::new(&long[1..]).is_some());
        assert_eq!(Name::new("console-ttyS0"), None);
    }

    fn requests() -> impl Strategy<Value = Request> {
        let name = || "[a-z0-9][a-z0-9-]{0,63}".prop_map(|n| Name::new(&n).expect("a name"));
        prop_oneof![
            Just(Request::Status),
            Just(Request::Follow),
            Just(Request::Cancel),
            Just(Request::Rescue),
            name().prop_map(Request::Start),
            name().prop_map(Request::Stop),
            name().prop_map(Request::Restart),
            name().prop_map(Request::Reset),
            name().prop_map(Request::Load),
            name().prop_map(Request::Unload),
            (0..3_usize, 0..=MAX_DELAY_S)
                .prop_map(|(k, s)| Request::Shutdown(ShutdownKind::ALL[k], s)),
        ]
    }

    proptest! {
        #[test]
        fn request_round_trips(request in requests()) {
            let text = request.to_string();
            prop_assert!(text.len() <= MAX_REQUEST_BYTES);
            prop_assert_eq!(Request::parse(text.as_bytes()), Ok(request));
        }

        #[test]
        fn any_bytes_are_read_or_refused(packet in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(request) = Request::parse(&packet) {
                prop_assert_eq!(Request::parse(request.to_string().as_bytes()), Ok(request));
            }
        }

        #[test]
        fn requests_of_similar_words_are_refused_or_round_trip(text in "(start|stop|status|follow|poweroff|halt|load|x)?[ a-z0-9+-]{0,40}") {
            if let Ok(request) = Request::parse(text.as_bytes()) {
                prop_assert_eq!(Request::parse(request.to_string().as_bytes()), Ok(request));
            }
        }
    }
}
