// SPDX-License-Identifier: Apache-2.0
//! Kernel settings that differ from the kernel's defaults.

use std::fs;
use std::io::ErrorKind;

use log::debug;
use nix::sys::statfs::statfs;
use nix::sys::statvfs::FsFlags;
use sys::error::{Doing, Error, Result};

/// Path below /proc/sys, value, reason.
#[rustfmt::skip]
const SETTINGS: &[(&str, &str, &str)] = &[
    ("kernel/panic", "10", "a VM whose kernel panics restarts instead of hanging; the message stays readable for 10 s"),
    ("kernel/panic_on_oops", "1", "a kernel that has oopsed may hold locks for ever, or have lost memory: it restarts too"),
    ("kernel/modprobe", "/sbin/modprobe", "the kernel asks PID 1's own binary for modules"),
    ("kernel/core_pattern", "core", "a process that raises RLIMIT_CORE, which is 0, leaves its core in its own directory, and no helper runs as root for it"),
    ("kernel/core_uses_pid", "0", "the next core replaces the one before: a process that crashes again and again fills nothing"),
    ("fs/suid_dumpable", "0", "a program that has changed its user leaves no core (core(5))"),
    ("kernel/keys/maxkeys", "20000", "crun takes a keyring per container; 200 is soon used up (moby#22865)"),
    ("kernel/keys/maxbytes", "500000", "keyrings of many containers have room, as for maxkeys"),
    ("kernel/pid_max", "4194304", "pids are not reused within a CI job's life"),
    ("kernel/kptr_restrict", "1", "addresses of the kernel are for CAP_SYSLOG alone; 2 would hide them from perf and bpftrace of root as well"),
    ("kernel/yama/ptrace_scope", "1", "a process attaches to its descendants alone, so that one that was taken over does not read a neighbour's keys; gdb, strace and dlv start their program as before, and to attach is CAP_SYS_PTRACE (podman run --cap-add)"),
    ("kernel/sysrq", "144", "keys and serial break may sync (16) and reboot (128), not show memory or kill; /proc/sysrq-trigger is root's and does all (sysrq.rst)"),
    ("kernel/kexec_load_disabled", "1", "nothing in the machine uses kexec; root cannot start a kernel past the boot menu until the next boot"),
    ("fs/protected_fifos", "1", "a fifo that another user has left in a directory such as /tmp is not opened by O_CREAT (proc_sys_fs(5))"),
    ("fs/protected_regular", "2", "a file that another user has left in such a directory, or in one that only a group may write to, is not opened by O_CREAT"),
    ("net/core/bpf_jit_harden", "1", "constants in programs of unprivileged users are blinded; 2 would slow those of root's tools"),
    ("dev/tty/ldisc_autoload", "0", "opening a terminal loads no line discipline, a source of faults that every user can reach"),
    ("vm/max_map_count", "1048576", "databases in containers ask for it and cannot set it there"),
    ("vm/overcommit_memory", "1", "redis and fork-heavy programs in a small VM; limits are the cgroups' work"),
    ("fs/inotify/max_user_instances", "524288", "as podman machine sets it; file watchers in many containers share one user"),
    ("fs/inotify/max_user_watches", "524288", "as podman machine sets it; file watchers in many containers share one user"),
    ("fs/file-max", "9223372036854775807", "bounded by memory, not by a number"),
    ("net/unix/max_dgram_qlen", "512", "programs that log seldom wait for the reader of /dev/log: with the kernel's 10, each handful of messages is a switch to it"),
    ("net/ipv4/ip_forward", "1", "bridges route; netavark sets it later, we set it before anything counts on it"),
    ("net/ipv6/conf/all/forwarding", "1", "bridges route IPv6"),
    ("net/ipv6/conf/default/accept_ra", "0", "a container must not be the machine's router (CVE-2020-13401): b2p net turns it on for each card"),
    ("net/ipv6/conf/default/accept_redirects", "0", "a neighbour or a container does not change the machine's routes by ICMPv6"),
    ("net/ipv4/conf/all/accept_redirects", "0", "a neighbour or a container does not change the machine's routes by ICMP"),
    ("net/ipv4/conf/default/accept_redirects", "0", "an interface that appears later accepts no redirects either"),
    ("net/ipv4/conf/all/send_redirects", "0", "the machine is the router of its containers, which have no other way"),
    ("net/ipv4/conf/default/send_redirects", "0", "the kernel sends redirects if either setting says so"),
    ("net/ipv4/conf/default/accept_source_route", "0", "no sender chooses the way of its packets"),
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

/// Path of the settings.
const SYSCTLS: &str = "/proc/sys";

/// Returns true if no setting can be written: engines mount the settings read-only in a container.
#[must_use]
pub fn are_read_only() -> bool {
    statfs(SYSCTLS).is_ok_and(|fs| fs.flags().contains(FsFlags::ST_RDONLY))
}

/// Writes every setting that the kernel has.
///
/// # Errors
/// The kernel refuses settings.
pub fn apply() -> Result<()> {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    if let Some(kib) = min_free_kbytes(&meminfo) {
        let _ = fs::write(format!("{SYSCTLS}/vm/min_free_kbytes"), kib.to_string());
    }
    let mut errors = Vec::new();
    for (name, value, why) in SETTINGS {
        match fs::write(format!("{SYSCTLS}/{name}"), value) {
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
