// SPDX-License-Identifier: Apache-2.0
//! SHA-256 sums of files, and lists of them in the format of sha256sum(1).

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use sha2::{Digest, Sha256};
use sys::error::{Doing, Error, Result};

use crate::common::user_text;

/// Longest list that is read, in bytes.
const MAX_LIST: u64 = 1 << 20;
/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;

/// Returns the sum that a list has for a file of this last name: 64 lower-case digits.
pub fn find(list: &str, name: &str) -> Option<String> {
    let listed = |line: &str| {
        let (sum, rest) = line.split_once(' ')?;
        // sha256sum(1) marks text by a blank, binary by a star.
        let file = rest.strip_prefix([' ', '*'])?.trim_end();
        let complete = sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit());
        let same_name = file.rsplit('/').next() == Some(name);
        (complete && same_name).then(|| sum.to_ascii_lowercase())
    };
    list.lines().find_map(listed)
}

/// Reads a list, perhaps one that Windows has saved; `None` if there is none.
///
/// # Errors
/// The list cannot be read, or is not a file, too long or UTF-16.
pub fn read_list(path: &Path) -> Result<Option<String>> {
    let bytes = user_text::read(path, MAX_LIST)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Opens a regular file or a block device for reading. Symbolic links are refused.
///
/// # Errors
/// The file cannot be opened, or is of another type.
pub fn open(path: &Path) -> Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.on(path)?;
    let file_type = file.metadata().on(path)?.file_type();
    match file_type.is_file() || file_type.is_block_device() {
        true => Ok(file),
        false => Err(Error::invalid("not a file")).on(path),
    }
}

/// Passes every piece of a file to `each` and returns the sum of all of them.
///
/// # Errors
/// The file cannot be read, or `each` fails.
pub fn read(path: &Path, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<String> {
    let mut file = open(path)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        let piece = match file.read(&mut buffer) {
            Ok(0) => return Ok(disk::uuid::hex(&hash.finalize())),
            Ok(length) => buffer.get(..length).unwrap_or_default(),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e).on(path),
        };
        hash.update(piece);
        each(piece)?;
    }
}

/// Checks that a file has this sum.
///
/// # Errors
/// The file has another sum, or cannot be read.
pub fn check(path: &Path, sum: &str) -> Result<()> {
    match read(path, |_| Ok(()))? {
        found if found == sum => Ok(()),
        _ => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Err(Error::invalid(format!(
                "{name} is damaged: its SHA-256 is not {sum}"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    /// Sum of `abc`, a test vector of FIPS 180.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn lists_as_sha256sum_has_them() {
        let zeros = "0".repeat(64);
        let list = format!("{zeros}  vmlinuz\n{ABC} *out/initrd.img\nzz  x\n{ABC}\n");
        assert_eq!(find(&list, "initrd.img").as_deref(), Some(ABC));
        assert_eq!(find(&list, "vmlinuz"), Some(zeros));
        assert_eq!((find(&list, "x"), find(&list, "img")), (None, None));
        let upper = format!("{}  a", ABC.to_uppercase());
        assert_eq!(find(&upper, "a").as_deref(), Some(ABC));
    }

    #[test]
    fn a_list_that_windows_has_saved() {
        let temp = Temp::new();
        let path = temp.path("SHA256SUMS");
        assert_eq!(read_list(&path), Ok(None));
        std::fs::write(&path, format!("\u{feff}{ABC} *initrd.img\r\n")).unwrap();
        let list = read_list(&path).unwrap().unwrap();
        assert_eq!(find(&list, "initrd.img").as_deref(), Some(ABC));
        std::fs::write(&path, b"\xff\xfeb\0a\0").unwrap();
        assert!(why(read_list(&path)).contains("UTF-16"));
    }

    #[test]
    fn a_file_is_what_its_sum_says_and_no_link() {
        let temp = Temp::new();
        let (path, link) = (temp.path("file"), temp.path("link"));
        std::fs::write(&path, "abc").unwrap();
        check(&path, ABC).unwrap();
        std::fs::write(&path, "abd").unwrap();
        assert!(why(check(&path, ABC)).starts_with("file is damaged"));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(check(&link, ABC).is_err() && open(temp.dir()).is_err());
    }
}
