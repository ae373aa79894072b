//! The clock of PID 1 and its helpers.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Milliseconds on `CLOCK_BOOTTIME` (clock_gettime(2)).
pub type Millis = u64;

/// Milliseconds on `CLOCK_BOOTTIME`; 0 if there were no such clock.
#[must_use]
pub fn now() -> Millis {
    since_boot().as_millis().try_into().unwrap_or(0)
}

/// The time since the kernel started (`CLOCK_BOOTTIME`).
#[must_use]
pub fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}
