// SPDX-License-Identifier: Apache-2.0
//! A web server over TLS whose certificate its own key has signed.

use anyhow::{Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tests::tls::Server;
use vmm::process;

/// Time limit of openssl(1) for a key.
const LIMIT: Duration = Duration::from_secs(60);

/// Serves the files of a directory.
pub fn serve(dir: &Path) -> Result<Server> {
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:P-256", "-subj", "/CN=10.0.2.2"])
        .args(["-keyout", "tls.key", "-out", "tls.crt"])
        .current_dir(dir);
    let out = process::output(openssl, b"", LIMIT)?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "openssl req: {said}");
    Server::start(dir, dir, "-WWW")
}
