// SPDX-License-Identifier: Apache-2.0
//! Archives at the start of a disk that request a format, as tar(1) and boot2docker's drivers write
//! them.

use super::tool;
use crate::Random;
use anyhow::Result;
use std::fs;
use std::path::Path;
use tar::{Builder, EntryType, Header};

/// boot2podman's format request.
pub const OURS: &str = "boot2podman, please format-me";
/// boot2docker's format request.
pub const DOCKERS: &str = "boot2docker, please format-me";

/// Makes an archive of the request and these files.
pub fn archive(words: &str, files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    add(&mut tar, words, EntryType::Regular, words.as_bytes())?;
    add(&mut tar, ".ssh/", EntryType::Directory, b"")?;
    for (name, bytes) in files {
        add(&mut tar, name, EntryType::Regular, bytes)?;
    }
    Ok(tar.into_inner()?)
}

/// Makes an archive with a public key that may log in.
pub fn with_key(words: &str, public: &str) -> Result<Vec<u8>> {
    archive(words, &[(".ssh/authorized_keys", public.as_bytes())])
}

/// Makes an archive with a symbolic link that leads out of the archive.
pub fn with_link() -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    add(&mut tar, OURS, EntryType::Regular, b"")?;
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, ".ssh", "/etc")?;
    Ok(tar.into_inner()?)
}

/// Makes an archive whose second name is `name`, written without the checks of the tar library.
pub fn with_name(name: &str) -> Result<Vec<u8>> {
    let mut bytes = archive(OURS, &[("harmless", b"x")])?;
    let at = bytes.len() - 2048;
    bytes[at..at + 100].fill(0);
    bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
    checksum(&mut bytes[at..at + 512]);
    Ok(bytes)
}

/// Makes an archive with a file of `len` bytes that cannot be compressed.
pub fn with_bulk(len: usize) -> Result<Vec<u8>> {
    let bulk = Random::new(9).bytes(len);
    archive(OURS, &[("bulk", &bulk)])
}

fn checksum(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn add(tar: &mut Builder<Vec<u8>>, name: &str, kind: EntryType, bytes: &[u8]) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory {
        0o700
    } else {
        0o600
    });
    header.set_size(bytes.len() as u64);
    Ok(tar.append_data(&mut header, name, bytes)?)
}

/// Makes an RSA key of 4096 bits, whose public line is longer than 700 bytes: the private key in a
/// file of `dir`, the public key as text.
pub fn rsa(dir: &Path, name: &str) -> Result<String> {
    let file = dir.join(name);
    let words = ["-q", "-t", "rsa", "-b", "4096", "-N", "", "-C", name, "-f"];
    let mut args: Vec<_> = words.iter().map(std::ffi::OsStr::new).collect();
    args.push(file.as_os_str());
    tool("ssh-keygen", &args)?;
    Ok(fs::read_to_string(file.with_extension("pub"))?)
}
