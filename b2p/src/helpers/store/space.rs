// SPDX-License-Identifier: Apache-2.0
//! Room for podman's store: the test for a full store, and the part of the reserve
//! ([`super::reserve`]) that is then given back.
//!
//! Containers' layers, and volumes that they write to as uid 0, do not use the blocks that ext keeps
//! for root ([`crate::helpers::data`], mount options). Logs of containers do, because conmon writes
//! them, and there is no such limit for inodes, nor on other file systems. For these, the reserve
//! has two parts: a file, which takes blocks, and a directory of empty files, which takes inodes,
//! each. The first is given back to all programs. A container that uses it up ([`super::search`]) is
//! paused before the second is given back ([`super::pause`]), which podman and the machine then have
//! for themselves.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use sys::error::{Doing, Result};

use super::counters::Lack;

/// Time between two checks of a store with much room. The kernel does not report a file system that
/// fills (fanotify(7) reports errors of the file system only), and a look is one system call.
pub const LOOK: Duration = Duration::from_secs(30);
/// Time between two checks of a store that is nearly full.
const LOOK_CLOSELY: Duration = Duration::from_secs(5);
/// Time between two checks of a full store: the part of the reserve that was given back may be used
/// up.
const LOOK_WHILE_FULL: Duration = Duration::from_secs(1);
/// Share of blocks or inodes in use from which a store is looked at closely, in percent.
const NEARLY_FULL: u64 = 80;
/// Free share, in thousandths, below which the store is full.
const FULL: u64 = 10;
/// Free share, in thousandths, above which a full store has room again, besides a new reserve.
const ROOM_AGAIN: u64 = 30;
/// Bytes that are free for root, or inodes, below which the given-back part is used up.
const EXHAUSTED_BYTES: u64 = 1 << 20;
const EXHAUSTED_INODES: u64 = 8;

/// Directories of other files that may share a file system with the store: in RAM (init/src/ram.rs), or on a data disk.
const BESIDE: &[&str] = &["/tmp", "/var/tmp", "/home", "/root"];

/// Blocks in bytes, and inodes, of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Size in bytes.
    pub bytes: u64,
    /// Bytes that are free for programs.
    pub free_bytes: u64,
    /// Bytes that are free for root.
    pub free_bytes_of_root: u64,
    /// Number of inodes; 0 on a file system that makes inodes on demand.
    pub inodes: u64,
    /// Number of free inodes.
    pub free_inodes: u64,
}

impl Usage {
    /// Asks the file system that `path` is on.
    ///
    /// # Errors
    /// The path does not exist, or its disk fails.
    pub fn of(path: &Path) -> Result<Usage> {
        let found = statvfs(path).on(path)?;
        let unit = found.fragment_size();
        Ok(Usage {
            bytes: found.blocks() * unit,
            free_bytes: found.blocks_available() * unit,
            free_bytes_of_root: found.blocks_free().saturating_sub(kept_blocks(path)) * unit,
            inodes: found.files(),
            free_inodes: found.files_available(),
        })
    }

    /// Returns the smaller of the free shares of bytes and of inodes, in thousandths.
    fn free_share(&self) -> u64 {
        let share = |free: u64, all: u64| free.saturating_mul(1000).checked_div(all);
        let bytes = share(self.free_bytes, self.bytes).unwrap_or(1000);
        bytes.min(share(self.free_inodes, self.inodes).unwrap_or(1000))
    }

    /// Returns true if there is no room for podman to work.
    #[must_use]
    pub fn is_exhausted(&self, need: Need) -> bool {
        let lacks_inodes = self.inodes > 0 && self.free_inodes < EXHAUSTED_INODES;
        let free_bytes = match need {
            Need::Roots => self.free_bytes_of_root,
            Need::Everyones => self.free_bytes,
        };
        free_bytes < EXHAUSTED_BYTES || lacks_inodes
    }

    /// Returns true if there are fewer inodes than bytes.
    #[must_use]
    pub fn lacks_inodes(&self) -> bool {
        let of_inodes = Usage { bytes: 0, ..*self };
        of_inodes.free_share() == self.free_share() && self.inodes > 0
    }
}

