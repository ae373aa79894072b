// SPDX-License-Identifier: Apache-2.0
//! Descriptors of PID 1 at its start: the standard ones, and those that a crashed execution leaves to the
//! next one.
#![expect(
    unsafe_code,
    reason = "descriptors by their numbers, without allocation"
)]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Files that stand in for a standard descriptor that is closed, the best first. A directory can
/// always be opened, and reads and writes of it fail at once.
const STANDARD_FALLBACKS: [(&CStr, libc::c_int); 3] = [
    (
        c"/dev/console",
        libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK,
    ),
    (c"/dev/null", libc::O_RDWR),
    (c"/", libc::O_RDONLY),
];
/// Descriptor of the file with the saved state ([`crate::saved_state`]), which the next execution
/// inherits.
pub const STATE_FD: libc::c_int = 200;
/// Descriptors below this number are examined: pipes among them are inherited.
const MAX_DESCRIPTORS: libc::c_int = 1024;

/// Opens those of the descriptors 0, 1 and 2 that are closed. Otherwise the next file that is
/// opened would become the output of a program (s6-linux-init opens them as well).
pub fn open_standard() {
    for fd in 0..3 {
        // SAFETY: constants. The lowest free descriptor is `fd`.
        unsafe {
            if libc::fcntl(fd, libc::F_GETFD) >= 0 {
                continue;
            }
            let mut fallbacks = STANDARD_FALLBACKS.iter();
            while let Some((path, flags)) = fallbacks.next()
                && libc::open(path.as_ptr(), *flags) < 0
            {}
        }
    }
}

/// Lets the next execution inherit the saved state and all pipes: without a reader, a write would kill the services
/// (SIGPIPE, pipe(7)).
pub(super) fn keep_descriptors() {
    for fd in 3..MAX_DESCRIPTORS {
        // SAFETY: integers, and a structure that lives here.
        unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            let is_pipe =
                libc::fstat(fd, &raw mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFIFO;
            if is_pipe || fd == STATE_FD {
                libc::fcntl(fd, libc::F_SETFD, 0);
            }
        }
    }
}

/// Gives the file of the saved state the number by which the next execution finds the file; `None` if no
/// descriptor can have that number.
#[must_use]
pub fn keep_state(file: OwnedFd) -> Option<OwnedFd> {
    // SAFETY: integers. A new descriptor of dup3(2) has no owner yet.
    unsafe {
        let is_free = libc::fcntl(STATE_FD, libc::F_GETFD) < 0;
        let made = is_free && libc::dup3(file.as_raw_fd(), STATE_FD, libc::O_CLOEXEC) >= 0;
        made.then(|| OwnedFd::from_raw_fd(STATE_FD))
    }
}

/// Returns the descriptors that the earlier execution has left, close-on-exec again. The function is called before
/// this execution opens a descriptor that is not close-on-exec.
#[must_use]
pub fn inherited() -> Vec<OwnedFd> {
    // SAFETY: integers. Every descriptor of this program is close-on-exec, so any other descriptor
    // has no owner yet.
    let take = |fd| unsafe {
        let is_inherited = libc::fcntl(fd, libc::F_GETFD) == 0;
        is_inherited.then(|| {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
            OwnedFd::from_raw_fd(fd)
        })
    };
    (3..MAX_DESCRIPTORS).filter_map(take).collect()
}
