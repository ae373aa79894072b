// SPDX-License-Identifier: Apache-2.0
//! Users' services that do not behave, and files with mistakes.

use super::own::{GOOD, ticks};
use super::{SOON, file, pid, said, says, service};
use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tests::{Checks, Guest, eventually};

/// A service whose children ignore SIGTERM and have sessions of their own.
const TREE: &str = "\
exec /bin/bash -c 'for i in 1 2 3; do (trap \"\" TERM; setsid sleep 4321 & setsid sleep 4321 & sleep 4321) & done; exec sleep 4320'
grace 1s
";

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("a service that is never ready becomes late", || {
        never_ready(guest)
    });
    checks.check("a crash loop costs little processor time", || {
        crashes(guest)
    });
    checks.check("a service that ignores SIGTERM is killed", || deaf(guest));
    checks.check("nothing of a group is left", || tree(guest));
    checks.check("files with mistakes", || mistakes(guest));
    checks.check("a script of Windows is named", || windows(guest));
    checks.check("a name of the machine's is refused", || taken(guest));
    checks.check("a restart with a mistake stops nothing", || spoilt(guest));
}

fn never_ready(guest: &Guest) -> Result<()> {
    file(
        guest,
        "mute",
        "exec /bin/sleep 4300\nready notify\nlate 1s\n",
    )?;
    says(guest, "b2p start mute", 1, &["mute: still starting after "])?;
    guest.sh("dmesg | grep 'boot2podman: mute: still not ready'")?;
    ensure!(
        service(guest, "mute")?["state"] == "starting",
        "it is left to go on"
    );
    says(guest, "b2p stop mute", 0, &["stopped"]).map(drop)
}

fn crashes(guest: &Guest) -> Result<()> {
    // podman's status for any error: only a service that declares it final does not start again (no-use).
    let crash = "exec /bin/sh -c 'exit 125'\nready exit\n";
    file(guest, "crash", crash)?;
    says(
        guest,
        "b2p start crash",
        1,
        &["crash: exited with status 125; it is started again"],
    )?;
    let log = eventually(SOON, || guest.sh("dmesg | grep 'crash: 8 starts in a row'"))?;
    ensure!(log.lines().count() == 1, "{log}");
    let before = ticks(guest)?;
    std::thread::sleep(Duration::from_secs(10));
    let used = ticks(guest)? - before;
    println!("PID 1: {used} ticks in 10 s beside a crash loop");
    ensure!(used < 300, "{used} ticks");
    // For a moment after each delay, the service runs.
    let all = eventually(SOON, || {
        let all = service(guest, "crash")?;
        ensure!(all["state"] == "delayed", "{all}");
        Ok(all)
    })?;
    let restarts = all["restarts"].as_u64();
    ensure!(restarts.is_some_and(|n| (7..=14).contains(&n)), "{all}");
    ensure!(all["last"]["exited"] == 125, "{all}");
    let words = ["crash", "delayed", "exit 125"];
    eventually(SOON, || says(guest, "b2p status", 0, &words))?;
    // A stop takes precedence over a delay.
    says(guest, "b2p stop crash", 0, &["crash: "])?;
    ensure!(service(guest, "crash")?["state"] == "off");
    Ok(())
}

fn deaf(guest: &Guest) -> Result<()> {
    let text = "exec /bin/bash -c 'trap \"\" TERM; while :; do sleep 1; done'\ngrace 2s\n";
    file(guest, "deaf", text)?;
    says(guest, "b2p start deaf", 0, &["up"])?;
    // Before this line, the shell may not have set its trap yet.
    eventually(SOON, || {
        let pid = pid(guest, "deaf")?;
        let mask = guest.sh(&format!("awk '/^SigIgn/ {{print $2}}' /proc/{pid}/status"))?;
        let term = 1 << (15 - 1);
        ensure!(u64::from_str_radix(&mask, 16)? & term != 0, "{mask}");
        Ok(())
    })?;
    let stopped = says(guest, "b2p stop deaf", 0, &["stopped after "])?;
    let after = stopped.rsplit("stopped after ").next();
    let seconds: f64 = after
        .and_then(|words| words.split(' ').next()?.parse().ok())
        .with_context(|| stopped.clone())?;
    ensure!(seconds >= 2.0, "its grace is two seconds: {stopped}");
    ensure!(service(guest, "deaf")?["last"]["killed"] == 9);
    guest.sh("dmesg | grep 'deaf: killed by SIGKILL'").map(drop)
}

/// Expects the first process, three shells, and three children of each.
fn tree(guest: &Guest) -> Result<()> {
    file(guest, "tree", TREE)?;
    says(guest, "b2p start tree", 0, &["up"])?;
    let procs = || guest.sh("cat /sys/fs/cgroup/system/tree/cgroup.procs");
    let all_there = || {
        let count = procs()?.lines().count();
        ensure!(count == 13, "{count} of 13");
        Ok(())
    };
    eventually(SOON, all_there)?;
    // The group is killed however its first process ends.
    let first = pid(guest, "tree")?;
    let before = procs()?;
    guest.sh(&format!("kill -9 {first}"))?;
    eventually(SOON, || {
        let again = service(guest, "tree")?;
        ensure!(again["restarts"] == 1 && again["state"] == "up", "{again}");
        Ok(())
    })?;
    eventually(SOON, all_there)?;
    let after = procs()?;
    let same = |pid: &&str| before.lines().any(|old| old == *pid);
    let left: Vec<&str> = after.lines().filter(same).collect();
    ensure!(left.is_empty(), "of the first life: {left:?}");
    says(guest, "b2p stop tree", 0, &["stopped"])?;
    let left = guest.pids("sleep 432")?;
    ensure!(left.is_empty(), "{left:?}");
    ensure!(procs()?.is_empty(), "{}", procs()?);
    Ok(())
}

