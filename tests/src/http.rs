// SPDX-License-Identifier: Apache-2.0
//! One HTTP request over any stream.

use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Time limit of the next bytes: a podman that starts takes an emulated machine seconds.
const LIMIT: Duration = Duration::from_secs(180);

/// An HTTP response.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    head: String,
    /// Body; still in chunks if the server sent chunks.
    pub body: String,
}

impl Answer {
    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.trim())
    }
}

/// Sends `GET path` through a unix socket.
pub fn get_unix(socket: &Path, path: &str) -> Result<Answer> {
    exchange(connect_unix(socket)?, path)
}

/// Sends `GET path` to a port of 127.0.0.1.
pub fn get_tcp(port: u16, path: &str) -> Result<Answer> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(LIMIT))?;
    exchange(stream, path)
}

/// A request whose answer never ends. During the request, the server has a client and does not end
/// for lack of one.
pub struct Followed(#[expect(dead_code, reason = "open until it is dropped")] UnixStream);

/// Sends `GET path` through a unix socket, and returns once the answer has begun.
pub fn follow_unix(socket: &Path, path: &str) -> Result<Followed> {
    let mut stream = connect_unix(socket)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut head = [0; 13];
    stream.read_exact(&mut head).context("reading the answer")?;
    ensure!(head.ends_with(b" 200 "), "{}", head.escape_ascii());
    Ok(Followed(stream))
}

fn connect_unix(socket: &Path) -> Result<UnixStream> {
    // The path of a socket is limited to 107 bytes, so a path through /proc is used.
    let dir = std::fs::File::open(socket.parent().unwrap_or(Path::new(".")))?;
    let name = socket.file_name().context("a socket has a name")?;
    let short = format!(
        "/proc/self/fd/{}/{}",
        std::os::fd::AsRawFd::as_raw_fd(&dir),
        name.to_string_lossy()
    );
    let stream =
        UnixStream::connect(&short).with_context(|| format!("connect to {}", socket.display()))?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

fn exchange(mut stream: impl Read + Write, path: &str) -> Result<Answer> {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    let mut bytes = Vec::new();
    stream
        .read_to_end(&mut bytes)
        .context("reading the answer")?;
    parse(&String::from_utf8_lossy(&bytes))
}

fn parse(text: &str) -> Result<Answer> {
    let (head, body) = text
        .split_once("\r\n\r\n")
        .with_context(|| format!("no HTTP answer: {text:?}"))?;
    ensure!(head.starts_with("HTTP/1."), "no HTTP answer: {head:?}");
    let status = head.split_whitespace().nth(1).and_then(|s| s.parse().ok());
    let status = status.with_context(|| format!("no status in {head:?}"))?;
    Ok(Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let answer = parse("HTTP/1.1 200 OK\r\nLibpod-API-Version: 5.4.2\r\n\r\nOK").expect("fine");
        assert_eq!((answer.status, answer.body.as_str()), (200, "OK"));
        assert_eq!(answer.header("libpod-api-version"), Some("5.4.2"));
        assert_eq!(answer.header("none"), None);
        assert!(parse("").is_err() && parse("HTTP/1.1 ok\r\n\r\n").is_err());
    }
}
