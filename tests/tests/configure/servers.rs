// SPDX-License-Identifier: Apache-2.0
//! Registries over TLS with a certificate authority of their own, by openssl(1).

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tests::image;
use tests::registry::{HOST, answer};
use tests::tls::Server;
use vmm::process;

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
        let image = image::distributed(0)?;
        // `-HTTP` sends files unchanged: complete responses.
        let (web, path) = (self.dir.join("web"), "/v2/box/tags/list");
        let file = web.join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().context("a path")?)?;
        fs::write(&file, answer(&image, path).context("an answer")?)?;
        Server::start(&web, &self.dir, "-HTTP")
    }
}
