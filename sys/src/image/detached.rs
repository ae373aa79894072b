// SPDX-License-Identifier: Apache-2.0
//! Mounts that no other process sees until they are attached (fsopen(2), fsmount(2), move_mount(2)):
//! an image of unknown origin is examined before its mount is visible.
#![expect(unsafe_code, reason = "nix has no wrapper for fsopen(2) and its kin")]

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

use nix::errno::Errno;

use super::attach_loop;
use crate::error::{Doing, Result};

/// Flags and commands of include/uapi/linux/mount.h.
const FSOPEN_CLOEXEC: libc::c_long = 1;
const FSCONFIG_SET_FLAG: libc::c_long = 0;
const FSCONFIG_SET_STRING: libc::c_long = 1;
const FSCONFIG_CMD_CREATE: libc::c_long = 6;
const FSMOUNT_CLOEXEC: libc::c_long = 1;
/// `MOUNT_ATTR_RDONLY`, `MOUNT_ATTR_NOSUID` and `MOUNT_ATTR_NODEV`.
const ATTRIBUTES: libc::c_long = 1 | 2 | 4;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_long = 4;

/// Mount that no mount point shows. A mount that is not attached ends with its value.
#[derive(Debug)]
pub struct Detached(OwnedFd);

impl Detached {
    /// Mounts the erofs in a file read-only, without set-user-ID programs and devices; `loop_module`
    /// is the file of the loop driver.
    ///
    /// # Errors
    /// The kernel refuses a step.
    pub fn erofs(path: &Path, loop_module: &Path) -> Result<Detached> {
        match mount(path) {
            Err(Errno::ENOTBLK) => {
                let (device, _open) = attach_loop(&path.to_string_lossy(), loop_module)?;
                mount(Path::new(&device)).doing(format!("mount erofs by {device}"))
            }
            mounted => mounted.doing("mount erofs"),
        }
    }

    /// Returns a path by which this process reaches the root of the mount (proc_pid_fd(5)).
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    /// Attaches the mount at `target`, visible to every process.
    ///
    /// # Errors
    /// The kernel refuses the mount.
    pub fn attach(&self, target: &Path) -> Result<()> {
        let path = c_string(target).on(target)?;
        // SAFETY: both strings end in NUL and outlive the call.
        let moved = unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                self.0.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_FDCWD,
                path.as_ptr(),
                MOVE_MOUNT_F_EMPTY_PATH,
            )
        };
        Errno::result(moved).map(drop).on(target)
    }
}

fn mount(source: &Path) -> nix::Result<Detached> {
    let source = c_string(source)?;
    // SAFETY: the string ends in NUL.
    let context =
        descriptor(unsafe { libc::syscall(libc::SYS_fsopen, c"erofs".as_ptr(), FSOPEN_CLOEXEC) })?;
    configure(
        &context,
        FSCONFIG_SET_STRING,
        Some(c"source"),
        Some(&source),
    )?;
    configure(&context, FSCONFIG_SET_FLAG, Some(c"ro"), None)?;
    configure(&context, FSCONFIG_CMD_CREATE, None, None)?;
    let fd = context.as_raw_fd();
    // SAFETY: integers only.
    let mounted = unsafe { libc::syscall(libc::SYS_fsmount, fd, FSMOUNT_CLOEXEC, ATTRIBUTES) };
    descriptor(mounted).map(Detached)
}

fn configure(
    context: &OwnedFd,
    command: libc::c_long,
    key: Option<&CStr>,
    value: Option<&CStr>,
) -> nix::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(ptr::null(), CStr::as_ptr);
    let (fd, auxiliary) = (context.as_raw_fd(), 0);
    // SAFETY: each pointer is null or of a string that ends in NUL and outlives the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            fd,
            command,
            pointer(key),
            pointer(value),
            auxiliary,
        )
    };
    Errno::result(done).map(drop)
}

fn descriptor(result: libc::c_long) -> nix::Result<OwnedFd> {
    let fd = Errno::result(result)?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just opened the descriptor for this process alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn c_string(path: &Path) -> nix::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}
