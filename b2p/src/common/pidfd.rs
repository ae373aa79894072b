// SPDX-License-Identifier: Apache-2.0
//! Waiting for processes without reaping them.
#![expect(
    unsafe_code,
    reason = "nix has no wrapper for pidfd_open(2) and pidfd_getfd(2)"
)]

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Returns a descriptor that becomes readable when the process ends (pidfd_open(2)), or
/// `None` if there is no such process.
#[must_use]
pub fn open(pid: i32) -> Option<OwnedFd> {
    // SAFETY: integers only; a number is owned once it is known to be a descriptor.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Returns a copy of a descriptor of another process (pidfd_getfd(2)).
#[must_use]
pub fn descriptor_of(process: &OwnedFd, number: i32) -> Option<OwnedFd> {
    // SAFETY: integers only; a number is owned once it is known to be a descriptor.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Waits until the child `pid` has ended, for at most `limit`, and returns true if the child has
/// ended. The child is not reaped.
#[must_use]
pub fn ended_within(pid: u32, limit: Duration) -> bool {
    let Some(fd) = open(pid.cast_signed()) else {
        return true; // The wait(2) that follows reports the fault.
    };
    let deadline = Instant::now() + limit;
    loop {
        let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
        let left = deadline.saturating_duration_since(Instant::now());
        let left = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        match poll(&mut fds, timeout) {
            Ok(ready) => return ready > 0,
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}
