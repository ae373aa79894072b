// SPDX-License-Identifier: Apache-2.0
//! Names of services that PID 1 and its helpers both use.

use config::Config;

/// Prefix of the names of console services.
pub const CONSOLE_PREFIX: &str = "console-";

/// Exit status by which a helper reports that another start is of no use (`EX_CONFIG` of sysexits.h).
/// The row of the helper in the table of services declares the status final.
pub const EX_CONFIG: u8 = 78;

/// Returns the number of seconds in which a machine is ready, unless the boot hangs: the time limits of
/// the services that the ready line waits for, one after the other, and a reserve. `waitusb=` counts for
/// the data disk and for the extensions.
#[must_use]
pub fn ready_limit_seconds(config: &Config) -> u64 {
    let slow_disk = config.waitusb.as_ref().map_or(0, |wait| wait.seconds);
    600 + 2 * u64::from(slow_disk)
}

/// Prefix of the names of rescue shells, which `b2p rescue` starts in place of the consoles.
pub const RESCUE_PREFIX: &str = "rescue-";

/// Services that start only if the data disk has files for them, as `b2p data` reports: registries,
/// and the user's scripts.
pub const CONFIGURED_ON_DISK: &[&str] = &[REGISTRIES, "bootsync", "bootlocal"];

/// Service that starts others at set times. `b2p user-services` starts the service if there is a timer.
pub const TIMERS: &str = "timers";

/// Service that runs `podman auto-update` at set times.
pub const AUTO_UPDATE: &str = "auto-update";

/// Name of the service that configures registries from the data disk.
pub const REGISTRIES: &str = "registries";

/// Returns true if a service starts with the machine.
#[must_use]
pub fn starts_at_boot(config: &Config, name: &str) -> bool {
    let by_flag = config.services.iter().find(|(known, _)| known == name);
    let waits_for_request = name.starts_with(RESCUE_PREFIX)
        || CONFIGURED_ON_DISK.contains(&name)
        || [TIMERS, AUTO_UPDATE].contains(&name);
    by_flag.map_or(!waits_for_request, |(_, on)| *on)
}

/// Returns true if a flag turns the service off.
#[must_use]
pub fn is_off(config: &Config, name: &str) -> bool {
    let mut by_flag = config.services.iter();
    by_flag.any(|(known, on)| known == name && !on)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_take_the_names_of_the_control_channel() {
        let (longest, longer) = ("a".repeat(64), "a".repeat(65));
        let names = [
            "a",
            "0-a",
            "-a",
            "A",
            "a_b",
            "console-ttys0",
            &longest,
            &longer,
        ];
        for name in names {
            let line = format!("b2p.off={name}");
            let config = config::parse(line.as_bytes(), &[]).0;
            assert_eq!(
                is_off(&config, name),
                control::Name::is_valid(name),
                "{name}"
            );
        }
    }
}
