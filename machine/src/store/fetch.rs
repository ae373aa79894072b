// SPDX-License-Identifier: Apache-2.0
//! Files by URL.

use super::image::sha256;
use crate::fault::{Fault, PRE_CREATE};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// Fetches a file that has this sum.
pub fn fetch_checked(url: &str, to: &Path, expected: &str) -> Result<()> {
    fetch(url, to)?;
    let sum = sha256(to)?;
    if sum != expected {
        let text =
            format!("Error: {url} has the SHA-256 {sum}, not {expected}: the image is refused");
        return Err(Fault::with_status(text, PRE_CREATE).into());
    }
    Ok(())
}

/// Fetches a URL with curl(1), which knows proxies and certificates.
pub fn fetch(url: &str, to: &Path) -> Result<()> {
    let mut curl = Command::new("curl");
    curl.args([
        "--fail",
        "--location",
        "--silent",
        "--show-error",
        "--output",
    ]);
    let status = curl
        .arg(to)
        .arg("--")
        .arg(url)
        .status()
        .context("curl, which fetches images")?;
    if !status.success() {
        let text = format!("Error: cannot fetch {url}: curl ended with {status}");
        return Err(Fault::with_status(text, PRE_CREATE).into());
    }
    Ok(())
}
