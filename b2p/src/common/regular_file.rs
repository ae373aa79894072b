// SPDX-License-Identifier: Apache-2.0
//! Bounded reads of paths that users choose: the path may be a fifo, a device or a directory.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sys::error::{Doing, Error, Result};

/// Returns the whole file, or `None` if there is none.
///
/// # Errors
/// The path is not a regular file, cannot be read, or is longer than `max_bytes`.
pub fn read(path: &Path, max_bytes: u64) -> Result<Option<Vec<u8>>> {
    // Without O_NONBLOCK the open of a fifo waits for a writer (fifo(7)).
    let opened = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    match opened {
        Ok(file) => read_bounded(file, max_bytes).on(path).map(Some),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e).on(path),
    }
}

fn read_bounded(file: File, max_bytes: u64) -> Result<Vec<u8>> {
    if !file.metadata()?.is_file() {
        return Err(Error::invalid("not a file"));
    }
    let mut bytes = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        let reason = format!("longer than {} KiB; none of it is taken", max_bytes / 1024);
        return Err(Error::invalid(reason));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use nix::sys::stat::Mode;
    use std::fs;

    #[test]
    fn a_file_a_link_to_one_and_nothing_else() {
        let temp = Temp::new();
        fs::write(temp.path("file"), vec![b'x'; 1024]).unwrap();
        std::os::unix::fs::symlink("file", temp.path("link")).unwrap();
        nix::unistd::mkfifo(&temp.path("fifo"), Mode::S_IRWXU).unwrap();
        for name in ["file", "link"] {
            let bytes = read(&temp.path(name), 1024).unwrap();
            assert_eq!(bytes.map(|b| b.len()), Some(1024), "{name}");
        }
        let reason = |path: &Path, max| read(path, max).unwrap_err().to_string();
        assert!(reason(&temp.path("file"), 1023).contains("file: longer than 0 KiB"));
        // The first of these would not come back.
        assert!(reason(&temp.path("fifo"), 9).ends_with("fifo: not a file"));
        assert!(reason(temp.dir(), 9).ends_with(": not a file"));
        assert_eq!(read(&temp.path("none"), 9), Ok(None));
        assert_eq!(read(&temp.path("file/none"), 9), Ok(None));
    }
}
