// SPDX-License-Identifier: Apache-2.0
//! Small operations on files, each with the path in its error.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};

/// Returns the size of a file in bytes.
pub fn size(path: &Path) -> Result<u64> {
    let metadata = fs::metadata(path).with_context(|| format!("stat {}", path.display()))?;
    Ok(metadata.len())
}

/// Returns the last component of a path as text.
pub fn file_name(path: &Path) -> Result<String> {
    let name = path
        .file_name()
        .with_context(|| format!("{} names no file", path.display()))?;
    Ok(name.to_string_lossy().into_owned())
}

/// Removes a file or a whole directory tree; a missing one is no error.
pub fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Replaces the content of `path` atomically; a file with the same content is left alone.
pub fn replace_text(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, text).with_context(|| format!("write {}", temporary.display()))?;
    fs::rename(&temporary, path).with_context(|| format!("rename to {}", path.display()))
}

/// Replaces the content of an executable file atomically, and makes its directory; a file with the
/// same content is left alone. Another process may do the same at the same time, or run the file.
pub fn replace_program(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    let dir = path.parent().context("a program is in a directory")?;
    fs::create_dir_all(dir).with_context(|| format!("mkdir {}", dir.display()))?;
    let mut file = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempfile_in(dir)
        .with_context(|| format!("temporary file in {}", dir.display()))?;
    let doing = || format!("write {}", path.display());
    file.write_all(content).with_context(doing)?;
    // A program that is open for writing cannot be executed (execve(2), ETXTBSY).
    file.into_temp_path().persist(path).with_context(doing)?;
    Ok(())
}

/// Makes `to` a hard link of `from`, or a copy where the file system has no hard links.
pub fn link_or_copy(from: &Path, to: &Path) -> Result<()> {
    let identity = |path: &Path| fs::metadata(path).map(|m| (m.dev(), m.ino()));
    let source = identity(from).with_context(|| format!("stat {}", from.display()))?;
    if identity(to).is_ok_and(|target| target == source) {
        return Ok(());
    }
    let temporary = to.with_extension("tmp");
    remove(&temporary)?;
    fs::hard_link(from, &temporary)
        .or_else(|_| fs::copy(from, &temporary).map(drop))
        .with_context(|| format!("link {} to {}", from.display(), temporary.display()))?;
    fs::rename(&temporary, to).with_context(|| format!("rename to {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_the_same_file_and_replaces_an_older_one() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, "new")?;
        fs::write(&to, "old")?;
        for _ in 0..2 {
            link_or_copy(&from, &to)?;
            assert_eq!(fs::metadata(&from)?.ino(), fs::metadata(&to)?.ino());
        }
        remove(&from)?;
        remove(&from)?;
        assert_eq!(fs::read_to_string(&to)?, "new");
        assert!(link_or_copy(&from, &to).is_err());
        Ok(())
    }
}