/// Returns the number of blocks that ext4 keeps from everyone, root as well, for its own trees
/// (Documentation/ABI/testing/sysfs-fs-ext4, reserved_clusters).
fn kept_blocks(path: &Path) -> u64 {
    let Ok(metadata) = path.metadata() else {
        return 0;
    };
    let (major, minor) = (libc::major(metadata.dev()), libc::minor(metadata.dev()));
    let link = fs::read_link(format!("/sys/dev/block/{major}:{minor}")).unwrap_or_default();
    let name = link.file_name().unwrap_or_default();
    let file = Path::new("/sys/fs/ext4")
        .join(name)
        .join("reserved_clusters");
    let text = fs::read_to_string(file).unwrap_or_default();
    text.trim_ascii().parse().unwrap_or(0)
}

/// Returns true if a store of this usage is full; `was_full` is its last state. Between the two
/// limits nothing changes, so that a line does not appear and vanish repeatedly.
#[must_use]
pub fn is_full(usage: &Usage, was_full: bool, reserve: u64) -> bool {
    let share = usage.free_share();
    match was_full {
        true => share < ROOM_AGAIN || usage.free_bytes < 2 * reserve,
        false => share < FULL,
    }
}

/// Returns the time until the next look.
#[must_use]
pub fn next_look(usage: &Usage, is_full: bool) -> Duration {
    let is_nearly_full = usage.free_share() < 1000 - 10 * NEARLY_FULL;
    match (is_full, is_nearly_full) {
        (true, _) => LOOK_WHILE_FULL,
        (false, true) => LOOK_CLOSELY,
        (false, false) => LOOK,
    }
}

/// Returns the reason of a degraded line, with the part about the container that has written most.
#[must_use]
pub fn reason(usage: &Usage, culprit: Option<&str>, store: &Path) -> String {
    let culprit = culprit.map_or(String::new(), |culprit| format!("; {culprit}"));
    let (lacking, files) = (lacking(usage), beside(store, BESIDE).join(" and "));
    let files = match files.is_empty() {
        true => String::new(),
        false => format!(", or files of {files}"),
    };
    format!("full: {lacking}{culprit}; remove containers, images or volumes{files}")
}

/// Returns those of `dirs` that are on the file system of the store.
fn beside<'a>(store: &Path, dirs: &[&'a str]) -> Vec<&'a str> {
    let device = |path: &Path| path.metadata().map(|m| m.dev()).ok();
    let own = device(store);
    let is_beside = |dir: &&&str| own.is_some() && device(Path::new(dir)) == own;
    dirs.iter().filter(is_beside).copied().collect()
}

/// Returns the bytes that a container has written at least if it has filled the store: an eighth of what is in use.
/// Inodes are not counted for each container, and their memory does not tell.
#[must_use]
pub fn share_of_a_culprit(usage: &Usage, lack: Lack) -> u64 {
    match lack {
        Lack::Inodes => 0,
        Lack::DiskBytes | Lack::RamBytes => usage.bytes.saturating_sub(usage.free_bytes) / 8,
    }
}

/// Returns the part of a reason about the resource of which there is too little.
pub fn lacking(usage: &Usage) -> String {
    let all = match usage.lacks_inodes() {
        true => format!("{} inodes (there are too many files)", usage.inodes),
        false => format!("{} MiB", usage.bytes >> 20),
    };
    format!("of {all} almost none are free")
}

/// Room that podman needs to remove a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Root's podman alone has containers on the disk.
    Roots,
    /// The podman of another user has containers, and none of root's blocks.
    Everyones,
}

/// Action on the reserve of a store that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// No action: there is room for podman.
    Wait,
    /// The first part is given back, for everyone.
    GiveFirst,
    /// Containers that have used up the first part are paused, and the last part is given back.
    PauseAndGiveLast,
}

