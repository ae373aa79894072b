//! Small files, written whole and read within bounds.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Replaces `path` by `text` with permission bits `mode`, in one step: a reader
/// sees the old content or the new.
///
/// # Errors
/// What the system said, with the path.
pub fn replace(path: &Path, text: &[u8], mode: u32) -> Result<(), String> {
    let say = |e: std::io::Error| format!("{}: {e}", path.display());
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(say)?;
    }
    let temporary = path.with_extension("b2p-new");
    let _ = fs::remove_file(&temporary);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .map_err(say)?;
    file.write_all(text).map_err(say)?;
    fs::rename(&temporary, path).map_err(say)
}

/// The first `most` bytes of `path`. For what somebody else may have put there:
/// the open of a fifo that nobody writes to would not come back (fifo(7)), and
/// some files do not end.
///
/// # Errors
/// What the system said.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut options = fs::OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn replaces_content_and_mode() {
        let dir = std::env::temp_dir().join(format!("b2p-files-{}", std::process::id()));
        let path = dir.join("sub/x.conf");
        replace(&path, b"one", 0o644).unwrap();
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_does_not_end_or_never_begins_is_read_too() {
        let dir = std::env::temp_dir().join(format!("b2p-read-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (file, fifo) = (dir.join("file"), dir.join("fifo"));
        fs::write(&file, b"abc").unwrap();
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read(&file, 10).unwrap(), b"abc");
        assert_eq!(read(&file, 2).unwrap(), b"ab");
        assert_eq!(read(&fifo, 10).unwrap(), b"", "nobody writes, nobody waits");
        assert_eq!(read(Path::new("/dev/zero"), 4096).unwrap().len(), 4096);
        assert!(read(&dir.join("none"), 1).is_err());
        fs::remove_dir_all(dir).unwrap();
    }
}
