//! `DATA=`: a disk that asks to be formatted and brings the user's key along.
//!
//! It begins with a tar archive whose first entry's name, and so the disk's
//! first bytes, is the request. boot2docker's clients made their disks this way.

use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use tar::{Builder, EntryType, Header};

/// The first bytes of a disk that may be formatted.
pub const MAGIC: &str = "boot2podman, please format-me";

/// The size of a new disk. It is sparse: it takes what is written to it.
const SIZE: u64 = 20 << 30;

/// Makes `file` when it is not there, and says whether it did. An interrupted
/// run leaves no half-made disk under that name.
pub fn make(file: &Path, keys: &[&str]) -> Result<bool> {
    if file.exists() {
        return Ok(false);
    }
    let mut draft = file.as_os_str().to_owned();
    draft.push(".new");
    write(Path::new(&draft), keys).with_context(|| format!("cannot make {}", file.display()))?;
    fs::rename(&draft, file)?;
    Ok(true)
}

fn write(file: &Path, keys: &[&str]) -> io::Result<()> {
    let disk = File::create(file)?;
    let mut tar = Builder::new(&disk);
    add(&mut tar, MAGIC, EntryType::Regular, 0o644, b"")?;
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

/// Whether an image is a qcow2 one, by its first bytes.
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
        let mut first = vec![0; MAGIC.len()];
        File::open(&file)
            .and_then(|mut f| f.read_exact(&mut first))
            .expect("read");
        assert_eq!(first, MAGIC.as_bytes());

        let mut tar = tar::Archive::new(File::open(&file).expect("open"));
        let mut entries = tar.entries().expect("a tar").map(|e| e.expect("an entry"));
        let names: Vec<_> = entries
            .by_ref()
            .take(2)
            .map(|e| e.path().expect("a name").into_owned())
            .collect();
        assert_eq!(names, [Path::new(MAGIC), Path::new(".ssh/")]);
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
