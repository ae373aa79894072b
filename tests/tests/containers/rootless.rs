// SPDX-License-Identifier: Apache-2.0
//! core's own podman: a store of its own, a user namespace, no privilege, and limits that hold.

use crate::{SOON, defaults, init, pods};
use anyhow::{Result, ensure};
use std::fs;
use tests::{Checks, Guest, eventually, image};

pub fn all(guest: &Guest, checks: &mut Checks, archive: &str) {
    checks.check("rootless, core loads an image", || {
        let out = guest.ssh_with("core", "podman load", &fs::read(archive)?)?;
        tests::text(&out).map(drop)
    });
    checks.check("rootless, as core in the machine", || own_store(guest));
    checks.check("rootless, sessions are counted to their user", || {
        sessions(guest)
    });
    checks.check("rootless, no session stays with sshd", || {
        unfit_session(guest)
    });
    checks.check("rootless, limits are set", || limits(guest));
    checks.check("rootless, limits hold", || exceeded(guest));
    checks.check("rootless, stats, top, pause and update", || {
        commands(&|arguments| {
            let words: Vec<String> = arguments.iter().map(|word| format!("'{word}'")).collect();
            guest.sh_as("core", &format!("podman {}", words.join(" ")))
        })
    });
    checks.check("rootless, the same from another host", || {
        commands(&|arguments| {
            let out = guest.podman_over_ssh("", arguments)?;
            Ok(tests::text(&out)?.trim_end().to_owned())
        })
    });
    checks.check("rootless, limits of a pod", || pods::limits(guest));
    checks.check("rootless, limits over the API", || api(guest));
    checks.check(
        "rootless, ssh without a path leads to core's podman",
        || {
            let limits = [
                "sh",
                "-c",
                "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max",
            ];
            let run = [
                "run",
                "--rm",
                "--network=none",
                "-m",
                "32m",
                "--pids-limit",
                "9",
                image::NAME,
            ];
            let out = guest.podman_over_ssh("", &[&run[..], &limits].concat())?;
            let said = tests::text(&out)?;
            ensure!(said.trim() == "33554432\n9", "{said}");
            let rootless = ["info", "--format", "{{.Host.Security.Rootless}}"];
            let said = tests::text(&guest.podman_over_ssh("", &rootless)?)?;
            ensure!(said.trim() == "true", "{said}");
            Ok(())
        },
    );
    checks.check("rootless, core leaves nothing", || {
        guest.sh_as("core", "podman system reset --force").map(drop)
    });
}

/// core's own podman: a store of its own, a user namespace, no privilege.
fn own_store(guest: &Guest) -> Result<()> {
    let script = format!(
        "podman run --rm {} sh -c 'id -u; wc -l </proc/self/uid_map'",
        image::NAME
    );
    let said = guest.sh_as("core", &script)?;
    ensure!(said.starts_with("0\n") && said != "0\n1", "{said}");
    init::rootless(guest)?;
    // AppArmor's policy is the administrator's: podman leaves rootless containers without.
    let command = format!(
        "podman run --rm --network none {} cat /proc/self/attr/current",
        image::NAME
    );
    let said = guest.sh_as("core", &command)?;
    ensure!(said == "unconfined", "{said}");
    defaults::quiet_build(guest, "core")
}

/// Expects that each user's processes are in a cgroup of the user, and only sshd's in sshd's.
fn sessions(guest: &Guest) -> Result<()> {
    for (user, uid) in [("core", 1000), ("root", 0)] {
        let out = guest.ssh_alone(user, "cat /proc/self/cgroup")?;
        let said = tests::text(&out)?;
        ensure!(said.trim() == format!("0::/user/{uid}/session"), "{said}");
    }
    // The process of a connection that has just ended may be there for a moment.
    eventually(SOON, || {
        let left = guest.sh("cat /sys/fs/cgroup/system/sshd/cgroup.procs | wc -l")?;
        ensure!(left == "1", "{left} processes are sshd's");
        Ok(())
    })?;
    // Limits of the whole user are not the user's to change.
    let owners =
        "cd /sys/fs/cgroup/user/1000 && stat -c '%U %n' . cgroup.procs memory.max pids.max";
    let owners = guest.sh(owners)?;
    ensure!(
        owners == "core .\ncore cgroup.procs\nroot memory.max\nroot pids.max",
        "{owners}"
    );
    let limits =
        guest.sh("cd /sys/fs/cgroup && cat user/1000/memory.max libpod_parent/memory.max")?;
    let (of_core, of_root) = limits.split_once('\n').unwrap_or_default();
    ensure!(
        of_core == of_root && of_core.parse::<u64>().is_ok(),
        "{limits}"
    );
    Ok(())
}

/// Expects that a user that lets no process into the cgroup of sessions has the next session in another cgroup, or
/// has none: never in sshd's, whose processes are for others.
fn unfit_session(guest: &Guest) -> Result<()> {
    let session = "/sys/fs/cgroup/user/1000/session";
    guest.sh_as(
        "core",
        &format!(
            "cd {session} && mkdir t main && echo threaded >t/cgroup.type && echo +pids >cgroup.subtree_control"
        ),
    )?;
    let own = || guest.ssh_alone("core", "cat /proc/self/cgroup");
    let said = tests::text(&own()?)?;
    let pid = said.trim().strip_prefix("0::/user/1000/session-");
    ensure!(pid.is_some_and(|pid| pid.parse::<u32>().is_ok()), "{said}");
    let most = "/sys/fs/cgroup/user/1000/cgroup.max.descendants";
    guest.sh(&format!("echo 0 >{most}"))?;
    let refused = own()?;
    guest.sh(&format!("echo max >{most}"))?;
    ensure!(!refused.status.success(), "{refused:?}");
    eventually(SOON, || {
        let log = guest.sh("b2p log | grep -c 'refused, it has no cgroup but'")?;
        ensure!(log == "1", "{log} lines");
        Ok(())
    })?;
    guest.sh_as(
        "core",
        &format!("cd {session} && echo -pids >cgroup.subtree_control && rmdir t main"),
    )?;
    let said = tests::text(&own()?)?;
    ensure!(said.trim() == "0::/user/1000/session", "{said}");
    Ok(())
}

