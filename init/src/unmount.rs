//! Unmounting at the end: in reverse of mountinfo, again while there is
//! progress, each bounded; who holds a busy one is named, and what cannot be
//! unmounted is at least made read-only, so that a disk is clean.
//!
//! All of it runs in a child of PID 1 ([`all`] in `syscall::in_child`): umount(2) of
//! a server that is gone may never return. A call that may hang is a child of
//! that child, left behind when its time is over.

use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::{info, warn};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::emergency_remount;
use sys::mountinfo::{Mount, MountKind, to_unmount};
use sys::syscall;

/// Stacks of mounts are a few deep; each round takes one layer off.
const MAX_ROUNDS: usize = 16;
/// The files of one that was killed are closed a moment after its end: by
/// io_uring's own worker (io_uring/io_uring.c, io_ring_exit_work), or when a
/// large memory has been given back.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// So often that is waited for.
const MAX_RETRIES: usize = 5;
/// Milliseconds that it may take to find them out.
const HOLDERS_MS: i32 = 3_000;
/// So many holders of a busy mount are named.
const MAX_HOLDERS: usize = 8;

const MOUNTINFO: &str = "/proc/self/mountinfo";

/// Milliseconds that one call may take.
fn call_limit_ms(kind: MountKind) -> i32 {
    match kind {
        // A disk writes back what it has; the phase's own deadline is the bound.
        MountKind::Disk => 15_000,
        MountKind::Stacked => 5_000,
        // A server that lives answers at once.
        MountKind::Remote => 2_000,
    }
}

/// Swap off, loop devices free, and everything that is on a disk or far away
/// unmounted, or told why not. Runs in a child: it may take long.
pub fn unmount_all() {
    // Of its own: in want of memory it is the first to be killed (mm/swapfile.c).
    let _ = bounded(call_limit_ms(MountKind::Disk), || {
        swap_off();
        Ok(())
    });
    let ours = syscall::in_initial_namespaces();
    if ours {
        close_binfmt_interpreters();
    }
    let mut pauses = 0;
    for _ in 0..MAX_ROUNDS {
        let progress = unmount_round(ours);
        if remaining_mounts().is_empty() || (!progress && pauses == MAX_RETRIES) {
            break; // nothing left, or nothing more to be had this way
        }
        if !progress {
            pauses += 1;
            std::thread::sleep(RETRY_PAUSE);
        }
    }
    for mount in remaining_mounts() {
        detach_busy(&mount);
    }
    if ours {
        emergency_remount::make_read_only();
    }
}

/// Takes away what lets go now, loop devices only where they are `ours`; whether
/// anything did.
fn unmount_round(ours: bool) -> bool {
    let used = || loops_in_use(Path::new("/sys/block")).len();
    let before = used();
    let goes = |mount: &Mount| {
        let call = || umount2(&*target_path(mount), MntFlags::UMOUNT_NOFOLLOW);
        bounded(call_limit_ms(mount.kind), call).is_ok()
    };
    let gone = remaining_mounts().into_iter().filter(goes).count();
    if ours {
        detach_loops();
    }
    gone > 0 || used() < before
}

/// With the flag F the kernel keeps an interpreter open, and so the file system
/// that it is on, a container's overlay mostly, which no mount shows any more
/// (Documentation/admin-guide/binfmt-misc.rst).
fn close_binfmt_interpreters() {
    let _ = fs::write("/proc/sys/fs/binfmt_misc/status", "-1");
}

/// Writes back every file system that is on a disk. Not sync(2), which asks all
/// of them, and waits for ever for a server that is gone.
pub fn sync_disks() {
    if fs::read(MOUNTINFO).is_err() {
        nix::unistd::sync(); // not known is not none
    }
    let mut seen = Vec::new();
    for mount in remaining_mounts()
        .iter()
        .filter(|m| m.kind == MountKind::Disk)
    {
        if !seen.contains(&mount.device) {
            match open_mount(mount).and_then(|f| syscall::syncfs(&f)) {
                Ok(()) => seen.push(mount.device),
                Err(e) => warn!("{}: {e}", String::from_utf8_lossy(&mount.target)),
            }
        }
    }
}

