// SPDX-License-Identifier: Apache-2.0
//! `DATA=`: a disk that requests formatting and contains the user's key.
//!
//! The disk begins with a tar archive, whose first bytes, the name of its first entry, are the
//! request. boot2docker's clients made their disks this way.

use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use tar::{Builder, EntryType, Header};

/// First bytes of a disk that may be formatted.
pub const FORMAT_MAGIC: &str = "boot2podman, please format-me";

/// Size of a new disk in bytes. The file is sparse and grows with writes.
const SIZE: u64 = 20 << 30;

/// Makes `file` unless it exists. Returns true if `file` was made. An interrupted run leaves no
/// incomplete disk of this name.
pub fn make(file: &Path, keys: &[&str]) -> Result<bool> {
    if file.exists() {
        return Ok(false);
    }
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(".new");
    write(Path::new(&temporary), keys)
        .with_context(|| format!("cannot make {}", file.display()))?;
    fs::rename(&temporary, file)?;
    Ok(true)
}

fn write(file: &Path, keys: &[&str]) -> io::Result<()> {
    let disk = File::create(file)?;
    let mut tar = Builder::new(&disk);
    add(&mut tar, FORMAT_MAGIC, EntryType::Regular, 0o644, b"")?;
    add(&mut tar, ".ssh/", EntryType::Directory, 0o700, b"")?;
    let keys: String = keys.iter().map(|key| format!("{}\n", key.trim())).collect();
    add(
        &mut tar,
        ".ssh/authorized_keys",
        EntryType::Regular,
        0o600,
        keys.as_bytes(),
    )?;
    tar.finish()?;
    drop(tar);
    disk.set_len(SIZE)?;
    disk.sync_all()
}

fn add(
    tar: &mut Builder<&File>,
    name: &str,
    kind: EntryType,
    mode: u32,
    content: &[u8],
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, name, content)
}

/// Returns true if the image is a qcow2, by its first bytes.
pub fn is_qcow2(file: &Path) -> Result<bool> {
    let mut first = [0; 4];
    let mut disk = File::open(file).with_context(|| format!("DATA={}", file.display()))?;
    Ok(disk.read_exact(&mut first).is_ok() && first == *b"QFI\xfb")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_new_disk_asks_to_be_formatted_and_holds_the_keys() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("data.img");
        assert!(make(&file, &["ssh-ed25519 AAAA me\n", "ssh-rsa BBBB you"]).expect("made"));
        let meta = fs::metadata(&file).expect("there");
        assert!(
            meta.size() == SIZE && meta.blocks() * 512 < 1 << 20,
            "sparse"
        );
        let mut first = vec![0; FORMAT_MAGIC.len()];
        File::open(&file)
            .and_then(|mut f| f.read_exact(&mut first))
            .expect("read");
        assert_eq!(first, FORMAT_MAGIC.as_bytes());

        let mut tar = tar::Archive::new(File::open(&file).expect("open"));
        let mut entries = tar.entries().expect("a tar").map(|e| e.expect("an entry"));
        let names: Vec<_> = entries
            .by_ref()
            .take(2)
            .map(|e| e.path().expect("a name").into_owned())
            .collect();
        assert_eq!(names, [Path::new(FORMAT_MAGIC), Path::new(".ssh/")]);
        let mut keys = String::new();
        entries
            .next()
            .expect("the keys")
            .read_to_string(&mut keys)
            .expect("text");
        assert_eq!(keys, "ssh-ed25519 AAAA me\nssh-rsa BBBB you\n");
        assert!(entries.next().is_none());
    }

    #[test]
    fn a_disk_that_is_there_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("data.img");
        fs::write(&file, b"QFI\xfbprecious").expect("written");
        assert!(!make(&file, &[]).expect("fine"));
        assert_eq!(fs::read(&file).expect("read"), b"QFI\xfbprecious");
        assert!(is_qcow2(&file).expect("readable"));
    }
}
