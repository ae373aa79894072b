// SPDX-License-Identifier: Apache-2.0
//! The document of a host that serves it over vsock, as podman machine does on Apple's and libkrun's
//! hypervisors: `GET /` on port 1024. The host serves it at the first boot only, for it takes
//! Ignition to have changed the disk then; here the document is kept on the data disk.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use log::info;
use sys::error::{Doing, Error, Result};
use sys::uevent;

use super::document::MAX_BYTES;
use crate::common::atomic_file;
use crate::common::user_text;
use crate::helpers::block::drivers::Drivers;

/// Port on which hosts serve the document (Ignition's provider `applehv`).
const PORT: u32 = 1024;
/// HTTP 1.0: the answer ends with the connection, and is not in chunks (RFC 1945).
const REQUEST: &[u8] = b"GET / HTTP/1.0\r\nAccept: application/json\r\n\r\n";
/// Longest header of an answer, in bytes.
const MAX_HEADER: usize = 64 << 10;
/// Time for the whole answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the host's document, or that of an earlier boot in `kept` where the host serves none now.
///
/// # Errors
/// Neither exists; the answer is no document; the document cannot be kept.
pub fn read(kept: &Path) -> Result<Vec<u8>> {
    Drivers::of_the_machine().load(uevent::is_vsock);
    let connection = sys::vsock::connect_to_host(PORT).map_err(std::io::Error::from);
    document(connection, kept)
}

fn document(connection: std::io::Result<UnixStream>, kept: &Path) -> Result<Vec<u8>> {
    let refused = match connection {
        Ok(stream) => {
            let bytes = ask(stream, Instant::now() + TIMEOUT)?;
            keep(kept, &bytes)?;
            return Ok(bytes);
        }
        Err(e) => e,
    };
    match user_text::read(kept, MAX_BYTES as u64)? {
        Some(bytes) => {
            info!("ignition: the host serves no document ({refused}): that of an earlier boot");
            Ok(bytes)
        }
        None => Err(Error::invalid(format!(
            "b2p.ignition=vsock: the host serves nothing on port {PORT}: {refused}"
        ))),
    }
}

/// Keeps the document, unless it is there already.
fn keep(kept: &Path, bytes: &[u8]) -> Result<()> {
    let known = sys::files::read_whole(kept, MAX_BYTES as u64).unwrap_or_default();
    if known.as_deref() == Some(bytes) {
        return Ok(());
    }
    atomic_file::replace(kept, bytes, 0o600).doing("the document is not there at the next boot")
}

/// Requests the document, and reads the whole answer until `deadline`.
fn ask(mut stream: UnixStream, deadline: Instant) -> Result<Vec<u8>> {
    stream
        .set_write_timeout(Some(TIMEOUT))
        .and_then(|()| stream.write_all(REQUEST))
        .doing("ask the host")?;
    let mut answer = Vec::new();
    let mut block = [0; 16 << 10];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::invalid("the host's answer takes too long"));
        }
        stream.set_read_timeout(Some(left)).doing("ask the host")?;
        match stream.read(&mut block) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&block[..count]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e).doing("the host's answer"),
        }
        if answer.len() > MAX_BYTES + MAX_HEADER {
            return Err(Error::invalid("the host's answer has no end"));
        }
    }
    body(&answer).map(<[u8]>::to_vec)
}

