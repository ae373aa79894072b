// SPDX-License-Identifier: Apache-2.0
//! PID 1 in namespaces, where it behaves as in a machine, within milliseconds. Some machines lack
//! the same features as a namespace.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use control::Request;
use tests::ns::trial::{self, DEGRADED};
use tests::ns::visit;
use tests::ns::{End, LIMIT, Namespace, POWERED_OFF, Proc, READY, RESTARTED, Users};

fn with(change: impl FnOnce(&mut Namespace)) -> Result<Namespace> {
    let mut ns = Namespace::new()?;
    change(&mut ns);
    Ok(ns)
}

/// Expects a ready machine with a degraded line for each of `parts`, and an orderly shutdown.
fn degraded(ns: &Namespace, parts: &[&str]) -> Result<()> {
    let pid1 = ns.start()?;
    pid1.says(READY, LIMIT)?;
    trial::live(&pid1, &[])?;
    let said = pid1.output();
    for part in parts {
        let line = format!("{DEGRADED}{part}");
        ensure!(said.contains(&line), "no {line:?}:\n{said}");
    }
    Ok(())
}

#[test]
fn pid_1_boots_and_powers_off_a_namespace() -> Result<()> {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let pid1 = Namespace::new()?.start()?;
        pid1.says(READY, LIMIT)?;
        best = best.min(pid1.cpu()?);
        pid1.says("late-drivers: ready", LIMIT)?;
        ensure!(pid1.status("Threads")? == 1, "threads");
        pid1.signal(libc::SIGUSR2)?;
        let end = pid1.end(LIMIT)?;
        ensure!(end == POWERED_OFF, "{end:?}\n{}", pid1.output());
    }
    println!("ready after {best:?} of a processor's time");
    ensure!(best < Duration::from_secs(1), "{best:?}");
    Ok(())
}

#[test]
fn each_signal_shuts_down_in_its_own_way() -> Result<()> {
    let ways = [
        (libc::SIGTERM, RESTARTED, "reboot"),
        (libc::SIGINT, RESTARTED, "reboot"),
        (libc::SIGUSR1, POWERED_OFF, "halt"),
        (libc::SIGUSR2, POWERED_OFF, "poweroff"),
        (libc::SIGPWR, POWERED_OFF, "poweroff"),
    ];
    for (signal, end, word) in ways {
        let pid1 = Namespace::new()?.start()?;
        pid1.says(READY, LIMIT)?;
        pid1.signal(signal)?;
        let got = pid1.end(LIMIT)?;
        let said = pid1.output();
        ensure!(
            got == end && said.contains(&format!("going down for {word}")),
            "{signal}: {got:?}\n{said}"
        );
    }
    Ok(())
}

#[test]
fn pid_1_boots_with_one_mapped_user() -> Result<()> {
    // core's directories cannot belong to core.
    degraded(&with(|ns| ns.users = Users::One)?, &["sessions"])
}

#[test]
fn commands_run_in_the_namespace() -> Result<()> {
    let pid1 = Namespace::new()?.start()?;
    pid1.says(READY, LIMIT)?;
    let out = pid1.sh(
        "cat /etc/hostname; readlink /proc/1/exe; ls /dev/pts/ptmx; cat /run/boot2podman/ready",
    )?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let lines = [
        "boot2podman\n",
        "/usr/lib/boot2podman/init\n",
        "/dev/pts/ptmx\n",
        "ready ssh=none",
    ];
    ensure!(lines.iter().all(|l| said.contains(l)), "{out:?}");
    Ok(())
}

/// PID 1 reads the list of mounts again after a change, and only then.
#[test]
fn a_status_tells_of_the_mount_that_containers_are_on() -> Result<()> {
    let pid1 = Namespace::new()?.start()?;
    pid1.says(READY, LIMIT)?;
    let dir = "/var/lib/containers";
    let place = |script: &str| -> Result<String> {
        let out = pid1.sh(script)?;
        ensure!(out.status.success(), "{script}: {out:?}");
        let report = visit::request(&pid1, &Request::Status)?;
        let place = report
            .split_whitespace()
            .find_map(|word| word.strip_prefix("data="));
        Ok(place.context("no line of the machine")?.to_owned())
    };
    for device in ["/dev/a", "/dev/b"] {
        let mounted = place(&format!("mount -t tmpfs {device} {dir}"))?;
        ensure!(mounted == device, "{mounted} in place of {device}");
        ensure!(place("true")? == device, "the second answer");
    }
    let below = place(&format!("umount {dir}"))?;
    ensure!(below == "/dev/a", "{below}");
    Ok(())
}

#[test]
fn without_cgroups_the_machine_is_ready_and_degraded() -> Result<()> {
    degraded(&with(|ns| ns.cgroup = false)?, &["mounts", "cgroups"])
}

#[test]
fn with_a_full_run_the_machine_is_ready_and_degraded() -> Result<()> {
    degraded(
        &with(|ns| ns.run = Some("mode=0755,size=4k,nr_inodes=4".into()))?,
        &["mounts"],
    )
}

