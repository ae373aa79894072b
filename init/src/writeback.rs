// SPDX-License-Identifier: Apache-2.0
//! Writes data back at the shutdown, each file system in a child of its own: a file system that hangs keeps no other
//! from being written. A limit counts from the last decrease of dirty data, so that a slow disk or server does not
//! count as dead.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use log::warn;
use services::Millis;
use sys::clock::now;
use sys::mountinfo::{self, Mount, MountKind};
use sys::syscall::{self, Child};

/// Interval, in milliseconds, at which the child and the amount of dirty data are checked.
const POLL_MS: i32 = 20;

/// Time limit for one call, in milliseconds. For umount(2), the time counts from the last decrease of dirty data.
#[must_use]
pub fn call_limit_ms(kind: MountKind) -> i32 {
    match kind {
        // A disk writes data back, for half of the time of the phase: a disk that hangs leaves time for others.
        MountKind::Disk => 15_000,
        MountKind::Stacked => 5_000,
        // A server that works answers at once, and its amount of missing data decreases.
        MountKind::Remote => 2_000,
    }
}

/// Returns the mounts that the shutdown must handle, in order.
#[must_use]
pub fn remaining_mounts() -> Vec<Mount> {
    mountinfo::to_unmount(&fs::read(mountinfo::PATH).unwrap_or_default())
}

/// Deadline that moves while the amount of dirty data falls.
pub struct Deadline {
    within_ms: Millis,
    at: Millis,
    least_kib: u64,
}

impl Deadline {
    /// A deadline a number of milliseconds after now, and after each decrease.
    #[must_use]
    pub fn within(ms: i32) -> Deadline {
        let within_ms = Millis::from(ms.unsigned_abs());
        Deadline {
            within_ms,
            at: now().saturating_add(within_ms),
            least_kib: u64::MAX,
        }
    }

    /// Reads the amount of dirty data; returns true once the deadline is over.
    pub fn is_over(&mut self) -> bool {
        // Without memory the file cannot be read, which is no fact about the disk.
        let meminfo = fs::read_to_string("/proc/meminfo").ok();
        self.note(meminfo.and_then(|text| dirty_kib(&text)), now());
        now() >= self.at
    }

    fn note(&mut self, left_kib: Option<u64>, now: Millis) {
        if let Some(left) = left_kib.filter(|left| *left < self.least_kib) {
            self.least_kib = left;
            self.at = now.saturating_add(self.within_ms);
        }
    }
}

/// Waits for a child that writes data back, until the deadline is over; returns true if the child has ended.
#[must_use]
pub fn is_written_back(child: &Child, mut deadline: Deadline) -> bool {
    while !child.exited_within(POLL_MS) {
        if deadline.is_over() {
            return child.exited_within(0);
        }
    }
    true
}

/// Logs that the disk or the server of a mount does not answer.
pub fn warn_unanswered(mount: &Mount) {
    let what = match mount.kind {
        MountKind::Disk => "disk",
        MountKind::Stacked | MountKind::Remote => "server",
    };
    let target = String::from_utf8_lossy(&mount.target);
    warn!("{target}: the {what} does not answer: data that it has not received is lost");
}

/// Returns the amount of dirty data and of data under writeback, in KiB (proc_meminfo(5)); `None`
/// if the text does not have both. Data that an NFS server has received and not stored yet counts as under writeback.
fn dirty_kib(meminfo: &str) -> Option<u64> {
    let value = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some(value("Dirty:")? + value("Writeback:")?)
}

/// Writes back every file system that is on a disk or has a server. sync(2) would write back all file systems
/// one after the other, and wait for ever for a disk that is gone. Waits until all disks are written; returns
/// true if no write has failed.
#[must_use]
pub fn sync_all() -> bool {
    // Without a list of mounts every file system may be on a disk.
    if fs::read(mountinfo::PATH).is_err() {
        nix::unistd::sync();
    }
    let (mut on_disks, mut remote) = (Vec::new(), Vec::new());
    let mut is_written = true;
    for mounts in by_file_system(remaining_mounts()) {
        let is_disk = mounts.iter().any(|m| m.kind == MountKind::Disk);
        match syscall::in_child(|| syscall::exit(i32::from(!sync_any(&mounts, sync_mount)))) {
            Some(child) if is_disk => on_disks.push(child),
            Some(child) => remote.push((mounts, child)),
            // Without memory for a child, this process accepts that a dead disk may block it.
            None if is_disk => is_written &= sync_any(&mounts, sync_mount),
            None => {}
        }
    }
    for (mounts, child) in &remote {
        let deadline = Deadline::within(call_limit_ms(MountKind::Remote));
        if !is_written_back(child, deadline) {
            // The child has the root of the mount open, which would keep umount(2) from being tried.
            child.kill();
            mounts.first().into_iter().for_each(warn_unanswered);
        }
    }
    for child in on_disks {
        while !child.exited_within(POLL_MS) {}
        is_written &= child.exit_status() == Some(0);
    }
    is_written
}

