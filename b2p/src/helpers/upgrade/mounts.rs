// SPDX-License-Identifier: Apache-2.0
//! Mounts that no other process sees and that end with this process, in any case.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};
use sys::error::{Doing, Error, Result};
use sys::paths::UPGRADE_MOUNTS;
use sys_mount::{Mount, MountFlags, Unmount, UnmountDrop, UnmountFlags};

use crate::common::tool;

/// Flags of every mount: programs and device nodes of the mount are not used.
const RESTRICTED: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);
/// Time limit of mount(8), which sets up a loop device and reads a superblock.
const MOUNT_LIMIT: Duration = Duration::from_secs(60);

/// Gives this process a mount namespace of its own, from which nothing propagates.
///
/// # Errors
/// The kernel refuses the namespace.
pub fn private() -> Result<()> {
    let own = unshare(CloneFlags::CLONE_NEWNS).and_then(|()| {
        let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        nix::mount::mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
    });
    own.doing("a mount namespace")
}

/// A file system that is unmounted when the value is dropped.
pub struct Mounted(UnmountDrop<MountPoint>);

/// A directory on which [`sys_mount`] or mount(8) has mounted a file system.
struct MountPoint(PathBuf);

impl Unmount for MountPoint {
    fn unmount(&self, flags: UnmountFlags) -> io::Result<()> {
        sys_mount::unmount(&self.0, flags)
    }
}

impl Mounted {
    fn on(dir: PathBuf) -> Mounted {
        Mounted(MountPoint(dir).into_unmount_drop(UnmountFlags::DETACH))
    }

    /// Returns the mount point.
    pub fn dir(&self) -> &Path {
        &self.0.0
    }

    /// Writes all data to the device and unmounts the file system.
    ///
    /// # Errors
    /// The file system cannot be synced, or is busy.
    pub fn end(self) -> Result<()> {
        let root = File::open(self.dir()).on(self.dir())?;
        sys::syscall::syncfs(&root).on(self.dir())?;
        drop(root);
        self.0.unmount(UnmountFlags::empty()).on(self.dir())
    }
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mounted").field(&self.dir()).finish()
    }
}

fn mount_point(name: &str) -> Result<PathBuf> {
    let dir = Path::new(UPGRADE_MOUNTS).join(name);
    fs::create_dir_all(&dir).on(&dir)?;
    Ok(dir)
}

/// Mounts the partition `name` of /dev.
///
/// # Errors
/// The kernel refuses the mount.
pub fn partition(name: &str, fs_type: &str, writable: bool) -> Result<Mounted> {
    let (dir, node) = (mount_point(name)?, Path::new("/dev").join(name));
    let flags = match writable {
        true => RESTRICTED,
        false => RESTRICTED | MountFlags::RDONLY,
    };
    Mount::builder()
        .fstype(fs_type)
        .flags(flags)
        .mount(&node, &dir)
        .doing(format!("mount {} as {fs_type}", node.display()))?;
    Ok(Mounted::on(dir))
}

/// Mounts the file system in a file or device read-only. mount(8) puts a file behind a loop
/// device that disappears with the mount; sys-mount's own loop devices would stay after a
/// SIGKILL, and know no size limit.
///
/// # Errors
/// The text that mount(8) prints.
pub fn image(file: &Path, fs_type: &str, more_options: &str) -> Result<Mounted> {
    let dir = mount_point("source")?;
    let options = format!("ro,nosuid,nodev,noexec{more_options}");
    let (source, target) = (file.to_string_lossy(), dir.to_string_lossy());
    let args = ["-t", fs_type, "-o", &options, "--", &source, &target];
    let ended = tool::run("/usr/bin/mount", &args, MOUNT_LIMIT)?;
    match ended.code {
        Some(0) => Ok(Mounted::on(dir)),
        _ => Err(Error::invalid(ended.last_lines)),
    }
}
