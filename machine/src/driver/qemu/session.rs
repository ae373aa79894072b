// SPDX-License-Identifier: Apache-2.0
//! Programs that outlive the session of the user who starts them, until the keeper ends them.

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// Starts a program that the signals of a logout do not end. systemd sends SIGTERM and SIGHUP to all processes of a
/// session at once (systemd.kill(5)), which would be a power cut for the guest; its keeper gets them, too, and ends it in
/// order. Blocked signals stay blocked over fork(2) and execve(2).
pub(super) fn unsignalled<T>(start: impl FnOnce() -> T) -> Result<T> {
    let mut ends = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        ends.add(signal);
    }
    let before = ends
        .thread_swap_mask(SigmaskHow::SIG_BLOCK)
        .context("block signals")?;
    let done = start();
    before.thread_set_mask().context("unblock signals")?;
    Ok(done)
}
