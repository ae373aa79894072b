//! Two registries on the host that have nothing: one in plain HTTP, which notes that it
//! was asked, and one over TLS, whose certificate is by an authority of its own.

use anyhow::{Context, Result, ensure};
use initramfs::qemu::process;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What the host is to a guest on QEMU's own network.
pub const HOST: &str = "10.0.2.2";

const SOON: Duration = Duration::from_secs(60);

/// Keeps the first line of every request.
pub struct Plain {
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Plain {
    pub fn start() -> Result<Plain> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let line = answer(stream).unwrap_or_default();
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
            }
        });
        Ok(Plain { port, asked })
    }

    pub fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }
}

fn answer(mut stream: TcpStream) -> Result<String> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().context("nothing is asked")??;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    // That there is a registry is answered; that it has the image is not.
    let status = match first.starts_with("GET /v2/ ") {
        true => "200 OK",
        false => "404 Not Found",
    };
    let head = "Content-Length: 0\r\nConnection: close";
    stream.write_all(format!("HTTP/1.1 {status}\r\n{head}\r\n\r\n").as_bytes())?;
    Ok(first)
}

/// `openssl s_server`, until it is dropped.
pub struct Tls {
    pub port: u16,
    pub authority: PathBuf,
    server: Child,
}

impl Tls {
    pub fn start(dir: &Path) -> Result<Tls> {
        let path = |name: &str| dir.join(name).display().to_string();
        let (ca, ca_key) = (path("ca.pem"), path("ca.key"));
        let (cert, key, extra) = (path("cert.pem"), path("cert.key"), path("extra"));
        let (request, names) = (path("request"), format!("subjectAltName=IP:{HOST}\n"));
        fs::write(&extra, names)?;
        let new = ["-newkey", "rsa:2048", "-nodes"];
        let mut own = vec![
            "req",
            "-x509",
            "-days",
            "30",
            "-subj",
            "/CN=an authority of one's own",
        ];
        own.extend(new);
        own.extend(["-keyout", &ca_key, "-out", &ca]);
        openssl(&own)?;
        let mut ask = vec![
            "req",
            "-subj",
            "/CN=registry",
            "-keyout",
            &key,
            "-out",
            &request,
        ];
        ask.extend(new);
        openssl(&ask)?;
        openssl(&[
            "x509",
            "-req",
            "-days",
            "30",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-extfile",
            &extra,
            "-out",
            &cert,
        ])?;
        // The port is free until somebody else takes it in between: then s_server ends.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = Command::new("openssl");
        server.args(["s_server", "-quiet", "-WWW", "-cert", &cert, "-key", &key]);
        server
            .args(["-accept", &format!("127.0.0.1:{port}")])
            .current_dir(dir);
        server
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let server = process::spawn(server)?;
        Ok(Tls {
            port,
            authority: dir.join("ca.pem"),
            server,
        })
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn openssl(words: &[&str]) -> Result<()> {
    let mut openssl = Command::new("openssl");
    openssl.args(words);
    let out = process::output(openssl, b"", SOON)?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "openssl {words:?}: {said}");
    Ok(())
}
