// SPDX-License-Identifier: Apache-2.0
//! PID 1 as a process, and as the parent of all others.

use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tests::{Checks, Guest, eventually};

/// Limit of the resident memory in kB, three times the actual size: more would mean that something
/// has grown into PID 1.
const RSS_KB: u64 = 1500;

/// Time limit of actions of PID 1 without a request.
const SOON: Duration = Duration::from_secs(120);

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("PID 1 is small, static and has one thread", || small(guest));
    checks.check("a command starts with clean signals", || signals(guest));
    checks.check("sshd holds nothing of PID 1's", || descriptors(guest));
    checks.check("2000 orphans leave no zombie", || zombies(guest));
    checks.check("a killed sshd comes back, and the log says why", || {
        restart(guest)
    });
}

/// Returns the number after `name` in a /proc/PID/status.
fn number(status: &str, name: &str) -> Result<u64> {
    let line = status
        .lines()
        .find(|line| line.starts_with(name))
        .context(name.to_owned())?;
    line.split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .with_context(|| line.to_owned())
}

fn small(guest: &Guest) -> Result<()> {
    let status = guest.sh("cat /proc/1/status")?;
    let (threads, rss) = (number(&status, "Threads:")?, number(&status, "VmRSS:")?);
    println!("PID 1: {threads} thread, {rss} kB");
    ensure!(threads == 1, "{threads} threads");
    ensure!(rss <= RSS_KB, "{rss} kB resident");
    let maps = guest.sh("grep -c '\\.so' /proc/1/maps || true")?;
    ensure!(maps == "0", "PID 1 has {maps} maps of shared libraries");
    Ok(())
}

fn signals(guest: &Guest) -> Result<()> {
    let masks = guest.sh("grep -E '^Sig(Blk|Ign):' /proc/self/status")?;
    ensure!(
        masks
            .lines()
            .all(|line| line.ends_with("\t0000000000000000")),
        "{masks}"
    );
    Ok(())
}

/// Returns the pid of the listening sshd.
fn listener(guest: &Guest) -> Result<u32> {
    let pids = guest.pids("[listener]")?;
    pids.first().copied().context("no sshd listens")
}

fn descriptors(guest: &Guest) -> Result<()> {
    let pid = listener(guest)?;
    let list = guest.sh(&format!(
        "for f in /proc/{pid}/fd/*; do echo \"${{f##*/}} $(readlink $f)\"; done"
    ))?;
    let stray = |line: &&str| {
        let (fd, target) = line.split_once(' ').unwrap_or((line, ""));
        let known = ["socket:", "pipe:", "/dev/null"]
            .iter()
            .any(|k| target.starts_with(k));
        // A connection that has just ended has no target any more.
        !["0", "1", "2"].contains(&fd) && !known && !target.is_empty()
    };
    let mut stray: Vec<&str> = list.lines().filter(stray).collect();
    // The listener waits for its clients with an epoll of its own; a second one would be PID 1's.
    let epoll = stray
        .iter()
        .position(|l| l.ends_with("anon_inode:[eventpoll]"));
    if let Some(own) = epoll {
        stray.swap_remove(own);
    }
    ensure!(stray.is_empty(), "{stray:?}");
    Ok(())
}

/// Makes an orphan: the child of a subshell that has ended belongs to PID 1.
fn zombies(guest: &Guest) -> Result<()> {
    guest.sh("i=0; while [ $i -lt 2000 ]; do (: &); i=$((i+1)); done")?;
    eventually(SOON, || {
        let left = guest.sh("cat /proc/[0-9]*/status 2>/dev/null | grep -c '^State:.Z' || true")?;
        ensure!(left == "0", "{left} zombies");
        Ok(())
    })
}

fn restart(guest: &Guest) -> Result<()> {
    let before = listener(guest)?;
    // The answer is lost if the connection ends as well.
    let _ = guest.ssh_alone("root", &format!("kill -9 {before}"))?;
    // A process may be seen for a moment after the signal that ends it.
    eventually(SOON, || {
        let after = listener(guest)?;
        ensure!(after != before, "sshd {before} is still there");
        Ok(())
    })?;
    let log = guest.sh("dmesg | grep -i sshd")?;
    let said = log
        .lines()
        .any(|line| line.contains("SIGKILL") || line.contains("signal 9"));
    ensure!(said, "no word on how sshd ended:\n{log}");
    Ok(())
}
