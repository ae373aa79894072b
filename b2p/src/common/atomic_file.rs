//! Files that a power cut leaves old or new, never half.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Puts `bytes` in place of what is at `path`: a temporary file, fsync, rename,
/// fsync of the directory.
///
/// # Errors
/// The file, and what the system said.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), String> {
    let say = |e: std::io::Error| format!("{}: {e}", path.display());
    let temporary = path.with_extension("b2p-new");
    let _ = fs::remove_file(&temporary); // left by a cut
    let written = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)?;
        // Whatever the umask is.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync(path.parent().unwrap_or(Path::new("/")))
    };
    written().map_err(|e| {
        let _ = fs::remove_file(&temporary); // a full disk keeps the old one
        say(e)
    })
}

/// Makes a directory with this mode and owner, durably; one that is there gets
/// neither.
///
/// # Errors
/// As [`replace`].
pub fn directory(path: &Path, mode: u32, owner: u32) -> Result<(), String> {
    if path.is_dir() {
        return Ok(());
    }
    let made = || {
        fs::create_dir(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        std::os::unix::fs::chown(path, Some(owner), Some(owner))?;
        sync(path)?;
        sync(path.parent().unwrap_or(Path::new("/")))
    };
    made().map_err(|e| format!("{}: {e}", path.display()))
}

/// fsync(2) of a directory.
///
/// # Errors
/// What the system said.
pub fn sync(directory: &Path) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn old_or_new_and_nothing_else() {
        let dir = std::env::temp_dir().join(format!("b2p-durable-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("seed");
        fs::write(path.with_extension("b2p-new"), "half").unwrap();
        replace(&path, b"one", 0o644).unwrap();
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        assert!(
            replace(&dir.join("no/such"), b"x", 0o600)
                .unwrap_err()
                .contains("no/such")
        );
        fs::remove_dir_all(dir).unwrap();
    }
}
