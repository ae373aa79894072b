// SPDX-License-Identifier: Apache-2.0
//! Files by URL.

use super::hash::sha256;
use crate::fault::{Fault, PRE_CREATE};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// Fetches a file that has this sum.
pub fn fetch_checked(url: &str, to: &Path, expected: &str) -> Result<()> {
    fetch(url, to)?;
    let sum = sha256(to)?;
    if sum != expected {
        let text = format!(
            "Error: {} has the SHA-256 {sum}, not {expected}: the image is refused",
            without_user(url)
        );
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
    let output = curl
        .arg(to)
        .arg("--")
        .arg(url)
        .output()
        .context("curl, which fetches images")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let why = said.trim().replace('\n', "; ");
        let text = format!("Error: cannot fetch {}: {why}", without_user(url));
        return Err(Fault::with_status(text, PRE_CREATE).into());
    }
    Ok(())
}

/// Returns a URL for people, without a name and password before its host (RFC 3986, 3.2.1).
pub(super) fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        for (url, shown) in [
            ("https://u:p@w@host/a@b", "https://host/a@b"),
            ("https://host:1/a", "https://host:1/a"),
            ("http://u@host?q=a@b", "http://host?q=a@b"),
            ("file:///a@b", "file:///a@b"),
            ("box", "box"),
        ] {
            assert_eq!(without_user(url), shown);
        }
    }
}
