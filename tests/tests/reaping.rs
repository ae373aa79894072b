// SPDX-License-Identifier: Apache-2.0
//! Orphans by the thousand: none remains, no status of a service is lost, and PID 1 sleeps when
//! there are none.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::eventually;
use tests::ns::{LIMIT, Namespace, POWERED_OFF, READY, Running};

/// Returns a namespace whose log has no line per orphan.
fn quiet() -> Result<Namespace> {
    let mut ns = Namespace::new()?;
    ns.flags = ns.flags.replace("loglevel=debug", "loglevel=info");
    Ok(ns)
}

fn up(ns: &Namespace) -> Result<Running> {
    let pid1 = ns.start()?;
    pid1.says(READY, LIMIT)?;
    Ok(pid1)
}

fn storm(pid1: &Running, kind: &str, count: u32) -> Result<()> {
    let (pid, count) = (pid1.pid().to_string(), count.to_string());
    let done = Command::new(env!("CARGO_BIN_EXE_storm"))
        .args([&pid, kind, &count])
        .status()?;
    ensure!(done.success(), "storm {kind} {count}: {done}");
    Ok(())
}

fn no_zombies(pid1: &Running) -> Result<()> {
    eventually(LIMIT, || {
        let left = pid1.zombies()?;
        ensure!(
            left.is_empty(),
            "{} zombies: {:?}",
            left.len(),
            &left[..left.len().min(9)]
        );
        Ok(())
    })
}

fn powers_off(pid1: &Running) -> Result<()> {
    pid1.signal(libc::SIGUSR2)?;
    let end = pid1.end(LIMIT)?;
    ensure!(end == POWERED_OFF, "{end:?}\n{}", pid1.output());
    Ok(())
}

/// Meanwhile, a real-time signal ends a service.
#[test]
fn a_hundred_thousand_orphans_are_reaped() -> Result<()> {
    let mut ns = quiet()?;
    ns.late_drivers = Some("while ! [ -e /tmp/go ]; do sleep 0.02; done; kill -40 $$".to_owned());
    let pid1 = up(&ns)?;
    // Pids are reused sooner where the kernel lets a namespace have fewer (6.14).
    let few = pid1.sh("echo 1200 > /proc/sys/kernel/pid_max")?;
    println!("few pids: {}", few.status.success());
    storm(&pid1, "mixed", 50_000)?;
    let go = pid1.sh("echo > /tmp/go")?;
    ensure!(go.status.success(), "{go:?}");
    let (start, cpu) = (Instant::now(), pid1.cpu()?);
    storm(&pid1, "mixed", 50_000)?;
    no_zombies(&pid1)?;
    println!(
        "50,000: {:?}, of PID 1 {:?}",
        start.elapsed(),
        pid1.cpu()? - cpu
    );
    pid1.says("late-drivers: killed by signal 40", LIMIT)?;
    powers_off(&pid1)
}

/// Stops PID 1 from outside; after a continue, PID 1 finds 20,001 zombies.
fn backlog() -> Result<(u32, Duration)> {
    let count = 20_001;
    let pid1 = up(&quiet()?)?;
    pid1.signal(libc::SIGSTOP)?;
    storm(&pid1, "zombies", count)?;
    // The last orphans may not have ended yet.
    let there = eventually(LIMIT, || {
        let there = pid1.zombies()?;
        ensure!(there.len() >= count as usize, "{} zombies", there.len());
        Ok(there)
    })?;
    // Zombies are reaped in the order of their pids.
    let last = there.iter().max().context("none")?;
    let last = format!("/proc/{}/root/proc/{last}", pid1.pid());
    let (start, cpu) = (Instant::now(), pid1.cpu()?);
    pid1.signal(libc::SIGCONT)?;
    while std::fs::exists(&last)? {
        ensure!(start.elapsed() < LIMIT, "still at it");
    }
    let took = start.elapsed();
    no_zombies(&pid1)?;
    let each = (pid1.cpu()? - cpu) / count;
    println!("of PID 1's time {each:?} each");
    powers_off(&pid1)?;
    Ok((count, took))
}

#[test]
fn a_backlog_of_zombies_is_reaped() -> Result<()> {
    let (count, took) = backlog()?;
    println!(
        "{count} zombies in {took:?}: {:.0} a second",
        f64::from(count) / took.as_secs_f64()
    );
    Ok(())
}

/// A figure that needs an otherwise idle machine.
#[test]
#[ignore = "a benchmark"]
fn a_hundred_thousand_zombies_a_second_are_reaped() -> Result<()> {
    let mut best = 0.0f64;
    for _ in 0..5 {
        let (count, took) = backlog()?;
        best = best.max(f64::from(count) / took.as_secs_f64());
    }
    println!("{best:.0} zombies a second");
    ensure!(best > 100_000.0, "{best:.0} a second");
    Ok(())
}

#[test]
fn signals_without_a_meaning_neither_restart_nor_stop_pid_1() -> Result<()> {
    let pid1 = up(&quiet()?)?;
    let before = pid1.about("cmdline")?;
    storm(&pid1, "signals", 1000)?;
    ensure!(pid1.about("cmdline")? == before, "it started again");
    storm(&pid1, "mixed", 500)?;
    no_zombies(&pid1)?;
    ensure!(!pid1.output().contains("going down"), "{}", pid1.output());
    powers_off(&pid1)
}

#[test]
fn an_idle_pid_1_makes_no_context_switch() -> Result<()> {
    let pid1 = up(&quiet()?)?;
    let wakes = || pid1.status("voluntary_ctxt_switches");
    // late-drivers ends soon after the ready line.
    eventually(LIMIT, || {
        let before = (wakes()?, pid1.cpu()?);
        std::thread::sleep(Duration::from_secs(5));
        ensure!(
            (wakes()?, pid1.cpu()?) == before,
            "it woke up {} times",
            wakes()? - before.0
        );
        Ok(())
    })?;
    powers_off(&pid1)
}
