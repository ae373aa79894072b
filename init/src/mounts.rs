// SPDX-License-Identifier: Apache-2.0
//! The kernel's own file systems, and the directories, device nodes and links that programs
//! expect.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use log::{debug, warn};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, PROC_SUPER_MAGIC, SYSFS_MAGIC, statfs};
use sys::error::{Doing, Error, Result};
use sys::paths::{CONTAINER_FILES, RUNTIME_DIR};

/// One mount.
struct Mount {
    target: &'static str,
    fstype: &'static str,
    flags: MsFlags,
    data: &'static str,
    /// True if the mount is left out without a message on a kernel without the file system.
    optional: bool,
    why: &'static str,
}

const NOSUID: MsFlags = MsFlags::MS_NOSUID;
const NODEV: MsFlags = MsFlags::MS_NODEV;
const NOEXEC: MsFlags = MsFlags::MS_NOEXEC;
const PLAIN: MsFlags = NOSUID.union(NODEV).union(NOEXEC);

const fn entry(
    target: &'static str,
    fstype: &'static str,
    flags: MsFlags,
    data: &'static str,
    optional: bool,
    why: &'static str,
) -> Mount {
    Mount {
        target,
        fstype,
        flags,
        data,
        optional,
        why,
    }
}

/// Mounts in the rootfs, before anything else; these mounts move to the new root.
#[rustfmt::skip]
const API: &[Mount] = &[
    entry("/dev",  "devtmpfs", NOSUID.union(NOEXEC), "mode=0755,size=2m", false, "the kernel makes the device nodes; there is no udev"),
    entry("/proc", "proc",     PLAIN, "", false, "processes, flags, sysctls, mountinfo"),
    entry("/sys",  "sysfs",    PLAIN, "", false, "devices and their modaliases"),
    entry("/run",  "tmpfs",    NOSUID.union(NODEV), "mode=0755,size=3%", false, "sockets and state that end with the boot; podman's alive file wants a tmpfs"),
];

/// Mounts below those of [`API`], made when the root is complete: the first milliseconds do not
/// need them.
#[rustfmt::skip]
const BELOW_API: &[Mount] = &[
    entry("/dev/pts",    "devpts", NOSUID.union(NOEXEC), "gid=5,mode=620,ptmxmode=666", false, "terminals of ssh and containers; group tty is 5 on Debian"),
    entry("/dev/shm",    "tmpfs",  NOSUID.union(NODEV), "mode=1777,size=3%,nr_inodes=16k", false, "shm_open(3); an inode takes 1 KiB of memory beside the size"),
    entry("/run/user",   "tmpfs",  NOSUID.union(NODEV), "mode=0755,size=64k,nr_inodes=1k", false, "the mount points of users' runtime directories (sys::runtime_dir), out of root's /run"),
    entry("/run/lock",   "tmpfs",  PLAIN, "mode=1777,size=1m,nr_inodes=1k", false, "lock files of programs that are not root: a user who fills them leaves root's /run alone"),
    entry(CONTAINER_FILES, "tmpfs",  NOSUID.union(NODEV), "mode=0700,size=1%", false, "/etc/hosts and resolv.conf of each container, which the container may fill"),
    entry("/dev/mqueue", "mqueue", PLAIN, "", true, "mq_overview(7); crun mounts it in containers"),
    entry("/dev/hugepages", "hugetlbfs", NOSUID.union(NODEV), "mode=0755", true, "databases and VMs in containers ask for it"),
    entry("/sys/fs/cgroup", "cgroup2", PLAIN, "nsdelegate,memory_recursiveprot", false, "limits; cgroup-v2.rst, section 'Mounting'"),
    entry("/sys/kernel/tracing", "tracefs", PLAIN, "mode=0700", true, "tracing without debugfs"),
    entry("/sys/kernel/security", "securityfs", PLAIN, "", true, "apparmor and lockdown state"),
    entry("/sys/fs/pstore", "pstore", PLAIN, "", true, "the log of a crash before this boot"),
    entry("/sys/kernel/config", "configfs", PLAIN, "", true, "only if the kernel has its module"),
    entry("/sys/fs/fuse/connections", "fusectl", PLAIN, "", true, "aborts a FUSE mount whose server hangs"),
    entry("/sys/firmware/efi/efivars", "efivarfs", PLAIN, "", true, "boot entries, on EFI machines"),
];

