// SPDX-License-Identifier: Apache-2.0
//! `b2p` and PID 1's control socket on a running machine: their output, and the effect of users'
//! services, clients and floods.

mod abuse;
mod commands;
mod own;
mod own_faults;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::Duration;
use tests::{Checks, Guest, eventually};

/// Time limit for events that follow by themselves.
const SOON: Duration = Duration::from_secs(180);

#[test]
fn b2p_and_the_control_channel_on_a_running_machine() -> Result<()> {
    let guest = Guest::boot("control", |machine| {
        let off = "b2p.off=off1,late-drivers,console-ttyS0";
        machine.memory_mib(640).append(off)
    })?;
    let mut checks = Checks::new("control");
    checks.check("a flag with a name of no service", || {
        unknown_in_flag(&guest)
    });
    commands::all(&guest, &mut checks);
    own::all(&guest, &mut checks);
    abuse::all(&guest, &mut checks);
    checks.check("PID 1 has lived through all of it", || {
        let said = guest
            .sh("cat /proc/1/status; dmesg | grep -c 'PID 1 panicked\\|rescue shell' || true")?;
        ensure!(
            said.ends_with("\n0") && said.contains("Threads:\t1\n"),
            "{said}"
        );
        Ok(())
    });
    checks.finish(&guest)
}

/// Expects a degraded line until a service has the name.
fn unknown_in_flag(guest: &Guest) -> Result<()> {
    let line = "degraded b2p.off: off1: no such service";
    eventually(SOON, || says(guest, "b2p status", 0, &[line]))?;
    file(guest, "off1", "exec /bin/sleep 4300\n")?;
    says(guest, "b2p start off1", 0, &["off1: up"])?;
    says(guest, "b2p stop off1", 0, &["off1: stopped"])?;
    let status = says(guest, "b2p status", 0, &[": running, up "])?;
    ensure!(!status.contains(line), "{status}");
    guest.sh("rm /var/lib/boot2podman/services/off1").map(drop)
}

/// Writes a service file.
fn file(guest: &Guest, name: &str, text: &str) -> Result<()> {
    let script = "mkdir -p /var/lib/boot2podman/services && cat >/var/lib/boot2podman/services/";
    let out = guest.ssh_with("root", &format!("{script}{name}"), text.as_bytes())?;
    tests::text(&out).map(drop)
}

/// Returns both outputs of a command and its exit status.
fn said(guest: &Guest, command: &str) -> Result<(String, Option<i32>)> {
    let out = guest.ssh("root", &format!("({command}) 2>&1"))?;
    let text = String::from_utf8_lossy(&out.stdout).trim_end().to_owned();
    Ok((text, out.status.code()))
}

/// Expects an exit status and texts in the output of a command.
fn says(guest: &Guest, command: &str, code: i32, words: &[&str]) -> Result<String> {
    let (text, status) = said(guest, command)?;
    ensure!(status == Some(code), "`{command}`: {status:?}: {text}");
    for word in words {
        ensure!(text.contains(word), "`{command}`: no {word:?}: {text}");
    }
    Ok(text)
}

/// Returns everything about one service as JSON.
fn service(guest: &Guest, name: &str) -> Result<Value> {
    let (text, _) = said(guest, &format!("b2p status --json {name}"))?;
    serde_json::from_str(&text).with_context(|| text)
}

/// Returns the pid of a service.
fn pid(guest: &Guest, name: &str) -> Result<u64> {
    let all = service(guest, name)?;
    all["pid"].as_u64().with_context(|| all.to_string())
}
