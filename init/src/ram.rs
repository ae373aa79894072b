// SPDX-License-Identifier: Apache-2.0
//! File systems in RAM, and how much of the memory each may take.
//!
//! Containers do not fill the file systems that the machine needs: the root's own files, podman's
//! database and the layers of containers have a limit each, so that a container that fills its layer
//! can be removed, and a user can still log in. All limits together leave room for the programs that
//! run and for the pages of the userland, which the kernel drops first and reads again at once. Without
//! these pages the kernel kills processes for lack of memory, although files use most of the memory.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use nix::mount::{MsFlags, mount};
use sys::error::{Doing, Result};
use sys::memory::{MIB, STORE_RESERVE_BYTES, not_kept};

/// Percentage of the memory that each of /run, the runtime directory of the machine's user and /dev/shm may take
/// ([`crate::mounts`], [`sys::runtime_dir`]).
pub const SMALL_PERCENT: u64 = 3;
/// Number of the file systems that may take [`SMALL_PERCENT`].
const SMALL_COUNT: u64 = 3;
/// Percentage of the memory for the files of containers that podman makes in /run.
pub const CONTAINER_FILES_PERCENT: u64 = 1;
/// Limit of /dev, whose nodes take no blocks.
pub const DEV_BYTES: u64 = 2 * MIB;
/// Limit of /run/lock.
pub const LOCK_BYTES: u64 = MIB;
/// Bytes for each inode in a file system of layers. An inode takes about 1 KiB of memory of the kernel.
const BYTES_PER_INODE: u64 = 8 * 1024;

/// Sizes in bytes of the file systems in RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Upper layer of the root: /etc, homes, keys.
    pub root: u64,
    /// podman's database and its list of layers.
    pub podman: u64,
    /// Layers, volumes and logs of containers, and temporary files.
    pub containers: u64,
}

/// Divides a memory of `total` bytes. The containers' share is the largest: 18 % of 256 MiB, 55 %
/// of 1 GiB, 62 % of 4 GiB and more of larger ones.
#[must_use]
pub fn sizes(total: u64) -> Sizes {
    let files = not_kept(total);
    let root = (total / 16).clamp(16 * MIB, 1024 * MIB);
    let podman = (total / 48).clamp(8 * MIB, 256 * MIB);
    let small = total * (SMALL_COUNT * SMALL_PERCENT + CONTAINER_FILES_PERCENT) / 100;
    let others = root + podman + DEV_BYTES + LOCK_BYTES + STORE_RESERVE_BYTES + small;
    // An inode takes an eighth of its BYTES_PER_INODE. Half of the inodes that the limit allows are counted,
    // because each file has at least a page as well: 1/16 of the size, which is 1/17 of the rest.
    let rest = files.saturating_sub(others);
    let containers = (rest - rest / 17).max(total / 16).max(16 * MIB);
    Sizes {
        root,
        podman,
        containers,
    }
}

