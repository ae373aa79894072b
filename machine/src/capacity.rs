// SPDX-License-Identifier: Apache-2.0
//! Capacity of this host, which bounds that of a machine.

use std::fmt;

/// Resource of the host, with its unit, which is less than was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostTooSmall(u64, &'static str);

impl fmt::Display for HostTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this host has {} {}, which is the most", self.0, self.1)
    }
}

/// Returns the memory of this host in MiB, where it is known.
pub fn host_mib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib >> 10)
}

/// Refuses more memory than the host has: QEMU would not start, or be killed.
pub fn fits_host(mib: u32, host: Option<u64>) -> Result<(), HostTooSmall> {
    match host {
        Some(host) if u64::from(mib) > host => Err(HostTooSmall(host, "MiB")),
        _ => Ok(()),
    }
}

/// Returns the number of processors of this host. The limit of a control group is not counted: it makes a machine slow,
/// and does not prevent its start.
pub fn host_cpus() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with("processor"));
    match lines.count() as u64 {
        0 => std::thread::available_parallelism()
            .ok()
            .map(|number| number.get() as u64),
        number => Some(number),
    }
}

/// Refuses more processors than the host has: QEMU and KVM have limits of their own, which a start would meet later.
pub fn has_cpus(cpus: u32, host: Option<u64>) -> Result<(), HostTooSmall> {
    match host {
        Some(host) if u64::from(cpus) > host => Err(HostTooSmall(host, "processors")),
        _ => Ok(()),
    }
}

/// Returns the processors for a driver's flag of docker-machine: its drivers take more than the host has.
pub fn within_host(text: &str, host: Option<u64>) -> String {
    match (text.parse::<u64>(), host) {
        (Ok(number), Some(host)) if number > host => {
            eprintln!(
                "{number} processors are asked for: the machine gets {host}, as many as this host has"
            );
            host.to_string()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_drivers_are_bounded_by_the_host() {
        for (text, host, expected) in [
            ("8", Some(2), "2"),
            ("2", Some(2), "2"),
            ("8", None, "8"),
            ("x", Some(2), "x"),
        ] {
            assert_eq!(within_host(text, host), expected);
        }
    }

    #[test]
    fn no_machine_has_more_than_its_host() {
        for (mib, host, right) in [
            (2048, Some(2048), true),
            (2049, Some(2048), false),
            (u32::MAX, Some(2048), false),
            (u32::MAX, None, true),
        ] {
            assert_eq!(fits_host(mib, host).is_ok(), right, "{mib} {host:?}");
            assert_eq!(has_cpus(mib, host).is_ok(), right, "{mib} {host:?}");
        }
    }
}
