// SPDX-License-Identifier: Apache-2.0
//! `Attach` and `ExecContainer`: after the reply, the connection carries frames of the streams of a
//! container.
//!
//! podman's API has frames of the same form ([`frames`]) with other numbers, and none where the container has
//! a terminal.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use varlink::{Done, Map, Raw, Value, json, serde_json};

use super::api::{Api, Kind, Outcome, number, occurred, query, request, string};
use super::copy::copy;
use super::expression::word;
use super::frames;
use super::http::Watched;
use super::rules::Run;
use crate::common::pidfd;

const STDOUT: u8 = 0;
const STDIN: u8 = 1;
const STDERR: u8 = 2;
/// The client's terminal has another size.
const RESIZE: u8 = 3;
/// The end, with the exit status.
const QUIT: u8 = 4;
/// The client's input has ended.
const HANG_UP: u8 = 5;

/// Number of standard error in podman's frames.
const PODMAN_STDERR: u8 = 2;
/// Longest text of a frame that gives a size, in bytes.
const MAX_SIZE: u64 = 1024;
/// Number of bytes that are copied at once.
const CHUNK: usize = 32 << 10;
/// Largest number of queries about a command whose output has ended. Each waits for the end of its
/// process.
const MAX_LOOKS: usize = 100;
/// Keys by which a client leaves a container that runs on, unless the client names others.
const DETACH_KEYS: &str = "ctrl-p,ctrl-q";

/// Connection to the streams of a container or of a command in one.
struct Session {
    api: Api,
    /// Path of the container or command.
    path: String,
    stream: UnixStream,
    early: Vec<u8>,
    is_terminal: bool,
    /// Bytes by which the client leaves.
    keys: Vec<u8>,
    /// True once the client has typed them.
    is_detached: AtomicBool,
}

impl Run<'_, '_> {
    /// Upgrades the call to the streams of a container or command, described at its path.
    pub fn streams(&mut self, step: &Map, template: &str) -> Outcome<Done> {
        let path = self.path(Kind::None, template, &Value::Null)?;
        let value = |name| self.make(step.get(name).unwrap_or(&Value::Null), &Value::Null);
        let (is_terminal, keys) = (value("terminal")? == true, word(&value("keys")?));
        let Some((stream, early)) = self.hijacked.take() else {
            return Err(occurred("no streams"));
        };
        let session = Session {
            api: self.podman.api.clone(),
            path,
            stream,
            early,
            is_terminal,
            keys: detach_keys(&keys),
            is_detached: AtomicBool::new(false),
        };
        let run = move |raw| {
            session.run(raw);
            None
        };
        Ok(Done::Upgrade(Map::new(), Box::new(run)))
    }
}

/// Returns the bytes of keys such as `ctrl-p,ctrl-q` or `a`; none for another text.
fn detach_keys(text: &str) -> Vec<u8> {
    let text = if text.is_empty() { DETACH_KEYS } else { text };
    let key = |key: &str| match (key.strip_prefix("ctrl-").map(str::as_bytes), key.as_bytes()) {
        // The keys that have a control character: ASCII 64 to 95.
        (Some([c]), _) if c.is_ascii_alphabetic() || b"@[\\]^_".contains(c) => {
            Some(c.to_ascii_uppercase() - 64)
        }
        (None, [c]) => Some(*c),
        _ => None,
    };
    let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
    keys.unwrap_or_default()
}