/// Returns the mounts of each file system that syncfs(2) may write back, in the order of `mounts`. A FUSE file
/// system has no server any more: programs have ended.
fn by_file_system(mounts: Vec<Mount>) -> Vec<Vec<Mount>> {
    let mut groups: Vec<Vec<Mount>> = Vec::new();
    for mount in mounts {
        let is_fuse = mount.kind == MountKind::Remote && mount.fstype.starts_with("fuse");
        if is_fuse || mount.kind == MountKind::Stacked {
            continue;
        }
        let same = |group: &&mut Vec<Mount>| group.iter().any(|m| m.device == mount.device);
        match groups.iter_mut().find(same) {
            Some(group) => group.push(mount),
            None => groups.push(vec![mount]),
        }
    }
    groups
}

/// Syncs a file system by the first of its mounts that succeeds. Returns false, and logs the errors, if none does.
fn sync_any(mounts: &[Mount], mut sync: impl FnMut(&Mount) -> io::Result<()>) -> bool {
    let mut failed = Vec::new();
    for mount in mounts {
        match sync(mount) {
            Ok(()) => return true,
            Err(e) => failed.push((&mount.target, e)),
        }
    }
    for (target, e) in failed {
        warn!("{}: {e}", String::from_utf8_lossy(target));
    }
    false
}

fn sync_mount(mount: &Mount) -> io::Result<()> {
    open_mount(mount).and_then(|file| syscall::syncfs(&file))
}

/// Opens the root of a mount, which may be a fifo in the case of a bind mount. Fails if another
/// file system is mounted over this mount.
fn open_mount(mount: &Mount) -> io::Result<fs::File> {
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(OsStr::from_bytes(&mount.target))?;
    let (major, minor) = mount.device;
    if file.metadata()?.dev() == libc::makedev(major, minor) {
        Ok(file)
    } else {
        Err(io::Error::other(
            "another file system is mounted over this mount",
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn mount(target: &str, device: (u32, u32), fstype: &str) -> Mount {
        Mount {
            id: 1,
            parent: 0,
            target: target.into(),
            device,
            fstype: fstype.to_owned(),
            kind: mountinfo::mount_kind(fstype).unwrap(),
        }
    }

    #[test]
    fn unwritten_data_is_dirty_or_under_writeback() {
        let text = "MemTotal: 9 kB\nDirty:      12 kB\nWriteback:   3 kB\nWritebackTmp: 7 kB\n";
        assert_eq!(dirty_kib(text), Some(15));
        for unreadable in ["", "Dirty: much\nWriteback: 3 kB\n", "Dirty: 12 kB\n"] {
            assert_eq!(dirty_kib(unreadable), None, "{unreadable:?}");
        }
    }

    #[test]
    fn a_deadline_moves_while_less_is_dirty() {
        let mut deadline = Deadline::within(100);
        let start = deadline.at - 100;
        for (left, after, at) in [
            (None, 10, 100),
            (Some(50), 20, 120),
            (Some(50), 60, 120),
            (Some(70), 70, 120),
            (Some(49), 80, 180),
            (None, 90, 180),
        ] {
            deadline.note(left, start + after);
            assert_eq!(deadline.at - start, at, "{left:?}");
        }
    }

    #[test]
    fn a_file_system_is_synced_by_any_of_its_mounts() {
        let mounts = vec![
            mount("/hidden", (8, 1), "ext4"),
            mount("/nfs", (0, 50), "nfs4"),
            mount("/fuse", (0, 51), "fuse.sshfs"),
            mount("/data", (8, 1), "ext4"),
            mount("/overlay", (0, 52), "overlay"),
            mount("/again", (8, 1), "ext4"),
            mount("/broken", (8, 2), "ext4"),
        ];
        let mut calls = Vec::new();
        let written: Vec<bool> = by_file_system(mounts)
            .iter()
            .map(|group| {
                sync_any(group, |mount| {
                    calls.push(String::from_utf8_lossy(&mount.target).into_owned());
                    match &mount.target[..] {
                        b"/data" | b"/nfs" => Ok(()),
                        _ => Err(io::Error::other("hidden, or a bad disk")),
                    }
                })
            })
            .collect();
        assert_eq!(written, [true, true, false]);
        assert_eq!(calls, ["/hidden", "/data", "/nfs", "/broken"]);
    }
}
