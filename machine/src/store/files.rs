// SPDX-License-Identifier: Apache-2.0
//! Files that are whole at any moment.

use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Reads the text of a file. Anything else is refused before it is opened: a fifo would never end.
pub fn read_text(path: &Path) -> io::Result<String> {
    match fs::metadata(path)?.is_file() {
        true => fs::read_to_string(path),
        false => Err(io::Error::other("not a regular file")),
    }
}

/// Replaces a file by one with this content and mode 0600, so that a reader, and the disk after a
/// power failure, have the old content or the new one.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let dir = path.parent().context("a file without a directory")?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = dir.join(format!(".{name}.{}", std::process::id()));
    let written = write(&draft, content).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written.with_context(|| format!("write {}", path.display()))?;
    sync_dir(dir)
}

/// Replaces a file unless it has this content already, because an equal file needs no room on the disk.
pub fn update(path: &Path, content: &[u8]) -> Result<()> {
    match fs::read(path).is_ok_and(|old| old == content) {
        true => Ok(()),
        false => replace(path, content),
    }
}

fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Flushes the names in a directory.
pub fn sync_dir(dir: &Path) -> Result<()> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.with_context(|| format!("sync {}", dir.display()))
}

/// Flushes a directory, and everything in it.
pub fn sync_tree(dir: &Path) -> Result<()> {
    let at = || format!("sync {}", dir.display());
    for entry in fs::read_dir(dir).with_context(at)? {
        let entry = entry.with_context(at)?;
        let (kind, path) = (entry.file_type().with_context(at)?, entry.path());
        if kind.is_dir() {
            sync_tree(&path)?;
        } else if kind.is_file() {
            let synced = File::open(&path).and_then(|file| file.sync_all());
            synced.with_context(|| format!("sync {}", path.display()))?;
        }
    }
    sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_and_no_draft_is_left() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("f");
        for content in ["one", "two"] {
            replace(&path, content.as_bytes()).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("read"), content);
        }
        let mode = fs::metadata(&path).expect("meta").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 1);
        assert!(replace(&dir.path().join("none/f"), b"").is_err());
    }
}
