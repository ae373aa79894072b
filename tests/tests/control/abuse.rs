// SPDX-License-Identifier: Apache-2.0
//! Floods, unprivileged users and clients that break the protocol.

use super::own::ticks;
use super::{SOON, file, said, says, service};
use anyhow::{Context, Result, ensure};
use initramfs::arch::Arch;
use initramfs::programs::{Target, build_example};
use std::time::Duration;
use tests::{Checks, Guest, eventually};

/// Time limit of a `b2p status` in milliseconds: many times the time of an emulated machine on a
/// busy host. A service or a client that PID 1 served before all others would take all time.
const ANSWER: u64 = 20_000;

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("a service that floods", || flood(guest));
    checks.check("core may not use the control socket", || {
        not_for_core(guest)
    });
    checks.check("a client that behaves badly is put there", || put(guest));
    checks.check("requests that are none", || nonsense(guest));
    checks.check("clients that say nothing", || silent(guest));
    checks.check("clients that flood", || flooded(guest));
}

/// Returns the time that the machine takes for a status, in milliseconds of its own clock.
fn status_takes(guest: &Guest) -> Result<u64> {
    let script = "s=$EPOCHREALTIME; b2p status >/dev/null || exit 1; e=$EPOCHREALTIME; echo $(( (${e/./}-${s/./})/1000 ))";
    let out = guest.ssh_with("root", "bash -s", script.as_bytes())?;
    Ok(tests::text(&out)?.parse()?)
}

/// Counts lines of a flooding service in the kernel log: 500 at once and 50 per second.
fn flood(guest: &Guest) -> Result<()> {
    file(guest, "flood", "exec /usr/bin/yes flooding the log\n")?;
    says(guest, "b2p start flood", 0, &["up"])?;
    let (before, begun) = (ticks(guest)?, uptime(guest)?);
    let mut slowest = 0;
    for _ in 0..5 {
        slowest = status_takes(guest)?.max(slowest);
        std::thread::sleep(Duration::from_secs(2));
    }
    let (used, took) = (ticks(guest)? - before, uptime(guest)? - begun);
    let all = service(guest, "flood")?;
    // The service is removed before any verdict: the next checks are of a machine without it.
    says(guest, "b2p stop flood", 0, &["stopped"])?;
    guest.sh("rm /var/lib/boot2podman/services/flood")?;
    ensure!(slowest < ANSWER, "an answer after {slowest} ms");
    ensure!(all["state"] == "up" && all["restarts"] == 0, "{all}");
    let asked = all["spawned_ms"].as_u64().context("spawned_ms")?;
    let seconds = (all["now_ms"].as_u64().unwrap_or(0).max(asked) - asked) / 1000 + took + 10;
    let lines: u64 = guest.sh("dmesg | grep -c 'flood: '")?.parse()?;
    let share = used / took.max(1);
    println!("flood: {lines} lines, {share} % of a processor for PID 1 in {took} s");
    ensure!(lines <= 600 + 60 * seconds, "{lines} lines in {seconds} s");
    // About half on a host with a load of ten, where an emulated processor charges a process for the
    // time in which the host runs something else. A PID 1 without a limit never sleeps.
    ensure!(share <= 95, "PID 1 takes {share} %");
    let dropped = guest.sh("dmesg | grep -c 'flood: [0-9]* lines dropped'")?;
    ensure!(dropped != "0", "nobody says that lines were dropped");
    Ok(())
}

fn uptime(guest: &Guest) -> Result<u64> {
    Ok(guest.sh("cut -d. -f1 /proc/uptime")?.parse()?)
}

fn not_for_core(guest: &Guest) -> Result<()> {
    for command in [
        "b2p status",
        "b2p stop net",
        "poweroff",
        "shutdown +3",
        "reboot -f",
        "b2p log",
    ] {
        let out = guest.ssh("core", command)?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        ensure!(out.status.code() == Some(1), "{command}: {}", out.status);
        ensure!(
            said.contains("only root may: sudo b2p "),
            "{command}: {said}"
        );
    }
    ensure!(service(guest, "net")?["state"] == "up");
    let status = guest.sh_as("core", "sudo -n b2p status net")?;
    ensure!(status.contains("up"), "{status}");
    let mode = guest.sh("stat -c '%a %U %F' /run/boot2podman/control")?;
    ensure!(mode == "600 root socket", "{mode}");
    Ok(())
}