/// File system: name of its mount point while the root is assembled, size, and bytes for each
/// inode: homes and lists have small files, and no container makes any there.
type Tmpfs = (&'static str, fn(&Sizes) -> u64, u64);
/// File systems in RAM.
const FILE_SYSTEMS: &[Tmpfs] = &[
    ("root", |sizes| sizes.root, 2 * 1024),
    ("podman", |sizes| sizes.podman, 2 * 1024),
    ("containers", |sizes| sizes.containers, BYTES_PER_INODE),
];

/// Directories of the file systems: mode, and the place in the root to which each is bound, in this
/// order; none for the directories of the overlay. podman writes its list of layers before it
/// removes a layer; its other lists are written after the removal, when there is room. The
/// directory of the layers itself cannot be a mount: an idle podman unmounts it
/// (containers/storage, overlay: Cleanup).
#[rustfmt::skip]
const DIRECTORIES: &[(&str, u32, Option<&str>)] = &[
    ("root/upper",           0o755,  None),
    ("root/work",            0o755,  None),
    ("containers/tmp",       0o1777, Some("tmp")),
    ("containers/var-tmp",   0o1777, Some("var/tmp")),
    ("containers/lib",       0o755,  Some("var/lib/containers")),
    ("containers/lib/storage", 0o700, None),
    ("podman/db",            0o700,  Some("var/lib/containers/db")),
    ("podman/layers",        0o700,  Some("var/lib/containers/storage/overlay-layers")),
];
/// Link to podman's database, in its place in the root. SQLite follows the link and has its journal
/// beside the database (sqlite3, os_unix.c: unixFullPathname).
const DATABASE: (&str, &str) = ("var/lib/containers/storage/db.sql", "../db/db.sql");

/// Mounts the file systems below `dir`, and creates their directories.
///
/// # Errors
/// A mount fails, or a directory cannot be created.
pub fn mount_all(dir: &str, total: u64) -> Result<()> {
    let sizes = sizes(total);
    for (name, size, bytes_per_inode) in FILE_SYSTEMS {
        let target = format!("{dir}/{name}");
        fs::create_dir_all(&target).on(&target)?;
        let (bytes, inodes) = (size(&sizes), size(&sizes) / bytes_per_inode);
        let options = format!("mode=0755,size={bytes},nr_inodes={inodes}");
        let flags = MsFlags::MS_NODEV;
        let mounted = mount(
            Some("ram"),
            target.as_str(),
            Some("tmpfs"),
            flags,
            Some(options.as_str()),
        );
        mounted.doing(format!("mount tmpfs on {target}"))?;
    }
    for (name, mode, _) in DIRECTORIES {
        let path = format!("{dir}/{name}");
        create(Path::new(&path), *mode)?;
    }
    Ok(())
}

fn create(path: &Path, mode: u32) -> Result<()> {
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .on(path)
}

/// Binds the directories of the file systems below `dir` to their places below `root`.
///
/// # Errors
/// A directory cannot be bound.
pub fn bind_all(dir: &str, root: &str) -> Result<()> {
    for (name, _, place) in DIRECTORIES {
        let Some(place) = place else { continue };
        let (source, target) = (format!("{dir}/{name}"), format!("{root}/{place}"));
        let none = None::<&str>;
        fs::create_dir_all(&target).on(&target)?;
        mount(
            Some(source.as_str()),
            target.as_str(),
            none,
            MsFlags::MS_BIND,
            none,
        )
        .doing(format!("bind {source} on {target}"))?;
    }
    let (link, database) = DATABASE;
    let link = format!("{root}/{link}");
    symlink(database, &link).on(link)
}

#[cfg(test)]
mod tests {
    use sys::memory::{IMAGE_BYTES, MAX_KEPT_BYTES, WORKING_SET_BYTES};

    use super::*;

    /// MemTotal of machines of 256 MiB to 64 GiB: the kernel keeps a part.
    const TOTALS_MIB: &[u64] = &[215, 450, 967, 1950, 3900, 7900, 15_900, 32_000, 64_500];

    #[test]
    fn all_limits_leave_room_for_programs() {
        for total in TOTALS_MIB.iter().map(|mib| mib * MIB) {
            let sizes = sizes(total);
            let percent = SMALL_COUNT * SMALL_PERCENT + CONTAINER_FILES_PERCENT;
            let small = DEV_BYTES + LOCK_BYTES + STORE_RESERVE_BYTES + total * percent / 100;
            let all = sizes.root + sizes.podman + sizes.containers + small;
            let inodes = all / BYTES_PER_INODE * 1024 / 2;
            let left = total.saturating_sub(all + inodes + IMAGE_BYTES);
            let least = WORKING_SET_BYTES + (total / 10).min(MAX_KEPT_BYTES / 2);
            assert!(left >= least, "{} MiB: {sizes:?}, {left}", total / MIB);
        }
    }

    #[test]
    fn containers_have_the_largest_share() {
        for (mib, percent) in [
            (215, 18),
            (450, 42),
            (967, 55),
            (1950, 60),
            (7900, 63),
            (64_500, 80),
        ] {
            let sizes = sizes(mib * MIB);
            let share = sizes.containers * 100 / (mib * MIB);
            assert!(share >= percent && share < 95, "{mib} MiB: {share} %");
            assert!(
                sizes.containers > sizes.root && sizes.root > sizes.podman,
                "{mib} MiB"
            );
        }
    }

    #[test]
    fn no_memory_is_too_small_or_too_large_to_divide() {
        for total in [0, 1, MIB, 64 * MIB, u64::MAX / 128] {
            let sizes = sizes(total);
            assert!(sizes.root >= 16 * MIB && sizes.podman >= 8 * MIB);
        }
    }
}
