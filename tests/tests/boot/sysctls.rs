// SPDX-License-Identifier: Apache-2.0
//! Kernel settings that are in force in the running machine.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use tests::{Checks, Guest};

/// Path below /proc/sys and value: the machine's own settings, and defaults of Debian's kernel that
/// the machine depends on.
const IN_FORCE: &[(&str, &str)] = &[
    ("dev/tty/ldisc_autoload", "0"),
    ("dev/tty/legacy_tiocsti", "0"),
    ("fs/epoll/max_user_watches", "9223372036854775807"),
    ("fs/inotify/max_user_instances", "2147483647"),
    ("fs/inotify/max_user_watches", "2147483647"),
    ("fs/pipe-user-pages-soft", "0"),
    ("fs/protected_fifos", "1"),
    ("fs/protected_hardlinks", "1"),
    ("fs/protected_regular", "2"),
    ("fs/protected_symlinks", "1"),
    ("fs/suid_dumpable", "0"),
    ("kernel/core_pattern", "core"),
    ("kernel/core_uses_pid", "0"),
    ("kernel/dmesg_restrict", "1"),
    ("kernel/kexec_load_disabled", "1"),
    ("kernel/kptr_restrict", "1"),
    ("kernel/modprobe", "/sbin/modprobe"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/perf_event_paranoid", "3"),
    ("kernel/sysrq", "144"),
    ("kernel/threads-max", "4194304"),
    ("kernel/unprivileged_bpf_disabled", "2"),
    ("kernel/yama/ptrace_scope", "1"),
    ("net/core/bpf_jit_harden", "1"),
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv4/ping_group_range", "0 2147483647"),
    ("net/ipv4/tcp_syncookies", "1"),
    ("net/unix/max_dgram_qlen", "512"),
    ("vm/unprivileged_userfaultfd", "0"),
];

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("sysctls", || in_force(guest));
    checks.check("a process that crashes leaves no core", || no_core(guest));
    checks.check("a program may trace its own child", || traces(guest));
}

fn in_force(guest: &Guest) -> Result<()> {
    let names: Vec<&str> = IN_FORCE.iter().map(|(name, _)| *name).collect();
    let said = guest.sh(&format!("cd /proc/sys && grep -H '' {}", names.join(" ")))?;
    let lines = said.lines().map(|line| line.split_once(':'));
    let values: BTreeMap<&str, &str> = lines.collect::<Option<_>>().context("no colon")?;
    for (name, wanted) in IN_FORCE {
        let got = values.get(name).map(|value| value.replace('\t', " "));
        ensure!(
            got.as_deref() == Some(wanted),
            "{name}: {got:?}, not {wanted}"
        );
    }
    // The machine has 1 GB: a container's /16 fits into the tables of neighbours, which all share.
    let tables = "cd /proc/sys/net && cat ipv[46]/neigh/default/gc_thresh3";
    let said = guest.sh(tables)?;
    let sizes: Vec<u32> = said.lines().filter_map(|line| line.parse().ok()).collect();
    ensure!(
        sizes.len() == 2 && sizes.iter().all(|n| *n > 65_536),
        "{said}"
    );
    // The hard limits of the memory of sockets are above what containers may take.
    let limits = "cd /proc/sys/net/ipv4 && awk '{ print $3 * 4096 }' tcp_mem udp_mem; \
                  cat /sys/fs/cgroup/libpod_parent/memory.max";
    let said = guest.sh(limits)?;
    let bytes: Vec<u64> = said.lines().filter_map(|line| line.parse().ok()).collect();
    ensure!(
        bytes.len() == 3 && bytes[0].min(bytes[1]) > bytes[2],
        "{said}"
    );
    Ok(())
}

/// Crashes a process with the limit that sessions have, then twice with a limit that was raised:
/// the second core replaces the first.
fn no_core(guest: &Guest) -> Result<()> {
    for user in ["root", "core"] {
        let crash = "cd $(mktemp -d) && ulimit -S -c; sh -c 'kill -SEGV $$'; ls";
        let said = guest.sh_as(user, crash)?;
        ensure!(said == "0", "{user}: {said}");
        let raised = "cd $(mktemp -d) && ulimit -S -c unlimited; \
                      for i in 1 2; do sh -c 'kill -SEGV $$'; done; ls";
        let said = guest.sh_as(user, raised)?;
        ensure!(said == "core", "{user}: {said}");
    }
    Ok(())
}

/// Expects the rights that a debugger needs of Yama: the status of a descendant, but not of a
/// stranger.
fn traces(guest: &Guest) -> Result<()> {
    let child = "sleep 100 & : </proc/$!/mem && echo read; kill $!";
    let said = guest.sh_as("core", child)?;
    ensure!(said == "read", "{said}");
    let stranger = "sleep 100 & sh -c \": </proc/$!/mem\" 2>&1; kill $!";
    let said = guest.sh_as("core", stranger)?;
    ensure!(said.contains("ermission denied"), "{said}");
    Ok(())
}
