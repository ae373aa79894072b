// SPDX-License-Identifier: Apache-2.0
//! Wait for one descriptor.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Returns true if `fd` has one of `events`, or an error, within `ms` milliseconds. A signal does
/// not shorten the wait: PID 1 catches those of faults, and poll(2) is never restarted (signal(7)).
pub fn poll_one(fd: BorrowedFd<'_>, events: PollFlags, ms: i32) -> bool {
    let deadline = Instant::now() + Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let mut fds = [PollFd::new(fd, events)];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => {}
            ready => return ready == Ok(1),
        }
    }
}