#[test]
fn with_a_malformed_proc_the_machine_is_ready_and_degraded() -> Result<()> {
    degraded(&with(|ns| ns.proc = Proc::Garbage)?, &["mount-api"])
}

#[test]
fn without_proc_the_machine_is_ready_and_degraded() -> Result<()> {
    degraded(&with(|ns| ns.proc = Proc::None)?, &["mount-api"])
}

#[test]
fn without_dev_the_machine_is_ready_and_degraded() -> Result<()> {
    degraded(&with(|ns| ns.dev = false)?, &["mount-api"])
}

#[test]
fn without_room_for_processes_the_machine_is_ready() -> Result<()> {
    let ns = with(|ns| ns.limits.push((libc::RLIMIT_NPROC, 1)))?;
    let pid1 = ns.start()?;
    pid1.says(READY, LIMIT)?;
    pid1.says("late-drivers: cannot be started", LIMIT)?;
    trial::live(&pid1, &[])?;
    Ok(())
}

#[test]
fn with_few_descriptors_pid_1_lives() -> Result<()> {
    for few in 3..12 {
        let pid1 = with(|ns| ns.limits.push((libc::RLIMIT_NOFILE, few)))?.start()?;
        trial::live(&pid1, &[])
            .with_context(|| format!("{few} descriptors:\n{}", pid1.output()))?;
    }
    Ok(())
}

/// Memory limits from the least with which PID 1 can be executed, in small steps, to a plentiful
/// one. Below that limit, the kernel kills any program that it cannot execute (execve(2)).
#[test]
fn with_little_memory_pid_1_lives() -> Result<()> {
    let usual = Namespace::new()?.start()?;
    usual.says(READY, LIMIT)?;
    let program = executed(&usual.about("maps")?).context("its mappings")? / 1024 + 16;
    for kib in (program..program + 160).step_by(16) {
        let pid1 = with(|ns| ns.limits.push((libc::RLIMIT_AS, kib * 1024)))?.start()?;
        let became =
            trial::live(&pid1, &[]).with_context(|| format!("{kib} kB:\n{}", pid1.output()))?;
        println!("{kib} kB: {became:?}");
    }
    Ok(())
}

/// Returns the bytes that an exec maps: the program from its first page to the end of its zeroed
/// data, and a stack.
fn executed(maps: &str) -> Option<u64> {
    let range = |line: &str| {
        let (from, to) = line.split_whitespace().next()?.split_once('-')?;
        let number = |t| u64::from_str_radix(t, 16).ok();
        Some((number(from)?, number(to)?))
    };
    let stack = range(maps.lines().find(|l| l.ends_with("[stack]"))?)?;
    let (first, mut end) = range(maps.lines().find(|l| l.ends_with("/init"))?)?;
    for line in maps.lines() {
        let (from, to) = range(line)?;
        if from == end && !line.ends_with("[heap]") {
            end = to;
        }
    }
    Some(end - first + stack.1 - stack.0)
}

/// No descriptor is open; descriptors that PID 1 opens must not become its standard output.
#[test]
fn with_no_descriptor_open_the_standard_streams_are_dev_null() -> Result<()> {
    for dev in [true, false] {
        let pid1 = with(|ns| (ns.stdio, ns.dev) = (false, dev))?.start()?;
        tests::eventually(LIMIT, || pid1.read("/run/boot2podman/ready").map(drop))?;
        for fd in 0..3 {
            let link = std::fs::read_link(format!("/proc/{}/fd/{fd}", pid1.pid()))?;
            let good = if dev { "/dev/null" } else { "/" };
            ensure!(link.ends_with(good), "{fd} is {}", link.display());
        }
        trial::live(&pid1, &[])?;
    }
    Ok(())
}

/// The end of PID 1 is that of a container, where docker refuses reboot(2).
#[test]
fn without_the_right_to_reboot_a_shutdown_ends_the_container() -> Result<()> {
    let pid1 = with(|ns| ns.docker = true)?.start()?;
    pid1.says(READY, LIMIT)?;
    pid1.says("late-drivers: ready", LIMIT)?;
    pid1.signal(libc::SIGUSR2)?;
    let end = pid1.end(LIMIT)?;
    let said = pid1.output();
    ensure!(end == End::Exited(0), "{end:?}\n{said}");
    ensure!(said.contains("reboot(2) RB_POWER_OFF: EPERM"), "{said}");
    ensure!(!said.contains("a child for slow work"), "{said}");
    Ok(())
}

/// The ends of children are seen even if the program before has ignored SIGCHLD (wait(2), notes).
#[test]
fn with_sigchld_ignored_pid_1_reaps_its_children() -> Result<()> {
    let pid1 = with(|ns| ns.ignored.push(libc::SIGCHLD))?.start()?;
    pid1.says(READY, LIMIT)?;
    pid1.says("late-drivers: ready", LIMIT)?;
    trial::live(&pid1, &[])?;
    Ok(())
}
