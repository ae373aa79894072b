// SPDX-License-Identifier: Apache-2.0
//! Registries that a guest reaches at 10.0.2.2, each with the one image of [`tests::image`] under
//! every name: over HTTP, which also serves as a proxy, and over TLS with a certificate authority
//! of its own, by openssl(1).

use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tests::image::{self, Distributed};
use tests::tls::Server;
use vmm::process;

/// Address of the host in QEMU's user network.
pub const HOST: &str = "10.0.2.2";

/// Returns the answer to a request whose path ends in this way.
fn answer(image: &Distributed, path: &str) -> Option<Vec<u8>> {
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
    /// Port that it listens on.
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Plain {
    /// Listens on a free port of 127.0.0.1.
    pub fn start() -> Result<Plain> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let image = Arc::new(image::distributed()?);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (image, list) = (Arc::clone(&image), Arc::clone(&list));
                std::thread::spawn(move || serve(&stream, &image, &list));
            }
        });
        Ok(Plain { port, asked })
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

/// A certificate authority, and its certificate for [`HOST`].
pub struct Authority {
    dir: PathBuf,
}

impl Authority {
    /// Makes both in a directory of their own.
    pub fn make(dir: &Path) -> Result<Authority> {
        fs::create_dir_all(dir)?;
        let key = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ];
        let san = format!("subjectAltName=IP:{HOST}");
        let ours = [
            "-keyout",
            "ca.key",
            "-out",
            "ca.crt",
            "-subj",
            "/CN=authority of a test",
        ];
        let theirs = [
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-keyout",
            "tls.key",
            "-out",
            "tls.crt",
            "-subj",
            "/CN=registry",
            "-addext",
            &san,
            "-addext",
            "basicConstraints=CA:FALSE",
        ];
        for words in [&ours[..], &theirs[..]] {
            let mut openssl = Command::new("openssl");
            openssl
                .args(["req", "-x509", "-days", "3650"])
                .args(key)
                .args(words);
            openssl.current_dir(dir);
            let out = process::output(openssl, b"", Duration::from_secs(60))?;
            let said = String::from_utf8_lossy(&out.stderr);
            ensure!(out.status.success(), "openssl req: {said}");
        }
        Ok(Authority {
            dir: dir.to_owned(),
        })
    }

    /// Returns the authority's certificate in PEM.
    pub fn pem(&self) -> Result<String> {
        Ok(fs::read_to_string(self.dir.join("ca.crt"))?)
    }

    /// Starts a registry over TLS that has `box` and its tags, without its content: s_server(1)
    /// refuses paths with a colon, which every digest has.
    pub fn registry(&self) -> Result<Server> {
        let image = image::distributed()?;
        // `-HTTP` sends files unchanged: complete responses.
        let (web, path) = (self.dir.join("web"), "/v2/box/tags/list");
        let file = web.join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().context("a path")?)?;
        fs::write(&file, answer(&image, path).context("an answer")?)?;
        Server::start(&web, &self.dir, "-HTTP")
    }
}
