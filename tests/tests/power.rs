// SPDX-License-Identifier: Apache-2.0
//! Ways to end the machine that no other test covers: QEMU's shutdown reason, and the earlier
//! phases on the console. The power button, SIGUSR2, Ctrl-Alt-Del, `poweroff` and `reboot` are
//! covered by flags.rs, boot and survive.rs.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::time::Duration;
use tests::Guest;

/// Time limit of the whole shutdown, under TCG beside another machine.
const END: Duration = Duration::from_secs(120);

/// Phases of the shutdown, each of which logs its duration.
const PHASES: [&str; 9] = [
    "sockets",
    "units",
    "api",
    "containers",
    "services",
    "terminate",
    "kill",
    "sync",
    "unmount",
];

/// Boots a machine with a user's service that prints a line at its stop.
fn up(name: &str, flags: &str) -> Result<Guest> {
    let guest = Guest::boot(name, |machine| machine.memory_mib(384).append(flags))?;
    let file = "exec /bin/bash -c 'trap \"echo good bye; exit 0\" TERM; echo hello; while :; do sleep 1 & wait; done'\n";
    let script = "mkdir -p /var/lib/boot2podman/services && cd /var/lib/boot2podman/services && cat >polite && b2p start polite && until dmesg | grep -q 'polite: hello'; do sleep 0.2; done";
    tests::text(&guest.ssh_with("root", script, file.as_bytes())?)?;
    Ok(guest)
}

/// Runs a command, and expects QEMU to end for the given reason (run-state.json, `ShutdownCause`).
/// The connection may break before ssh receives its answer.
fn ends(guest: &Guest, command: &str, reason: &str) -> Result<()> {
    let _ = guest.ssh("root", command)?;
    let event = guest.vm.wait_event("SHUTDOWN", END);
    let event = event.with_context(|| guest.vm.tail())?;
    ensure!(event["data"]["reason"] == reason, "{command}: {event}");
    ensure!(guest.vm.wait_exit(END)?.success(), "{command}");
    Ok(())
}

/// Expects all of these lines on the console, one after the other.
fn in_order(guest: &Guest, how: &str, last: &str) -> Result<()> {
    let said = guest.vm.console();
    let begun = format!("boot2podman: going down for {how}");
    let phases = PHASES.map(|phase| format!("boot2podman: shutdown: {phase} took "));
    let (early, late) = phases.split_at(4);
    let bye = ["polite: good bye".to_owned()];
    let last = [last.to_owned()];
    let mut rest = said.as_str();
    for line in [&[begun], early, &bye, late, &last].concat() {
        let found = rest.split_once(line.as_str());
        rest = found
            .with_context(|| format!("no {line:?} in its place:\n{}", guest.vm.tail()))?
            .1;
    }
    Ok(())
}

const OFF: &str = "reboot: Power down";
const AGAIN: &str = "reboot: Restarting system";

#[test]
fn sigterm_reboots() -> Result<()> {
    let guest = up("power-term", "")?;
    ends(&guest, "kill -TERM 1", "guest-reset")?;
    in_order(&guest, "reboot", AGAIN)
}

/// With syslog turned off by flag, no program waits for a reader of /dev/log.
#[test]
fn sigpwr_powers_off() -> Result<()> {
    let guest = up("power-pwr", "b2p.off=syslog")?;
    let state = guest.sh("b2p status --json syslog || true")?;
    ensure!(state.contains("\"state\":\"off\""), "{state}");
    guest.sh("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do timeout 20 logger x || exit 1; done; timeout 20 sudo -n true")?;
    ends(&guest, "kill -PWR 1", "guest-shutdown")?;
    in_order(&guest, "poweroff", OFF)
}

#[test]
fn sigusr1_halts_and_the_machine_stays() -> Result<()> {
    let guest = up("power-usr1", "")?;
    let _ = guest.ssh("root", "kill -USR1 1")?;
    guest.vm.wait_console("reboot: System halted", END)?;
    in_order(&guest, "halt", "reboot: System halted")?;
    let thread = guest.vm.qmp("query-cpus-fast")?[0]["thread-id"].clone();
    let before = ticks(&thread.to_string())?;
    std::thread::sleep(Duration::from_secs(5));
    let used = ticks(&thread.to_string())? - before;
    ensure!(guest.vm.exited()?.is_none(), "{}", guest.vm.tail());
    ensure!(guest.vm.qmp("query-status")?["status"] == "running");
    println!("halted: {used} ticks of QEMU's in 5 s");
    ensure!(before > 100, "{before} ticks: that is not the machine");
    ensure!(used < 250, "a processor spins: {used} ticks in 5 s");
    Ok(())
}

/// Returns the processor time of this thread's process in hundredths of a second (proc_pid_stat(5),
/// utime and stime).
fn ticks(thread: &str) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{thread}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').context("no name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

/// orderly_poweroff() (kernel/reboot.c) runs the program of kernel.poweroff_cmd with three
/// variables and, as every child of a kernel thread, without an open file.
#[test]
fn orderly_poweroff_of_the_kernel_powers_off() -> Result<()> {
    let guest = up("power-kernel", "")?;
    let program = guest.sh("cat /proc/sys/kernel/poweroff_cmd")?;
    let bare = "env -i HOME=/ TERM=linux PATH=/sbin:/bin:/usr/sbin:/usr/bin";
    let command = format!("cd /; exec {bare} {program} <&- >&- 2>&-");
    ends(&guest, &command, "guest-shutdown")?;
    in_order(&guest, "poweroff", OFF)
}

/// Uses systemd's commands; a past time means now.
#[test]
fn systemctl_reboots() -> Result<()> {
    let guest = up("power-systemctl", "")?;
    guest.sh("shutdown -h +5 && systemctl is-system-running")?;
    // An immediate request does not wait for a scheduled one.
    ends(&guest, "systemctl reboot", "guest-reset")?;
    in_order(&guest, "reboot", AGAIN)
}

/// A forced shutdown bypasses PID 1: no phase runs.
#[test]
fn poweroff_f_powers_off_without_pid_1() -> Result<()> {
    let guest = up("power-force", "")?;
    ends(&guest, "poweroff -f", "guest-shutdown")?;
    let said = guest.vm.console();
    ensure!(said.contains(OFF), "{}", guest.vm.tail());
    ensure!(!said.contains("going down for"), "{}", guest.vm.tail());
    Ok(())
}
