// SPDX-License-Identifier: Apache-2.0
//! Directories of the host that a client of docker's API mounts into a container, and that the machine does not have.
//!
//! podman makes a missing source of docker's API in the machine, where the container finds an empty directory. The keeper
//! reads the requests that pass, and refuses such a container; podman's own API refuses it by itself.

use crate::store::Machine;
use crate::store::share;
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Longest head of a request in bytes. A longer one, and what follows it, is passed on unread.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Longest description of a container in bytes.
const MAX_BODY_BYTES: usize = 4 << 20;
/// Time that the guest has for its answer.
const LIMIT: Duration = Duration::from_secs(20);

/// Part of a client's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Bytes of no interest.
    Pass(Vec<u8>),
    /// A whole request that creates a container, and the length of its head.
    Create(Vec<u8>, usize),
}

/// Place in a client's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Head, of which the bytes are held back.
    Head,
    /// Body of which so many bytes are left.
    Body(usize),
    /// Creation of so many bytes in all and in its head, which is held back.
    Create(usize, usize),
    /// Rest behind a body without a length, or behind an upgrade: nothing can be told from here on.
    Unknown,
}

/// Reader of the requests of a connection.
struct Requests {
    place: Place,
    held: Vec<u8>,
}

impl Requests {
    fn new() -> Self {
        Self {
            place: Place::Head,
            held: Vec::new(),
        }
    }

    /// Takes bytes of the client; returns those to pass on.
    fn feed(&mut self, bytes: &[u8]) -> Vec<Piece> {
        self.held.extend_from_slice(bytes);
        let mut pieces = Vec::new();
        while let Some(piece) = self.piece() {
            pieces.push(piece);
        }
        pieces
    }

    fn piece(&mut self) -> Option<Piece> {
        if self.held.is_empty() {
            return None;
        }
        match self.place {
            Place::Unknown => Some(self.pass(self.held.len())),
            Place::Body(left) => {
                let len = left.min(self.held.len());
                self.place = match left - len {
                    0 => Place::Head,
                    left => Place::Body(left),
                };
                Some(self.pass(len))
            }
            Place::Create(len, head) => {
                let whole: Vec<u8> = self.held.get(..len)?.to_vec();
                self.held.drain(..len);
                self.place = Place::Head;
                Some(Piece::Create(whole, head))
            }
            Place::Head => self.head(),
        }
    }

    fn pass(&mut self, len: usize) -> Piece {
        Piece::Pass(self.held.drain(..len).collect())
    }

    /// Judges a head that is whole.
    fn head(&mut self) -> Option<Piece> {
        let end = self.held.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end.map(|at| at + 4) else {
            if self.held.len() <= MAX_HEAD_BYTES {
                return None;
            }
            self.place = Place::Unknown;
            return self.piece();
        };
        let head = String::from_utf8_lossy(&self.held[..end]).into_owned();
        self.place = match body_len(&head) {
            None => Place::Unknown,
            Some(0) => Place::Head,
            Some(len) if len <= MAX_BODY_BYTES && is_creation(&head) => {
                self.place = Place::Create(end + len, end);
                return self.piece();
            }
            Some(len) => Place::Body(len),
        };
        Some(self.pass(end))
    }
}

/// Returns the length of a request's body (RFC 9112, 6.3); `None` where it has no length, or where the connection becomes
/// another one.
fn body_len(head: &str) -> Option<usize> {
    let mut len = 0;
    for line in head.lines().skip(1) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        match name.to_ascii_lowercase().as_str() {
            "transfer-encoding" | "upgrade" => return None,
            "content-length" => len = value.trim().parse().ok()?,
            _ => {}
        }
    }
    Some(len)
}

