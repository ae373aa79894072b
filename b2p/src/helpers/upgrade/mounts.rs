//! Mounts that nobody else sees and that end with this process, however it ends.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount as mount2, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::common::tool;
use sys::paths::UPGRADE_MOUNTS;

/// Nothing on them is run, nor is it a device.
const PLAIN: MsFlags = MsFlags::MS_NOSUID
    .union(MsFlags::MS_NODEV)
    .union(MsFlags::MS_NOEXEC);
/// A loop device and a look at a file system take no longer.
const MOST: Duration = Duration::from_secs(60);

/// From here on this process sees its mounts alone.
///
/// # Errors
/// What the kernel said.
pub fn private() -> Result<(), String> {
    let own = unshare(CloneFlags::CLONE_NEWNS).and_then(|()| {
        let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount2(None::<&str>, "/", None::<&str>, flags, None::<&str>)
    });
    own.map_err(|e| format!("a mount namespace: {e}"))
}

/// Something mounted.
#[derive(Debug)]
pub struct Mounted {
    dir: PathBuf,
    there: bool,
}

impl Mounted {
    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes it away; what was written to it is on its device then.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn end(mut self) -> Result<(), String> {
        self.there = false;
        let say = |e: &dyn std::fmt::Display| format!("{}: {e}", self.dir.display());
        let root = File::open(&self.dir).map_err(|e| say(&e))?;
        sys::syscall::syncfs(&root).map_err(|e| say(&e))?;
        drop(root);
        umount2(&self.dir, MntFlags::empty()).map_err(|e| say(&e))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.there {
            let _ = umount2(&self.dir, MntFlags::MNT_DETACH);
        }
    }
}

fn place(name: &str) -> Result<PathBuf, String> {
    let dir = Path::new(UPGRADE_MOUNTS).join(name);
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    Ok(dir)
}

/// Mounts a device.
///
/// # Errors
/// The device, and what the kernel said.
pub fn device(device: &str, kind: &str, writable: bool) -> Result<Mounted, String> {
    let (dir, node) = (place(device)?, Path::new("/dev").join(device));
    let read = if writable {
        MsFlags::empty()
    } else {
        MsFlags::MS_RDONLY
    };
    mount2(Some(&node), &dir, Some(kind), PLAIN | read, None::<&str>)
        .map_err(|e| format!("mount {} as {kind}: {e}", node.display()))?;
    Ok(Mounted { dir, there: true })
}

/// Mounts what is in a file or device of somebody's, to be read; a file by a loop
/// device that goes with it.
///
/// # Errors
/// What mount(8) said.
pub fn image(file: &Path, kind: &str, options: &str) -> Result<Mounted, String> {
    let dir = place("source")?;
    let options = format!("ro,nosuid,nodev,noexec{options}");
    let text = |s: &OsStr| s.to_string_lossy().into_owned();
    let (from, to) = (text(file.as_os_str()), text(dir.as_os_str()));
    let words = ["-t", kind, "-o", &options, "--", &from, &to];
    let ended = tool::run("/usr/bin/mount", &words, MOST)?;
    match ended.code {
        Some(0) => Ok(Mounted { dir, there: true }),
        _ => Err(ended.last_lines),
    }
}
