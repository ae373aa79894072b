// SPDX-License-Identifier: Apache-2.0
//! A registry that a guest reaches at [`HOST`], with one image of [`crate::image`] under every name, over
//! HTTP. The registry also serves as a proxy.

use anyhow::Result;
use std::io::{BufRead, BufReader, Write};
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
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    for line in lines {
        if line.is_empty() {
            break;
        }
    }
    let target = first.split(' ').nth(1).unwrap_or_default();
    // A proxy receives the whole URL (RFC 9112, section 3.2.2).
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("", |at| &rest[at..]),
        None => target,
    };
    let bytes = answer(image, path).filter(|_| first.starts_with("GET "));
    let none = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(first);
    let _ = (&*stream).write_all(bytes.as_deref().unwrap_or(none));
}
