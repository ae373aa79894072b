// SPDX-License-Identifier: Apache-2.0
//! Steps of the system clock by any process, as the kernel reports them (timerfd_create(2),
//! `TFD_TIMER_CANCEL_ON_SET`).

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// Time of the timer, in seconds since 1970: a year in which the kernel's clock has ended
/// (`KTIME_MAX`).
const NEVER: i64 = 1 << 34;

/// A timer that is cancelled by a step of the clock.
pub struct ClockChanges(TimerFd);

impl ClockChanges {
    /// Starts to watch.
    ///
    /// # Errors
    /// The errno of timerfd_create(2) or timerfd_settime(2).
    pub fn watch() -> nix::Result<ClockChanges> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_REALTIME, flags)?;
        let never = Expiration::OneShot(TimeSpec::new(NEVER, 0));
        let on_set = TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        timer.set(never, TimerSetTimeFlags::TFD_TIMER_ABSTIME | on_set)?;
        Ok(ClockChanges(timer))
    }

    /// Descriptor that is readable after a step.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Returns true if the clock was stepped since the last call.
    pub fn were_seen(&self) -> bool {
        let mut count = [0; 8];
        nix::unistd::read(&self.0, &mut count) == Err(Errno::ECANCELED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test cannot step the clock; a machine is where that is tested.
    #[test]
    fn a_clock_without_steps_reports_no_change() {
        let changes = ClockChanges::watch().expect("a timer");
        assert!(!changes.were_seen());
    }
}
