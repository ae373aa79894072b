// SPDX-License-Identifier: Apache-2.0
//! Logs of containers, as a whole or with a follow.

use std::io::Read;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use varlink::{Done, Exchange, Failure, Value, json, map};

use super::api::{Outcome, occurred};
use super::copy::copy;
use super::http::Body;
use super::rules::Run;

/// Longest piece of a log, in bytes.
const MAX_FRAME: usize = 16 << 20;

/// Piece of a log: its stream, its time and its text.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    device: &'static str,
    time: String,
    text: String,
    /// True if the piece ends a line.
    is_whole: bool,
}

impl Run<'_, '_> {
    /// Replies with the logs that have been opened.
    ///
    /// `GetContainersLogs` (`several`) has one piece a reply, and an empty one at the end. Followed logs are merged in
    /// the order of arrival; else one container follows the other. `GetContainerLogs` has lines in the form of podman's
    /// log file, and follows the log where the client accepts several replies.
    pub fn logs(&mut self, several: bool) -> Outcome<Done> {
        let logs = std::mem::take(&mut self.logs);
        let more = self.exchange.call.more;
        let last = match (several, more) {
            (false, _) => file_lines(logs, self.exchange)?,
            (true, false) => first_line(logs)?,
            (true, true) if self.operand("follow", &Value::Null) == true => {
                merged(logs, self.exchange)?;
                last_line()
            }
            (true, true) => {
                for (id, mut body) in logs {
                    while let Some(piece) = next_piece(&mut body)? {
                        self.exchange.send(map(log_line(&id, piece)))?;
                    }
                }
                last_line()
            }
        };
        Ok(Done::Reply(map(last)))
    }
}

/// Returns lines in the form of podman's log file, or sends them where the client accepts several
/// replies.
fn file_lines(logs: Vec<(String, Body)>, exchange: &mut Exchange<'_>) -> Outcome<Value> {
    let mut lines = Vec::new();
    for (_, mut body) in logs {
        while let Some(piece) = next_piece(&mut body)? {
            let kind = if piece.is_whole { "F" } else { "P" };
            let line = format!("{} {} {kind} {}\n", piece.time, piece.device, piece.text);
            match exchange.call.more {
                true => exchange.send(map(json!({ "container": [line] })))?,
                false => lines.push(line),
            }
        }
    }
    Ok(json!({ "container": lines }))
}

/// Returns the first piece of some logs.
fn first_line(logs: Vec<(String, Body)>) -> Outcome<Value> {
    for (id, mut body) in logs {
        if let Some(piece) = next_piece(&mut body)? {
            return Ok(log_line(&id, piece));
        }
    }
    Ok(last_line())
}

/// Sends the pieces of all logs as they arrive, until each has ended. A log that fails does not end the others. The
/// log that was read is moved to the end, so that a busy log hides no other.
fn merged(mut logs: Vec<(String, Body)>, exchange: &mut Exchange<'_>) -> Outcome<()> {
    let mut outcome = Ok(());
    while !logs.is_empty() {
        let place = next_ready(&logs, exchange)?;
        let (id, mut body) = logs.remove(place);
        match next_piece(&mut body) {
            Ok(Some(piece)) => {
                exchange.send(map(log_line(&id, piece)))?;
                logs.push((id, body));
            }
            Ok(None) => {}
            Err(failure) => outcome = Err(failure),
        }
    }
    outcome
}

/// Waits until a log has data, and returns its place.
fn next_ready(logs: &[(String, Body)], exchange: &Exchange<'_>) -> Outcome<usize> {
    if let Some(place) = logs.iter().position(|(_, body)| body.has_bytes()) {
        return Ok(place);
    }
    loop {
        let mut fds = vec![PollFd::new(
            exchange.connection.output(),
            PollFlags::empty(),
        )];
        fds.extend(
            logs.iter()
                .map(|(_, body)| PollFd::new(body.as_fd(), PollFlags::POLLIN)),
        );
        match poll(&mut fds, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => continue,
            Err(errno) => return Err(lost(errno.into())),
            Ok(_) => {}
        }
        match fds.iter().position(|fd| fd.any() == Some(true)) {
            Some(0) => return Err(lost(std::io::ErrorKind::BrokenPipe.into())),
            Some(place) => return Ok(place - 1),
            None => {}
        }
    }
}

fn log_line(id: &str, piece: Piece) -> Value {
    let kind = if piece.is_whole { "F" } else { "P" };
    json!({ "log": {
        "device": piece.device, "parseLogType": kind, "time": piece.time, "msg": piece.text, "cid": id,
    }})
}

/// Returns the reply that is the end for clients.
fn last_line() -> Value {
    json!({ "log": { "device": "", "parseLogType": "", "time": "", "msg": "", "cid": "" } })
}

/// Reads the next piece: eight bytes with the number of the stream and the length, then the time, a
/// blank, and the text. Returns `None` at the end.
fn next_piece(mut body: &mut dyn Read) -> Outcome<Option<Piece>> {
    let mut header = [0; 8];
    match body.read(&mut header[..1]) {
        Ok(0) => return Ok(None),
        read => read.map_err(lost)?,
    };
    body.read_exact(&mut header[1..]).map_err(lost)?;
    let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
    if length > MAX_FRAME {
        return Err(occurred("a piece of the log is too long"));
    }
    let mut bytes = Vec::new();
    copy(&mut (&mut body).take(length as u64), &mut bytes).map_err(lost)?;
    let text = String::from_utf8_lossy(&bytes);
    let is_whole = text.ends_with('\n');
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let (time, text) = text.split_once(' ').unwrap_or(("", text));
    Ok(Some(Piece {
        device: if header[0] == 2 { "stderr" } else { "stdout" },
        time: time.to_owned(),
        text: text.to_owned(),
        is_whole,
    }))
}

/// The end of a stream that the client or podman has left.
pub(super) fn lost(error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::Lost(error.into()),
        _ => occurred(&format!("podman's answer: {error}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pieces_of_a_log() {
        let mut bytes = Vec::new();
        for (stream, text) in [
            (1, "2026-01-01T00:00:00Z a b\n"),
            (2, "2026-01-01T00:00:01Z part"),
            (1, ""),
        ] {
            bytes.extend([stream, 0, 0, 0, 0, 0, 0, text.len() as u8]);
            bytes.extend(text.as_bytes());
        }
        let body = &mut &bytes[..];
        let piece = |device, time: &str, text: &str, is_whole| Piece {
            device,
            time: time.to_owned(),
            text: text.to_owned(),
            is_whole,
        };
        assert_eq!(
            next_piece(body).unwrap(),
            Some(piece("stdout", "2026-01-01T00:00:00Z", "a b", true))
        );
        assert_eq!(
            next_piece(body).unwrap(),
            Some(piece("stderr", "2026-01-01T00:00:01Z", "part", false))
        );
        assert_eq!(
            next_piece(body).unwrap(),
            Some(piece("stdout", "", "", false))
        );
        assert_eq!(next_piece(body).unwrap(), None);
        assert!(next_piece(&mut &[1, 0, 0][..]).is_err());
        assert!(next_piece(&mut &[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff][..]).is_err());
    }
}
