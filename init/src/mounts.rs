//! Every file system that the kernel offers and the machine mounts, a row each.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use log::{debug, warn};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, PROC_SUPER_MAGIC, SYSFS_MAGIC, statfs};
use sys::paths::RUNTIME_DIR;

/// One mount: what, where, how, and why.
struct Row {
    target: &'static str,
    fstype: &'static str,
    flags: MsFlags,
    data: &'static str,
    /// Left out in silence where the kernel does not know the file system.
    optional: bool,
    why: &'static str,
}

const NOSUID: MsFlags = MsFlags::MS_NOSUID;
const NODEV: MsFlags = MsFlags::MS_NODEV;
const NOEXEC: MsFlags = MsFlags::MS_NOEXEC;
const PLAIN: MsFlags = NOSUID.union(NODEV).union(NOEXEC);

const fn row(
    target: &'static str,
    fstype: &'static str,
    flags: MsFlags,
    data: &'static str,
    optional: bool,
    why: &'static str,
) -> Row {
    Row {
        target,
        fstype,
        flags,
        data,
        optional,
        why,
    }
}

/// Mounted before anything else, in the rootfs, and moved to the new root.
#[rustfmt::skip]
const API: &[Row] = &[
    row("/dev",  "devtmpfs", NOSUID.union(NOEXEC), "mode=0755", false, "the kernel makes the device nodes; there is no udev"),
    row("/proc", "proc",     PLAIN, "", false, "processes, flags, sysctls, mountinfo"),
    row("/sys",  "sysfs",    PLAIN, "", false, "devices and their modaliases"),
    row("/run",  "tmpfs",    NOSUID.union(NODEV), "mode=0755,size=20%", false, "sockets and state that end with the boot; podman's alive file wants a tmpfs"),
];

/// Mounted below those, once the root is there and out of the way of the first
/// milliseconds.
#[rustfmt::skip]
const BELOW_API: &[Row] = &[
    row("/dev/pts",    "devpts", NOSUID.union(NOEXEC), "gid=5,mode=620,ptmxmode=666", false, "terminals of ssh and containers; group tty is 5 on Debian"),
    row("/dev/shm",    "tmpfs",  NOSUID.union(NODEV), "mode=1777", false, "shm_open(3)"),
    row("/dev/mqueue", "mqueue", PLAIN, "", true, "mq_overview(7); crun mounts it in containers"),
    row("/dev/hugepages", "hugetlbfs", NOSUID.union(NODEV), "mode=0755", true, "databases and VMs in containers ask for it"),
    row("/sys/fs/cgroup", "cgroup2", PLAIN, "nsdelegate,memory_recursiveprot", false, "limits; cgroup-v2.rst, section 'Mounting'"),
    row("/sys/kernel/tracing", "tracefs", PLAIN, "mode=0700", true, "tracing without debugfs"),
    row("/sys/kernel/security", "securityfs", PLAIN, "", true, "apparmor and lockdown state"),
    row("/sys/fs/pstore", "pstore", PLAIN, "", true, "the log of a crash before this boot"),
    row("/sys/kernel/config", "configfs", PLAIN, "", true, "only where its module is in"),
    row("/sys/fs/fuse/connections", "fusectl", PLAIN, "", true, "aborts a FUSE mount whose server hangs"),
    row("/sys/firmware/efi/efivars", "efivarfs", PLAIN, "", true, "boot entries, on EFI machines"),
];

/// Mounted when the machine is ready, by the helper that loads drivers.
#[rustfmt::skip]
const LATE: &[Row] = &[
    row("/sys/fs/bpf", "bpf",    PLAIN, "mode=0700", true, "tools pin programs here; the first mount asks for a module that no Debian has, 30 to 60 ms"),
];

/// Directories that are new at every boot: path, mode, owner, why.
#[rustfmt::skip]
const DIRECTORIES: &[(&str, u32, u32, &str)] = &[
    (RUNTIME_DIR, 0o755, 0, "our own state: addresses of sockets, keys, resolv.conf"),
    ("/run/sshd",        0o755, 0, "sshd's unprivileged half lives in it"),
    ("/run/lock",        0o1777, 0, "lock files of programs that are not root"),
    ("/run/podman",      0o755, 0, "the API's socket; core's group gets in by the socket's own mode"),
    ("/run/user/1000",   0o700, 1000, "XDG_RUNTIME_DIR of core: rootless podman keeps its state there"),
    ("/var/lib/containers/user", 0o711, 0, "rootless podman's storage, a directory for each user"),
    ("/var/lib/containers/user/1000", 0o700, 1000, "core's"),
];

/// Device nodes that are for everybody, which elsewhere udev's rules say; made
/// where the driver is loaded by the first open: path, minor (major is 10), why.
const NODES: &[(&str, u64, &str)] = &[
    ("/dev/net/tun", 200, "pasta, VPNs"),
    ("/dev/fuse", 229, "file systems of one's own"),
];

/// Mounts /dev, /proc, /sys and /run.
///
/// # Errors
/// The mounts that failed, each with its reason.
pub fn mount_api() -> Result<(), String> {
    mount_rows(API)
}

