// SPDX-License-Identifier: Apache-2.0
//! Conditions that break other machines; each once broke this one.

use anyhow::{Result, ensure};
use serde_json::json;
use std::time::Duration;
use tests::{Checks, Guest, eventually};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn survive() -> Result<()> {
    let guest = Guest::boot("survive", |machine| {
        machine.fw_cfg("opt/org.boot2podman/blacklist", b"dummy")
    })?;
    let mut checks = Checks::new("survive");
    checks.check("a flag in fw_cfg reaches modprobe", || blacklisted(&guest));
    checks.check("routers are heard on a card that was there early", || {
        let said = guest.sh("cat /proc/sys/net/ipv6/conf/eth0/accept_ra")?;
        ensure!(said == "2", "accept_ra is {said}");
        Ok(())
    });
    checks.check("routes come back with the link", || routes(&guest));
    checks.check("sshd comes back though its cgroup is an inner one", || {
        inner_cgroup(&guest)
    });
    checks.check("signals that mean nothing change nothing", || {
        signals(&guest)
    });
    checks.check(
        "after a crash the API answers and orphans are reaped",
        || crash(&guest),
    );
    checks.check("after five crashes it still powers off", || {
        crashes_and_power(&guest)
    });
    checks.finish(&guest)
}

fn blacklisted(guest: &Guest) -> Result<()> {
    let said = guest.sh("modprobe dummy 2>&1 || true")?;
    ensure!(said.contains("blacklisted"), "{said}");
    Ok(())
}

fn routes(guest: &Guest) -> Result<()> {
    let down = "(ip link set eth0 down; sleep 1; ip link set eth0 up) </dev/null >/dev/null 2>&1 &";
    guest.sh(down)?;
    std::thread::sleep(Duration::from_secs(2));
    eventually(SOON, || {
        let said = guest.sh("ip route")?;
        ensure!(said.contains("default via 10.0.2.2"), "{said}");
        Ok(())
    })
}

/// Does what `podman run --cgroups=split` does to the group of its caller.
fn inner_cgroup(guest: &Guest) -> Result<()> {
    guest.sh("cd /sys/fs/cgroup/system/sshd && mkdir runtime &&
         for p in $(cat cgroup.procs); do echo $p > runtime/cgroup.procs; done;
         echo +pids > cgroup.subtree_control")?;
    let listener = "ps | awk '/[l]istener/ { print $1 }'";
    let old = guest.sh(listener)?;
    guest.sh(&format!("kill -9 {old}"))?;
    eventually(SOON, || {
        let out = guest.ssh_alone("root", listener)?;
        let new = tests::text(&out)?;
        ensure!(!new.trim().is_empty() && new.trim() != old, "{new:?}");
        Ok(())
    })
}

/// Sends every signal but those that request a shutdown (INT USR1 USR2 TERM PWR) and those of
/// faults (ILL TRAP ABRT BUS FPE SEGV SYS): upwards, downwards and in leaps, real-time signals
/// queued three times.
fn signals(guest: &Guest) -> Result<()> {
    let means = [2, 10, 12, 15, 30, 4, 5, 6, 7, 8, 11, 31];
    let up = (1..=64).filter(|s| !means.contains(s));
    let leaps = (1..=64).map(|n| n * 27 % 65).filter(|s| !means.contains(s));
    let all: Vec<String> = up
        .clone()
        .chain(up.rev())
        .chain(leaps)
        .map(|s| s.to_string())
        .collect();
    ensure!(all.len() == 3 * 52, "{}", all.len());
    let state = "awk '/^State|^SigPnd|^ShdPnd|^SigBlk/' /proc/1/status; b2p status --json sshd";
    let before = guest.sh(state)?;
    let (mask, _) = before.rsplit_once('\n').unwrap_or_default();
    guest.sh(&format!("for s in {}; do kill -$s 1; done", all.join(" ")))?;
    let after = guest.sh(&format!("sleep 1; {state}"))?;
    ensure!(after.starts_with(mask), "{before}\n{after}");
    ensure!(
        mask.contains("State:\tS") && after.contains("\"state\":\"up\""),
        "{after}"
    );
    ensure!(!guest.vm.console().contains("going down"), "it goes down");
    Ok(())
}

fn crash(guest: &Guest) -> Result<()> {
    guest.sh("kill -SEGV 1")?;
    guest.vm.wait_console("rescue shell on", SOON)?;
    eventually(SOON, || {
        let said = guest.sh("podman --remote --url unix:///run/podman/podman.sock info --format '{{.Host.Hostname}}'")?;
        ensure!(said == "boot2podman", "{said}");
        Ok(())
    })?;
    guest.sh("for i in $(seq 200); do (sleep 0.1 &); done")?;
    eventually(SOON, || {
        let left = guest.sh("ps | grep -c '[Z]ombie\\|\\[sleep\\]' || true")?;
        ensure!(left == "0", "{left} left");
        Ok(())
    })
}

fn crashes_and_power(guest: &Guest) -> Result<()> {
    for _ in 0..4 {
        guest.sh("kill -SEGV 1; sleep 2")?;
    }
    let _ = guest.ssh("root", "poweroff")?;
    let status = guest.vm.wait_exit(Duration::from_secs(120))?;
    ensure!(status.success(), "QEMU: {status}");
    Ok(())
}

/// The argument that PID 1 gives itself after a crash, given by another caller.
#[test]
fn three_keys_reboot_in_order() -> Result<()> {
    let guest = Guest::boot("three-keys", |machine| machine.append("--after-crash 2"))?;
    let mut checks = Checks::new("three-keys");
    checks.check("Ctrl-Alt-Del ends in an orderly shutdown", || {
        let keys = ["ctrl", "alt", "delete"].map(|k| json!({"type": "qcode", "data": k}));
        guest.vm.qmp_with("send-key", &json!({ "keys": keys }))?;
        guest.vm.wait_exit(Duration::from_secs(120))?;
        let said = guest.vm.console();
        ensure!(
            said.contains("going down for Reboot"),
            "{}",
            guest.vm.tail()
        );
        Ok(())
    });
    checks.finish(&guest)
}