/// Returns true for a request of docker's API that creates a container; podman's own has `libpod` in its path.
fn is_creation(head: &str) -> bool {
    let mut words = head.split_whitespace();
    let (method, target) = (words.next(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    method == Some("POST") && path.ends_with("/containers/create") && !path.contains("/libpod/")
}

/// Returns the directories that a description of a container mounts (docker's API, `HostConfig`).
fn sources(body: &[u8]) -> Vec<String> {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let list = |name: &str| value["HostConfig"][name].as_array().cloned();
    let binds = list("Binds").unwrap_or_default();
    let binds = binds.iter().filter_map(|bind| {
        let (source, _) = bind.as_str()?.split_once(':')?;
        Some(source.to_owned())
    });
    let mounts = list("Mounts").unwrap_or_default();
    let mounts = mounts.iter().filter(|mount| mount["Type"] == "bind");
    let mounts = mounts.filter_map(|mount| Some(mount["Source"].as_str()?.to_owned()));
    let all = binds.chain(mounts);
    all.filter(|source| source.starts_with('/')).collect()
}

/// Returns the reason against a container of which the machine has not got a directory that the host has.
fn refusal(machine: &Machine, alias: &str, body: &[u8]) -> Option<String> {
    let sources = sources(body);
    let shares = machine
        .config()
        .ok()
        .filter(|_| !sources.is_empty())?
        .shares;
    let is_missing = |source: &&String| {
        let path = Path::new(source.as_str());
        let is_shared = shares.iter().any(|share| path.starts_with(&share.target));
        !is_shared && path.exists() && !exists_in_guest(machine, alias, source)
    };
    let source = sources.iter().find(is_missing)?;
    let name = &machine.name;
    Some(match share::place(&shares, Path::new(source)) {
        Some(place) => format!("{source} of the host is {place} in machine \"{name}\": mount that"),
        None => format!(
            "{source} of the host is not shared with machine \"{name}\": \
             `podman-machine share add {name} {source} --restart` shares it"
        ),
    })
}

/// Asks the guest whether it has a file. One that does not answer has it: podman's own answer counts then.
fn exists_in_guest(machine: &Machine, alias: &str, path: &str) -> bool {
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(machine.file("ssh_config"));
    ssh.arg(alias).arg("--");
    ssh.arg(format!("sudo test -e '{}'", path.replace('\'', r"'\''")));
    let output = vmm::process::output(ssh, b"", LIMIT);
    output.map_or(true, |output| output.status.code() != Some(1))
}

/// Returns docker's answer to a request that is refused.
fn answer(why: &str) -> Vec<u8> {
    let body = json!({ "message": why }).to_string();
    let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Copies a client's requests until their end, or until one is refused. `alias` is the machine's name for ssh(1).
pub(super) fn pump(machine: &Machine, alias: &str, client: &UnixStream, guest: &UnixStream) {
    let mut requests = Requests::new();
    let mut part = [0; 32 * 1024];
    let (mut from, mut to) = (client, guest);
    loop {
        let len = match from.read(&mut part) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => break,
            Ok(len) => len,
        };
        for piece in requests.feed(part.get(..len).unwrap_or_default()) {
            let bytes = match piece {
                Piece::Pass(bytes) => bytes,
                Piece::Create(whole, head) => match refusal(machine, alias, &whole[head..]) {
                    None => whole,
                    Some(why) => {
                        eprintln!("API client: {why}");
                        let _ = from.write_all(&answer(&why));
                        return;
                    }
                },
            };
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
    }
    // A request that was cut is podman's to judge.
    let _ = to.write_all(&requests.held);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn creation(body: &str) -> String {
        let len = body.len();
        format!(
            "POST /v1.41/containers/create?name=x HTTP/1.1\r\nHost: d\r\nContent-Length: {len}\r\n\r\n{body}"
        )
    }

    #[test]
    fn requests_pass_whole_however_they_arrive() {
        let ping = "HEAD /_ping HTTP/1.1\r\nHost: d\r\n\r\n";
        let upload = "PUT /x HTTP/1.1\r\ncontent-length: 5\r\n\r\nPOST ";
        let create = creation("{}");
        let attach = "POST /containers/x/attach HTTP/1.1\r\nUpgrade: tcp\r\n\r\n";
        let text = [ping, upload, &create, attach, &create].concat();
        for size in [1, 7, 100, text.len()] {
            let mut requests = Requests::new();
            let (mut passed, mut creations) = (Vec::new(), 0);
            for part in text.as_bytes().chunks(size) {
                for piece in requests.feed(part) {
                    match piece {
                        Piece::Pass(bytes) => passed.extend(bytes),
                        Piece::Create(whole, head) => {
                            assert_eq!(&whole[head..], b"{}");
                            creations += 1;
                            passed.extend(whole);
                        }
                    }
                }
            }
            // Behind an upgrade, the bytes are those of a terminal.
            assert_eq!(
                (passed, creations),
                (text.clone().into_bytes(), 1),
                "{size}"
            );
        }
    }

    #[test]
    fn a_head_without_an_end_is_not_kept() {
        let mut requests = Requests::new();
        let passed: usize = (0..40)
            .flat_map(|_| requests.feed(&[b'x'; 4096]))
            .map(|piece| match piece {
                Piece::Pass(bytes) => bytes.len(),
                Piece::Create(..) => 0,
            })
            .sum();
        assert_eq!(passed, 40 * 4096);
    }

    #[test]
    fn docker_creates_containers_by_this_path() {
        for (line, expected) in [
            ("POST /v1.41/containers/create?name=x HTTP/1.1", true),
            ("POST /containers/create HTTP/1.1", true),
            ("POST /v5.4.2/libpod/containers/create HTTP/1.1", false),
            ("GET /containers/create HTTP/1.1", false),
            ("POST /containers/create/x HTTP/1.1", false),
            ("", false),
        ] {
            assert_eq!(is_creation(line), expected, "{line}");
        }
    }

    #[test]
    fn sources_are_paths() {
        let body = json!({"HostConfig": {
            "Binds": ["/a b:/src", "volume:/v", "/c:/d:ro", 5],
            "Mounts": [
                {"Type": "bind", "Source": "/e", "Target": "/f"},
                {"Type": "volume", "Source": "g", "Target": "/h"},
            ],
        }});
        assert_eq!(sources(body.to_string().as_bytes()), ["/a b", "/c", "/e"]);
        for text in ["", "{}", "[]", r#"{"HostConfig": {"Binds": null}}"#] {
            assert!(sources(text.as_bytes()).is_empty(), "{text}");
        }
    }
}
