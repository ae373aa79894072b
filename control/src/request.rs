//! What PID 1 can be asked: a few fixed words, printable ASCII, one space
//! between two, nothing to choke on.

use std::fmt;

use crate::{LONGEST_REQUEST, ShutdownKind};

/// The longest name of a service, in bytes.
const LONGEST_NAME: usize = 32;
/// The longest delay of a shutdown, in seconds: a year.
const LONGEST_DELAY: u32 = 31_536_000;

/// A service's name: `[a-z0-9][A-Za-z0-9-]{0,31}`, so that it is always safe as a
/// word, a file name and a cgroup. Capitals are for `console-ttyS0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// `text`, if it is a name.
    #[must_use]
    pub fn new(text: &str) -> Option<Name> {
        let first = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = text.len() <= LONGEST_NAME
            && text.bytes().next().is_some_and(first)
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        good.then(|| Name(text.to_owned()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The report.
    Status,
    /// Start a service.
    Start(Name),
    /// Stop it.
    Stop(Name),
    /// Stop and start it.
    Restart(Name),
    /// Read the file `/run/boot2podman/services/<name>` and take it as a service.
    Load(Name),
    /// Shut the machine down after a delay in seconds.
    Shutdown(ShutdownKind, u32),
    /// Do not end it after all.
    Cancel,
    /// Leave the services for a shell.
    Rescue,
}

impl Request {
    /// The request in a packet.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(packet: &[u8]) -> Result<Request, &'static str> {
        if packet.len() > LONGEST_REQUEST {
            return Err("the request is too long");
        }
        let text = str::from_utf8(packet).unwrap_or_default();
        if text.is_empty() || !text.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Err("a request is printable ASCII");
        }
        let (verb, word) = match text.split_once(' ') {
            Some((verb, word)) => (verb, Some(word)),
            None => (text, None),
        };
        if let Some(kind) = ShutdownKind::from_word(verb) {
            return seconds(word).map(|s| Request::Shutdown(kind, s));
        }
        match verb {
            "start" => name(word).map(Request::Start),
            "stop" => name(word).map(Request::Stop),
            "restart" => name(word).map(Request::Restart),
            "load" => name(word).map(Request::Load),
            "status" => alone(word, Request::Status),
            "cancel" => alone(word, Request::Cancel),
            "rescue" => alone(word, Request::Rescue),
            _ => Err("no such request"),
        }
    }
}

fn alone(word: Option<&str>, request: Request) -> Result<Request, &'static str> {
    match word {
        None => Ok(request),
        Some(_) => Err("one word too many"),
    }
}

fn name(word: Option<&str>) -> Result<Name, &'static str> {
    word.and_then(Name::new)
        .ok_or("it takes a name: letters, digits and -, at most 32")
}

fn seconds(word: Option<&str>) -> Result<u32, &'static str> {
    let Some(word) = word else {
        return Ok(0);
    };
    let digits = word.bytes().all(|b| b.is_ascii_digit());
    let number = word.parse().ok();
    number
        .filter(|n| digits && *n <= LONGEST_DELAY)
        .ok_or("it takes seconds, at most a year of them")
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |f: &mut fmt::Formatter<'_>, verb, name: &Name| {
            f.write_str(verb)?;
            f.write_str(name.as_str())
        };
        match self {
            Request::Status => f.write_str("status"),
            Request::Start(name) => named(f, "start ", name),
            Request::Stop(name) => named(f, "stop ", name),
            Request::Restart(name) => named(f, "restart ", name),
            Request::Load(name) => named(f, "load ", name),
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
    fn the_words() {
        let web = Name::new("web-1").expect("a name");
        for (text, request) in [
            ("status", Request::Status),
            ("start web-1", Request::Start(web.clone())),
            ("stop web-1", Request::Stop(web.clone())),
            ("restart web-1", Request::Restart(web.clone())),
            ("load web-1", Request::Load(web)),
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
        let long = "a".repeat(33);
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
        assert!(Name::new("console-ttyS0").is_some());
    }

    fn requests() -> impl Strategy<Value = Request> {
        let name = || "[a-z0-9][A-Za-z0-9-]{0,31}".prop_map(|n| Name::new(&n).expect("a name"));
        prop_oneof![
            Just(Request::Status),
            Just(Request::Cancel),
            Just(Request::Rescue),
            name().prop_map(Request::Start),
            name().prop_map(Request::Stop),
            name().prop_map(Request::Restart),
            name().prop_map(Request::Load),
            (0..3_usize, 0..=LONGEST_DELAY)
                .prop_map(|(k, s)| Request::Shutdown(ShutdownKind::ALL[k], s)),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(request in requests()) {
            let text = request.to_string();
            prop_assert!(text.len() <= LONGEST_REQUEST);
            prop_assert_eq!(Request::parse(text.as_bytes()), Ok(request));
        }

        #[test]
        fn any_bytes_have_an_answer(packet in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(request) = Request::parse(&packet) {
                prop_assert_eq!(Request::parse(request.to_string().as_bytes()), Ok(request));
            }
        }

        #[test]
        fn near_misses_too(text in "(start|stop|status|poweroff|halt|load|x)?[ a-z0-9+-]{0,40}") {
            if let Ok(request) = Request::parse(text.as_bytes()) {
                prop_assert_eq!(Request::parse(request.to_string().as_bytes()), Ok(request));
            }
        }
    }
}
