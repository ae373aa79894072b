// SPDX-License-Identifier: Apache-2.0
//! Unmounting at the shutdown: in reverse order of mountinfo, again while there is progress, each
//! call with a time limit. Processes that hold a busy mount are named, and a mount that stays
//! busy is at least made read-only, so that its disk is clean.
//!
//! [`unmount_all`] runs in a child of PID 1: umount(2) of a server that is gone may never return.
//! A call that may hang runs in a child of that child ([`bounded`]).

use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::{info, warn};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use sys::mountinfo::{self, Mount, MountKind, to_unmount};
use sys::syscall::{self, Child};

use crate::bounded::bounded;
use crate::writeback::{
    Deadline, call_limit_ms, is_written_back, remaining_mounts, warn_unanswered,
};

/// Number of rounds. Stacks of mounts are a few deep, and each round takes one layer off.
const MAX_ROUNDS: usize = 16;
/// Pauses after rounds without progress, in milliseconds; the round after the last pause is the last. The files
/// of a killed process are closed a moment after its end: mostly within milliseconds, but by io_uring's own worker
/// (io_uring/io_uring.c, io_ring_exit_work), or when the kernel has freed a large memory, much later.
const RETRY_PAUSES_MS: [u64; 7] = [5, 10, 20, 40, 80, 160, 320];
/// Time limit for finding the processes that hold a busy mount, in milliseconds.
const HOLDERS_MS: i32 = 3_000;
/// Time after which no further process is looked at.
const HOLDERS_SEARCH: Duration = Duration::from_secs(2);
/// Number of processes that are named.
const MAX_HOLDERS: usize = 8;
/// Number of files of one process that are looked at.
const MAX_FILES: usize = 1024;

const SYS_BLOCK: &str = "/sys/block";

/// Unmounts every file system that is on a disk or on another machine; logs the mounts that stay busy.
/// Switches swap files off and detaches loop devices, unless they belong to a container's host.
/// Returns true if every file system on a disk is unmounted or read-only.
#[must_use]
pub fn unmount_all() -> bool {
    let owns_machine = syscall::in_initial_namespaces();
    if owns_machine {
        // The call runs in a child, because swapoff(2) makes its caller the first to be killed when memory is
        // short (mm/swapfile.c).
        let _ = bounded(call_limit_ms(MountKind::Disk), || {
            swap_off();
            Ok(())
        });
        close_binfmt_interpreters();
    }
    let mut pauses = RETRY_PAUSES_MS.into_iter();
    let mut unfinished = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let progress = unmount_round(owns_machine, &mut unfinished);
        if remaining_mounts().is_empty() {
            break;
        }
        if !progress {
            let Some(pause) = pauses.next() else { break };
            std::thread::sleep(Duration::from_millis(pause));
        }
    }
    let busy = remaining_mounts();
    let dirty = busy
        .iter()
        .filter(|mount| !detach_busy(mount, owns_machine))
        .count();
    dirty + count_unwritten(&unfinished) == 0 && fs::read(mountinfo::PATH).is_ok()
}

/// Logs the file systems whose umount(2) still writes data back, and returns the number of those on disks. The
/// kernel's list of mounts has no entry for these file systems: umount(2) first drops the entry
/// (fs/namespace.c, `do_umount`).
fn count_unwritten(unfinished: &[(Mount, Child)]) -> usize {
    let unwritten = unfinished.iter().filter(|(_, c)| !c.exited_within(0));
    let disks = unwritten.filter(|(mount, _)| {
        warn_unanswered(mount);
        mount.kind == MountKind::Disk
    });
    disks.count()
}

/// Unmounts the file systems that are not busy, and detaches loop devices if they are the machine's own.
/// Returns true if anything was unmounted or detached. Calls that exceed their limit continue, and are
/// added to `unfinished`.
fn unmount_round(owns_machine: bool, unfinished: &mut Vec<(Mount, Child)>) -> bool {
    let count_loops = || loops_in_use(Path::new(SYS_BLOCK)).len();
    let loops_before = count_loops();
    let mut unmounted = 0;
    for mount in remaining_mounts() {
        let target = target_path(&mount);
        let call = || syscall::exit(umount2(&*target, MntFlags::UMOUNT_NOFOLLOW).map_or(1, |()| 0));
        let Some(child) = syscall::in_child(call) else {
            continue;
        };
        let deadline = Deadline::within(call_limit_ms(mount.kind));
        match is_written_back(&child, deadline) {
            true => unmounted += usize::from(child.exit_status() == Some(0)),
            false => unfinished.push((mount, child)),
        }
    }
    if owns_machine {
        detach_loops();
    }
    unmounted > 0 || count_loops() < loops_before
}