/// Returns the next action for a full store, by the rest of the reserve.
#[must_use]
pub fn step(usage: &Usage, first_is_made: bool, need: Need) -> Step {
    match (first_is_made, usage.is_exhausted(need)) {
        (true, _) => Step::GiveFirst,
        (false, true) => Step::PauseAndGiveLast,
        (false, false) => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_wrote_little_is_no_culprit() {
        let used = usage(200 * MIB, 1);
        for (lack, least) in [
            (Lack::DiskBytes, 100 * MIB),
            (Lack::RamBytes, 100 * MIB),
            (Lack::Inodes, 0),
        ] {
            assert_eq!(share_of_a_culprit(&used, lack), least);
        }
    }

    const MIB: u64 = 1 << 20;

    fn usage(free_bytes: u64, free_inodes: u64) -> Usage {
        Usage {
            bytes: 1000 * MIB,
            free_bytes,
            free_bytes_of_root: free_bytes,
            inodes: 1000,
            free_inodes,
        }
    }

    #[test]
    fn blocks_and_inodes_count_and_the_line_does_not_flutter() {
        for (free_mib, free_inodes, was_full, full) in [
            (1000, 1000, false, false),
            (10, 1000, false, false),
            (9, 1000, false, true),
            (0, 1000, false, true),
            (1000, 9, false, true),
            (20, 1000, true, true),
            (29, 1000, true, true),
            (31, 1000, true, true),
            (40, 1000, true, false),
            (1000, 20, true, true),
            (1000, 40, true, false),
        ] {
            let usage = usage(free_mib * MIB, free_inodes);
            let found = is_full(&usage, was_full, 16 * MIB);
            assert_eq!(found, full, "{free_mib} MiB, {free_inodes}, {was_full}");
        }
        // btrfs has no number of inodes.
        let btrfs = Usage {
            inodes: 0,
            free_inodes: 0,
            ..usage(500 * MIB, 0)
        };
        assert!(!is_full(&btrfs, false, 0) && next_look(&btrfs, false) == LOOK);
        assert!(!is_full(&Usage::default(), false, 0));
        assert_eq!(next_look(&usage(199 * MIB, 1000), false), LOOK_CLOSELY);
        assert_eq!(next_look(&usage(500 * MIB, 1000), true), LOOK_WHILE_FULL);
    }

    #[test]
    fn the_line_names_what_is_lacking_and_who_wrote_most() {
        let blocks = reason(
            &usage(0, 500),
            Some("container 0123456789ab has written most"),
            Path::new("/none"),
        );
        let start = "full: of 1000 MiB almost none are free; container 0123456789ab";
        assert!(blocks.starts_with(start), "{blocks}");
        let inodes = reason(&usage(500 * MIB, 0), None, Path::new("/none"));
        assert!(inodes.contains("of 1000 inodes (there"), "{inodes}");
        assert!(inodes.ends_with("images or volumes"), "{inodes}");
        let dirs = ["/proc/self", "/no/such/directory", "/proc/sys"];
        let found = beside(Path::new("/proc"), &dirs);
        assert_eq!(found, ["/proc/self", "/proc/sys"]);
        assert!(beside(Path::new("/none"), &dirs).is_empty());
    }

    #[test]
    fn continuing_writers_are_paused_before_the_last_part_is_freed() {
        for (free_bytes, free_inodes, first_is_made, wanted) in [
            (0, 500, true, Step::GiveFirst),
            (9 * MIB, 500, true, Step::GiveFirst),
            (500 * MIB, 0, true, Step::GiveFirst),
            (9 * MIB, 500, false, Step::Wait),
            (0, 500, false, Step::PauseAndGiveLast),
            (MIB - 1, 500, false, Step::PauseAndGiveLast),
            (500 * MIB, 7, false, Step::PauseAndGiveLast),
            (500 * MIB, 8, false, Step::Wait),
        ] {
            let usage = usage(free_bytes, free_inodes);
            let found = step(&usage, first_is_made, Need::Roots);
            assert_eq!(found, wanted, "{free_bytes} {free_inodes} {first_is_made}");
        }
        let btrfs = Usage {
            inodes: 0,
            ..usage(MIB, 0)
        };
        assert_eq!(step(&btrfs, false, Need::Roots), Step::Wait);
        // ext4 has room for root alone.
        let kept = Usage {
            free_bytes: 0,
            ..usage(MIB, 500)
        };
        for (need, wanted) in [
            (Need::Roots, Step::Wait),
            (Need::Everyones, Step::PauseAndGiveLast),
        ] {
            assert_eq!(step(&kept, false, need), wanted, "{need:?}");
        }
    }
}