/// Whatever is mounted there, and is that mount: a bind mount may be a fifo, and
/// another may be mounted over it.
fn open_mount(mount: &Mount) -> std::io::Result<fs::File> {
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(OsStr::from_bytes(&mount.target))?;
    let (major, minor) = mount.device;
    if file.metadata()?.dev() == libc::makedev(major, minor) {
        Ok(file)
    } else {
        Err(std::io::Error::other("another is mounted over it"))
    }
}

/// Whether there is nothing to do: a machine without a disk.
#[must_use]
pub fn nothing_to_do() -> bool {
    let Ok(mountinfo) = fs::read(MOUNTINFO) else {
        return false; // not known
    };
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    to_unmount(&mountinfo).is_empty() && swaps.lines().count() <= 1
}

/// For PID 1 itself, where there is no memory for a child: what is on a disk is
/// taken out of the tree, which writes it back unless somebody holds it.
pub fn detach_all() {
    for mount in remaining_mounts()
        .iter()
        .filter(|m| m.kind != MountKind::Remote)
    {
        let _ = umount2(&*target_path(mount), MntFlags::MNT_DETACH);
    }
}

fn remaining_mounts() -> Vec<Mount> {
    to_unmount(&fs::read(MOUNTINFO).unwrap_or_default())
}

fn target_path(mount: &Mount) -> CString {
    CString::new(mount.target.clone()).unwrap_or_default()
}

/// It stays busy: say who holds it, make it read-only, take it out of the tree.
fn detach_busy(mount: &Mount) {
    let target = String::from_utf8_lossy(&mount.target).into_owned();
    // Who has a file of a dead server open is asked about just that file.
    let named = bounded(HOLDERS_MS, || {
        let holders = holders(Path::new("/proc"), mount.device);
        let named = match holders.is_empty() {
            true => "nobody that can be seen".to_owned(),
            false => holders.join(" "),
        };
        warn!("{target} ({}) is busy, held by {named}", mount.fstype);
        Ok(())
    });
    named.unwrap_or_else(|e| warn!("{target} ({}) is busy; by whom: {e}", mount.fstype));
    let point = target_path(mount);
    let clean = mount.kind == MountKind::Disk
        && bounded(call_limit_ms(MountKind::Disk), || remount_read_only(&point)).is_ok();
    if clean {
        info!("{target}: made read-only: it is clean");
    }
    // What is left of it goes when its last holder does; a dead server is told
    // to let go (umount(2), MNT_FORCE).
    let flags = MntFlags::MNT_DETACH
        | if mount.kind == MountKind::Remote {
            MntFlags::MNT_FORCE
        } else {
            MntFlags::empty()
        };
    let _ = bounded(call_limit_ms(mount.kind), || umount2(&*point, flags));
}

fn remount_read_only(point: &CStr) -> nix::Result<()> {
    mount(
        None::<&str>,
        point,
        None::<&str>,
        MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY,
        None::<&str>,
    )
}

/// Runs `call` in a child, no longer than `ms`. Its errno is the child's exit
/// status; ETIMEDOUT where it has not come back: the child is left to itself.
pub(crate) fn bounded(ms: i32, call: impl FnOnce() -> nix::Result<()>) -> nix::Result<()> {
    let work = || {
        if let Err(e) = call() {
            syscall::exit(e as i32)
        }
    };
    let child = syscall::in_child(work).ok_or(Errno::EAGAIN)?;
    if !child.exited_within(ms) {
        child.kill(); // heeded, unless it is in the middle of what hangs
        return Err(Errno::ETIMEDOUT);
    }
    match child.exit_status() {
        Some(0) => Ok(()),
        Some(errno) => Err(Errno::from_raw(errno)),
        None => Err(Errno::ECHILD),
    }
}

