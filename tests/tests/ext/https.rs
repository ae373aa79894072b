// SPDX-License-Identifier: Apache-2.0
//! A web server over TLS, by openssl(1).

use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tests::ports;
use vmm::process;

/// Time limit of openssl(1) for a key.
const LIMIT: Duration = Duration::from_secs(60);

/// A server; dropping it ends it.
pub struct Server {
    /// Port that it listens on.
    pub port: u16,
    child: Child,
}

impl Server {
    /// Serves the files of a directory with a certificate that its own key has signed.
    pub fn start(dir: &Path) -> Result<Server> {
        let mut openssl = Command::new("openssl");
        openssl
            .args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:P-256", "-subj", "/CN=10.0.2.2"])
            .args(["-keyout", "tls.key", "-out", "tls.crt"])
            .current_dir(dir);
        let out = process::output(openssl, b"", LIMIT)?;
        let said = String::from_utf8_lossy(&out.stderr);
        ensure!(out.status.success(), "openssl req: {said}");
        let port = ports::free()?;
        let mut openssl = Command::new("openssl");
        openssl
            .args(["s_server", "-WWW", "-cert", "tls.crt", "-key", "tls.key"])
            .args(["-accept", &format!("127.0.0.1:{port}")])
            .current_dir(dir)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(dir.join("s_server.log"))?);
        let mut child = process::spawn(openssl)?;
        // s_server prints ACCEPT when it listens, and more for each client.
        let mut said = Vec::new();
        let mut out = child.stdout.take().context("its output")?;
        while !said.ends_with(b"ACCEPT\n") {
            let mut byte = [0];
            ensure!(out.read(&mut byte)? == 1, "openssl s_server ended");
            said.push(byte[0]);
        }
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Ok(Server { port, child })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that has ended already is reaped as well.
        let _ = process::kill_group(&mut self.child);
    }
}
