// SPDX-License-Identifier: Apache-2.0
//! Keys that may log in: those of the flags, and those of the disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use config::FwCfg;
use disk::bytes::SizedFile;
use disk::userdata;
use log::{info, warn};
use sys::error::{Doing, Error, Result};
use sys::files::{open_regular, replace};
use sys::paths::AUTHORIZED_KEYS;

use crate::common::paths::Paths;
use crate::common::{atomic_file, sshkey, user_text};
use crate::helpers::compat::legacy_state;

/// Archive of keys that a user puts at the start of a disk to request its format, and the name of
/// the archive in the root of the file system.
pub const USERDATA: &str = "userdata.tar";
/// Longest file of keys that is read, in bytes.
const MAX_KEYS_BYTES: u64 = 1 << 20;
/// Maximum number of named lines that are no keys.
const MAX_FAULTS: usize = 5;

/// Adds the keys of the disk to those that sshd reads. The disk's own file is made from its
/// archive if there is none; a key that a user deletes from that file stays deleted.
///
/// # Errors
/// A file cannot be read or written. The keys of the flags stay.
pub fn merge(paths: &Paths) -> Result<()> {
    let stored = paths.state_dir().join("authorized_keys");
    if stored.symlink_metadata().is_err()
        && let Some((path, file)) = archive(paths)?
    {
        let text = read_archive(file).on(&path)?;
        atomic_file::replace(&stored, joined("", &text).as_bytes(), 0o644)?;
        // The disk's own file has the keys alone: no later boot names the other lines.
        add(paths, &text).on(path)?;
    }
    let Some(bytes) = user_text::read(&stored, MAX_KEYS_BYTES)? else {
        return Ok(());
    };
    // sshd reads the file as the user that logs in; its content is public.
    let _ = fs::set_permissions(&stored, fs::Permissions::from_mode(0o644));
    let text = String::from_utf8_lossy(&bytes);
    add(paths, &text).on(stored)
}

/// Names the lines that are no keys by their numbers: a line may be a secret.
fn left_out(text: &str) -> Result<()> {
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        let is_key = line.is_empty() || line.starts_with('#') || sshkey::validate(line).is_ok();
        if !is_key {
            faults.push(format!("line {number}"));
        }
    }
    let count = faults.len();
    if count == 0 {
        return Ok(());
    }
    faults.truncate(MAX_FAULTS);
    let more = if count > MAX_FAULTS { ", …" } else { "" };
    let lines = faults.join(", ");
    Err(Error::invalid(format!(
        "{lines}{more}: no key that sshd takes; left out"
    )))
}

/// Opens the archive on the disk, in the place of this system or of earlier ones.
fn archive(paths: &Paths) -> Result<Option<(PathBuf, fs::File)>> {
    for dir in [""].into_iter().chain(legacy_state::DIRS) {
        let path = paths.data_disk().join(dir).join(USERDATA);
        if let Some(file) = open_regular(&path)? {
            return Ok(Some((path, file)));
        }
    }
    Ok(None)
}

/// Adds lines of keys to those that sshd reads.
///
/// # Errors
/// The file cannot be written; or a line is no key, and the keys of the others are added.
pub fn add(paths: &Paths, lines: &str) -> Result<()> {
    let used = paths.at(AUTHORIZED_KEYS);
    let existing = fs::read_to_string(&used).unwrap_or_default();
    replace(&used, joined(&existing, lines).as_bytes(), 0o644)?;
    left_out(lines)
}

fn read_archive(file: fs::File) -> Result<String> {
    let size = file.metadata()?.len();
    let archive = userdata::read(&SizedFile { file, size });
    let archive = archive.map_err(|e| Error::invalid(e.to_string()))?;
    let mut text = String::new();
    for name in [".ssh/authorized_keys", ".ssh/authorized_keys2"] {
        let keys = user_text::normalize(archive.file(name).unwrap_or_default()).on(name)?;
        text.push_str(&String::from_utf8_lossy(&keys));
        text.push('\n');
    }
    Ok(text)
}

/// Returns the keys of both texts, each once, a line each. Other lines are counted in the log and
/// not shown, since such a line may be secret.
fn joined(first: &str, second: &str) -> String {
    let valid = ValidKeys::of(first.lines().chain(second.lines()));
    if valid.wrong > 0 {
        let (wrong, total) = (valid.wrong, valid.total);
        warn!("data: {wrong} of {total} lines of authorized_keys are no keys");
    }
    info!("data: {} keys may log in", valid.keys.len());
    valid.keys.iter().map(|key| format!("{key}\n")).collect()
}

/// Keys of some lines.
#[derive(Debug)]
pub struct ValidKeys {
    /// Lines that sshd takes, each once.
    pub keys: Vec<String>,
    /// Number of lines that are no keys.
    pub wrong: usize,
    /// Number of all lines but comments and blank ones.
    pub total: usize,
}

