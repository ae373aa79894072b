// SPDX-License-Identifier: Apache-2.0
//! Mounts the data file system, and binds its directories to the paths that programs use.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use disk::signature::SignatureKind;
use log::warn;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::sys::statfs::{EXT4_SUPER_MAGIC, statfs};
use nix::sys::statvfs::FsFlags;
use sys::error::{Doing, Error, Result};

use crate::common::atomic_file;
use crate::common::paths::Paths;
use crate::helpers::block::scan;

/// Directories on the disk: path, mode, owner.
const DIRECTORIES: &[(&str, u32, u32)] = &[
    ("boot2podman", 0o755, 0),
    ("boot2podman/ssh", 0o700, 0),
    ("containers", 0o755, 0),
    ("containers/user", 0o711, 0),
];
/// Flags of every mount of the disk: neither device nodes on the disk work, like those in the layers of
/// containers (storage.conf, mountopt), nor set-user-ID programs. A container has device nodes in a tmpfs of its own.
pub const FLAGS: MsFlags = MsFlags::MS_NOATIME
    .union(MsFlags::MS_NODEV)
    .union(MsFlags::MS_NOSUID);
/// Place of a mount in the machine.
type Target = fn(&Paths) -> PathBuf;
/// Directories of the disk that are bound to the paths that programs use, with the flags of each mount: an image may
/// have set-user-ID programs, and some storage drivers bind its files.
const BINDS: &[(&str, Target, MsFlags)] = &[
    ("boot2podman", Paths::state_dir, FLAGS),
    (
        "containers",
        Paths::containers,
        FLAGS.difference(MsFlags::MS_NOSUID),
    ),
];
/// Owner of nothing: the largest uid, which is in no range of /etc/subuid.
const NOBODYS_UID: u32 = u32::MAX - 1;
/// Depth of directories below which everything counts as a file.
const MAX_DEPTH: usize = 8;

/// Checks that the mounts would not hide files that were written in RAM.
///
/// # Errors
/// Files of that kind exist.
pub fn refuse_to_hide(paths: &Paths) -> Result<()> {
    for dir in [paths.state_dir(), paths.containers()] {
        if has_files(&dir, 0) {
            return Err(Error::invalid(format!(
                "there are files in {} already, in RAM, which would be hidden; the disk is taken \
                 at the next boot",
                dir.display()
            )));
        }
    }
    Ok(())
}

/// Returns true if there is anything but directories and links below `dir`.
fn has_files(dir: &Path, depth: usize) -> bool {
    let mut entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.any(|entry| match entry.file_type() {
        // PID 1 makes a link for podman's database (init/src/ram.rs).
        Ok(kind) if kind.is_symlink() => false,
        Ok(kind) if kind.is_dir() => depth > MAX_DEPTH || has_files(&entry.path(), depth + 1),
        _ => true,
    })
}

/// Mounts the file system.
///
/// # Errors
/// The kernel refuses the mount; the error adds the usual meaning of the errno.
pub fn mount(path: &Path, name: &str, kind: SignatureKind, paths: &Paths) -> Result<()> {
    let target = paths.data_disk();
    fs::create_dir_all(&target).on(&target)?;
    let options = options(kind, discards(name));
    let data = Some(options.as_str()).filter(|o| !o.is_empty());
    let mounted = nix::mount::mount(Some(path), &target, Some(kind.name()), FLAGS, data);
    explained(mounted).doing(format!("mount {}", kind.name()))
}

/// Sets the users of the reserved blocks of ext: programs with `CAP_SYS_RESOURCE` alone, or uid 0 as
/// well ([`options`]). Does nothing on another file system, or on one that has become read-only.
///
/// # Errors
/// The kernel refuses the change.
pub fn keep_blocks(disk: &Path, keeps: bool) -> Result<()> {
    let found = statfs(disk).on(disk)?;
    let is_read_only = found.flags().contains(FsFlags::ST_RDONLY);
    if found.filesystem_type() != EXT4_SUPER_MAGIC || is_read_only {
        return Ok(());
    }
    let uid = if keeps { NOBODYS_UID } else { 0 };
    let (none, data) = (None::<&str>, format!("resuid={uid}"));
    let flags = FLAGS | MsFlags::MS_REMOUNT;
    nix::mount::mount(none, disk, none, flags, Some(data.as_str())).doing(data)
}

fn explained(outcome: nix::Result<()>) -> Result<()> {
    match outcome {
        Err(Errno::EUCLEAN | Errno::EINVAL | Errno::EBADMSG) => {
            outcome.doing("damaged, or of a kind that this kernel does not know")
        }
        Err(Errno::ENODEV) => outcome.doing("this kernel does not know the file system"),
        _ => Ok(outcome?),
    }
}

