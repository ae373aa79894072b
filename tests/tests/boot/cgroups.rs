// SPDX-License-Identifier: Apache-2.0
//! Control groups: each process is in a leaf.

use anyhow::{Context, Result, ensure};
use tests::{Checks, Guest};

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("controllers are delegated", || delegated(guest));
    checks.check("no process is in the root group", || rooted(guest));
    checks.check("PID 1 and sshd are each in their own leaf", || {
        leaves(guest)
    });
}

fn delegated(guest: &Guest) -> Result<()> {
    let on = guest.sh("cat /sys/fs/cgroup/cgroup.subtree_control")?;
    for controller in ["cpu", "memory", "pids", "io"] {
        ensure!(
            on.split(' ').any(|c| c == controller),
            "{controller} is not in {on:?}"
        );
    }
    Ok(())
}

struct Process {
    pid: u32,
    group: String,
    command: String,
}

/// Returns all processes except kernel threads, which have no executable.
fn processes(guest: &Guest) -> Result<Vec<Process>> {
    let script = "for p in /proc/[0-9]*; do readlink $p/exe >/dev/null 2>&1 || continue
        echo \"${p#/proc/} $(sed -n 's/^0:://p' $p/cgroup 2>/dev/null) $(tr '\\0' ' ' <$p/cmdline 2>/dev/null)\"; done";
    let parse = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let pid = words.next()?.parse().ok()?;
        let group = words
            .next()
            .filter(|group| group.starts_with('/'))?
            .to_owned();
        Some(Process {
            pid,
            group,
            command: words.next().unwrap_or_default().to_owned(),
        })
    };
    Ok(guest.sh(script)?.lines().filter_map(parse).collect())
}

fn rooted(guest: &Guest) -> Result<()> {
    let all = processes(guest)?;
    ensure!(all.len() > 2, "only {} processes?", all.len());
    let bad: Vec<_> = all
        .iter()
        .filter(|p| p.group == "/")
        .map(|p| (p.pid, &p.command))
        .collect();
    ensure!(bad.is_empty(), "in the root group: {bad:?}");
    Ok(())
}

fn leaves(guest: &Guest) -> Result<()> {
    let all = processes(guest)?;
    let init = all
        .iter()
        .find(|p| p.pid == 1)
        .context("PID 1 is not there")?;
    let with: Vec<u32> = all
        .iter()
        .filter(|p| p.group == init.group)
        .map(|p| p.pid)
        .collect();
    ensure!(with == [1], "{with:?} are with PID 1 in {}", init.group);
    let sshd = all
        .iter()
        .find(|p| p.command.contains("sshd") && p.command.contains("[listener]"));
    let sshd = sshd.context("no sshd listens")?;
    ensure!(sshd.group == "/system/sshd", "sshd is in {}", sshd.group);
    let limits = guest.sh("cd /sys/fs/cgroup/system/sshd && cat pids.max memory.max")?;
    let are_numbers = limits.lines().all(|limit| limit.parse::<u64>().is_ok());
    ensure!(are_numbers && limits.lines().count() == 2, "{limits}");
    // Sessions are their users'.
    let others = all
        .iter()
        .filter(|p| p.group == sshd.group && p.command.contains("[priv]"));
    ensure!(others.count() == 0, "sessions are counted to sshd");
    Ok(())
}
