// SPDX-License-Identifier: Apache-2.0
//! A registry that a guest reaches at [`HOST`], with one image of [`crate::image`] under every name, over
//! HTTP. The registry also serves as a proxy.

use anyhow::Result;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::image::{self, Distributed};

/// Address of the host in QEMU's user network.
pub const HOST: &str = "10.0.2.2";

/// Returns the answer to a request whose path ends in this way; `None` for an unknown path.
#[must_use]
pub fn answer(image: &Distributed, path: &str) -> Option<Vec<u8>> {
    let (kind, body): (&str, &[u8]) = if path == "/v2/" {
        ("application/json", b"{}")
    } else if path.starts_with("/v2/_catalog") {
        ("application/json", b"{\"repositories\":[\"box\",\"web\"]}")
    } else if path.ends_with("/tags/list") {
        ("application/json", b"{\"name\":\"box\",\"tags\":[\"1\"]}")
    } else if path.ends_with("/manifests/1") {
        (image::MANIFEST, &image.manifest)
    } else {
        let name = path.rsplit('/').next()?;
        let blob = image.blobs.iter().find(|(digest, _)| digest == name)?;
        ("application/octet-stream", &blob.1)
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    Some([head.as_bytes(), body].concat())
}

/// A registry over HTTP until the program ends; proxy requests get the same answers.
pub struct Plain {
    /// Port of the registry.
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    image: Arc<Mutex<Arc<Distributed>>>,
}

impl Plain {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No port is free, or the image cannot be made.
    pub fn start() -> Result<Plain> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let image = Arc::new(Mutex::new(Arc::new(image::distributed(0)?)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (list, offered) = (Arc::clone(&asked), Arc::clone(&image));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let image = Arc::clone(&offered.lock().unwrap_or_else(PoisonError::into_inner));
                let list = Arc::clone(&list);
                std::thread::spawn(move || serve(&stream, &image, &list));
            }
        });
        Ok(Plain { port, asked, image })
    }

    /// Puts the image of another number in the place of the one before.
    ///
    /// # Errors
    /// The image cannot be made.
    pub fn offer(&self, number: u64) -> Result<()> {
        let image = Arc::new(image::distributed(number)?);
        *self.image.lock().unwrap_or_else(PoisonError::into_inner) = image;
        Ok(())
    }

    /// Returns the first lines of all requests since the last call.
    pub fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *asked)
    }
}

/// Serves one request per connection; a client that disconnects is not an error.
fn serve(stream: &TcpStream, image: &Distributed, asked: &Mutex<Vec<String>>) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
    let mut reader = BufReader::new(stream);
    let first = line(&mut reader);
    let (mut length, mut is_chunked) = (0, false);
    loop {
        let header = line(&mut reader).to_ascii_lowercase();
        match header.split_once(": ") {
            None => break,
            Some(("content-length", value)) => length = value.parse().unwrap_or(0),
            Some(("transfer-encoding", "chunked")) => is_chunked = true,
            Some(_) => {}
        }
    }
    let (method, rest) = first.split_once(' ').unwrap_or_default();
    let target = rest.split(' ').next().unwrap_or_default();
    // A proxy receives the whole URL (RFC 9112, section 3.2.2).
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("", |at| &rest[at..]),
        None => target,
    };
    let bytes = match method {
        "GET" => answer(image, path),
        _ => taken(&mut reader, (method, path), length, is_chunked),
    };
    let none = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(first.clone());
    let _ = (&*stream).write_all(bytes.as_deref().unwrap_or(none));
}

/// Reads a line without its end; an empty one at the end of the stream.
fn line(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    let _ = reader.read_line(&mut line);
    line.trim_end().to_owned()
}

/// Reads what a push sends, and drops it; returns the answer to the request (OCI distribution-spec, "Push"). No blob is
/// there before.
fn taken(
    reader: &mut impl BufRead,
    request: (&str, &str),
    length: u64,
    is_chunked: bool,
) -> Option<Vec<u8>> {
    let mut left = length;
    loop {
        if is_chunked {
            left = u64::from_str_radix(&line(reader), 16).ok()?;
        }
        std::io::copy(&mut reader.by_ref().take(left), &mut std::io::sink()).ok()?;
        if !is_chunked || left == 0 {
            break;
        }
        line(reader);
    }
    let status = match request {
        ("POST" | "PATCH", path) if path.contains("/blobs/uploads/") => "202 Accepted",
        ("PUT", _) => "201 Created",
        _ => return None,
    };
    Some(format!("HTTP/1.1 {status}\r\nLocation: /v2/pushed/blobs/uploads/1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes())
}