fn put(guest: &Guest) -> Result<()> {
    let poke = std::fs::read(build_example(
        Target::choose_for(Arch::from_env()?),
        "control",
        "poke",
    )?)?;
    let script = "cat >/usr/local/bin/poke && chmod 755 /usr/local/bin/poke";
    tests::text(&guest.ssh_with("root", script, &poke)?)?;
    let said = guest.sh_as("core", "poke say status")?;
    ensure!(said.starts_with("EACCES"), "{said}");
    says(
        guest,
        "poke say status",
        0,
        &["ok\nmachine version=", "\nservice sshd up "],
    )
    .map(drop)
}

fn nonsense(guest: &Guest) -> Result<()> {
    let long = "x".repeat(300);
    for request in [
        "''",
        "'status '",
        "' status'",
        "statu",
        "'start ../sshd'",
        "$'status\\n'",
        "$'st\\xff'",
        &long,
    ] {
        let command = format!("bash -c \"timeout 10 poke say {request}\"");
        let (text, _) = said(guest, &command)?;
        // An empty packet looks like the end of the connection, and gets no answer.
        let refused =
            text.starts_with("no ") || (request == "''" && text == "closed without an answer");
        ensure!(refused, "{request}: {text}");
    }
    says(
        guest,
        "poke say 'stop nobody'",
        0,
        &["no there is no service nobody"],
    )
    .map(drop)
}

/// Returns the numbers of open descriptors of PID 1.
fn files(guest: &Guest) -> Result<usize> {
    Ok(guest.sh("ls /proc/1/fd | wc -l")?.parse()?)
}

fn silent(guest: &Guest) -> Result<()> {
    let before = files(guest)?;
    guest.sh("for i in 1 2 3; do poke silent 30 </dev/null >/dev/null 2>&1 & done; sleep 1")?;
    let (used, begun) = (ticks(guest)?, uptime(guest)?);
    for _ in 0..3 {
        let ms = status_takes(guest)?;
        ensure!(ms < ANSWER, "an answer after {ms} ms");
    }
    std::thread::sleep(Duration::from_secs(5));
    let (used, took) = (ticks(guest)? - used, uptime(guest)? - begun);
    ensure!(used * 2 < took * 100, "{used} ticks in {took} s: it spins");
    let held = files(guest)?;
    ensure!(held <= before + 8, "{held} open files, {before} before");
    guest.sh("killall poke")?;
    eventually(SOON, || {
        let left = files(guest)?;
        ensure!(left <= before, "{left} open files, {before} before");
        Ok(())
    })
}

/// Floods the channel as root; PID 1 still does its other work.
fn flooded(guest: &Guest) -> Result<()> {
    let before = files(guest)?;
    let log: usize = guest.sh("dmesg | wc -l")?.parse()?;
    guest.sh("poke flood 8000 </dev/null >/run/poked 2>&1 &")?;
    guest.sh("i=0; while [ $i -lt 200 ]; do (: &); i=$((i+1)); done")?;
    eventually(SOON, || {
        let left = guest.sh("cat /proc/[0-9]*/status 2>/dev/null | grep -c '^State:.Z' || true")?;
        ensure!(left == "0", "{left} zombies");
        Ok(())
    })?;
    eventually(SOON, || {
        let sent = guest.sh("cat /run/poked")?;
        ensure!(sent.ends_with(" sent"), "{sent}");
        println!("flood of the channel: {sent}");
        Ok(())
    })?;
    let ms = status_takes(guest)?;
    ensure!(ms < ANSWER, "an answer after {ms} ms");
    eventually(SOON, || {
        ensure!(files(guest)? <= before, "open files are left");
        Ok(())
    })?;
    let more = guest
        .sh("dmesg | wc -l")?
        .parse::<usize>()?
        .saturating_sub(log);
    ensure!(more < 20, "{more} lines in the log");
    let rss = guest.sh("awk '/^VmRSS/ {print $2}' /proc/1/status")?;
    println!("PID 1: {rss} kB after it");
    ensure!(rss.parse::<u64>()? <= 1500, "{rss} kB");
    Ok(())
}
