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
    ("kernel/keys/maxkeys", "20000", "crun makes a keyring for each container; 200 are soon used up (moby#22865)"),
    ("kernel/keys/maxbytes", "500000", "keyrings of many containers have room, as for maxkeys"),
    ("kernel/pid_max", "4194304", "pids are not reused within a CI job's life"),
    ("kernel/threads-max", "4194304", "the kernel's number is that of one container on 256 MB and does not except root; a thread's memory counts to its cgroup, and pids.max limits a container"),
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
    ("fs/inotify/max_user_instances", "2147483647", "containers of root share uid 0 with the machine, whose services watch files: the limit is the memory of the cgroup, to which each instance counts"),
    ("fs/inotify/max_user_watches", "2147483647", "as for instances: the kernel's cache of watches counts to cgroups"),
    ("fs/epoll/max_user_watches", "9223372036854775807", "as for inotify: uid 0 without watches left cannot accept an ssh connection, nor start a program in Go such as podman"),
    ("fs/pipe-user-pages-soft", "0", "one container does not make the pipes of the others small; pages of pipes count to cgroups"),
    ("fs/file-max", "9223372036854775807", "bounded by memory, not by a number"),
    ("net/unix/max_dgram_qlen", "512", "programs that log seldom wait for the reader of /dev/log: with the kernel's 10, each handful of messages is a switch to it"),
    ("net/ipv4/ip_forward", "1", "bridges route; netavark sets it later, but other programs need it before"),
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

/// Memory in bytes for each entry of a table of neighbours: an entry takes half a KiB, outside of all cgroups, so
/// that a full table takes a sixteenth of the memory.
const BYTES_PER_NEIGHBOUR: u64 = 8 * 1024;

/// Returns the settings that depend on the memory: path below /proc/sys and value. `now` returns the present value of
/// a setting.
fn by_memory(total_kib: u64, now: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let mut all = vec![(
        "vm/min_free_kbytes".to_owned(),
        min_free(total_kib).to_string(),
    )];
    all.extend(neighbours(total_kib));
    for name in ["net/ipv4/tcp_mem", "net/ipv4/udp_mem"] {
        let limits = now(name).and_then(|limits| socket_memory(total_kib, &limits));
        all.extend(limits.map(|limits| (name.to_owned(), limits)));
    }
    all
}

/// Returns the memory that the kernel keeps free for itself: one percent, in kB. With huge pages
/// the kernel takes 5 % (mm/khugepaged.c, set_recommended_min_free_kbytes): 45 MB of a machine
/// with 1 GB, which no program can use.
fn min_free(total_kib: u64) -> u64 {
    (total_kib / 100).clamp(2_048, 67_584)
}

/// Returns the sizes of the tables of neighbours (arp(7), ip-sysctl.rst). All network namespaces share one table for
/// each family: a container that tries each address of its /16 fills the kernel's 1,024 entries, and the machine then
/// has no entry for its own router. An entry without an answer stays for three seconds.
fn neighbours(total_kib: u64) -> impl Iterator<Item = (String, String)> {
    let most = (total_kib * 1024 / BYTES_PER_NEIGHBOUR).clamp(8_192, 131_072);
    let limits = [("gc_thresh2", most / 2), ("gc_thresh3", most)];
    let tables = ["ipv4", "ipv6"].into_iter();
    tables.flat_map(move |family| {
        limits.map(|(name, limit)| {
            (
                format!("net/{family}/neigh/default/{name}"),
                limit.to_string(),
            )
        })
    })
}

/// Returns the three numbers of pages of `tcp_mem` or `udp_mem` (tcp(7), udp(7)) with all of the memory as the hard
/// limit: beyond this limit the kernel drops packets of every socket, those of ssh and of the name service included,
/// and its own tenth of the memory is less than containers may take. Buffers of sockets count to cgroups, whose limits
/// are lower. The other two numbers, from which on the kernel keeps buffers small, stay.
fn socket_memory(total_kib: u64, limits: &str) -> Option<String> {
    const PAGE_KIB: u64 = 4;
    let mut words = limits.split_whitespace();
    let (low, pressure) = (words.next()?, words.next()?);
    let most = total_kib / PAGE_KIB;
    let is_above = pressure.parse::<u64>().is_ok_and(|pages| pages < most);
    is_above.then(|| format!("{low} {pressure} {most}"))
}

/// Returns the memory of the machine in kB by /proc/meminfo.
fn total(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix(" kB")?.parse().ok()
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
    let now = |name: &str| fs::read_to_string(format!("{SYSCTLS}/{name}")).ok();
    let by_memory = total(&meminfo).map(|kib| by_memory(kib, now));
    for (name, value) in by_memory.unwrap_or_default() {
        let written = fs::write(format!("{SYSCTLS}/{name}"), value);
        written.unwrap_or_else(|e| debug!("sysctl {name}: {e}"));
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
        assert_eq!(total("MemTotal:         990160 kB\n"), Some(990_160));
        assert_eq!(total(""), None);
        for (kib, kept) in [(990_160, 9_901), (64_000, 2_048), (99_999_999, 67_584)] {
            assert_eq!(min_free(kib), kept);
        }
    }

    #[test]
    fn tables_that_all_containers_share_grow_with_the_memory() {
        let of = |kib| by_memory(kib, |_| Some("11103\t14807\t22206\n".to_owned()));
        let value = |kib, name: &str| {
            let mut all = of(kib).into_iter();
            all.find_map(|(other, value)| (other == name).then_some(value))
        };
        // A container's /16 fits from 512 MiB on.
        for (kib, most) in [(220_000, "27500"), (990_160, "123770"), (1 << 30, "131072")] {
            for family in ["ipv4", "ipv6"] {
                let name = format!("net/{family}/neigh/default/gc_thresh3");
                assert_eq!(value(kib, &name).as_deref(), Some(most));
            }
        }
        for name in ["net/ipv4/tcp_mem", "net/ipv4/udp_mem"] {
            let limits = value(990_160, name);
            assert_eq!(limits.as_deref(), Some("11103 14807 247540"));
        }
        assert_eq!(socket_memory(990_160, "1"), None);
        assert_eq!(socket_memory(0, "1 2 3"), None);
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
