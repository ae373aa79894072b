// SPDX-License-Identifier: Apache-2.0
//! Files of users and groups (passwd(5), group(5)). With `b2p.etc=all` these files are on the data disk,
//! for which PID 1 waits for a limited time.

use std::io::ErrorKind;
use std::path::Path;

use config::Etc;
use sys::error::{Doing, Result};
use sys::files::read_bounded;

use crate::bounded::bounded_read;

/// Number of bytes of a file that are read.
const MAX_BYTES: u64 = 1 << 20;
/// Time limit for a disk to answer, in milliseconds. PID 1 does nothing else meanwhile; a disk that
/// works answers within a fraction of the limit on a busy host.
const LIMIT_MS: i32 = 5000;

/// Returns the text of a file; an empty one if there is none.
///
/// # Errors
/// The file cannot be read, or not in time.
pub fn text(path: &str, etc: Etc) -> Result<String> {
    let file = Path::new(path);
    let bytes = match etc {
        Etc::All => bounded_read(LIMIT_MS, file, MAX_BYTES),
        Etc::Containers | Etc::Ram => read_bounded(file, MAX_BYTES),
    };
    lossy(file, bytes)
}

/// Returns the text of a copy that a client of the control socket has made in RAM; an empty one if
/// there is none.
///
/// # Errors
/// The copy cannot be read.
pub fn copy(name: &str) -> Result<String> {
    let path = Path::new(control::SERVICES).join(name);
    lossy(&path, read_bounded(&path, MAX_BYTES))
}

fn lossy(path: &Path, bytes: std::io::Result<Vec<u8>>) -> Result<String> {
    match bytes {
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(String::new()),
        bytes => Ok(String::from_utf8_lossy(&bytes.on(path)?).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_same_text_from_ram_and_from_a_disk() {
        let dir = std::env::temp_dir().join(format!("b2p-accounts-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("passwd");
        let path = path.to_str().unwrap();
        std::fs::write(path, "root:x:0:0\n").unwrap();
        for etc in [Etc::Containers, Etc::All, Etc::Ram] {
            assert_eq!(text(path, etc).unwrap(), "root:x:0:0\n", "{etc:?}");
            assert_eq!(text("/nowhere/passwd", etc).unwrap(), "", "{etc:?}");
            let why = text(dir.to_str().unwrap(), etc).unwrap_err();
            assert!(why.to_string().contains("b2p-accounts"), "{why}");
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
}
