// SPDX-License-Identifier: Apache-2.0
//! Disks that are in use although no mount shows it: by a mount namespace that a process which
//! cannot be killed keeps, a clone of a mount inside an overlay, a swap file, a loop device below
//! another. The kernel makes all file systems read-only in spite of these uses (SysRq u,
//! Documentation/admin-guide/sysrq.rst), which leaves them clean.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use log::{info, warn};
use nix::errno::Errno;

use crate::bounded::bounded;

/// Time limit for opening a disk, in milliseconds: a disk that is gone may not answer.
const OPEN_MS: i32 = 2_000;
/// Message of the kernel at the end of an emergency remount (fs/super.c, do_emergency_remount).
const DONE_MESSAGE: &[u8] = b"Emergency Remount complete";
/// Number of times that the kernel log is searched for [`DONE_MESSAGE`].
const MAX_POLLS: usize = 50;
/// Pause after a search without success.
const POLL_PAUSE: Duration = Duration::from_millis(50);

/// Outcome of [`make_read_only`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remount {
    /// No disk is in use that no mount shows.
    NotNeeded,
    /// Every file system is read-only.
    Done,
    /// A disk is in use and may be written to.
    Failed,
}

/// Makes every disk read-only if one is in use. Runs in a child.
#[must_use]
pub fn make_read_only() -> Remount {
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let disks = candidates(Path::new("/sys/class/block"), &swaps);
    let used: Vec<String> = disks.into_iter().filter(|name| is_in_use(name)).collect();
    if used.is_empty() {
        return Remount::NotNeeded;
    }
    warn!("still in use, and no mount shows it: {}", used.join(" "));
    let log = open_kernel_log();
    if let Err(e) = fs::write("/proc/sysrq-trigger", "u") {
        warn!("/proc/sysrq-trigger: {e}");
        return Remount::Failed;
    }
    match log.is_some_and(|mut log| (0..MAX_POLLS).any(|_| read_done(&mut log))) {
        true => {
            info!("made read-only: they are clean");
            Remount::Done
        }
        false => {
            warn!("not made read-only in time");
            Remount::Failed
        }
    }
}

/// Returns the disks and partitions that can be written to and are in use neither by another
/// device (a volume of LVM) nor as swap: those are open exclusively, and not mounted. The same holds for a disk
/// with a partition in use, whose other partitions are entries of their own.
fn candidates(block: &Path, swaps: &str) -> Vec<String> {
    let entries = fs::read_dir(block).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let has = |name: &str, attribute, value| {
        let text = fs::read_to_string(block.join(name).join(attribute));
        text.is_ok_and(|text| text.trim() == value)
    };
    let has_holder = |name: &str| {
        let holders = fs::read_dir(block.join(name).join("holders"));
        holders.is_ok_and(|mut entries| entries.next().is_some())
    };
    let is_swap = |name: &str| {
        let paths = swaps.lines().filter_map(|l| l.split_whitespace().next());
        let mut areas = paths.filter_map(|path| path.strip_prefix("/dev/"));
        // A disk has a directory for each of its partitions.
        areas.any(|area| area == name || block.join(name).join(area).exists())
    };
    let writable = |name: &str| has(name, "ro", "0") && !has(name, "size", "0");
    let free = |name: &str| !has_holder(name) && !is_swap(name);
    names.filter(|name| writable(name) && free(name)).collect()
}

/// Returns true if a file system on the disk is mounted, which opens it exclusively (open(2),
/// `O_EXCL`).
fn is_in_use(name: &str) -> bool {
    let open = || {
        let file = fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_EXCL | libc::O_NONBLOCK)
            .open(Path::new("/dev").join(name));
        match file.map_err(|e| e.raw_os_error()) {
            Err(Some(errno)) => Err(Errno::from_raw(errno)),
            _ => Ok(()),
        }
    };
    bounded(OPEN_MS, open) == Err(Errno::EBUSY)
}

/// Opens the kernel log behind its last record.
fn open_kernel_log() -> Option<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let mut log = options.open("/dev/kmsg").ok()?;
    log.seek(SeekFrom::End(0)).ok()?;
    Some(log)
}

/// Returns true if a pending record contains [`DONE_MESSAGE`]; otherwise sleeps for
/// [`POLL_PAUSE`] and returns false.
fn read_done(log: &mut impl Read) -> bool {
    let mut record = [0u8; 8192];
    while let Ok(n @ 1..) = log.read(&mut record) {
        let text = record.get(..n).unwrap_or_default();
        if text.windows(DONE_MESSAGE.len()).any(|w| w == DONE_MESSAGE) {
            return true;
        }
    }
    std::thread::sleep(POLL_PAUSE);
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn candidates_are_writable_disks_without_holder_and_swap() {
        let dir = std::env::temp_dir().join(format!("b2p-remount-{}", std::process::id()));
        let disk = |name: &str, ro: &str, size: &str| {
            fs::create_dir_all(dir.join(name).join("holders")).unwrap();
            fs::write(dir.join(name).join("ro"), ro).unwrap();
            fs::write(dir.join(name).join("size"), size).unwrap();
        };
        disk("vda", "0\n", "2048\n");
        disk("sr0", "1\n", "2048\n");
        disk("loop0", "0\n", "0\n");
        disk("vdb", "0\n", "2048\n");
        fs::create_dir_all(dir.join("vdb/holders/dm-0")).unwrap();
        // Names that begin with those of swap areas or of their disks.
        for name in [
            "vdc", "vdc1", "vdc10", "vdc2", "vdca", "sda", "sdaa", "sdaa1",
        ] {
            disk(name, "0\n", "2048\n");
        }
        for partition in ["vdc/vdc1", "vdc/vdc10", "vdc/vdc2", "sdaa/sdaa1"] {
            fs::create_dir_all(dir.join(partition)).unwrap();
        }
        let swaps = "Filename Type Size Used Priority\n\
            /dev/vdc10 partition 9 0 -2\n/dev/sdaa partition 9 0 -3\n/var/sda file 9 0 -4\n";
        let mut found = candidates(&dir, swaps);
        found.sort_unstable();
        assert_eq!(found, ["sda", "sdaa1", "vda", "vdc1", "vdc2", "vdca"]);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_message_of_a_complete_remount_is_found_among_others() {
        let text = "6,1,2,-;sysrq: Emergency Remount R/O\n4,2,3,-;Emergency Remount complete\n";
        assert!(read_done(&mut text.as_bytes()));
        assert!(!read_done(&mut &b"6,1,2,-;nothing\n"[..]));
    }
}