/// Expects that the file of a service of Windows is taken, and its script named.
fn windows(guest: &Guest) -> Result<()> {
    let script = "/var/lib/boot2podman/run.sh";
    let write = format!("cat >{script} && chmod +x {script}");
    let put = |text: &str| tests::text(&guest.ssh_with("root", &write, text.as_bytes())?);
    put("\u{feff}#!/bin/sh\r\nexec sleep 4300\r\n")?;
    file(
        guest,
        "windows",
        &format!("\u{feff}exec {script}\r\nready exit\r\n"),
    )?;
    let ended = "windows: exited with status 127";
    says(guest, "b2p start windows", 1, &[ended])?;
    let line = format!("windows: {script}: Windows line ends");
    guest.sh(&format!("dmesg | grep '{line}'"))?;
    // Later starts look at the script anew.
    says(guest, "b2p stop windows", 0, &[])?;
    put("#!/bin/sh\nexit 125\n")?;
    let count = || guest.sh("dmesg | grep -c 'Windows line ends'");
    let before = count()?;
    let ended = "windows: exited with status 125; it is started again";
    says(guest, "b2p start windows", 1, &[ended])?;
    let after = count()?;
    ensure!(before == after, "{before}, then {after}");
    says(guest, "b2p stop windows", 0, &[])?;
    guest.sh(&format!(
        "rm {script} /var/lib/boot2podman/services/windows"
    ))?;
    Ok(())
}

fn mistakes(guest: &Guest) -> Result<()> {
    file(
        guest,
        "bad",
        "exec sleep 5\nlimit memory.max\n\nrestrat always\n",
    )?;
    let told = [
        "bad:1: exec: sleep: the absolute path of a program",
        "bad:2: limit: memory.max: a file of the cgroup and a value, such as memory.max 64M",
        "bad:4: restrat: unknown keyword: one of exec at user ready restart",
    ];
    says(guest, "b2p start bad", 1, &told)?;
    let log = guest.sh("dmesg | grep 'degraded service bad: bad:1: exec: sleep'")?;
    ensure!(
        told.iter().all(|t| log.contains(t)),
        "not in one record: {log}"
    );
    says(guest, "b2p status", 0, &["degraded service bad:", "bad:4:"])?;
    // The others keep running, and a repaired file is no longer reported.
    ensure!(service(guest, "good")?["state"] == "up");
    file(
        guest,
        "bad",
        "exec /bin/sleep 4300\nlimit memory.nonsense 5\n",
    )?;
    says(guest, "b2p start bad", 0, &["bad: up"])?;
    guest.sh("dmesg | grep 'memory.nonsense.*No such file'")?;
    says(guest, "b2p stop bad", 0, &["stopped"])?;
    let text = says(guest, "b2p status", 0, &["running"])?;
    ensure!(!text.contains("degraded service bad"), "{text}");
    file(guest, "Wrong.txt", "exec /bin/true\n")?;
    says(
        guest,
        "b2p reload",
        1,
        &["Wrong.txt: not a name of a service"],
    )?;
    guest
        .sh("rm /var/lib/boot2podman/services/Wrong.txt")
        .map(drop)
}

fn taken(guest: &Guest) -> Result<()> {
    file(guest, "net", "exec /bin/sleep 4300\n")?;
    says(
        guest,
        "b2p load net",
        1,
        &["net: a built-in service has this name"],
    )?;
    says(guest, "b2p restart net", 0, &["net: up after "])?;
    let args = guest.sh(&format!(
        "tr '\\0' ' ' </proc/{}/cmdline",
        pid(guest, "net")?
    ))?;
    ensure!(args.starts_with("/usr/bin/b2p net"), "{args}");
    says(
        guest,
        "b2p reload",
        1,
        &["net: a built-in service has this name"],
    )?;
    guest.sh("rm /var/lib/boot2podman/services/net").map(drop)
}

fn spoilt(guest: &Guest) -> Result<()> {
    let before = pid(guest, "good")?;
    file(guest, "good", &format!("{GOOD}exec /bin/other\n"))?;
    let why = "good:12: exec: a second time";
    says(guest, "b2p restart good", 1, &[why])?;
    ensure!(pid(guest, "good")? == before, "it was stopped");
    // A request at the wrong time is not a fault of the machine.
    says(
        guest,
        "b2p load good",
        1,
        &["the service is in use: stop it first"],
    )?;
    let (text, _) = said(guest, "b2p status")?;
    ensure!(!text.contains("in use"), "{text}");
    file(guest, "good", &GOOD.replace("4300", "4301"))?;
    says(guest, "b2p reload", 0, &["b2p restart good"])?;
    says(guest, "b2p restart good", 0, &["good: up after "])?;
    ensure!(guest.pids("sleep 4301")?.len() == 1);
    Ok(())
}
