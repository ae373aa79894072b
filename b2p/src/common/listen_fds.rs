// SPDX-License-Identifier: Apache-2.0
//! The socket that PID 1 passes to a service (sd_listen_fds(3)).
#![expect(unsafe_code, reason = "a descriptor known by its number only")]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Number of the first descriptor that is passed (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// Returns descriptor 3 if, by `LISTEN_PID` and `LISTEN_FDS`, this process was given
/// exactly one. The function may be called once, because the descriptor has one owner. Programs that this process
/// starts do not inherit the descriptor: some run as other users, and could accept clients in place of this process.
#[must_use]
pub fn inherited_socket() -> Option<OwnedFd> {
    let own_pid = std::process::id().to_string();
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|v| v == value);
    let passed = is("LISTEN_PID", &own_pid) && is("LISTEN_FDS", "1");
    // SAFETY: the descriptor was open when this process was started (LISTEN_FDS), has no other owner, and is taken
    // once.
    passed.then(|| unsafe { take(FIRST) })?
}

/// Takes a descriptor by its number and makes it close-on-exec; `None` for a closed one.
///
/// # Safety
/// The descriptor has no other owner.
unsafe fn take(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: integers; then a descriptor that is open, and has no other owner (the requirement of this function).
    unsafe {
        let is_open = libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) == 0;
        is_open.then(|| OwnedFd::from_raw_fd(number))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn programs_that_are_started_later_do_not_inherit_the_socket() {
        // SAFETY: dup(2) makes a descriptor without an owner, which execve(2) would keep.
        let (taken, closed) = unsafe { (take(libc::dup(0)), take(-1)) };
        let taken = taken.unwrap();
        // SAFETY: integers.
        let flags = unsafe { libc::fcntl(taken.as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags, libc::FD_CLOEXEC);
        assert!(closed.is_none());
    }
}
