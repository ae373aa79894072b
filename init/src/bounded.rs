// SPDX-License-Identifier: Apache-2.0
//! System calls with a time limit.

use nix::errno::Errno;
use sys::syscall;

/// Runs `call` in a child for at most `ms` milliseconds. A child that has not ended by then is
/// killed, which has no effect while it is inside a call that hangs, and is left behind.
///
/// # Errors
/// The errno of `call`, which is the child's exit status; ETIMEDOUT after `ms` milliseconds;
/// EAGAIN if there is no memory for a child; ECHILD if a signal has ended it.
pub fn bounded(ms: i32, call: impl FnOnce() -> nix::Result<()>) -> nix::Result<()> {
    let work = || {
        if let Err(errno) = call() {
            syscall::exit(errno as i32)
        }
    };
    let child = syscall::in_child(work).ok_or(Errno::EAGAIN)?;
    if !child.exited_within(ms) {
        child.kill();
        return Err(Errno::ETIMEDOUT);
    }
    match child.exit_status() {
        Some(0) => Ok(()),
        Some(errno) => Err(Errno::from_raw(errno)),
        None => Err(Errno::ECHILD),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bounded_call_gives_its_errno_or_gives_up() {
        assert_eq!(bounded(5_000, || Ok(())), Ok(()));
        assert_eq!(bounded(5_000, || Err(Errno::EBUSY)), Err(Errno::EBUSY));
        let slow = || {
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        };
        assert_eq!(bounded(50, slow), Err(Errno::ETIMEDOUT));
    }
}
