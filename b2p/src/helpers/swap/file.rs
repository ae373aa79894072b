//! A swap file on the data disk. It is made under another name and moved to its
//! own when it is whole; one that is there in the right size is used as it is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use disk::swap::{Area, header};
use disk::uuid;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statfs::fstatfs;
use nix::sys::statvfs::fstatvfs;

use crate::common::atomic_file;
use crate::helpers::data::ioctl;

/// Where the machine's state is.
const STATE: &str = "/var/lib/boot2podman";
const NAME: &str = "swapfile";
/// File systems in memory (linux/magic.h): tmpfs, ramfs, and an overlay, which
/// is our root.
const IN_RAM: [u64; 3] = [0x0102_1994, 0x8584_58f6, 0x794c_7630];
const BTRFS: u64 = 0x9123_683e;

/// Makes it where it is not there, and swaps to it.
pub fn make(mib: u32) -> Result<String, String> {
    let dir = Path::new(STATE);
    let state = State::of(dir).map_err(|e| format!("{STATE}: {e}"))?;
    if IN_RAM.contains(&state.kind) {
        return Err("there is no data disk: the state is in RAM".into());
    }
    let path = dir.join(NAME);
    let wanted = u64::from(mib) << 20;
    let old = old(&path)?;
    if old != Some(wanted) {
        fits(wanted, state.free.saturating_add(old.unwrap_or(0)))?;
        write(&path, wanted, state.kind == BTRFS).map_err(|e| format!("{STATE}/{NAME}: {e}"))?;
    }
    super::take(&path, None)
}

/// The file system that the state is on.
struct State {
    /// Its magic.
    kind: u64,
    /// Bytes that may be written.
    free: u64,
}

impl State {
    fn of(dir: &Path) -> io::Result<State> {
        let dir = File::open(dir)?;
        let (fs, vfs) = (fstatfs(&dir)?, fstatvfs(&dir)?);
        Ok(State {
            // 32 bits, in an integer whose sign depends on the C library.
            kind: fs.filesystem_type().0 as u64 & 0xffff_ffff,
            free: vfs.blocks_available().saturating_mul(vfs.fragment_size()),
        })
    }
}

/// The size of the one that is there. What is not plainly ours is nobody's to
/// write over.
fn old(path: &Path) -> Result<Option<u64>, String> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(format!("{}: {e}", path.display())),
    };
    match super::look(path) {
        Ok(Area::Swap(bytes)) if meta.is_file() => {
            let plain = meta.len() == bytes && meta.mode() & 0o077 == 0;
            Ok(Some(if plain { bytes } else { 0 }))
        }
        _ => Err(format!(
            "{} is no swap file; it is left alone",
            path.display()
        )),
    }
}

/// A disk that is full of swap holds no containers: at most half of what is free.
fn fits(wanted: u64, free: u64) -> Result<(), String> {
    if wanted <= free / 2 {
        return Ok(());
    }
    let (wanted, free) = (wanted >> 20, free >> 20);
    Err(format!(
        "{wanted} MiB is more than half of the {free} MiB that are free on the data disk"
    ))
}

/// Writes it: after a power cut it is there whole, or not.
fn write(path: &Path, bytes: u64, btrfs: bool) -> io::Result<()> {
    let temporary = path.with_extension("b2p-new");
    for name in [&temporary, &path.to_owned()] {
        match fs::remove_file(name) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {} // left by a cut; of another size
        }
    }
    let made = fill(&temporary, bytes, btrfs)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| atomic_file::sync(path.parent().unwrap_or(Path::new("/"))));
    if made.is_err() {
        let _ = fs::remove_file(&temporary); // its blocks are free again
    }
    made
}

/// Without holes: the kernel writes to the blocks and asks no file system.
fn fill(path: &Path, bytes: u64, btrfs: bool) -> io::Result<()> {
    let mut id = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut id)?;
    let page = header(bytes, &uuid::random(id)).ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    // Whatever the umask is.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    if btrfs {
        ioctl::stays_in_place(&file)?;
    }
    let length = i64::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    fallocate(&file, FallocateFlags::empty(), 0, length)?;
    file.write_all(&page)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn half_of_what_is_free_is_the_most() {
        assert_eq!(fits(50, 100), Ok(()));
        assert_eq!(fits(51, 103), Ok(()));
        assert!(fits(51, 101).is_err());
        assert!(fits(1, 0).is_err() && fits(u64::MAX, u64::MAX).is_err());
    }

    #[test]
    fn made_whole_and_made_anew_in_another_size() {
        let dir = std::env::temp_dir().join(format!("b2p-swapfile-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join(NAME);
        assert_eq!(old(&path), Ok(None));
        fs::write(path.with_extension("b2p-new"), "half").unwrap();
        for mib in [1, 2] {
            write(&path, mib << 20, false).unwrap();
            assert_eq!(old(&path), Ok(Some(mib << 20)));
            let meta = fs::metadata(&path).unwrap();
            assert_eq!((meta.len(), meta.mode() & 0o777), (mib << 20, 0o600));
            assert!(meta.blocks() * 512 >= mib << 20, "it has holes");
            assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        }
        assert!(write(&path, 1, false).is_err(), "smaller than any");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_is_not_ours_is_left() {
        let dir = std::env::temp_dir().join(format!("b2p-notours-{}", std::process::id()));
        fs::create_dir_all(dir.join("directory")).unwrap();
        let path = dir.join(NAME);
        fs::write(&path, "my thesis").unwrap();
        assert!(old(&path).is_err_and(|e| e.contains("left alone")));
        assert!(old(&dir.join("directory")).is_err());
        let link = dir.join("link");
        write(&path, 1 << 20, false).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(old(&link).is_err());
        // Others can read it, or it was cut: it is made anew.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(old(&path), Ok(Some(0)));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn memory_is_told_from_disks() {
        let proc = State::of(Path::new("/proc")).unwrap();
        assert_eq!(proc.kind, 0x9fa0);
        assert!(State::of(Path::new("/nonexistent")).is_err());
    }
}