impl ValidKeys {
    /// Parses lines as sshd does those of authorized_keys.
    pub fn of<'a>(lines: impl Iterator<Item = &'a str>) -> ValidKeys {
        let lines: Vec<&str> = lines
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        let entries: Vec<_> = lines
            .iter()
            .map(|line| FwCfg {
                name: b"ssh_key",
                value: line.as_bytes(),
            })
            .collect();
        let (config, diagnostics) = config::parse(b"", &entries);
        ValidKeys {
            keys: config.ssh_keys,
            wrong: diagnostics.len(),
            total: lines.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    const A: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAu27s6wBgRTcv8oHpNcxNCeiEKIY08S+emMug+zDo89 a";
    const B: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDoAj3saaFpU8ZOFTZyfikdXwWfW5cgLz2I1TLE6qQdx b";

    #[test]
    fn a_line_that_is_no_key_is_named_by_its_number() {
        assert_eq!(left_out(&format!("# mine\n\n{A}\n no-pty {B}\n")), Ok(()));
        let why = |text: &str| left_out(text).map_err(|e| e.to_string());
        let one = "line 2: no key that sshd takes; left out";
        assert_eq!(why(&format!("{A}\nssh-ed25519 AAAA\n{B}")), Err(one.into()));
        let many = "line 1, line 2, line 3, line 4, line 5, …: no key that sshd takes; left out";
        assert_eq!(why(&"x\n".repeat(6)), Err(many.into()));
    }

    #[test]
    fn an_archive_that_is_no_file_is_named() {
        let temp = Temp::new();
        let paths = Paths::below(temp.dir());
        fs::create_dir_all(paths.state_dir()).unwrap();
        fs::create_dir_all(paths.data_disk()).unwrap();
        let archive = paths.data_disk().join(USERDATA);
        nix::unistd::mkfifo(&archive, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(why(merge(&paths)).contains("userdata.tar: not a file: a fifo"));
        fs::remove_file(&archive).unwrap();
        std::os::unix::fs::symlink("/proc/kmsg", &archive).unwrap();
        assert!(why(merge(&paths)).contains("leads off its disk"));
    }

    /// Returns an entry of an archive (tar(5), ustar).
    fn entry(name: &str, content: &[u8]) -> Vec<u8> {
        let mut header = [0; 512];
        let size = format!("{:011o}", content.len());
        for (at, field) in [
            (0, name),
            (100, "0000644"),
            (124, &size),
            (148, "        "),
            (156, "0"),
            (257, "ustar"),
            (263, "00"),
        ] {
            header[at..at + field.len()].copy_from_slice(field.as_bytes());
        }
        let sum: u32 = header.iter().map(|b: &u8| u32::from(*b)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let mut bytes = [&header, content].concat();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    #[test]
    fn an_archive_from_windows_has_its_keys() {
        let temp = Temp::new();
        let paths = Paths::below(temp.dir());
        let merged = |content: &[u8]| {
            let _ = fs::remove_dir_all(temp.dir());
            fs::create_dir_all(paths.state_dir()).unwrap();
            fs::create_dir_all(paths.data_disk()).unwrap();
            let request = entry("boot2podman, please format-me", b"");
            let keys = entry(".ssh/authorized_keys", content);
            let archive = [request, keys, vec![0; 1024]].concat();
            fs::write(paths.data_disk().join(USERDATA), archive).unwrap();
            let outcome = merge(&paths).map_err(|why| why.to_string());
            let kept = fs::read_to_string(paths.state_dir().join("authorized_keys"));
            let used = fs::read_to_string(paths.at(AUTHORIZED_KEYS));
            (outcome, kept.unwrap_or_default(), used.unwrap_or_default())
        };
        let both = format!("{A}\n{B}\n");
        let text = format!("\u{feff}{A}\r\n{B}\r\n");
        assert_eq!(
            merged(text.as_bytes()),
            (Ok(()), both.clone(), both.clone())
        );
        let (outcome, kept, used) = merged(format!("{A}\nssh-ed25519 x\n{B}\n").as_bytes());
        assert_eq!((kept, used), (both.clone(), both));
        let why = outcome.unwrap_err();
        assert!(why.contains("userdata.tar: line 2: no key"), "{why}");
        let wide: Vec<u8> = A.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let (outcome, kept, _) = merged(&wide);
        let why = outcome.unwrap_err();
        assert!(why.contains(".ssh/authorized_keys: UTF-16"), "{why}");
        assert_eq!(kept, "");
    }

    #[test]
    fn each_key_is_there_once_and_nothing_else() {
        let second = format!("# mine\n{B}\n\n{A}\nnonsense\n");
        assert_eq!(joined(A, &second), format!("{A}\n{B}\n"));
        assert_eq!(joined("", "\n"), "");
    }
}
