// SPDX-License-Identifier: Apache-2.0
//! Client of podman's REST API: HTTP/1.1 over a unix socket, one connection for each request.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::error::{Doing, Error, Result};

use super::copy::copy;

/// Longest line of a header, and longest line that gives the length of a chunk, in bytes.
const MAX_LINE: u64 = 64 << 10;
/// Largest number of header lines.
const MAX_HEADERS: usize = 200;
/// Longest line of a body, in bytes.
const MAX_EVENT: usize = 16 << 20;
/// Longest body that is read as a whole, in bytes.
const MAX_BODY: u64 = 64 << 20;

/// Request to podman.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    /// `GET`, `POST` or `DELETE`.
    pub verb: &'static str,
    /// Path below the version, with its query.
    pub path: String,
    /// Lines of the header beside the usual ones.
    pub header: Vec<(&'static str, String)>,
    /// Body, which is JSON.
    pub body: Vec<u8>,
    /// True if the connection is to carry the streams of a container after the answer.
    pub upgrade: bool,
}

/// Answer of podman: its status, and its body as a stream.
pub(super) struct Response {
    pub status: u16,
    body: Body,
}

impl Response {
    /// Returns the whole body.
    ///
    /// # Errors
    /// The errno of read(2); a body without an end, or one that is too long.
    pub fn whole(mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut limited = (&mut self.body).take(MAX_BODY + 1);
        let read = copy(&mut limited, &mut bytes);
        read.doing("read podman's answer")?;
        match bytes.len() as u64 > MAX_BODY {
            true => Err(Error::invalid(format!(
                "podman's answer is longer than {MAX_BODY} bytes"
            ))),
            false => Ok(bytes),
        }
    }

    /// Returns the body as a stream.
    pub fn stream(self) -> Body {
        self.body
    }

    /// Returns the connection after an upgrade, and the bytes that were read with the header.
    pub fn upgraded(self) -> (UnixStream, Vec<u8>) {
        let early = self.body.source.buffer().to_vec();
        (self.body.source.into_inner().stream, early)
    }
}

/// Sends a request, with a file as its body if there is one, and reads the answer up to its body. The connection is given up when the
/// client on `client` is gone.
///
/// # Errors
/// The errno of connect(2), write(2) or read(2); an answer that is not HTTP.
pub(super) fn send(
    socket: &Path,
    request: &Request,
    file: Option<&File>,
    client: Option<BorrowedFd<'_>>,
) -> Result<Response> {
    let mut stream = UnixStream::connect(socket).on(socket)?;
    let length = match file {
        Some(file) => Some(file.metadata().doing("read the size of a file")?.len()),
        None => None,
    };
    stream
        .write_all(&encode(request, length))
        .doing("send to podman")?;
    if let (Some(mut file), Some(length)) = (file, length) {
        match copy(&mut Read::take(&mut file, length), &mut stream) {
            // podman may answer, and close its end, before the whole request is read.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                ) => {}
            sent => drop(sent.doing("send a file to podman")?),
        }
    }
    let source = Watched::new(stream, client)?;
    receive(BufReader::new(source))
}