/// Mounts that the applet `coldplug` makes when the machine is ready.
#[rustfmt::skip]
const AFTER_READY: &[Mount] = &[
    entry("/sys/fs/bpf", "bpf",    PLAIN, "mode=0700", true, "tools pin programs here; the first mount asks for a module that no Debian has, 30 to 60 ms"),
];

/// Directories that are created at every boot: path, mode, owner, reason.
#[rustfmt::skip]
const DIRECTORIES: &[(&str, u32, u32, &str)] = &[
    ("/run/containers", 0o700, 0, "podman makes it with this mode; the next directory and CONTAINER_FILES are in it"),
    ("/run/containers/storage", 0o700, 0, "podman's state of a boot (storage.conf, runroot), for the link to CONTAINER_FILES"),
    (RUNTIME_DIR, 0o755, 0, "state of this boot: addresses of sockets, keys, resolv.conf"),
    ("/run/sshd",        0o755, 0, "the root of sshd's unprivileged process"),
    ("/run/podman",      0o755, 0, "the API's socket, whose own mode admits the group podman"),
    ("/var/lib/containers/user", 0o711, 0, "rootless podman's storage, a directory for each user"),
];

/// Device nodes with access for all users, as udev's rules give elsewhere. Opening the node loads
/// the driver, so the node is created here: path, minor (major is 10), reason.
const NODES: &[(&str, u64, &str)] = &[
    ("/dev/net/tun", 200, "pasta, VPNs"),
    ("/dev/fuse", 229, "FUSE mounts of users"),
];

/// Mounts /dev, /proc, /sys and /run.
///
/// # Errors
/// Mounts fail.
pub fn mount_api() -> Result<()> {
    mount_all(API)
}

/// Mounts /proc again if it was unmounted: without /proc PID 1 knows neither the processes nor the
/// mounts.
///
/// # Errors
/// /proc cannot be mounted.
pub fn restore_proc() -> Result<()> {
    let proc = API.iter().find(|entry| entry.fstype == "proc");
    proc.map_or(Ok(()), mount_entry).on("/proc")
}

/// Mounts the file systems below those of [`mount_api`], and creates directories, nodes and
/// links.
///
/// # Errors
/// Mounts fail, or directories cannot be created.
pub fn mount_rest() -> Result<()> {
    let mounted = mount_all(BELOW_API);
    let created = create_directories();
    create_links();
    create_nodes();
    mounted.and(created)
}

/// Mounts the file systems that the ready line does not wait for.
///
/// # Errors
/// Mounts fail.
pub fn mount_after_ready() -> Result<()> {
    mount_all(AFTER_READY)
}

fn create_nodes() {
    for (path, minor, why) in NODES {
        let create = || {
            if let Some(dir) = Path::new(path).parent() {
                fs::create_dir_all(dir)?;
            }
            match mknod(*path, SFlag::S_IFCHR, Mode::empty(), makedev(10, *minor)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(e) => return Err(e.into()),
            }
            fs::set_permissions(path, fs::Permissions::from_mode(0o666))
        };
        create().unwrap_or_else(|e| warn!("{path} ({why}): {e}"));
    }
}

fn create_directories() -> Result<()> {
    let mut errors = Vec::new();
    for (path, mode, owner, why) in DIRECTORIES {
        let created = fs::create_dir_all(path)
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(*mode)))
            .and_then(|()| std::os::unix::fs::chown(path, Some(*owner), Some(*owner)));
        errors.extend(created.doing(format!("{path} ({why})")).err());
    }
    Error::join(errors)
}

fn mount_all(entries: &[Mount]) -> Result<()> {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let mut errors = Vec::new();
    for entry in entries {
        if entry.optional && !lists(&known, entry.fstype) {
            debug!("{}: this kernel has no {}", entry.target, entry.fstype);
            continue;
        }
        match mount_entry(entry) {
            // Without EFI there is no such directory.
            Err(Errno::ENOENT) if entry.optional => {}
            // A namespace may not mount every file system.
            Err(e @ Errno::EPERM) if entry.optional => debug!("{}: {e}", entry.target),
            Err(e) => {
                let step = format!("{} ({})", entry.target, entry.why);
                errors.extend(Err::<(), _>(e).doing(step).err());
            }
            Ok(()) => {}
        }
    }
    Error::join(errors)
}

