// SPDX-License-Identifier: Apache-2.0
//! QEMU's control protocol: one JSON object per line, in both directions.
//! <https://www.qemu.org/docs/master/interop/qmp-spec.html>

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Time limit of an answer: `savevm` writes the guest's memory to a disk that others use, too.
const ANSWER: Duration = Duration::from_secs(300);

/// A connection for commands and events.
pub struct Qmp {
    stream: UnixStream,
    unread: Vec<u8>,
    events: VecDeque<Value>,
    next_id: u64,
}

/// Kind of a line from QEMU.
#[derive(Debug, PartialEq)]
enum Message {
    Greeting,
    Return { id: Option<u64>, value: Value },
    Error { id: Option<u64>, text: String },
    Event(Value),
}

impl Qmp {
    /// Reads the greeting and ends the negotiation, within `limit`.
    pub fn connect(stream: UnixStream, limit: Duration) -> Result<Self> {
        let mut qmp = Self {
            stream,
            unread: Vec::new(),
            events: VecDeque::new(),
            next_id: 0,
        };
        match qmp
            .message(Instant::now() + limit)
            .context("no greeting from QEMU")?
        {
            Message::Greeting => qmp.execute("qmp_capabilities", &json!({})).map(|_| qmp),
            other => bail!("QEMU greeted with {other:?}"),
        }
    }

    /// Executes a command and returns its answer; earlier events are kept.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        self.next_id += 1;
        let id = self.next_id;
        let mut line = json!({"execute": command, "arguments": arguments, "id": id}).to_string();
        line.push('\n');
        self.stream
            .write_all(line.as_bytes())
            .with_context(|| format!("QMP {command}"))?;
        let deadline = Instant::now() + ANSWER;
        loop {
            match self
                .message(deadline)
                .with_context(|| format!("QMP {command}"))?
            {
                Message::Return { id: Some(i), value } if i == id => return Ok(value),
                Message::Error { text, .. } => bail!("QMP {command}: {text}"),
                Message::Event(event) => self.events.push_back(event),
                Message::Return { .. } | Message::Greeting => {}
            }
        }
    }

    /// Waits for the next event of this name, and drops earlier ones of other names.
    pub fn wait_event(&mut self, name: &str, limit: Duration) -> Result<Value> {
        let deadline = Instant::now() + limit;
        loop {
            let event = match self.events.pop_front() {
                Some(event) => event,
                None => match self
                    .message(deadline)
                    .with_context(|| format!("QMP event {name}"))?
                {
                    Message::Event(event) => event,
                    _ => continue,
                },
            };
            if event["event"] == name {
                return Ok(event);
            }
        }
    }

    fn message(&mut self, deadline: Instant) -> Result<Message> {
        loop {
            if let Some(line) = take_line(&mut self.unread) {
                return parse(&line);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("QEMU did not answer in time");
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => bail!("QEMU has ended"),
                Ok(n) => self.unread.extend_from_slice(&chunk[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// Takes the first complete line out of `unread`.
fn take_line(unread: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = unread.iter().position(|&b| b == b'\n')?;
    Some(unread.drain(..=end).collect())
}

fn parse(line: &[u8]) -> Result<Message> {
    let value: Value = serde_json::from_slice(line)
        .with_context(|| format!("QMP: not JSON: {}", String::from_utf8_lossy(line)))?;
    let id = value["id"].as_u64();
    if value.get("QMP").is_some() {
        Ok(Message::Greeting)
    } else if let Some(answer) = value.get("return") {
        Ok(Message::Return {
            id,
            value: answer.clone(),
        })
    } else if let Some(error) = value.get("error") {
        let text = error["desc"]
            .as_str()
            .unwrap_or("an error without a description");
        Ok(Message::Error {
            id,
            text: text.to_owned(),
        })
    } else if value.get("event").is_some() {
        Ok(Message::Event(value))
    } else {
        Err(anyhow!("QMP: what is {value}?"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn lines_are_cut_where_they_end() {
        let mut unread = b"{\"a\":1}\r\n{\"b\"".to_vec();
        assert_eq!(
            take_line(&mut unread).as_deref(),
            Some(&b"{\"a\":1}\r\n"[..])
        );
        assert_eq!(take_line(&mut unread), None);
        assert_eq!(unread, b"{\"b\"");
    }

    #[test]
    fn messages_are_told_apart() {
        let p = |s: &str| parse(s.as_bytes()).expect("parses");
        assert_eq!(p(r#"{"QMP": {"version": {}}}"#), Message::Greeting);
        assert_eq!(
            p(r#"{"return": {}, "id": 3}"#),
            Message::Return {
                id: Some(3),
                value: json!({})
            }
        );
        let text = "no".to_owned();
        assert_eq!(
            p(r#"{"id": 4, "error": {"desc": "no"}}"#),
            Message::Error { id: Some(4), text }
        );
        assert!(matches!(p(r#"{"event": "RESET"}"#), Message::Event(_)));
        assert!(parse(b"{}").is_err() && parse(b"hello").is_err());
    }

    #[test]
    fn a_conversation_with_events_in_between() {
        let (ours, mut theirs) = UnixStream::pair().expect("socketpair");
        let qemu = thread::spawn(move || {
            theirs.write_all(
                b"{\"QMP\": {}}\r\n{\"event\": \"EARLY\"}\n{\"return\": {}, \"id\": 1}\n",
            )?;
            theirs
                .write_all(b"{\"event\": \"RESUME\"}\n{\"return\": 42, \"id\": 2}\n")
                .map(|()| theirs)
        });
        let mut qmp = Qmp::connect(ours, Duration::from_secs(60)).expect("greets");
        assert_eq!(qmp.execute("x", &json!({})).expect("answers"), json!(42));
        qmp.wait_event("RESUME", Duration::from_secs(60))
            .expect("was kept");
        drop(qemu.join().expect("no panic").expect("writes"));
        assert!(
            qmp.execute("y", &json!({})).is_err(),
            "the other end is gone"
        );
    }
}
