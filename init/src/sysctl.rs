// SPDX-License-Identifier: Apache-2.0
//! Kernel settings that differ from the kernel's defaults.

use std::fs;
use std::io::ErrorKind;

use log::debug;
use sys::error::{Doing, Error, Result};

/// Path below /proc/sys, value, reason.
#[rustfmt::skip]
const SETTINGS: &[(&str, &str, &str)] = &[
    ("kernel/panic", "10", "a VM whose kernel panics restarts instead of hanging; the message stays readable for 10 s"),
    ("kernel/modprobe", "/sbin/modprobe", "the kernel asks PID 1's own binary for modules"),
    ("kernel/core_pattern", "core", "a crash in a container leaves its core in the container, and no helper runs as root for it"),
    ("kernel/keys/maxkeys", "20000", "crun takes a keyring per container; 200 is soon used up (moby#22865)"),
    ("kernel/keys/maxbytes", "500000", "the same"),
    ("kernel/pid_max", "4194304", "pids are not reused within a CI job's life"),
    ("vm/max_map_count", "1048576", "databases in containers ask for it and cannot set it there"),
    ("vm/overcommit_memory", "1", "redis and fork-heavy programs in a small VM; limits are the cgroups' work"),
    ("fs/inotify/max_user_instances", "524288", "as podman machine sets it; file watchers in many containers share one user"),
    ("fs/inotify/max_user_watches", "524288", "the same"),
    ("fs/file-max", "9223372036854775807", "bounded by memory, not by a number"),
    ("net/ipv4/ip_forward", "1", "bridges route; netavark sets it later, we set it before anything counts on it"),
    ("net/ipv6/conf/all/forwarding", "1", "the same for IPv6 networks"),
    ("net/ipv6/conf/all/accept_ra", "2", "router advertisements are still heard while forwarding (ip-sysctl.rst)"),
    ("net/ipv6/conf/default/accept_ra", "2", "the same for interfaces to come"),
    ("net/ipv4/ping_group_range", "0 2147483647", "ping in rootless containers"),
    ("net/ipv4/ip_unprivileged_port_start", "80", "core publishes web ports rootless"),
    ("user/max_user_namespaces", "65536", "rootless containers"),
];

/// Returns the memory that the kernel keeps free for itself: one percent, in kB. With huge pages
/// the kernel takes 5 % (mm/khugepaged.c, set_recommended_min_free_kbytes): 45 MB of a machine
/// with 1 GB, which no program can use.
fn min_free_kbytes(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix(" kB")?.parse().ok()?;
    Some((kib / 100).clamp(2_048, 67_584))
}

/// Writes every setting that the kernel has.
///
/// # Errors
/// The kernel refuses settings.
pub fn apply() -> Result<()> {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    if let Some(kib) = min_free_kbytes(&meminfo) {
        let _ = fs::write("/proc/sys/vm/min_free_kbytes", kib.to_string());
    }
    let mut errors = Vec::new();
    for (name, value, why) in SETTINGS {
        match fs::write(format!("/proc/sys/{name}"), value) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                debug!("sysctl {name}: not in this kernel");
            }
            written => errors.extend(written.doing(format!("{name}={value} ({why})")).err()),
        }
    }
    Error::join(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_percent_is_kept_free() {
        assert_eq!(
            min_free_kbytes("MemTotal:         990160 kB\n"),
            Some(9_901)
        );
        assert_eq!(min_free_kbytes("MemTotal: 64000 kB\n"), Some(2_048));
        assert_eq!(min_free_kbytes("MemTotal: 99999999 kB\n"), Some(67_584));
        assert_eq!(min_free_kbytes(""), None);
    }

    #[test]
    fn every_setting_says_why_and_is_there_once() {
        for (at, (name, value, why)) in SETTINGS.iter().enumerate() {
            assert!(!value.is_empty() && !why.is_empty(), "{name}");
            assert!(!name.starts_with('/') && !name.contains('.'), "{name}");
            assert!(
                SETTINGS[..at].iter().all(|(other, ..)| other != name),
                "{name}"
            );
        }
    }
}
