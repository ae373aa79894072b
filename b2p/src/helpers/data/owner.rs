//! What the machine's owner has put on the data disk for the programs in the machine:
//! certificate authorities, and what belongs to registries.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use log::info;

use crate::common::certs;
use crate::common::paths::Paths;

/// A file that is longer is not read, nor more files than this.
const LONGEST: u64 = 1 << 20;
const MOST: usize = 1000;

/// Debian's bundle.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Where podman looks for the certificates of a registry (containers-certs.d(5)).
const CERTS_D: &str = "/etc/containers/certs.d";

/// `certs/*.pem` and `certs/*.crt` join the bundle.
///
/// # Errors
/// What is wrong with which file; the others are in.
pub fn certificates(paths: &Paths) -> Result<(), String> {
    let (files, mut wrong) = read(&paths.state().join("certs"), &["pem", "crt"]);
    if files.is_empty() {
        return told(wrong);
    }
    let bundle = paths.at(BUNDLE);
    let text = fs::read_to_string(&bundle).unwrap_or_default();
    let (joined, more) = certs::join(&text, &files);
    wrong.extend(more);
    if joined != text {
        info!("data: {} files of certificates join the store", files.len());
        sys::files::replace(&bundle, joined.as_bytes(), 0o644)?;
    }
    told(wrong)
}

/// `certs.d/` is podman's own, on the disk: what is changed there holds at once, though
/// there be nothing yet.
///
/// # Errors
/// What the system said.
pub fn registries(paths: &Paths) -> Result<(), String> {
    let (from, to) = (paths.state().join("certs.d"), paths.at(CERTS_D));
    if to.symlink_metadata().is_err() {
        let made = to.parent().map_or(Ok(()), fs::create_dir_all);
        let linked = made.and_then(|()| std::os::unix::fs::symlink(&from, &to));
        return linked.map_err(|e| format!("{}: {e}", to.display()));
    }
    Ok(())
}

fn told(wrong: Vec<String>) -> Result<(), String> {
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("; ")),
    }
}

/// Every file of a directory with one of these endings, in order of their names: its
/// path and what is in it. And what could not be read.
pub fn read(dir: &Path, endings: &[&str]) -> (Vec<(String, Vec<u8>)>, Vec<String>) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let ends = |path: &PathBuf| {
        let ending = path.extension().and_then(|e| e.to_str());
        ending.is_some_and(|e| endings.contains(&e))
    };
    let mut paths: Vec<PathBuf> = entries.map(|e| e.path()).filter(ends).take(MOST).collect();
    paths.sort();
    let (mut files, mut wrong) = (Vec::new(), Vec::new());
    for path in paths {
        match one(&path) {
            Ok(bytes) => files.push((path.display().to_string(), bytes)),
            Err(why) => wrong.push(format!("{}: {why}", path.display())),
        }
    }
    (files, wrong)
}

fn one(path: &Path) -> Result<Vec<u8>, String> {
    // A fifo would never end: looked at before it is opened.
    let meta = fs::metadata(path).map_err(|e| e.to_string())?;
    if !meta.is_file() || meta.len() > LONGEST {
        return Err("not a file of 1 MiB at the most".into());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| e.to_string())?;
    let read = file.take(LONGEST).read_to_end(&mut bytes);
    read.map(|_| bytes).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_good_are_taken_and_the_bad_named() {
        let root = std::env::temp_dir().join(format!("b2p-owner-{}", std::process::id()));
        let paths = Paths::below(root);
        let state = paths.state();
        for dir in ["certs", "certs.d/box:5000"] {
            fs::create_dir_all(state.join(dir)).unwrap();
        }
        fs::create_dir_all(paths.at("/etc/containers")).unwrap();
        let put = |path: &str, text: &str| fs::write(state.join(path), text).unwrap();
        put("certs/bad.pem", "hello");
        nix::unistd::mkfifo(&state.join("certs/fifo.crt"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        registries(&paths).unwrap();
        assert!(paths.at(CERTS_D).join("box:5000").is_dir());
        let said = certificates(&paths).unwrap_err();
        assert!(
            said.contains("bad.pem: no certificate") && said.contains("fifo.crt"),
            "{said}"
        );
        assert!(!paths.at(BUNDLE).exists() || fs::read(paths.at(BUNDLE)).unwrap().is_empty());
        fs::remove_dir_all(paths.root()).unwrap();
    }
}