/// Returns the mount options. An ext file system that finds an error in itself stops writing, with
/// any superblock.
///
/// nodelalloc: containers/storage writes most of a layer without an fsync, and then with one
/// that the layer is there. Only where blocks are allocated at once does an fsync (a commit of the
/// journal, in data=ordered) also write earlier data to the disk; else a power cut leaves a layer
/// whose files are empty.
///
/// resuid: the blocks that ext keeps for uid 0 (mke2fs(8), `-m`) are for the machine. Other programs
/// use them as uid 0 or with `CAP_SYS_RESOURCE` (fs/ext4/balloc.c, `ext4_has_free_clusters`). A
/// container of root's has that uid and not that capability, and its writes to its layer are made as
/// uid 0 without the capability (fs/overlayfs/super.c, `ovl_fill_super`). So the uid is taken from
/// the condition: [`NOBODYS_UID`].
fn options(kind: SignatureKind, discards: bool) -> String {
    let reserve = format!("errors=remount-ro,resuid={NOBODYS_UID}");
    let own = match kind {
        SignatureKind::Ext4 => Some(format!("{reserve},nodelalloc")),
        SignatureKind::Ext2 | SignatureKind::Ext3 => Some(reserve),
        _ => None,
    };
    // btrfs and f2fs discard without an option.
    let needs_option = matches!(kind, SignatureKind::Ext4 | SignatureKind::Xfs);
    let discard = (discards && needs_option).then(|| "discard".to_owned());
    own.into_iter().chain(discard).collect::<Vec<_>>().join(",")
}

/// Returns true if the disk takes back deleted blocks; the queue of a partition is its disk's.
fn discards(name: &str) -> bool {
    let max_bytes = scan::attribute(name, "queue/discard_max_bytes")
        .or_else(|| scan::attribute(name, "../queue/discard_max_bytes"));
    max_bytes.is_some_and(|m| m != "0")
}

/// Makes the directories on the disk and binds these to the paths that programs use.
///
/// # Errors
/// A step fails; [`undo`] takes the others back.
pub fn bind(paths: &Paths) -> Result<()> {
    let disk = paths.data_disk();
    for (path, mode, owner) in DIRECTORIES {
        directory(&disk, path, *mode, *owner)?;
    }
    for (source, target, flags) in BINDS {
        let (source, target) = (disk.join(source), target(paths));
        fs::create_dir_all(&target).on(&target)?;
        bind_one(&source, &target, *flags).doing(format!("bind {}", target.display()))?;
    }
    close_to_others(&paths.state_dir(), 0).unwrap_or_else(|e| warn!("data: {e}"));
    Ok(())
}

/// Gives a directory to `owner`, who alone may then write to it: sshd uses no key in a directory that others can change
/// (sshd_config(5), StrictModes), and a disk that a person has prepared has any owner and mode.
fn close_to_others(dir: &Path, owner: u32) -> Result<()> {
    let metadata = fs::metadata(dir).on(dir)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if metadata.uid() == owner && mode & 0o022 == 0 {
        return Ok(());
    }
    chown(dir, Some(owner), Some(owner)).on(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(mode & !0o022)).on(dir)?;
    let (dir, uid) = (dir.display(), metadata.uid());
    warn!("data: {dir}: uid {uid} and mode {mode:o} let others change keys; it is root's now");
    Ok(())
}

/// Makes the directory of the user's storage.
///
/// # Errors
/// The disk refuses the directory.
pub fn user_store(paths: &Paths, uid: u32) -> Result<()> {
    let path = format!("containers/user/{uid}");
    directory(&paths.data_disk(), &path, 0o700, uid)
}

/// Makes a directory on the disk. A symbolic link in its place is followed if its target is on the
/// disk.
///
/// # Errors
/// The disk refuses the directory, or has a link there that leads elsewhere: into RAM, where data is lost.
fn directory(disk: &Path, path: &str, mode: u32, owner: u32) -> Result<()> {
    let place = disk.join(path);
    atomic_file::directory(&place, mode, owner)?;
    let (real, root) = (fs::canonicalize(&place), fs::canonicalize(disk));
    match real.on(&place)?.starts_with(root.on(disk)?) {
        true => Ok(()),
        false => Err(Error::invalid("a symbolic link that leads off its disk")).on(place),
    }
}