/// Returns the bytes of a request, without those of a file of `length` bytes that follows.
fn encode(request: &Request, length: Option<u64>) -> Vec<u8> {
    let connection = match request.upgrade {
        true => "Upgrade\r\nUpgrade: tcp",
        false => "close",
    };
    let mut head = format!(
        "{} /v5.0.0/libpod/{} HTTP/1.1\r\nHost: d\r\nConnection: {connection}\r\nContent-Length: {}\r\n",
        request.verb,
        request.path,
        length.unwrap_or(request.body.len() as u64)
    );
    if length.is_some() {
        head += "Content-Type: application/x-tar\r\n";
    } else if !request.body.is_empty() {
        head += "Content-Type: application/json\r\n";
    }
    for (name, value) in &request.header {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    [head.as_bytes(), &request.body].concat()
}

/// Socket of podman that is read while the client is there.
pub(super) struct Watched {
    stream: UnixStream,
    client: Option<OwnedFd>,
}

impl Watched {
    /// Returns the reader of a connection; a read ends with `BrokenPipe` when the client is gone.
    ///
    /// # Errors
    /// The errno of fcntl(2).
    pub fn new(stream: UnixStream, client: Option<BorrowedFd<'_>>) -> Result<Watched> {
        let client = client.map(|fd| fd.try_clone_to_owned()).transpose();
        let client = client.doing("duplicate a descriptor")?;
        Ok(Watched { stream, client })
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(client) = &self.client {
            let mut fds = [
                PollFd::new(self.stream.as_fd(), PollFlags::POLLIN),
                // poll(2) reports that the peer is gone without being asked.
                PollFd::new(client.as_fd(), PollFlags::empty()),
            ];
            while let Err(e) = poll(&mut fds, PollTimeout::NONE) {
                if e != nix::errno::Errno::EINTR {
                    return Err(e.into());
                }
            }
            if fds[1].any() == Some(true) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        self.stream.read(buffer)
    }
}

/// Reads the status and the header.
fn receive(mut source: BufReader<Watched>) -> Result<Response> {
    let status = line(&mut source)?;
    let mut words = status.split(' ');
    let is_http = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
    let status = words.next().and_then(|word| word.parse().ok());
    let Some(status) = status.filter(|_| is_http) else {
        return Err(Error::invalid("podman's answer is not HTTP"));
    };
    let mut rest = Rest::UntilClosed;
    for count in 0.. {
        let line = line(&mut source)?;
        if line.is_empty() {
            break;
        }
        if count == MAX_HEADERS {
            return Err(Error::invalid("podman's answer has too many headers"));
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        if name.eq_ignore_ascii_case("transfer-encoding")
            && value.trim().eq_ignore_ascii_case("chunked")
        {
            rest = Rest::Chunks(0);
        } else if name.eq_ignore_ascii_case("content-length") && rest == Rest::UntilClosed {
            let length = value.trim().parse();
            rest =
                Rest::Bytes(length.map_err(|_| Error::invalid("podman's answer has no length"))?);
        }
    }
    if matches!(status, 101 | 204 | 304) {
        rest = Rest::Bytes(0);
    }
    Ok(Response {
        status,
        body: Body { source, rest },
    })
}

/// Reads a line without its end.
fn line(source: &mut BufReader<Watched>) -> Result<String> {
    let mut bytes = Vec::new();
    source
        .take(MAX_LINE)
        .read_until(b'\n', &mut bytes)
        .doing("read podman's answer")?;
    match bytes.pop() {
        Some(b'\n') => {}
        _ => return Err(Error::invalid("podman's answer ends within a line")),
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes).map_err(|_| Error::invalid("podman's answer is not text"))
}

impl AsFd for Body {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.get_ref().stream.as_fd()
    }
}

/// Rest of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// Number of bytes.
    Bytes(u64),
    /// Number of bytes of the current chunk, and further chunks.
    Chunks(u64),
    /// All bytes until podman closes the connection.
    UntilClosed,
}

/// Body of an answer.
pub(super) struct Body {
    source: BufReader<Watched>,
    rest: Rest,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest == Rest::Chunks(0) {
            self.rest = match self.next_chunk()? {
                0 => Rest::Bytes(0),
                length => Rest::Chunks(length),
            };
        }
        let limit = match self.rest {
            Rest::Bytes(count) | Rest::Chunks(count) => count,
            Rest::UntilClosed => u64::MAX,
        };
        let wanted = buffer
            .len()
            .min(usize::try_from(limit).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.source.read(&mut buffer[..wanted])?;
        match &mut self.rest {
            Rest::UntilClosed => {}
            _ if count == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Rest::Chunks(left) if *left == count as u64 => {
                *left = 0;
                line(&mut self.source).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            }
            Rest::Bytes(left) | Rest::Chunks(left) => *left -= count as u64,
        }
        Ok(count)
    }
}

impl Body {
    /// Reads a line without its end; returns `None` at the end of the body.
    pub fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.read(&mut byte)? > 0 {
            match byte[0] {
                b'\n' => return Ok(Some(line)),
                _ if line.len() > MAX_EVENT => return Err(io::ErrorKind::InvalidData.into()),
                byte => line.push(byte),
            }
        }
        Ok((!line.is_empty()).then_some(line))
    }

    /// Returns true if a read returns at once, because bytes have been read ahead.
    pub fn has_bytes(&self) -> bool {
        !self.source.buffer().is_empty()
    }

    fn next_chunk(&mut self) -> io::Result<u64> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let line = line(&mut self.source).map_err(|_| invalid())?;
        let length = line.split(';').next().unwrap_or_default().trim();
        u64::from_str_radix(length, 16).map_err(|_| invalid())
    }
}

/// Returns a name as one part of a path, or as a value in a query: every byte outside of letters,
/// digits and `_-~` is encoded, so that no name is a path of its own.
pub(super) fn part(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'~' => text.push(byte.into()),
            byte => text += &format!("%{byte:02X}"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answer(text: &[u8]) -> Result<(u16, Vec<u8>)> {
        let (mut podman, own) = UnixStream::pair().unwrap();
        podman.write_all(text).unwrap();
        drop(podman);
        let source = Watched {
            stream: own,
            client: None,
        };
        let response = receive(BufReader::new(source))?;
        let status = response.status;
        Ok((status, response.whole()?))
    }

    #[test]
    fn bodies_of_every_form() {
        for (text, status, body) in [
            (&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}rest"[..], 200, &b"{}"[..]),
            (b"HTTP/1.1 200 OK\r\n\r\nall", 200, b"all"),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n", 200, b"abc0123456789"),
            (b"HTTP/1.0 204 No Content\r\n\r\n", 204, b""),
            (b"HTTP/1.1 304 Not Modified\nContent-Length: 9\n\n", 304, b""),
            (b"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", 404, b""),
        ] {
            assert_eq!(answer(text).unwrap(), (status, body.to_vec()), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn answers_that_are_wrong_or_incomplete() {
        for text in [
            &b""[..],
            b"hello\r\n\r\n",
            b"HTTP/1.1 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        ] {
            assert!(answer(text).is_err(), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_name_is_one_part_of_a_path() {
        assert_eq!(part("web-1_a"), "web-1_a");
        assert_eq!(part("../a?b=c&d#e"), "%2E%2E%2Fa%3Fb%3Dc%26d%23e");
        assert_eq!(part("a\r\nb\u{fc}"), "a%0D%0Ab%C3%BC");
    }
}