/// Mounts /proc again where somebody has taken it away: without it nobody knows
/// who still runs, and what is mounted.
///
/// # Errors
/// Why it is not there.
pub fn restore_proc() -> Result<(), String> {
    let row = API.iter().find(|r| r.fstype == "proc");
    let result = row.map_or(Ok(()), mount_row);
    result.map_err(|e| format!("/proc: {e}"))
}

/// Mounts everything below them.
///
/// # Errors
/// The mounts that failed, each with its reason.
pub fn mount_rest() -> Result<(), String> {
    let result = mount_rows(BELOW_API);
    create_links();
    create_nodes();
    result.and(create_directories())
}

/// Mounts what no service waits for.
///
/// # Errors
/// The mounts that failed, each with its reason.
pub fn mount_late() -> Result<(), String> {
    mount_rows(LATE)
}

fn create_nodes() {
    for (path, minor, why) in NODES {
        let made = || {
            if let Some(dir) = Path::new(path).parent() {
                fs::create_dir_all(dir)?;
            }
            match mknod(*path, SFlag::S_IFCHR, Mode::empty(), makedev(10, *minor)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(e) => return Err(e.into()),
            }
            fs::set_permissions(path, fs::Permissions::from_mode(0o666))
        };
        made().unwrap_or_else(|e| warn!("{path} ({why}): {e}"));
    }
}

fn create_directories() -> Result<(), String> {
    let mut failed = Vec::new();
    for (path, mode, owner, why) in DIRECTORIES {
        let made = fs::create_dir_all(path)
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(*mode)))
            .and_then(|()| std::os::unix::fs::chown(path, Some(*owner), Some(*owner)));
        if let Err(e) = made {
            failed.push(format!("{path} ({why}): {e}"));
        }
    }
    replace_link("/run/docker.sock", "podman/podman.sock");
    joined(failed)
}

fn joined(failed: Vec<String>) -> Result<(), String> {
    if failed.is_empty() {
        Ok(())
    } else {
        Err(failed.join("; "))
    }
}

fn mount_rows(rows: &[Row]) -> Result<(), String> {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let mut failed = Vec::new();
    for row in rows {
        if row.optional && !knows(&known, row.fstype) {
            debug!("{}: this kernel has no {}", row.target, row.fstype);
            continue;
        }
        match mount_row(row) {
            Err(Errno::ENOENT) if row.optional => {} // no EFI, no such directory
            // A namespace may not mount every file system.
            Err(e @ Errno::EPERM) if row.optional => debug!("{}: {e}", row.target),
            Err(e) => failed.push(format!("{} ({}): {e}", row.target, row.why)),
            Ok(()) => {}
        }
    }
    joined(failed)
}

fn mount_row(row: &Row) -> nix::Result<()> {
    if already_mounted(row) {
        return Ok(());
    }
    // Below /sys the directory cannot be made, and is there or is not.
    let _ = fs::create_dir_all(row.target);
    let data = Some(row.data).filter(|d| !d.is_empty());
    match mount(
        Some(row.fstype),
        row.target,
        Some(row.fstype),
        row.flags,
        data,
    ) {
        // devtmpfs where the kernel mounted it itself (CONFIG_DEVTMPFS_MOUNT).
        Err(Errno::EBUSY) => Ok(()),
        other => other,
    }
}

/// Whether who started us (a container engine, a test) has mounted it already.
/// What the kernel answers in there must be the kernel's; the others may be
/// anything: a /dev is often a tmpfs with a few nodes.
fn already_mounted(row: &Row) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|m| m.dev()).ok();
    let target = Path::new(row.target);
    let is = |magic| statfs(target).is_ok_and(|s| s.filesystem_type() == magic);
    let mounted = device(target);
    mounted.is_some()
        && mounted != target.parent().and_then(device)
        && match row.fstype {
            "proc" => is(PROC_SUPER_MAGIC),
            "sysfs" => is(SYSFS_MAGIC),
            "cgroup2" => is(CGROUP2_SUPER_MAGIC),
            _ => true,
        }
}

/// Whether `/proc/filesystems` lists `fstype` (proc_filesystems(5)).
fn knows(filesystems: &str, fstype: &str) -> bool {
    filesystems
        .lines()
        .any(|line| line.split_whitespace().last() == Some(fstype))
}

/// Links under /dev that programs expect (Documentation/admin-guide/devices.rst).
const LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
    ("/dev/ptmx", "pts/ptmx"),
];

fn create_links() {
    for (path, target) in LINKS {
        replace_link(path, target);
    }
}

/// Replaces what is there: devtmpfs has a /dev/ptmx node, but devpts' own is
/// the one with our modes.
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
        assert!(knows(text, "cgroup2") && knows(text, "ext4"));
        assert!(!knows(text, "cgroup") && !knows(text, "nodev"));
    }

    #[test]
    fn every_mount_says_why() {
        for row in API.iter().chain(BELOW_API).chain(LATE) {
            assert!(
                !row.why.is_empty() && row.target.starts_with('/'),
                "{}",
                row.target
            );
        }
    }
}
