// SPDX-License-Identifier: Apache-2.0
//! Room that is kept for the time in which the store is full: a reserve on a data disk ([`super::reserve`]), and in RAM
//! a tmpfs that is made larger. root's podman has its database and its lists on a tmpfs of its own there
//! (init/src/ram.rs); that of another user has them beside the layers of its containers.

use std::fs;
use std::path::{Path, PathBuf};

use log::warn;
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::statvfs::{FsFlags, statvfs};
use sys::error::{Doing, Result};
use sys::memory::STORE_RESERVE_BYTES;
use sys::paths::RUNTIME_DIR;

use super::reserve::Reserve;
use super::space::Usage;

/// Inodes that a tmpfs has more with the last part.
const MORE_INODES: u64 = 128;
/// Divisor of the first part, which shows who writes on.
const FIRST_PART: u64 = 4;
/// Number of parts with which a tmpfs grows at most: one more than the first two for each time that a container is found
/// which has used up the others.
const MAX_PARTS: u64 = 5;
/// File that exists while the tmpfs is larger, with its size and number of inodes before, and the parts that are given.
const MARK: &str = "store.before";
/// Flags of a mount, which a remount would reset.
const FLAGS: &[(FsFlags, MsFlags)] = &[
    (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
    (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
    (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
];

/// Room in two parts: the first is for everyone, the last for podman and the machine.
#[derive(Debug)]
pub enum Room {
    Disk(Reserve),
    Ram(Growth),
}

impl Room {
    /// Size of what is to be kept again once there is room, in bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Room::Disk(reserve) => reserve.bytes(),
            Room::Ram(growth) => more(growth.parts().max(2), STORE_RESERVE_BYTES),
        }
    }

    /// Returns true if no part is given back.
    pub fn is_whole(&self) -> bool {
        match self {
            Room::Disk(reserve) => reserve.is_whole(),
            Room::Ram(growth) => growth.given().is_none(),
        }
    }

    /// Takes back what was given.
    ///
    /// # Errors
    /// No room is left, or a file of the reserve is another's.
    pub fn make(&self) -> Result<()> {
        match self {
            Room::Disk(reserve) => reserve.make(),
            Room::Ram(growth) => growth.take_back(),
        }
    }

    /// Returns true if there is a first part.
    pub fn has_first(&self) -> bool {
        match self {
            Room::Disk(reserve) => reserve.first.is_made(),
            Room::Ram(growth) => growth.given().is_none(),
        }
    }

    /// Gives the first part.
    pub fn give_first(&self) {
        match self {
            Room::Disk(reserve) => reserve.first.give_back(),
            Room::Ram(growth) => growth.give(1),
        }
    }

    /// Returns true if the last part can be given.
    pub fn has_last(&self) -> bool {
        match self {
            Room::Disk(reserve) => reserve.last.is_made(),
            Room::Ram(growth) => growth.parts() < 2,
        }
    }

    /// Gives the last part. A tmpfs grows further if a container was paused that has used up the last part.
    pub fn give_last(&self, is_paused: bool) {
        match self {
            Room::Disk(reserve) => reserve.last.give_back(),
            Room::Ram(growth) => match growth.parts() + 1 {
                parts if parts <= 2 || is_paused && parts <= MAX_PARTS => growth.give(parts),
                _ => {}
            },
        }
    }
}

/// Returns the part of `unit` with which a tmpfs is larger.
fn more(parts: u64, unit: u64) -> u64 {
    match parts {
        0 | 1 => unit / FIRST_PART,
        _ => unit * (parts - 1),
    }
}

/// Size before a growth, and the number of parts that are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Given {
    bytes: u64,
    inodes: u64,
    parts: u64,
}

/// A tmpfs that can be made larger.
#[derive(Debug)]
pub struct Growth {
    dir: PathBuf,
    mark: PathBuf,
}

impl Growth {
    /// The tmpfs of the store, if the store is in RAM.
    pub fn of(store: &Path) -> Option<Growth> {
        let found = statfs(store).ok()?;
        (found.filesystem_type() == TMPFS_MAGIC).then(|| Growth {
            dir: store.to_owned(),
            mark: Path::new(RUNTIME_DIR).join(MARK),
        })
    }

