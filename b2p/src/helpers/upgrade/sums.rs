//! SHA-256 of files, and lists of them as sha256sum(1) writes them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// A list that is longer is none.
const LONGEST: u64 = 1 << 20;

/// The sum of a file of this last name in a list: 64 digits, small letters.
pub fn find(list: &str, name: &str) -> Option<String> {
    let of = |line: &str| {
        let (sum, rest) = line.split_once(' ')?;
        // A blank or a star, for text or binary.
        let file = rest.strip_prefix([' ', '*'])?.trim_end();
        let whole = sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit());
        let same = file.rsplit('/').next() == Some(name);
        (whole && same).then(|| sum.to_ascii_lowercase())
    };
    list.lines().find_map(of)
}

/// A list, if there is one.
pub fn list(path: &Path) -> Option<String> {
    let bytes = sys::files::read_bounded(path, LONGEST).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Opens a file to be read, and no link, fifo or directory; or a device.
///
/// # Errors
/// The file, and what is wrong with it.
pub fn open(path: &Path) -> Result<File, String> {
    use std::os::unix::fs::FileTypeExt;
    let say = |e: io::Error| format!("{}: {e}", path.display());
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(say)?;
    let kind = file.metadata().map_err(say)?.file_type();
    match kind.is_file() || kind.is_block_device() {
        true => Ok(file),
        false => Err(format!("{}: it is no file", path.display())),
    }
}

/// Hands every piece of a file to `each`, and gives its sum.
///
/// # Errors
/// What could not be read, or what `each` says.
pub fn run(
    path: &Path,
    mut each: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<String, String> {
    let mut file = open(path)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let piece = match file.read(&mut buffer) {
            Ok(0) => return Ok(disk::uuid::hex(&hash.finalize())),
            Ok(n) => buffer.get(..n).unwrap_or_default(),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(format!("{}: {e}", path.display())),
        };
        hash.update(piece);
        each(piece)?;
    }
}

/// Whether a file is what its sum says.
///
/// # Errors
/// It is not, or cannot be read.
pub fn check(path: &Path, sum: &str) -> Result<(), String> {
    match run(path, |_| Ok(()))? {
        found if found == sum => Ok(()),
        _ => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Err(format!("{name} is damaged: its SHA-256 is not {sum}"))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lists_as_sha256sum_has_them() {
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let list = format!(
            "{}  vmlinuz\n{sum} *out/initrd.img\nzz  x\n{sum}\n",
            "0".repeat(64)
        );
        assert_eq!(find(&list, "initrd.img").as_deref(), Some(sum));
        assert_eq!(find(&list, "vmlinuz"), Some("0".repeat(64)));
        assert_eq!((find(&list, "x"), find(&list, "img")), (None, None));
        assert_eq!(
            find(&format!("{}  a", sum.to_uppercase()), "a").as_deref(),
            Some(sum)
        );
        let path = std::env::temp_dir().join(format!("b2p-sums-{}", std::process::id()));
        std::fs::write(&path, "abc").unwrap();
        check(&path, sum).unwrap();
        std::fs::write(&path, "abd").unwrap();
        assert!(check(&path, sum).unwrap_err().contains("is damaged"));
        let link = path.with_extension("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(check(&link, sum).is_err() && open(&std::env::temp_dir()).is_err());
        std::fs::remove_file(link).unwrap();
        std::fs::remove_file(path).unwrap();
    }
}
