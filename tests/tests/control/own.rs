// SPDX-License-Identifier: Apache-2.0
//! Users' services: what a file can contain, and how the services run.

use super::{SOON, file, pid, said, says, service};
use anyhow::{Context, Result, ensure};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tests::{Checks, Guest, eventually};

/// A file with every keyword but `socket` and `ready`.
const GOOD: &str = "\
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

/// A service whose children ignore SIGTERM and have sessions of their own.
const TREE: &str = "\
exec /bin/bash -c 'for i in 1 2 3; do (trap \"\" TERM; setsid sleep 4321 & setsid sleep 4321 & sleep 4321) & done; exec sleep 4320'
grace 1s
";

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("a file with everything", || good(guest));
    checks.check("what a service inherits", || inherits(guest));
    checks.check("ready by a descriptor, and who needs that", || needs(guest));
    checks.check("a socket starts its service", || socket(guest));
    checks.check("a one-shot", || one_shot(guest));
    checks.check("one that is never ready", || never_ready(guest));
    checks.check("one that crashes costs next to nothing", || crashes(guest));
    checks.check("one that does not heed TERM", || deaf(guest));
    checks.check("nothing of a group is left", || tree(guest));
    checks.check("files with mistakes", || mistakes(guest));
    checks.check("a name of the machine's is refused", || taken(guest));
    checks.check("a restart with a mistake stops nothing", || spoilt(guest));
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

/// Checks everything that proc(5) shows about an inherited environment.
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

/// Expects that a dependent service starts only after the newline, and is stopped together with the
/// service that it needs.
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
    guest
        .sh("dmesg | grep 'absent: Exec of /no/such/program: ENOENT'")
        .map(drop)
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

/// Returns the processor time of PID 1 itself in ticks of a hundredth of a second
/// (proc_pid_stat(5)).
pub fn ticks(guest: &Guest) -> Result<u64> {
    Ok(guest.sh("awk '{print $14+$15}' /proc/1/stat")?.parse()?)
}

fn crashes(guest: &Guest) -> Result<()> {
    let crash = "exec /bin/sh -c 'exit 3'\nready exit\n"; // as no-use
    file(guest, "crash", crash)?;
    says(
        guest,
        "b2p start crash",
        1,
        &["crash: exited with status 3; it is started again"],
    )?;
    let log = eventually(SOON, || {
        guest.sh("dmesg | grep 'crash: ended 5 times in a row'")
    })?;
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
    ensure!(restarts.is_some_and(|n| (4..=12).contains(&n)), "{all}");
    ensure!(all["last"]["exited"] == 3, "{all}");
    let words = ["crash", "delayed", "exit 3"];
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

fn mistakes(guest: &Guest) -> Result<()> {
    file(
        guest,
        "bad",
        "exec sleep 5\nlimit memory.max\n\nrestrat always\n",
    )?;
    let told = [
        "bad:1: exec: sleep: a program by its whole path",
        "bad:2: limit: memory.max: a file of its cgroup and a value, such as memory.max 64M",
        "bad:4: restrat: no such word: one of exec user ready restart",
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
        &["net: a service of the machine has this name"],
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
        &["net: a service of the machine has this name"],
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
    says(guest, "b2p load good", 1, &["it is in use: stop it first"])?;
    let (text, _) = said(guest, "b2p status")?;
    ensure!(!text.contains("in use"), "{text}");
    file(guest, "good", &GOOD.replace("4300", "4301"))?;
    says(guest, "b2p reload", 0, &["b2p restart good"])?;
    says(guest, "b2p restart good", 0, &["good: up after "])?;
    ensure!(guest.pids("sleep 4301")?.len() == 1);
    Ok(())
}

/// Repeats what the service `user-services` does once at boot.
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
    let all = "b2p stop good off1 base crash mute tree deaf sock";
    says(guest, all, 0, &["off1: stopped"]).map(drop)
}