/// A swap file holds its file system (swapoff(2)); a swap partition costs time
/// only where something is in it.
fn swap_off() {
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    for line in swaps
        .lines()
        .skip(1)
        .filter(|l| l.contains(" file") || l.contains("\tfile"))
    {
        let name = line
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .replace("\\040", " ");
        if let Ok(name) = CString::new(name) {
            syscall::swapoff(&name)
                .unwrap_or_else(|e| warn!("swapoff {}: {e}", name.to_string_lossy()));
        }
    }
}

/// Loop devices whose file lies on a mount hold that mount (loop(4)).
fn detach_loops() {
    for (name, _) in loops_in_use(Path::new("/sys/block")) {
        let node = Path::new("/dev").join(&name);
        if let Ok(file) = fs::File::open(&node) {
            // EBUSY frees it with its last user: nothing to say.
            let _ = syscall::loop_clear_fd(&file);
        }
    }
}

/// Loop devices in use, with the file behind each.
fn loops_in_use(block: &Path) -> Vec<(String, String)> {
    let Ok(read) = fs::read_dir(block) else {
        return Vec::new();
    };
    let names = read
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok());
    names
        .filter(|n| n.starts_with("loop"))
        .filter_map(|n| {
            let file = fs::read_to_string(block.join(&n).join("loop/backing_file")).ok()?;
            Some((n, file.trim_end().to_owned()))
        })
        .collect()
}

/// Names of processes that use the file system with this device number: an open
/// file, a working directory, a root or a program (proc_pid(5)).
fn holders(proc: &Path, (major, minor): (u32, u32)) -> Vec<String> {
    let device = libc::makedev(major, minor);
    let Ok(read) = fs::read_dir(proc) else {
        return Vec::new();
    };
    let begun = Instant::now();
    read.flatten()
        .filter(|e| {
            e.file_name()
                .to_str()
                .is_some_and(|n| n.parse::<u32>().is_ok())
        })
        .map(|e| e.path())
        .take_while(|_| begun.elapsed() < Duration::from_secs(2))
        .filter(|pid| uses_device(pid, device))
        .take(MAX_HOLDERS)
        .map(|pid| process_name(&pid))
        .collect()
}

fn uses_device(pid: &Path, device: u64) -> bool {
    let on = |path: PathBuf| fs::metadata(path).is_ok_and(|m| m.dev() == device);
    let files = |dir: &str| {
        fs::read_dir(pid.join(dir))
            .into_iter()
            .flatten()
            .flatten()
            .take(1024)
    };
    ["cwd", "root", "exe"].iter().any(|l| on(pid.join(l)))
        || files("fd").any(|e| on(e.path()))
        || files("map_files").any(|e| on(e.path()))
}

fn process_name(pid: &Path) -> String {
    let comm = fs::read_to_string(pid.join("comm")).unwrap_or_default();
    let number = pid.file_name().unwrap_or_default().to_string_lossy();
    format!("{}[{number}]", comm.trim())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn whoever_has_a_file_open_is_a_holder() {
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

    fn tempfile() -> fs::File {
        let path = std::env::temp_dir().join(format!("b2p-unmount-{}", std::process::id()));
        let file = fs::File::create(&path).unwrap();
        fs::remove_file(path).unwrap();
        file
    }

    #[test]
    fn a_bounded_call_gives_its_errno_or_gives_up() {
        assert_eq!(bounded(5_000, || Ok(())), Ok(()));
        assert_eq!(bounded(5_000, || Err(Errno::EBUSY)), Err(Errno::EBUSY));
        let slow = || {
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        };
        assert_eq!(bounded(50, slow), Err(Errno::ETIMEDOUT));
    }

    #[test]
    fn loops_in_use_are_found() {
        let dir = std::env::temp_dir().join(format!("b2p-loops-{}", std::process::id()));
        fs::create_dir_all(dir.join("loop3/loop")).unwrap();
        fs::create_dir_all(dir.join("loop4")).unwrap();
        fs::write(dir.join("loop3/loop/backing_file"), "/data/x.img\n").unwrap();
        assert_eq!(
            loops_in_use(&dir),
            [("loop3".to_owned(), "/data/x.img".to_owned())]
        );
        fs::remove_dir_all(dir).unwrap();
    }
}
