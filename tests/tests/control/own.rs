// SPDX-License-Identifier: Apache-2.0
//! User services: keywords of a service file, and the start, the environment and the stop of the services.

use super::own_faults;
use super::{SOON, file, pid, says, service};
use anyhow::{Result, ensure};
use std::io::Read;
use std::os::unix::net::UnixStream;
use tests::{Checks, Guest, eventually};

/// A file with every keyword but `socket` and `ready`.
pub const GOOD: &str = "\
# a comment
exec /bin/sleep 4300
user core
env \"WORDS=a b\" LANG=C
needs net
limit memory.max 64M
limit pids.max 9
dir /tmp
umask 027
oom 100
nofile 64 128
";

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("a file with everything", || good(guest));
    checks.check("attributes that a service inherits", || inherits(guest));
    checks.check("ready by a descriptor, and who needs that", || needs(guest));
    checks.check("a socket starts its service", || socket(guest));
    checks.check("a one-shot runs to its end", || one_shot(guest));
    own_faults::all(guest, checks);
    checks.check("at boot, but for those a flag turns off", || at_boot(guest));
}

fn good(guest: &Guest) -> Result<()> {
    file(guest, "good", GOOD)?;
    says(guest, "b2p start good", 0, &["good: up after "])?;
    says(guest, "b2p start good", 0, &["good: was up already"])?;
    let limits = "cd /sys/fs/cgroup/user/1000/good && cat memory.max pids.max";
    ensure!(guest.sh(limits)? == "67108864\n9");
    let all = service(guest, "good")?;
    ensure!(
        all["state"] == "up" && all["memory_bytes"].is_u64(),
        "{all}"
    );
    Ok(())
}

/// Checks what proc(5) shows of the attributes that a service inherits: signals, ids, descriptors, cgroup, limits,
/// variables.
fn inherits(guest: &Guest) -> Result<()> {
    let pid = pid(guest, "good")?;
    let status = guest.sh(&format!("cat /proc/{pid}/status"))?;
    for line in [
        "SigBlk:\t0000000000000000",
        "SigIgn:\t0000000000000000",
        "SigCgt:\t0000000000000000",
        "ShdPnd:\t0000000000000000",
        "Umask:\t0027",
        "PPid:\t1",
        "Uid:\t1000\t1000\t1000\t1000",
        "Gid:\t1000\t1000\t1000\t1000",
        "CapEff:\t0000000000000000",
        &format!("NSsid:\t{pid}"),
        &format!("NSpgid:\t{pid}"),
    ] {
        ensure!(status.lines().any(|l| l == line), "no {line:?}:\n{status}");
    }
    let podman = guest.sh("awk -F: '$1 == \"podman\" {print $3}' /etc/group")?;
    let groups = status.lines().find_map(|l| l.strip_prefix("Groups:"));
    let has = |g: &str| groups.is_some_and(|all| all.split_whitespace().any(|n| n == g));
    ensure!(has(&podman) && !has("0"), "not {podman}: {groups:?}");
    let fds = format!("cd /proc/{pid}/fd && for f in *; do echo \"$f $(readlink $f)\"; done");
    let fds = guest.sh(&fds)?;
    let lines: Vec<&str> = fds.lines().collect();
    let kinds = ["0 /dev/null", "1 pipe:", "2 pipe:"];
    let same = lines.len() == 3 && lines.iter().zip(kinds).all(|(l, k)| l.starts_with(k));
    ensure!(same, "{fds}");
    let rest = "cd /proc/PID && cat cgroup oom_score_adj && readlink cwd && grep 'open files' limits && tr '\\0' '\\n' <environ | sort";
    let rest = guest.sh(&rest.replace("PID", &pid.to_string()))?;
    let words: Vec<String> = rest.lines().map(squeezed).collect();
    let wanted = [
        "0::/user/1000/good",
        "100",
        "/tmp",
        "Max open files 64 128 files",
        "HOME=/home/core",
        "LANG=C",
        "LOGNAME=core",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "SHELL=/bin/bash",
        "USER=core",
        "WORDS=a b",
    ];
    ensure!(words == wanted, "{words:#?}");
    Ok(())
}

fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Expects that a dependent service starts only after the newline, and is stopped together with its
/// needed service.
fn needs(guest: &Guest) -> Result<()> {
    let base = "exec /bin/bash -c 'sleep 2; echo >&7; exec sleep 4300'\nready fd 7\n";
    file(guest, "base", base)?;
    file(guest, "above", "exec /bin/sleep 4300\nneeds base\n")?;
    says(
        guest,
        "b2p load base above",
        0,
        &["base: loaded", "above: loaded"],
    )?;
    says(guest, "b2p start above", 0, &["above: up after "])?;
    let (base, above) = (service(guest, "base")?, service(guest, "above")?);
    let took = base["ready_ms"].as_u64().zip(base["spawned_ms"].as_u64());
    ensure!(took.is_some_and(|(r, s)| r >= s + 2_000), "{base}");
    ensure!(
        above["spawned_ms"].as_u64() >= base["ready_ms"].as_u64(),
        "{base} {above}"
    );
    says(guest, "b2p stop base", 0, &["base: stopped"])?;
    ensure!(service(guest, "above")?["state"] == "off");
    Ok(())
}

fn socket(guest: &Guest) -> Result<()> {
    let text = "exec /bin/bash -c 'echo fds=$LISTEN_FDS pid=$((LISTEN_PID-$$)) $(readlink /proc/self/fd/3); exec sleep 4300'\nsocket /run/sock.sock mode 0620 group podman\n";
    file(guest, "sock", text)?;
    says(guest, "b2p start sock", 0, &["its socket listens"])?;
    let mode = guest.sh("stat -c '%a %U %G' /run/sock.sock")?;
    ensure!(mode == "620 root podman", "{mode}");
    ensure!(
        service(guest, "sock")?["pid"].is_null(),
        "nobody has come yet"
    );
    let way = guest.forward_socket("root", "/run/sock.sock", "sock.sock")?;
    let mut client = UnixStream::connect(way)?;
    eventually(SOON, || {
        ensure!(service(guest, "sock")?["state"] == "up");
        guest
            .sh("dmesg | grep 'sock: fds=1 pid=0 socket:'")
            .map(drop)
    })?;
    says(guest, "b2p stop sock", 0, &["stopped"])?;
    // Closing the socket ends the wait of its clients.
    client.set_read_timeout(Some(SOON))?;
    ensure!(client.read(&mut [0])? == 0);
    Ok(())
}

fn one_shot(guest: &Guest) -> Result<()> {
    file(
        guest,
        "once",
        "exec /bin/sh -c 'echo done once'\nready exit\n",
    )?;
    says(guest, "b2p start once", 0, &["once: has done its work"])?;
    ensure!(service(guest, "once")?["state"] == "done");
    // With the default `ready`, the service would count as up until its shell ends.
    let no_use = "exec /bin/sh -c 'exit 125'\nready exit\nfinal 125\n";
    file(guest, "no-use", no_use)?;
    says(guest, "b2p start no-use", 1, &["exited with status 125"])?;
    let all = service(guest, "no-use")?;
    ensure!(all["state"] == "failed" && all["restarts"] == 0, "{all}");
    file(guest, "absent", "exec /no/such/program\nrestart never\n")?;
    says(guest, "b2p start absent", 1, &["absent: "])?;
    guest.sh("dmesg | grep -F 'absent: /no/such/program: execve(2): ENOENT'")?;
    // A failed service is degraded until its failure is forgotten.
    let lines = [
        "degraded absent: exited with status 127",
        "degraded no-use: exited with status 125",
    ];
    says(guest, "b2p status", 0, &lines)?;
    let forget = "systemctl reset-failed absent no-use; b2p status | grep -c degraded; :";
    ensure!(guest.sh(forget)? == "0");
    Ok(())
}

/// Returns the processor time of PID 1 itself in ticks of a hundredth of a second
/// (proc_pid_stat(5)).
pub fn ticks(guest: &Guest) -> Result<u64> {
    Ok(guest.sh("awk '{print $14+$15}' /proc/1/stat")?.parse()?)
}

/// Runs `user-services` again, as at boot: the services of the files start, except `off1`, which `b2p.off=` of the
/// machine (main.rs) names.
fn at_boot(guest: &Guest) -> Result<()> {
    says(guest, "b2p stop good", 0, &["stopped"])?;
    file(guest, "off1", "exec /bin/sleep 4300\n")?;
    says(
        guest,
        "b2p restart user-services",
        0,
        &["user-services: has done its work"],
    )?;
    eventually(SOON, || {
        ensure!(service(guest, "good")?["state"] == "up");
        Ok(())
    })?;
    ensure!(service(guest, "off1")?["state"] == "off");
    says(guest, "b2p start off1", 0, &["off1: up"])?;
    guest.sh("rm /var/lib/boot2podman/services/*")?;
    // `crash`, `mute`, `tree` and `deaf` are from own_faults.rs.
    let all = "b2p stop good off1 base crash mute tree deaf sock";
    says(guest, all, 0, &["off1: stopped"]).map(drop)
}