impl Session {
    /// Copies both ways until podman's stream ends or the client is gone, and sends the client the exit status.
    fn run(self, raw: Raw) {
        let Raw {
            early,
            input,
            output,
            ..
        } = raw;
        std::thread::scope(|scope| {
            let copies_input = || {
                let _ = self.copy_input(&mut early[..].chain(&input));
                // The client sends no more; the output continues.
                let _ = self.stream.shutdown(Shutdown::Write);
            };
            // Without a thread, the output still continues.
            let _ = varlink::start_thread(scope, Box::new(copies_input));
            if self.copy_output(&output).is_ok() {
                let code = self.exit_code(&output).unwrap_or(-1);
                let _ = frames::write(&mut &output, QUIT, &(code as i32).to_be_bytes());
            }
            // The shutdown ends the other thread in any wait.
            let _ = self.stream.shutdown(Shutdown::Both);
            let _ = nix::sys::socket::shutdown(input.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        });
    }

    /// Copies podman's output to the client.
    fn copy_output(&self, output: &std::fs::File) -> io::Result<()> {
        let stream = self.stream.try_clone()?;
        let watched =
            Watched::new(stream, Some(output.as_fd())).map_err(|_| io::ErrorKind::Other)?;
        let mut source = self.early[..].chain(watched);
        let mut header = [0; frames::HEADER];
        let mut buffer = vec![0; CHUNK];
        loop {
            let (to, mut left) = match self.is_terminal {
                true => (STDOUT, u64::MAX),
                false if !frames::starts(&mut source, &mut header)? => return Ok(()),
                false if header[0] == PODMAN_STDERR => (STDERR, frames::length(header)),
                false => (STDOUT, frames::length(header)),
            };
            while left > 0 {
                let wanted = CHUNK.min(usize::try_from(left).unwrap_or(CHUNK));
                let count = source.read(&mut buffer[..wanted])?;
                if count == 0 {
                    return Ok(());
                }
                frames::write(&mut &*output, to, &buffer[..count])?;
                left -= count as u64;
            }
        }
    }

    /// Copies the client's frames to podman.
    fn copy_input(&self, input: &mut dyn Read) -> io::Result<()> {
        let mut typed = Vec::new();
        frames::each(input, |stream, payload| match stream {
            STDIN => self.copy_typed(payload, &mut typed),
            RESIZE => self.change_size(payload),
            HANG_UP => {
                let _ = self.stream.shutdown(Shutdown::Write);
                Ok(())
            }
            _ => Ok(()),
        })
    }

    /// Copies bytes to podman, and notes when all that were typed end with the keys by which the client leaves.
    fn copy_typed(&self, payload: &mut dyn Read, last: &mut Vec<u8>) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = payload.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            last.extend(&buffer[..count]);
            last.drain(..last.len().saturating_sub(self.keys.len()));
            let is_detached = !self.keys.is_empty() && *last == self.keys;
            self.is_detached.store(is_detached, Ordering::SeqCst);
            (&self.stream).write_all(&buffer[..count])?;
        }
    }

    /// Gives the terminal another size.
    fn change_size(&self, payload: &mut dyn Read) -> io::Result<()> {
        let mut text = Vec::new();
        copy(&mut payload.take(MAX_SIZE), &mut text)?;
        let size: Value = serde_json::from_slice(&text).unwrap_or_default();
        let (height, width) = (number(&size, "Height"), number(&size, "Width"));
        if let (1..=0xffff, 1..=0xffff) = (height, width) {
            let pairs = query(&[("h", &height.to_string()), ("w", &width.to_string())]);
            let request = request("POST", format!("{}/resize{pairs}", self.path));
            // A container that has just ended has no size.
            let _ = self.api.text(Kind::None, "", &request);
        }
        Ok(())
    }

    /// Returns the exit status; 0 if the client has left and the container runs on.
    fn exit_code(&self, output: &std::fs::File) -> Outcome<i64> {
        if self.is_detached.load(Ordering::SeqCst) {
            return Ok(0);
        }
        let Some(id) = self.path.strip_prefix("containers/") else {
            return self.code_of_command(&self.path, output);
        };
        let request = request("POST", format!("{}/wait?condition=stopped", self.path));
        let waited = self
            .api
            .send_file(Kind::Container, id, &request, None, Some(output.as_fd()));
        match waited.map(super::http::Response::whole) {
            Ok(Ok(body)) => Ok(String::from_utf8_lossy(&body).trim().parse().unwrap_or(-1)),
            // The container has been removed: `--rm`.
            _ => self.code_of_event(id),
        }
    }

    /// Returns the exit status of a container that is gone, from the event of its end.
    fn code_of_event(&self, id: &str) -> Outcome<i64> {
        let filters = varlink::text(&json!({ "container": [id], "event": ["died"] }));
        let pairs = query(&[("stream", "false"), ("filters", &filters)]);
        let text = self
            .api
            .text(Kind::None, "", &request("GET", format!("events{pairs}")))?;
        let last = text.lines().next_back().unwrap_or_default();
        let event: Value = serde_json::from_slice(last.as_bytes()).unwrap_or_default();
        let code = string(&event["Actor"]["Attributes"], "containerExitCode");
        Ok(code.parse().unwrap_or(-1))
    }

    /// Returns the exit status of a command. Its output can end before its process does.
    fn code_of_command(&self, path: &str, output: &std::fs::File) -> Outcome<i64> {
        for _ in 0..MAX_LOOKS {
            let found = self
                .api
                .ask(Kind::None, "", &request("GET", format!("{path}/json")))?;
            if found["Running"] != true {
                return Ok(number(&found, "ExitCode"));
            }
            let process = i32::try_from(number(&found, "Pid"));
            let Some(process) = process.ok().and_then(pidfd::open) else {
                continue;
            };
            let mut fds = [
                PollFd::new(process.as_fd(), PollFlags::POLLIN),
                PollFd::new(output.as_fd(), PollFlags::empty()),
            ];
            if poll(&mut fds, PollTimeout::NONE).is_ok() && fds[1].any() == Some(true) {
                break; // The client is gone.
            }
        }
        Ok(-1)
    }
}
