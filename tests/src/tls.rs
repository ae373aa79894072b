// SPDX-License-Identifier: Apache-2.0
//! A web server over TLS, by openssl(1).

use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use vmm::process;

use crate::ports;

/// A server. Drop ends the server.
pub struct Server {
    /// Port of the server on 127.0.0.1.
    pub port: u16,
    child: Child,
}

impl Server {
    /// Serves the files of `web` with the certificate `tls.crt` and the key `tls.key` of the directory `keys`, in
    /// the form `mode` of s_server(1): `-WWW` puts a head before a file, `-HTTP` takes files for whole responses.
    ///
    /// # Errors
    /// openssl(1) does not start, or cannot listen: another program may have taken the port.
    pub fn start(web: &Path, keys: &Path, mode: &str) -> Result<Server> {
        let port = ports::free()?;
        let mut openssl = Command::new("openssl");
        openssl
            .args(["s_server", mode, "-accept", &format!("127.0.0.1:{port}")])
            .arg("-cert")
            .arg(keys.join("tls.crt"))
            .arg("-key")
            .arg(keys.join("tls.key"))
            .current_dir(web)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(keys.join("s_server.log"))?);
        let mut child = process::spawn(openssl)?;
        // A listening s_server prints ACCEPT, and more for each client.
        let mut said = Vec::new();
        let mut out = child.stdout.take().context("its output")?;
        while !said.ends_with(b"ACCEPT\n") {
            let mut byte = [0];
            ensure!(out.read(&mut byte)? == 1, "openssl s_server ended");
            said.push(byte[0]);
        }
        // The further output of s_server is discarded, and so cannot fill the pipe.
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