fn mount_entry(entry: &Mount) -> nix::Result<()> {
    if already_mounted(entry) {
        return Ok(());
    }
    // Below /sys no directory can be created: the kernel makes the directory, or has none.
    let _ = fs::create_dir_all(entry.target);
    let (fstype, data) = (Some(entry.fstype), Some(entry.data));
    let data = data.filter(|options| !options.is_empty());
    match mount(fstype, entry.target, fstype, entry.flags, data) {
        // devtmpfs, if the kernel mounted it itself (CONFIG_DEVTMPFS_MOUNT).
        Err(Errno::EBUSY) => Ok(()),
        other => other,
    }
}

/// Returns true if the program that started PID 1 (a container engine, a test) has mounted the
/// file system. File systems that answer for the kernel must be the kernel's; the others may be
/// anything: a /dev is often a tmpfs with a few nodes.
fn already_mounted(entry: &Mount) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|m| m.dev()).ok();
    let target = Path::new(entry.target);
    let has_magic = |magic| statfs(target).is_ok_and(|s| s.filesystem_type() == magic);
    let own_device = device(target);
    if own_device.is_none() || own_device == target.parent().and_then(device) {
        return false;
    }
    match entry.fstype {
        "proc" => has_magic(PROC_SUPER_MAGIC),
        "sysfs" => has_magic(SYSFS_MAGIC),
        "cgroup2" => has_magic(CGROUP2_SUPER_MAGIC),
        _ => true,
    }
}

/// Returns true if `/proc/filesystems` lists `fstype` (proc_filesystems(5)).
fn lists(filesystems: &str, fstype: &str) -> bool {
    let mut lines = filesystems.split('\n');
    lines.any(|line| line.strip_suffix(fstype).is_some_and(|l| l.ends_with('\t')))
}

/// Links under /dev that programs expect (Documentation/admin-guide/devices.rst), and one for podman.
const LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
    ("/dev/ptmx", "pts/ptmx"),
    // A link, because `podman system reset` removes podman's directory, which is then no mount point.
    (
        "/run/containers/storage/overlay-containers",
        CONTAINER_FILES,
    ),
];

fn create_links() {
    for (path, target) in LINKS {
        replace_link(path, target);
    }
}

/// Creates a link in place of any file of its name: devtmpfs has a node /dev/ptmx, and only the
/// node of devpts has the right permissions.
fn replace_link(path: &str, target: &str) {
    let _ = fs::remove_file(path);
    symlink(target, path).unwrap_or_else(|e| warn!("link {path}: {e}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filesystems_are_matched_by_their_whole_name() {
        let text = "nodev\tsysfs\nnodev\tcgroup2\n\text4\n";
        assert!(lists(text, "cgroup2") && lists(text, "ext4"));
        assert!(!lists(text, "cgroup") && !lists(text, "nodev"));
    }

    #[test]
    fn limits_are_those_that_the_memory_is_divided_by() {
        let options = |target: &str| {
            let mut all = API.iter().chain(BELOW_API);
            all.find(|entry| entry.target == target)
                .map(|entry| entry.data)
        };
        let percent = format!("size={}%", crate::ram::SMALL_PERCENT);
        let has_share = |data: &str| data.split(',').any(|option| option == percent);
        let small = |target| options(target).is_some_and(has_share);
        assert!(small("/run") && small("/dev/shm"));
        assert_eq!(crate::ram::SMALL_PERCENT, sys::runtime_dir::PERCENT);
        let files = format!("mode=0700,size={}%", crate::ram::CONTAINER_FILES_PERCENT);
        assert_eq!(options(CONTAINER_FILES), Some(files.as_str()));
        let dev = format!("mode=0755,size={}m", crate::ram::DEV_BYTES >> 20);
        assert_eq!(options("/dev"), Some(dev.as_str()));
        let lock = format!(
            "mode=1777,size={}m,nr_inodes=1k",
            crate::ram::LOCK_BYTES >> 20
        );
        assert_eq!(options("/run/lock"), Some(lock.as_str()));
    }

    #[test]
    fn every_mount_says_why() {
        for entry in API.iter().chain(BELOW_API).chain(AFTER_READY) {
            let (target, why) = (entry.target, entry.why);
            assert!(!why.is_empty() && target.starts_with('/'), "{target}");
        }
    }
}