/// Removes all binfmt_misc entries. With the flag F the kernel keeps an interpreter open, and so
/// its file system: mostly an overlay of a container, which no mount shows any more
/// (Documentation/admin-guide/binfmt-misc.rst).
fn close_binfmt_interpreters() {
    let _ = fs::write("/proc/sys/fs/binfmt_misc/status", "-1");
}

/// Returns true if there is nothing to unmount, as in a machine without a disk. Returns false if
/// the mounts cannot be read.
#[must_use]
pub fn nothing_to_do() -> bool {
    let Ok(mountinfo) = fs::read(mountinfo::PATH) else {
        return false;
    };
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    to_unmount(&mountinfo).is_empty() && swaps.lines().count() <= 1
}

/// Detaches file systems on disks from the tree, which writes back each unless a process holds it.
/// PID 1 calls this function itself if no child can be made.
pub fn detach_all() {
    for mount in remaining_mounts() {
        if mount.kind != MountKind::Remote {
            let _ = umount2(&*target_path(&mount), MntFlags::MNT_DETACH);
        }
    }
}

fn target_path(mount: &Mount) -> CString {
    CString::new(mount.target.clone()).unwrap_or_default()
}

/// Logs the processes that hold a busy mount, makes the mount read-only, and takes it out of the
/// tree. Returns false for a file system on a disk that is not read-only.
fn detach_busy(mount: &Mount, owns_machine: bool) -> bool {
    log_holders(mount);
    let target = target_path(mount);
    let limit_ms = call_limit_ms(mount.kind);
    let is_disk = mount.kind == MountKind::Disk;
    let flags = remount_flags(owns_machine);
    let is_read_only = is_disk && bounded(limit_ms, || remount(&target, flags)).is_ok();
    if is_read_only {
        info!("{}: made read-only: it is clean", target.to_string_lossy());
    }
    // A detached mount ends with its last holder. MNT_FORCE aborts the requests to a dead server
    // (umount(2)), also those of a container's host.
    let force = match mount.kind {
        MountKind::Remote if owns_machine => MntFlags::MNT_FORCE,
        _ => MntFlags::empty(),
    };
    let _ = bounded(limit_ms, || umount2(&*target, MntFlags::MNT_DETACH | force));
    is_read_only || !is_disk
}

/// Logs the holders of a busy mount. The search runs in a child with a time limit, because the
/// examination of a process that has a file of a dead server open asks that server.
fn log_holders(mount: &Mount) {
    let target = String::from_utf8_lossy(&mount.target);
    let fstype = &mount.fstype;
    let logged = bounded(HOLDERS_MS, || {
        let holders = holders(Path::new("/proc"), mount.device);
        let names = match holders.is_empty() {
            true => "no process that PID 1 can find".to_owned(),
            false => holders.join(" "),
        };
        warn!("{target} ({fstype}) is busy, held by {names}");
        Ok(())
    });
    logged.unwrap_or_else(|e| warn!("{target} ({fstype}) is busy; its holders are unknown: {e}"));
}

fn remount(target: &CStr, flags: MsFlags) -> nix::Result<()> {
    let none = None::<&str>;
    mount(none, target, none, flags, none)
}

/// Returns the flags that make a mount and its file system read-only; of a container's host, only the
/// mount, since the host continues writing to the file system (mount(2), `MS_REMOUNT | MS_BIND`).
fn remount_flags(owns_machine: bool) -> MsFlags {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    match owns_machine {
        true => flags,
        false => flags | MsFlags::MS_BIND,
    }
}

