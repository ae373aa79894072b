//! Who may log in: the keys of the flags, and those of the disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use config::FwCfg;
use disk::bytes::SizedFile;
use disk::userdata;
use log::{info, warn};

use super::persist;
use crate::common::paths::Paths;
use crate::common::{atomic_file, regular_file};
use crate::helpers::compat::legacy_state;

/// A file of keys that is longer is not read.
const LONGEST: u64 = 1 << 20;

/// The disk's own file, made from its archive where there is none yet, joins what
/// sshd reads. Who takes a key out of that file has taken it out.
///
/// # Errors
/// What could not be read or written. The keys of the flags stay.
pub fn merge(paths: &Paths) -> Result<(), String> {
    let kept = paths.state().join("authorized_keys");
    if let Some(archive) = archive(paths).filter(|_| !kept.exists()) {
        let keys = from_archive(&archive)?;
        atomic_file::replace(&kept, keys.as_bytes(), 0o644)?;
    }
    if !kept.exists() {
        return Ok(());
    }
    // sshd reads it as the user who comes; nothing in it is a secret.
    let _ = fs::set_permissions(&kept, fs::Permissions::from_mode(0o644));
    let used = paths.runtime().join("authorized_keys");
    let flags = fs::read_to_string(&used).unwrap_or_default();
    let all = joined(&flags, &text(&kept)?);
    Ok(sys::files::replace(&used, all.as_bytes(), 0o644)?)
}

/// The archive that came with the disk, where we put it or where the ancestors did.
fn archive(paths: &Paths) -> Option<PathBuf> {
    let dirs = [""].into_iter().chain(legacy_state::DIRS);
    let mut all = dirs.map(|dir| paths.data_disk().join(dir).join(persist::USERDATA));
    all.find(|path| path.is_file())
}

/// Adds keys to those that sshd reads.
///
/// # Errors
/// What could not be written.
pub fn add(paths: &Paths, lines: &str) -> Result<(), String> {
    let used = paths.runtime().join("authorized_keys");
    let there = fs::read_to_string(&used).unwrap_or_default();
    let all = joined(&there, lines);
    Ok(sys::files::replace(&used, all.as_bytes(), 0o644)?)
}

fn text(path: &std::path::Path) -> Result<String, String> {
    let bytes = regular_file::read(path, LONGEST)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn from_archive(path: &std::path::Path) -> Result<String, String> {
    let fail = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let file = fs::File::open(path).map_err(|e| fail(&e))?;
    let size = file.metadata().map_err(|e| fail(&e))?.len();
    let data = userdata::read(&SizedFile { file, size }).map_err(|e| fail(&e))?;
    let of = |name| String::from_utf8_lossy(data.file(name).unwrap_or_default()).into_owned();
    Ok(joined(
        &of(".ssh/authorized_keys"),
        &of(".ssh/authorized_keys2"),
    ))
}

/// The lines of both that sshd takes, each once, with a newline. What is no key is
/// left out and counted: it may be a secret, so it is not shown.
fn joined(one: &str, other: &str) -> String {
    let lines = || one.lines().chain(other.lines()).map(str::trim);
    let lines: Vec<&str> = lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
        .collect();
    let entries: Vec<_> = lines
        .iter()
        .map(|l| FwCfg {
            name: b"ssh_key",
            value: l.as_bytes(),
        })
        .collect();
    let (config, complaints) = config::parse(b"", &entries);
    if !complaints.is_empty() {
        warn!(
            "data: {} of {} lines of authorized_keys are no keys",
            complaints.len(),
            lines.len()
        );
    }
    info!("data: {} keys may log in", config.ssh_keys.len());
    let with = |k: &String| format!("{k}\n");
    config.ssh_keys.iter().map(with).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAu27s6wBgRTcv8oHpNcxNCeiEKIY08S+emMug+zDo89 a";
    const B: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDoAj3saaFpU8ZOFTZyfikdXwWfW5cgLz2I1TLE6qQdx b";

    #[test]
    fn each_key_is_there_once_and_nothing_else() {
        assert_eq!(
            joined(A, &format!("# mine\n{B}\n\n{A}\nnonsense\n")),
            format!("{A}\n{B}\n")
        );
        assert_eq!(joined("", "\n"), "");
    }
}
