// SPDX-License-Identifier: Apache-2.0
//! Time in which a machine is ready.

use config::Config;

/// Time limits of the services that the ready line waits for, one after the other, and a reserve. A test of PID 1's
/// service table (`the_limit_of_a_trial_exceeds_the_longest_gate`) adds up the limits.
const GATES_SECONDS: u64 = 600;

/// Returns the number of seconds in which a machine is ready, unless the boot hangs. `waitusb=` counts for the data disk
/// and for the extensions.
#[must_use]
pub fn ready_limit_seconds(config: &Config) -> u64 {
    let slow_disk = config.waitusb.as_ref().map_or(0, |wait| wait.seconds);
    GATES_SECONDS + 2 * u64::from(slow_disk)
}