/// Runs a command in a container of core's, over a connection of its own.
fn run(guest: &Guest, options: &str, command: &str) -> Result<std::process::Output> {
    let name = image::NAME;
    guest.ssh_alone(
        "core",
        &format!("podman run --rm --network none {options} {name} {command}"),
    )
}

fn limits(guest: &Guest) -> Result<()> {
    let files = "sh -c 'cd /sys/fs/cgroup && cat memory.max pids.max cpu.max'";
    // Once the cgroup of sessions is split, later sessions are below it.
    for (options, want) in [
        (
            "-m 32m --pids-limit 20 --cpus 0.5",
            "33554432\n20\n50000 100000",
        ),
        ("-m 33m", "34603008\nmax\nmax 100000"),
        (
            "-m 34m --pids-limit 7 --cgroup-parent /user/1000",
            "35651584\n7\nmax 100000",
        ),
        ("-m 35m --cgroups split", "36700160\nmax\nmax 100000"),
        ("-m 36m", "37748736\nmax\nmax 100000"),
    ] {
        let said = tests::text(&run(guest, options, files)?)?;
        ensure!(said.trim() == want, "{options}: {said}");
    }
    Ok(())
}

fn exceeded(guest: &Guest) -> Result<()> {
    let dd = "dd if=/dev/zero of=/dev/null bs=90M count=1";
    let out = run(guest, "-m 32m --memory-swap 32m", dd)?;
    ensure!(out.status.code() == Some(137), "{out:?}");
    let forks = "sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do sleep 100 & done; wait'";
    let out = run(guest, "--pids-limit 6", forks)?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(said.contains("can't fork"), "{out:?}");
    Ok(())
}

/// Runs podman as core with these arguments, and returns its output.
type Podman<'a> = &'a dyn Fn(&[&str]) -> Result<String>;

fn commands(podman: Podman<'_>) -> Result<()> {
    let run = [
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "mine",
        "-m",
        "64m",
        image::NAME,
    ];
    podman(&[&run[..], &["sleep", "1000"]].concat())?;
    let format = "{{.PIDs}} {{.MemLimit}}";
    let stats = podman(&["stats", "--no-stream", "--format", format, "mine"])?;
    ensure!(stats == "1 67108864", "{stats}");
    let top = podman(&["top", "mine", "args"])?;
    ensure!(top.ends_with("\nsleep 1000"), "{top}");
    let state = || podman(&["inspect", "--format", "{{.State.Status}}", "mine"]);
    podman(&["pause", "mine"])?;
    ensure!(state()? == "paused");
    podman(&["unpause", "mine"])?;
    ensure!(state()? == "running");
    podman(&["update", "-m", "48m", "mine"])?;
    let max = podman(&["exec", "mine", "cat", "/sys/fs/cgroup/memory.max"])?;
    ensure!(max == "50331648", "{max}");
    podman(&["rm", "-f", "-t", "0", "mine"]).map(drop)
}

/// Runs a container of core's through core's socket, which no process serves before.
fn api(guest: &Guest) -> Result<()> {
    let socket = "/run/user/1000/podman/podman.sock";
    let owner = guest.sh(&format!(
        "stat -c '%a %U:%G' {socket} /run/user/1000/podman"
    ))?;
    ensure!(owner == "600 core:core\n700 core:core", "{owner}");
    // The process that served an earlier check ends by itself without a connection.
    eventually(SOON, || {
        let all = guest.sh("ps -u core -o args=")?;
        ensure!(!all.contains("system service"), "{all}");
        Ok(())
    })?;
    // A machine that has just booted has no pause process: two podmans make one at once.
    guest.sh("kill $(ps -u core -o pid=,args= | awk '/catatonit/ {print $1}'); rm /run/user/1000/libpod/tmp/pause.pid")?;
    let files = "sh -c 'cd /sys/fs/cgroup && cat memory.max pids.max cpu.max'";
    let said = guest.sh_as(
        "core",
        &format!(
            "podman ps -q & podman --remote --url unix://{socket} run --rm -m 32m --pids-limit 7 --cpus 0.5 {} {files}; wait",
            image::NAME
        ),
    )?;
    ensure!(said == "33554432\n7\n50000 100000", "{said}");
    let name = image::NAME;
    let dd = "dd if=/dev/zero of=/dev/null bs=90M count=1";
    let command = format!(
        "podman --remote --url unix://{socket} run --rm --network none -m 32m --memory-swap 32m {name} {dd}"
    );
    let out = guest.ssh("core", &command)?;
    ensure!(out.status.code() == Some(137), "{out:?}");
    let status = guest.sh("b2p status podman-user --json; ls /sys/fs/cgroup/user/1000")?;
    ensure!(
        status.contains("\"user\":1000") && status.contains("podman-user"),
        "{status}"
    );
    Ok(())
}