/// Switches swap files off: each holds its file system (swapoff(2)). Swap partitions hold no file
/// system, and their switch takes time if they are in use.
fn swap_off() {
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let is_file = |line: &&str| line.contains(" file") || line.contains("\tfile");
    for line in swaps.lines().skip(1).filter(is_file) {
        let path = line.split_whitespace().next().unwrap_or_default();
        if let Ok(path) = CString::new(path.replace("\\040", " ")) {
            let off = syscall::swapoff(&path);
            off.unwrap_or_else(|e| warn!("swapoff {}: {e}", path.to_string_lossy()));
        }
    }
}

/// Detaches loop devices: the mount of a device's file is busy as long as the device is in use
/// (loop(4)). The kernel frees a busy device when its last user closes it, so errors are ignored.
fn detach_loops() {
    for name in loops_in_use(Path::new(SYS_BLOCK)) {
        if let Ok(device) = fs::File::open(Path::new("/dev").join(name)) {
            let _ = syscall::loop_clear_fd(&device);
        }
    }
}

/// Returns the names of the loop devices that have a file.
fn loops_in_use(block: &Path) -> Vec<String> {
    let entries = fs::read_dir(block).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let has_file = |name: &String| block.join(name).join("loop/backing_file").exists();
    let loops = names.filter(|name| name.starts_with("loop"));
    loops.filter(has_file).collect()
}

/// Returns the names of processes that use the file system with this device number: by an open
/// file, a working directory, a root or a program (proc_pid(5)).
fn holders(proc: &Path, (major, minor): (u32, u32)) -> Vec<String> {
    let device = libc::makedev(major, minor);
    let start = Instant::now();
    let is_pid = |name: &OsStr| name.to_str().is_some_and(|n| n.parse::<u32>().is_ok());
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    entries
        .filter(|entry| is_pid(&entry.file_name()))
        .map(|entry| entry.path())
        .take_while(|_| start.elapsed() < HOLDERS_SEARCH)
        .filter(|process| uses_device(process, device))
        .take(MAX_HOLDERS)
        .map(|process| process_name(&process))
        .collect()
}

fn uses_device(process: &Path, device: u64) -> bool {
    let is_on_device = |path: PathBuf| fs::metadata(path).is_ok_and(|m| m.dev() == device);
    let any_file = |dir: &str| {
        let entries = fs::read_dir(process.join(dir)).into_iter().flatten();
        let mut files = entries.flatten().take(MAX_FILES);
        files.any(|entry| is_on_device(entry.path()))
    };
    let links = ["cwd", "root", "exe"];
    links.iter().any(|link| is_on_device(process.join(link)))
        || any_file("fd")
        || any_file("map_files")
}

/// Returns `name[pid]`.
fn process_name(process: &Path) -> String {
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    let pid = process.file_name().unwrap_or_default().to_string_lossy();
    format!("{}[{pid}]", name.trim())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_process_with_an_open_file_is_a_holder() {
        let file = tempfile();
        let meta = file.metadata().unwrap();
        let device = (libc::major(meta.dev()), libc::minor(meta.dev()));
        assert!(uses_device(Path::new("/proc/self"), meta.dev()));
        assert!(!holders(Path::new("/proc"), device).is_empty());
        assert!(!uses_device(
            Path::new("/proc/self"),
            libc::makedev(250, 9999)
        ));
        assert!(process_name(Path::new("/proc/self")).ends_with("[self]"));
    }

    /// Most containers have a bind mount of a file of their host, such as /etc/hosts.
    #[test]
    fn a_file_system_of_the_containers_host_stays_writable() {
        let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        assert_eq!(remount_flags(true), read_only);
        assert_eq!(remount_flags(false), read_only | MsFlags::MS_BIND);
    }

    fn tempfile() -> fs::File {
        let path = std::env::temp_dir().join(format!("b2p-unmount-{}", std::process::id()));
        let file = fs::File::create(&path).unwrap();
        fs::remove_file(path).unwrap();
        file
    }

    #[test]
    fn loops_in_use_are_found() {
        let dir = std::env::temp_dir().join(format!("b2p-loops-{}", std::process::id()));
        fs::create_dir_all(dir.join("loop3/loop")).unwrap();
        fs::create_dir_all(dir.join("loop4")).unwrap();
        fs::write(dir.join("loop3/loop/backing_file"), "/data/x.img\n").unwrap();
        assert_eq!(loops_in_use(&dir), ["loop3"]);
        fs::remove_dir_all(dir).unwrap();
    }
}
