// SPDX-License-Identifier: Apache-2.0
//! Conditions that break other machines; each once broke this one.

use anyhow::{Result, ensure};
use serde_json::json;
use std::time::Duration;
use tests::{CRASH, Checks, Guest, Random, eventually};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn pid_1_survives_crashes_signals_and_lost_links() -> Result<()> {
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
    checks.check("after a crash services are supervised", || crash(&guest));
    checks.check("after five crashes in a row it still powers off", || {
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

/// Changes the cgroup of its caller as `podman run --cgroups=split` does.
fn inner_cgroup(guest: &Guest) -> Result<()> {
    guest.sh("cd /sys/fs/cgroup/system/sshd && mkdir runtime &&
         for p in $(cat cgroup.procs); do echo $p > runtime/cgroup.procs; done;
         echo +pids > cgroup.subtree_control")?;
    let listener = "ps -e -o pid,args | awk '/[l]istener/ { print $1 }'";
    let old = guest.sh(listener)?;
    guest.sh(&format!("kill -9 {old}"))?;
    eventually(SOON, || {
        let out = guest.ssh_alone("root", listener)?;
        let new = tests::text(&out)?;
        ensure!(!new.trim().is_empty() && new.trim() != old, "{new:?}");
        Ok(())
    })
}

/// Sends every signal but those that request a shutdown (INT USR1 USR2 TERM PWR), those of faults
/// included: upwards, downwards and in leaps, and 20 times in an order of chance.
fn signals(guest: &Guest) -> Result<()> {
    let means = [2, 10, 12, 15, 30];
    let up: Vec<i32> = (1..=64).filter(|s| !means.contains(s)).collect();
    let leaps = (1..=64).map(|n| n * 27 % 65);
    let leaps = leaps.filter(|s| !means.contains(s));
    let mut all: Vec<i32> = up.iter().chain(up.iter().rev()).copied().collect();
    all.extend(leaps);
    ensure!(all.len() == 3 * 59, "{}", all.len());
    let mut random = Random::new(64);
    let count = up.len() as u64;
    all.extend((0..20 * count).map(|_| up[random.below(count) as usize]));
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    let state = "awk '/^State|^SigPnd|^ShdPnd|^SigBlk/' /proc/1/status; tr '\\0' ' ' < /proc/1/cmdline; b2p status --json sshd";
    // PID 1 may be at work at any look.
    let before = eventually(SOON, || {
        let before = guest.sh(state)?;
        ensure!(before.contains("State:\tS"), "{before}");
        Ok(before)
    })?;
    let (mask, _) = before.rsplit_once('\n').unwrap_or_default();
    guest.sh(&format!("for s in {}; do kill -$s 1; done", all.join(" ")))?;
    eventually(SOON, || {
        let after = guest.sh(state)?;
        ensure!(after.starts_with(mask), "{before}\n{after}");
        ensure!(after.contains("\"state\":\"up\""), "{after}");
        Ok(())
    })?;
    let said = guest.vm.console();
    ensure!(!said.contains("going down"), "it goes down");
    ensure!(!said.contains("PID 1 got signal"), "it crashed");
    Ok(())
}

fn crash(guest: &Guest) -> Result<()> {
    let sshd = "b2p status --json sshd | grep -o '\"state\":\"up\"\\|\"pid\":[0-9]*'";
    let before = guest.sh(sshd)?;
    guest.sh(CRASH)?;
    guest
        .vm
        .wait_console("PID 1 crashed (once in a row)", SOON)?;
    eventually(SOON, || {
        let after = guest.sh(sshd)?;
        ensure!(after == before && after.contains("up"), "{before}: {after}");
        Ok(())
    })?;
    guest.sh("kill -9 $(cat /sys/fs/cgroup/system/time/cgroup.procs)")?;
    eventually(SOON, || {
        guest.sh("b2p status --json time | grep '\"state\":\"up\"'")
    })?;
    eventually(SOON, || {
        let said = guest.sh("podman --remote --url unix:///run/podman/podman.sock info --format '{{.Host.Hostname}}'")?;
        ensure!(said == "boot2podman", "{said}");
        Ok(())
    })?;
    guest.sh("for i in $(seq 200); do (sleep 0.1 &); done")?;
    eventually(SOON, || {
        let left = guest.sh("ps -e -o args | grep -c '[Z]ombie\\|\\[sleep\\]' || true")?;
        ensure!(left == "0", "{left} left");
        Ok(())
    })
}

fn crashes_and_power(guest: &Guest) -> Result<()> {
    for times in 2..=5 {
        guest.sh(CRASH)?;
        guest
            .vm
            .wait_console(&format!("PID 1 crashed ({times} times in a row)"), SOON)?;
    }
    let _ = guest.ssh("root", "poweroff")?;
    let status = guest.vm.wait_exit(Duration::from_secs(120))?;
    ensure!(status.success(), "QEMU: {status}");
    Ok(())
}

/// The argument that PID 1 gives itself after a crash, given by another caller.
#[test]
fn ctrl_alt_del_reboots_after_an_orderly_shutdown() -> Result<()> {
    let guest = Guest::boot("three-keys", |machine| machine.append("--after-crash 2"))?;
    let mut checks = Checks::new("three-keys");
    checks.check("Ctrl-Alt-Del ends in an orderly shutdown", || {
        let keys = ["ctrl", "alt", "delete"].map(|k| json!({"type": "qcode", "data": k}));
        guest.vm.qmp_with("send-key", &json!({ "keys": keys }))?;
        guest.vm.wait_exit(Duration::from_secs(120))?;
        let said = guest.vm.console();
        ensure!(
            said.contains("going down for reboot"),
            "{}",
            guest.vm.tail()
        );
        Ok(())
    });
    checks.finish(&guest)
}
