// SPDX-License-Identifier: Apache-2.0
//! Steps in a new namespace before PID 1 is executed.
//!
//! The parent prepares each step, which the child runs. The child is a copy of one thread of many,
//! and therefore only makes system calls.
#![expect(unsafe_code, reason = "system calls between clone and exec")]

use std::ffi::{CString, c_int};
use std::ptr::null;

/// One step.
#[derive(Debug)]
pub enum Step {
    /// Mounts stay in this namespace.
    Private,
    /// Mount of a file system: type, target, options.
    Mount(CString, CString, CString),
    /// Bind mount: source, target.
    Bind(CString, CString),
    /// New directory.
    Mkdir(CString),
    /// New file: path, content, mode.
    File(CString, Vec<u8>, u32),
    /// Symbolic link: target, path.
    Link(CString, CString),
    /// Change of the working directory.
    Chdir(CString),
    /// pivot_root(2) to the working directory, without the old root.
    Pivot,
}

fn c(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

impl Step {
    /// Keeps mounts in this namespace.
    pub fn private() -> Step {
        Step::Private
    }

    /// Mounts `kind` on `at`.
    pub fn mount(kind: &str, at: &str, options: &str) -> Step {
        Step::Mount(c(kind), c(at), c(options))
    }

    /// Bind-mounts `from` on `to`, which exists.
    pub fn bind(from: &str, to: &str) -> Step {
        Step::Bind(c(from), c(to))
    }

    /// Makes a directory.
    pub fn mkdir(path: &str) -> Step {
        Step::Mkdir(c(path))
    }

    /// Writes a file.
    pub fn file(path: &str, bytes: &[u8], mode: u32) -> Step {
        Step::File(c(path), bytes.to_vec(), mode)
    }

    /// Makes a symbolic link at `path`.
    pub fn link(target: &str, path: &str) -> Step {
        Step::Link(c(target), c(path))
    }

    /// Changes the working directory.
    pub fn chdir(path: &str) -> Step {
        Step::Chdir(c(path))
    }

    /// Runs the step; returns the errno of a failure.
    ///
    /// # Safety
    /// The function only calls the kernel, and may therefore be called after a clone.
    pub(super) unsafe fn run(&self) -> Result<(), c_int> {
        // SAFETY: NUL-terminated strings and live buffers that the parent made.
        let result = unsafe {
            match self {
                Step::Private => {
                    let flags = libc::MS_REC | libc::MS_SLAVE;
                    libc::mount(null(), c"/".as_ptr(), null(), flags, null())
                }
                Step::Mount(kind, at, options) => {
                    let (kind, options) = (kind.as_ptr(), options.as_ptr());
                    libc::mount(kind, at.as_ptr(), kind, 0, options.cast())
                }
                Step::Bind(from, to) => {
                    libc::mount(from.as_ptr(), to.as_ptr(), null(), libc::MS_BIND, null())
                }
                Step::Mkdir(path) => libc::mkdir(path.as_ptr(), 0o755),
                Step::File(path, bytes, mode) => write(path, bytes, *mode),
                Step::Link(target, path) => libc::symlink(target.as_ptr(), path.as_ptr()),
                Step::Chdir(path) => libc::chdir(path.as_ptr()),
                Step::Pivot => pivot(),
            }
        };
        if result < 0 { Err(errno()) } else { Ok(()) }
    }
}

/// Returns the current errno.
pub(super) fn errno() -> c_int {
    // SAFETY: errno belongs to this thread.
    unsafe { *libc::__errno_location() }
}

/// Writes a file.
///
/// # Safety
/// The requirement of [`Step::run`].
unsafe fn write(path: &CString, bytes: &[u8], mode: u32) -> c_int {
    // SAFETY: a live buffer, written piece by piece within its length.
    unsafe {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC;
        let fd = libc::open(path.as_ptr(), flags, mode);
        if fd < 0 {
            return fd;
        }
        let mut left = bytes;
        while !left.is_empty() {
            let n = libc::write(fd, left.as_ptr().cast(), left.len());
            let Some(rest) = usize::try_from(n).ok().and_then(|n| left.get(n..)) else {
                return -1;
            };
            left = rest;
        }
        libc::close(fd)
    }
}

/// Stacks the old root on the new one, and detaches the old root (pivot_root(2)).
///
/// # Safety
/// The requirement of [`Step::run`].
unsafe fn pivot() -> c_int {
    let here = c".".as_ptr();
    // SAFETY: constants.
    unsafe {
        if libc::syscall(libc::SYS_pivot_root, here, here) < 0 {
            return -1;
        }
        if libc::umount2(here, libc::MNT_DETACH) < 0 {
            return -1;
        }
        libc::chdir(c"/".as_ptr())
    }
}

/// Returns true if the caller may map other users.
pub fn am_root() -> bool {
    // SAFETY: no arguments.
    unsafe { libc::geteuid() == 0 }
}
