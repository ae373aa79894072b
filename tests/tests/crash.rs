// SPDX-License-Identifier: Apache-2.0
//! After a crash, PID 1 supervises the same services as before. Each crash is a fault of PID 1's
//! own.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use control::{Name, Report, Request, ShutdownKind, State};
use tests::eventually;
use tests::ns::visit::{request, start_service};
use tests::ns::{LIMIT, Namespace, POWERED_OFF, READY, Running};

/// Program that prints a number a moment after the last.
const COUNT: &str = "#!/bin/sh\ni=0; while sleep 0.05; do i=$((i+1)); echo number $i; done\n";
/// Program that reports readiness once a file exists.
const SLOW: &str =
    "#!/bin/sh\necho waits; until [ -e /run/go ]; do sleep 0.05; done; echo >&3; exec sleep 1000\n";

fn up() -> Result<Running> {
    let mut ns = Namespace::new()?;
    ns.files = vec![
        ("usr/bin/count".into(), COUNT.into()),
        ("usr/bin/slow".into(), SLOW.into()),
    ];
    let pid1 = ns.start()?;
    pid1.says(READY, LIMIT)?;
    pid1.says("late-drivers: ready", LIMIT)?;
    Ok(pid1)
}

/// Returns state and pid of a service.
fn service(pid1: &Running, name: &str) -> Result<(State, Option<u64>)> {
    let text = request(pid1, &Request::Status)?;
    let report = Report::parse(&text);
    let found = report.services.iter().find(|s| s.name == name);
    let found = found.with_context(|| format!("no {name}:\n{text}"))?;
    Ok((found.state, found.pid))
}

fn running(pid1: &Running, name: &str) -> Result<u64> {
    eventually(LIMIT, || {
        let (state, pid) = service(pid1, name)?;
        ensure!(state == State::Up, "{name}: {state:?}");
        pid.context("no pid")
    })
}

/// Crashes PID 1 and waits until PID 1 serves again.
fn crash(pid1: &Running, count: u32) -> Result<()> {
    pid1.crash()?;
    let word = format!("--after-crash\0{count}\0");
    eventually(LIMIT, || {
        ensure!(pid1.about("cmdline")?.contains(&word), "{}", pid1.output());
        Ok(())
    })
}

fn powers_off(pid1: &Running) -> Result<()> {
    pid1.signal(libc::SIGUSR2)?;
    let end = pid1.end(LIMIT)?;
    let said = pid1.output();
    ensure!(end == POWERED_OFF, "{end:?}\n{said}");
    ensure!(said.contains("shutdown: services took"), "{said}");
    Ok(())
}

#[test]
fn services_are_supervised_after_any_crash() -> Result<()> {
    let pid1 = up()?;
    start_service(&pid1, "count", "exec /usr/bin/count\n")?;
    let pid = running(&pid1, "count")?;
    for crashes in 1..=4 {
        crash(&pid1, crashes)?;
        let now = running(&pid1, "count")?;
        ensure!(now == pid, "started again: {pid}, {now}\n{}", pid1.output());
    }
    // The one-shot of the boot is not repeated.
    let late = service(&pid1, "late-drivers")?;
    ensure!(late == (State::Done, None), "{late:?}");
    let lines = pid1.output().matches("late-drivers: ready").count();
    ensure!(lines == 1, "{lines} runs\n{}", pid1.output());
    // Output is logged as before.
    let last = |said: &str| {
        let number = said.rsplit("count: number ").next()?;
        number.split_whitespace().next()?.parse::<u32>().ok()
    };
    let before = last(&pid1.output()).context("no output")?;
    eventually(LIMIT, || {
        let after = last(&pid1.output()).context("no output")?;
        ensure!(after > before + 5, "{after}");
        Ok(())
    })?;
    pid1.sh(&format!("kill -9 {pid}"))?;
    eventually(LIMIT, || {
        let now = running(&pid1, "count")?;
        ensure!(now != pid, "not started again");
        Ok(())
    })?;
    powers_off(&pid1)
}

#[test]
fn notifications_of_services_are_received_after_a_crash() -> Result<()> {
    let pid1 = up()?;
    start_service(&pid1, "notes", "exec /usr/bin/sleep 1000\nready notify\n")?;
    let socket = format!("/proc/{}/root/run/boot2podman/notify", pid1.pid());
    let connect = || Ok(UnixDatagram::unbound()?.connect(&socket)?);
    eventually(LIMIT, connect)?;
    crash(&pid1, 1)?;
    running(&pid1, "notes")?;
    connect().context("nobody listens on the notify socket")?;
    powers_off(&pid1)
}

#[test]
fn a_service_that_starts_during_a_crash_becomes_ready() -> Result<()> {
    let pid1 = up()?;
    start_service(&pid1, "slow", "exec /usr/bin/slow\nready fd 3\n")?;
    pid1.says("slow: waits", LIMIT)?;
    let before = service(&pid1, "slow")?;
    ensure!(before.0 == State::Starting, "{before:?}");
    crash(&pid1, 1)?;
    let now = service(&pid1, "slow")?;
    ensure!(now == before, "{before:?}, {now:?}");
    pid1.sh("echo > /run/go")?;
    let now = running(&pid1, "slow")?;
    ensure!(
        before.1 == Some(now),
        "{before:?} has ended, and {now} runs\n{}",
        pid1.output()
    );
    powers_off(&pid1)
}

#[test]
fn services_that_end_during_a_crash_restart_by_their_policy() -> Result<()> {
    let pid1 = up()?;
    start_service(&pid1, "always", "exec /usr/bin/sleep 1000\n")?;
    start_service(&pid1, "once", "exec /usr/bin/sleep 1000\nrestart never\n")?;
    start_service(&pid1, "off", "exec /usr/bin/sleep 1000\n")?;
    let off = Name::new("off").context("a name")?;
    request(&pid1, &Request::Stop(off))?;
    let (always, once) = (running(&pid1, "always")?, running(&pid1, "once")?);
    let end = Request::Shutdown(ShutdownKind::PowerOff, 3600);
    request(&pid1, &end)?;
    crash(&pid1, 1)?;
    running(&pid1, "always")?;
    // PID 1 pauses for a second now.
    crash(&pid1, 2)?;
    pid1.sh(&format!("kill -9 {always} {once}"))?;
    eventually(LIMIT, || {
        let now = running(&pid1, "always")?;
        ensure!(now != always, "a process that is gone: {now}");
        Ok(())
    })?;
    eventually(LIMIT, || {
        let states = (service(&pid1, "once")?, service(&pid1, "off")?);
        let expected = ((State::Failed, None), (State::Off, None));
        ensure!(states == expected, "{states:?}");
        Ok(())
    })?;
    let text = request(&pid1, &Request::Status)?;
    ensure!(text.contains("shutdown"), "the scheduled end: {text}");
    request(&pid1, &Request::Cancel)?;
    powers_off(&pid1)
}

/// Seven crashes in a row make PID 1 pause for half a minute; a request for a shutdown does not
/// wait for the end of the pause.
#[test]
fn a_shutdown_during_a_crash_loop_ends() -> Result<()> {
    let pid1 = up()?;
    for crashes in 1..=7 {
        crash(&pid1, crashes)?;
    }
    let asked = Instant::now();
    pid1.signal(libc::SIGUSR2)?;
    let end = pid1.end(LIMIT)?;
    ensure!(end == POWERED_OFF, "{end:?}\n{}", pid1.output());
    ensure!(
        asked.elapsed() < Duration::from_secs(15),
        "{:?}",
        asked.elapsed()
    );
    ensure!(pid1.output().contains("going down for poweroff"));
    Ok(())
}
