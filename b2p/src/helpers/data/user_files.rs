// SPDX-License-Identifier: Apache-2.0
//! Files that the machine's user has put on the data disk for the programs of the machine:
//! certificate authorities, and the configuration of registries.

use std::fs;
use std::path::{Path, PathBuf};

use log::info;
use sys::error::{Doing, Error, Result};

use super::errors::combine;
use crate::common::paths::Paths;
use crate::common::{certs, user_text};

/// Longest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Largest number of files in a directory that are read.
const MAX_FILES: usize = 1000;

/// Debian's bundle of certificate authorities.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Directory of podman's certificates of registries (containers-certs.d(5)).
const CERTS_D: &str = "/etc/containers/certs.d";

/// Adds the certificates in `certs/*.pem` and `certs/*.crt` to the bundle.
///
/// # Errors
/// Some of the files cannot be read or are no certificates; those of the others are added.
pub fn certificates(paths: &Paths) -> Result<()> {
    let (files, mut errors) = read_dir(&paths.state_dir().join("certs"), &["pem", "crt"]);
    if files.is_empty() {
        return combine(errors);
    }
    let bundle = paths.at(BUNDLE);
    let text = sys::files::read_text(&bundle).unwrap_or_default();
    let (joined, refused) = certs::join(&text, &files);
    errors.extend(refused.into_iter().map(Error::invalid));
    if joined != text {
        info!("data: {} files of certificates join the store", files.len());
        sys::files::replace(&bundle, joined.as_bytes(), 0o644)?;
    }
    combine(errors)
}

/// Links podman's `certs.d` to the disk, so that changes there take effect at once, even if the
/// directory does not exist yet.
///
/// # Errors
/// The link cannot be made.
pub fn registry_certificates(paths: &Paths) -> Result<()> {
    let (target, link) = (paths.state_dir().join("certs.d"), paths.at(CERTS_D));
    if link.symlink_metadata().is_ok() {
        return Ok(());
    }
    let made = link.parent().map_or(Ok(()), fs::create_dir_all);
    let linked = made.and_then(|()| std::os::unix::fs::symlink(target, &link));
    linked.on(link)
}

/// Reads the files of a directory with one of these extensions, in order of their names. Returns
/// the path and the content of each, and the errors of those that cannot be read.
pub fn read_dir(dir: &Path, extensions: &[&str]) -> (Vec<(String, Vec<u8>)>, Vec<Error>) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let has_extension = |path: &PathBuf| {
        let extension = path.extension().and_then(|e| e.to_str());
        extension.is_some_and(|e| extensions.contains(&e))
    };
    let paths = entries.map(|entry| entry.path()).filter(has_extension);
    let mut paths: Vec<PathBuf> = paths.take(MAX_FILES).collect();
    sys::sort::sort(&mut paths);
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        match user_text::read(&path, MAX_FILE_BYTES).map(Option::unwrap_or_default) {
            Ok(bytes) => files.push((path.display().to_string(), bytes)),
            Err(why) => errors.push(why),
        }
    }
    (files, errors)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    #[test]
    fn the_good_are_taken_and_the_bad_named() {
        let temp = Temp::new();
        let paths = Paths::below(temp.dir());
        let state_dir = paths.state_dir();
        for dir in ["certs", "certs.d/box:5000"] {
            fs::create_dir_all(state_dir.join(dir)).unwrap();
        }
        fs::create_dir_all(paths.at("/etc/containers")).unwrap();
        fs::write(state_dir.join("certs/bad.pem"), "hello").unwrap();
        let fifo = state_dir.join("certs/fifo.crt");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        registry_certificates(&paths).unwrap();
        assert!(paths.at(CERTS_D).join("box:5000").is_dir());
        let refused = why(certificates(&paths));
        let named = ["bad.pem: no certificate", "fifo.crt: not a file"];
        assert!(named.iter().all(|n| refused.contains(n)), "{refused}");
        assert!(!paths.at(BUNDLE).exists() || fs::read(paths.at(BUNDLE)).unwrap().is_empty());
    }
}