/// Binds a directory. A bind mount takes the flags of its source mount; its own are set by a second
/// call (mount(2), "Remounting an existing mount").
fn bind_one(source: &Path, target: &Path, flags: MsFlags) -> nix::Result<()> {
    let none = None::<&str>;
    let bind = |flags| nix::mount::mount(Some(source), target, none, flags, none);
    bind(MsFlags::MS_BIND)?;
    bind(MsFlags::MS_BIND | MsFlags::MS_REMOUNT | flags)
}

/// Unmounts the data disk and the bind mounts of its directories, the disk last.
pub fn undo(paths: &Paths) {
    let mountinfo = fs::read_to_string(sys::mountinfo::PATH).unwrap_or_default();
    let device = |target: &Path| device_at(&mountinfo, &target.display().to_string());
    let disk = device(&paths.data_disk());
    for target in [paths.containers(), paths.state_dir(), paths.data_disk()] {
        if disk.is_some() && device(&target) == disk {
            umount2(&target, MntFlags::empty())
                .unwrap_or_else(|e| warn!("data: umount {}: {e}", target.display()));
        }
    }
}

/// Returns the `major:minor` of the topmost mount at `target` (proc_pid_mountinfo(5)).
fn device_at(mountinfo: &str, target: &str) -> Option<String> {
    let mut lines = mountinfo.lines().map(|l| l.split(' ').collect::<Vec<_>>());
    let topmost = lines.rfind(|fields| fields.get(4) == Some(&target))?;
    topmost.get(2).map(|device| (*device).to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    #[test]
    fn directories_are_not_hidden_and_files_are() {
        let temp = Temp::new();
        fs::create_dir_all(temp.path("user/1000")).unwrap();
        assert!(!has_files(temp.dir(), 0) && !has_files(&temp.path("none"), 0));
        fs::write(temp.path("user/1000/db.sql"), "").unwrap();
        assert!(has_files(temp.dir(), 0));
    }

    #[test]
    fn the_topmost_mount_counts() {
        let mountinfo = "22 1 0:20 / / rw - overlay overlay rw\n\
                         29 22 254:1 / /mnt/data rw - ext4 /dev/vda1 rw\n\
                         30 29 0:44 / /mnt/data rw - tmpfs none rw\n";
        assert_eq!(device_at(mountinfo, "/mnt/data").as_deref(), Some("0:44"));
        assert_eq!(device_at(mountinfo, "/mnt"), None);
    }

    #[test]
    fn a_link_off_the_disk_is_refused() {
        let temp = Temp::new();
        let (disk, own) = (temp.path("disk"), nix::unistd::geteuid().as_raw());
        fs::create_dir_all(disk.join("elsewhere")).unwrap();
        fs::create_dir(temp.path("ram")).unwrap();
        let link = |target: PathBuf, name: &str| {
            std::os::unix::fs::symlink(target, disk.join(name)).unwrap();
            directory(&disk, name, 0o755, own)
        };
        assert_eq!(directory(&disk, "containers", 0o755, own), Ok(()));
        assert_eq!(link("elsewhere".into(), "relative"), Ok(()));
        assert_eq!(link(disk.join("elsewhere"), "absolute"), Ok(()));
        for target in [temp.path("ram"), "../ram".into(), temp.dir().to_owned()] {
            let refused = why(link(target, "off"));
            assert!(refused.contains("leads off its disk"), "{refused}");
            fs::remove_file(disk.join("off")).unwrap();
        }
        let below = link(temp.path("ram"), "state").and(directory(&disk, "state/ssh", 0o700, own));
        assert!(below.is_err());
    }

    #[test]
    fn the_directory_of_keys_is_roots_alone() {
        let (temp, own) = (Temp::new(), nix::unistd::geteuid().as_raw());
        let dir = temp.path("boot2podman");
        fs::create_dir(&dir).unwrap();
        for (before, after) in [
            (0o775, 0o755),
            (0o777, 0o755),
            (0o755, 0o755),
            (0o700, 0o700),
        ] {
            fs::set_permissions(&dir, fs::Permissions::from_mode(before)).unwrap();
            assert_eq!(close_to_others(&dir, own), Ok(()));
            let mode = fs::metadata(&dir).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, after, "{before:o}");
        }
        assert!(close_to_others(&temp.path("none"), own).is_err());
    }

    #[test]
    fn each_kind_has_its_options() {
        let ext2 = "errors=remount-ro,resuid=4294967294";
        let ext4 = format!("{ext2},nodelalloc,discard");
        assert_eq!(options(SignatureKind::Ext4, true), ext4);
        assert_eq!(options(SignatureKind::Ext2, true), ext2);
        assert_eq!(options(SignatureKind::Xfs, true), "discard");
        assert_eq!(options(SignatureKind::Btrfs, true), "");
        assert_eq!(options(SignatureKind::Xfs, false), "");
    }
}
