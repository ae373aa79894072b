// SPDX-License-Identifier: Apache-2.0
//! Small files, read and written whole.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::{Doing, Result};

/// Replaces the file at `path` by `bytes` with permission bits `mode`, in one step: a reader
/// sees the old content or the new. Makes the directory if there is none.
///
/// # Errors
/// The directory or the file cannot be made, written or renamed; the error names `path`.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let write = || {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let temporary = path.with_extension("b2p-new");
        let _ = fs::remove_file(&temporary);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)?;
        file.write_all(bytes)?;
        fs::rename(&temporary, path)
    };
    write().on(path)
}

/// Returns at most `max_bytes` bytes of a regular file, for PID 1, which must not wait: opening
/// a fifo waits for its other end (fifo(7)), and a symbolic link may lead to a disk that hangs.
///
/// # Errors
/// The file cannot be read; [`io::ErrorKind::InvalidInput`] if it is not a regular one.
pub fn read_bounded(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut bytes = Vec::new();
    file.take(max_bytes).read_to_end(&mut bytes)?;
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
    fn an_error_names_the_file_and_its_errno() {
        let error = replace(Path::new("/proc/none/x"), b"", 0o644).unwrap_err();
        assert_eq!(error.path(), Some(Path::new("/proc/none/x")));
        assert_eq!(error.errno(), Some(nix::errno::Errno::ENOENT));
    }

    #[test]
    fn only_a_file_is_read_and_only_so_much() {
        let dir = std::env::temp_dir().join(format!("b2p-bounded-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (file, fifo, link) = (dir.join("file"), dir.join("fifo"), dir.join("link"));
        fs::write(&file, b"12345").unwrap();
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read_bounded(&file, 3).unwrap(), b"123");
        assert_eq!(read_bounded(&file, 9).unwrap(), b"12345");
        // A blocking open of the fifo would never return.
        assert!(read_bounded(&fifo, 9).is_err());
        assert!(read_bounded(&link, 9).is_err() && read_bounded(&dir, 9).is_err());
        fs::remove_dir_all(dir).unwrap();
    }
}
