// SPDX-License-Identifier: Apache-2.0
//! Names of services that PID 1 and its helpers both use, and the services that do not start at boot.

use config::Config;

use crate::paths::B2P;

/// Prefix of the names of console services.
pub const CONSOLE_PREFIX: &str = "console-";

/// Prefix of the names of rescue shells, which `b2p rescue` starts in place of the consoles.
pub const RESCUE_PREFIX: &str = "rescue-";

/// Service that runs bootlocal.sh of the data disk.
pub const BOOTLOCAL: &str = "bootlocal";

/// Service that runs bootsync.sh of the data disk before podman starts.
pub const BOOTSYNC: &str = "bootsync";

/// Service that starts others at set times. `b2p user-services` starts the service if there is a timer.
pub const TIMERS: &str = "timers";

/// Service that runs `podman auto-update` at set times.
pub const AUTO_UPDATE: &str = "auto-update";

/// Name of the service that configures registries from the data disk.
pub const REGISTRIES: &str = "registries";

/// Applet that is the main process of a service that was made from a unit (a quadlet or a unit file).
pub const UNIT_RUN: &str = "unit-run";

/// Returns true for the command of a service that was made from a unit. The shutdown stops these services first, while
/// their stop commands can still call podman.
#[must_use]
pub fn runs_unit(argv: &[&str]) -> bool {
    argv.starts_with(&[B2P, UNIT_RUN])
}

/// Event that starts a service, unless `b2p.on=` or `b2p.off=` names the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The service starts at boot, after the services in its `after`.
    AtBoot,
    /// The end of `b2p data` starts the service, if the data disk has files for the service.
    WhenDiskHasFiles,
    /// Another program or a person starts the service.
    OnRequest,
}

/// Services that do not start at boot. The table is here, and not in the rows of PID 1's service table, because
/// helpers decide by it as well.
const NOT_AT_BOOT: &[(&str, Start)] = &[
    (REGISTRIES, Start::WhenDiskHasFiles),
    (BOOTSYNC, Start::WhenDiskHasFiles),
    (BOOTLOCAL, Start::WhenDiskHasFiles),
    (TIMERS, Start::OnRequest),
    (AUTO_UPDATE, Start::OnRequest),
];

/// Returns the event that starts a service of this name, unless a flag names the service.
#[must_use]
pub fn start_of(name: &str) -> Start {
    let row = NOT_AT_BOOT.iter().find(|(known, _)| *known == name);
    match row {
        Some((_, start)) => *start,
        None if name.starts_with(RESCUE_PREFIX) => Start::OnRequest,
        None => Start::AtBoot,
    }
}

/// Returns the names of the services that start if the data disk has files for them.
pub fn configured_on_disk() -> impl Iterator<Item = &'static str> {
    let rows = NOT_AT_BOOT.iter();
    rows.filter(|(_, start)| *start == Start::WhenDiskHasFiles)
        .map(|(name, _)| *name)
}

/// Returns true if a service starts with the machine.
#[must_use]
pub fn starts_at_boot(config: &Config, name: &str) -> bool {
    let by_flag = config.services.iter().find(|(known, _)| known == name);
    by_flag.map_or(start_of(name) == Start::AtBoot, |(_, on)| *on)
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
    fn a_flag_overrides_the_table_of_starts() {
        let starts = |line: &[u8], name: &str| starts_at_boot(&config::parse(line, &[]).0, name);
        assert!(starts(b"", "net") && !starts(b"b2p.off=net", "net"));
        for name in [BOOTSYNC, TIMERS, "rescue-ttys0"] {
            let line = format!("b2p.on={name}");
            assert!(
                !starts(b"", name) && starts(line.as_bytes(), name),
                "{name}"
            );
        }
        let on_disk: Vec<_> = configured_on_disk().collect();
        assert_eq!(on_disk, [REGISTRIES, BOOTSYNC, BOOTLOCAL]);
    }

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
