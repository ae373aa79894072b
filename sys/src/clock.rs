// SPDX-License-Identifier: Apache-2.0
//! The clock of PID 1 and its helpers.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Milliseconds on `CLOCK_BOOTTIME` (clock_gettime(2)), which counts while the machine is suspended.
pub type Millis = u64;

/// Returns the milliseconds on `CLOCK_BOOTTIME`; 0 without such a clock.
#[must_use]
pub fn now() -> Millis {
    since_boot().as_millis().try_into().unwrap_or(0)
}

/// Returns the time since the kernel started (`CLOCK_BOOTTIME`).
#[must_use]
pub fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}
