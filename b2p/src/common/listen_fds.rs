// SPDX-License-Identifier: Apache-2.0
//! The socket that PID 1 passes to a service (sd_listen_fds(3)).
#![expect(unsafe_code, reason = "a descriptor known by its number only")]

use std::os::fd::{FromRawFd, OwnedFd};

/// Number of the first descriptor that is passed (`SD_LISTEN_FDS_START`).
const FIRST: i32 = 3;

/// Returns descriptor 3 if `LISTEN_PID` and `LISTEN_FDS` say that this process was given
/// exactly one. May be called once: the descriptor has one owner.
#[must_use]
pub fn inherited_socket() -> Option<OwnedFd> {
    let own_pid = std::process::id().to_string();
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|v| v == value);
    let passed = is("LISTEN_PID", &own_pid) && is("LISTEN_FDS", "1");
    // SAFETY: nothing has been opened as 3 by this process: the descriptor was open when it
    // was started, as LISTEN_FDS says, nobody else owns it, and it is taken once.
    passed.then(|| unsafe { OwnedFd::from_raw_fd(FIRST) })
}