    /// Returns the growth so far; `None` if the tmpfs is not larger.
    fn given(&self) -> Option<Given> {
        let text = fs::read_to_string(&self.mark).ok()?;
        let mut numbers = text.split_whitespace().map(|word| word.parse().ok());
        Some(Given {
            bytes: numbers.next()??,
            inodes: numbers.next()??,
            parts: numbers.next()??,
        })
    }

    /// Returns the number of parts that are given.
    fn parts(&self) -> u64 {
        self.given().map_or(0, |given| given.parts.min(MAX_PARTS))
    }

    /// Grows to the size with this number of parts.
    fn give(&self, parts: u64) {
        let grown = self.grow(parts);
        grown.unwrap_or_else(|e| warn!("store: its file system in RAM does not grow: {e}"));
    }

    fn grow(&self, parts: u64) -> Result<()> {
        let (bytes, inodes) = match self.given() {
            Some(before) => (before.bytes, before.inodes),
            None => {
                let now = Usage::of(&self.dir)?;
                (now.bytes, now.inodes)
            }
        };
        let bytes_then = bytes + more(parts, STORE_RESERVE_BYTES);
        self.resize(bytes_then, inodes + more(parts, MORE_INODES))?;
        let text = format!("{bytes} {inodes} {parts}\n");
        sys::files::replace(&self.mark, text.as_bytes(), 0o600)
    }

    fn take_back(&self) -> Result<()> {
        let Some(before) = self.given() else {
            return Ok(());
        };
        self.resize(before.bytes, before.inodes)?;
        fs::remove_file(&self.mark).on(&self.mark)
    }

    /// Changes the limits of the tmpfs. The kernel refuses limits below what is in use (mm/shmem.c,
    /// `shmem_reconfigure`).
    fn resize(&self, bytes: u64, inodes: u64) -> Result<()> {
        let (none, data) = (None::<&str>, format!("size={bytes},nr_inodes={inodes}"));
        let found = statvfs(&self.dir).on(&self.dir)?.flags();
        let kept = FLAGS.iter().filter(|(flag, _)| found.contains(*flag));
        let flags = kept.fold(MsFlags::MS_REMOUNT, |all, (_, flag)| all | *flag);
        mount(none, &self.dir, none, flags, Some(data.as_str())).doing(data)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn a_tmpfs_that_is_larger_is_known_after_a_restart() {
        let temp = Temp::new();
        let growth = |text: &str| {
            fs::write(temp.path("mark"), text).unwrap();
            Growth {
                dir: temp.path("none"),
                mark: temp.path("mark"),
            }
        };
        for (text, parts) in [
            ("44040192 5376 1\n", Some(1)),
            ("44040192 5376 2\n", Some(2)),
            ("44040192 5376 3\n", Some(3)),
            ("", None),
            ("1 1\n", None),
            ("x y z\n", None),
        ] {
            let before = growth(text).given();
            assert_eq!(before.map(|given| given.parts), parts, "{text}");
            assert!(before.is_none_or(|given| given.bytes == 44_040_192));
            let room = Room::Ram(growth(text));
            assert_eq!(room.has_first(), parts.is_none());
            assert_eq!(room.has_last(), parts.is_none_or(|parts| parts < 2));
            let kept = if parts == Some(3) { 2 } else { 1 };
            assert_eq!(room.bytes(), kept * STORE_RESERVE_BYTES);
            assert_eq!(room.is_whole(), parts.is_none());
        }
        let room = Room::Ram(growth(""));
        assert!(room.make().is_ok());
        assert_eq!(room.bytes(), STORE_RESERVE_BYTES);
        assert!(Growth::of(Path::new("/proc")).is_none());
        let sizes: Vec<_> = (1..=MAX_PARTS).map(|parts| more(parts, 8)).collect();
        assert_eq!(sizes, [2, 8, 16, 24, 32]);
    }
}