/// Returns the body of an answer that is whole.
fn body(answer: &[u8]) -> Result<&[u8]> {
    let invalid = |why: &str| Error::invalid(format!("the host's answer: {why}"));
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or_else(|| invalid("not HTTP, or its header has no end"))?;
    let (header, body) = (&answer[..end], &answer[end + 4..]);
    let header = std::str::from_utf8(header).map_err(|_| invalid("its header is not text"))?;
    let mut lines = header.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let mut words = status.split(' ');
    if !words.next().is_some_and(|word| word.starts_with("HTTP/1.")) {
        return Err(invalid("not HTTP"));
    }
    if words.next() != Some("200") {
        return Err(invalid(&format!("{status:?}; must be 200")));
    }
    let values = |wanted: &'static str| {
        let fields = lines.clone().filter_map(|line| line.split_once(':'));
        let named = fields.filter(move |(name, _)| name.trim().eq_ignore_ascii_case(wanted));
        named.map(|(_, value)| value.trim())
    };
    if values("transfer-encoding").next().is_some() {
        return Err(invalid("in chunks, which HTTP 1.0 does not have"));
    }
    let Some(length) = values("content-length").next() else {
        return Ok(body);
    };
    match length.parse::<usize>() {
        Ok(length) if length == body.len() => Ok(body),
        Ok(length) => Err(invalid(&format!("{} of {length} bytes", body.len()))),
        Err(_) => Err(invalid(&format!("Content-Length: {length:?}"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};
    use std::fs;
    use std::io;
    use std::net::Shutdown;
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    /// Exchange with a host that answers `answer` and closes the connection.
    fn told(answer: &[u8], kept: &Path) -> Result<Vec<u8>> {
        let (guest, mut host) = UnixStream::pair().unwrap();
        let answer = answer.to_vec();
        let host = thread::spawn(move || {
            let mut request = [0; REQUEST.len()];
            host.read_exact(&mut request).unwrap();
            // The guest may have refused the answer before its end.
            let _ = host.write_all(&answer);
            request
        });
        let document = document(Ok(guest), kept);
        assert!(host.join().unwrap().starts_with(b"GET / HTTP/1.0\r\n"));
        document
    }

    fn refused() -> io::Result<UnixStream> {
        Err(io::Error::from_raw_os_error(libc::ECONNRESET))
    }

    #[test]
    fn the_document_of_the_first_boot_is_kept() {
        let temp = Temp::new();
        let kept = temp.path("ignition.json");
        let none = why(document(refused(), &kept));
        assert!(none.contains("nothing on port 1024"), "{none}");
        let first = told(b"HTTP/1.0 200 OK\r\nDate: x\r\n\r\n{\"a\":1}", &kept);
        assert_eq!(first.unwrap(), b"{\"a\":1}");
        let mode = fs::metadata(&kept).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        // Later boots.
        assert_eq!(document(refused(), &kept).unwrap(), b"{\"a\":1}");
        // The document of another machine replaces it; data that is no document does not.
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(told(answer, &kept).unwrap(), b"{}");
        assert!(told(b"HTTP/1.0 404 Not Found\r\n\r\nno", &kept).is_err());
        assert_eq!(fs::read(&kept).unwrap(), b"{}");
    }

    #[test]
    fn a_long_document_comes_whole() {
        let temp = Temp::new();
        let long = [b"HTTP/1.0 200 OK\r\n\r\n".to_vec(), vec![b' '; 3 << 20]].concat();
        let document = told(&long, &temp.path("ignition.json")).unwrap();
        assert_eq!(document.len(), 3 << 20);
    }

    #[test]
    fn malformed_answers_of_the_host_are_refused_with_a_reason() {
        for (answer, reason) in [
            (&b""[..], "not HTTP, or its header has no end"),
            (b"{\"ignition\":{}}", "not HTTP"),
            (b"SSH-2.0-x\r\n\r\n", "not HTTP"),
            (b"HTTP/1.0 200 OK\r\nA: b\r\n", "its header has no end"),
            (b"HTTP/1.0 200 \xff\r\n\r\n{}", "its header is not text"),
            (
                b"HTTP/1.1 404 Not Found\r\n\r\n",
                "\"HTTP/1.1 404 Not Found\"; must be 200",
            ),
            (b"HTTP/1.1\r\n\r\n", "must be 200"),
            (
                b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n{}",
                "2 of 3 bytes",
            ),
            (
                b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n{}",
                "2 of 1 bytes",
            ),
            (
                b"HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n{}",
                "Content-Length: \"-1\"",
            ),
            (
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2\r\n{}",
                "in chunks",
            ),
        ] {
            let temp = Temp::new();
            let told = why(told(answer, &temp.path("ignition.json")));
            assert!(told.contains(reason), "{told}");
            assert!(!temp.path("ignition.json").exists());
        }
    }

    #[test]
    fn a_host_that_does_not_end_is_left() {
        let (guest, mut host) = UnixStream::pair().unwrap();
        host.write_all(b"HTTP/1.0 200 OK\r\n\r\n{").unwrap();
        let deadline = Instant::now() + Duration::from_millis(50);
        assert!(why(ask(guest, deadline)).contains("takes too long"));
        let (guest, host) = UnixStream::pair().unwrap();
        host.shutdown(Shutdown::Both).unwrap();
        assert!(ask(guest, Instant::now() + TIMEOUT).is_err());
    }
}
