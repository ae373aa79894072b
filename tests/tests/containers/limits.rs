// SPDX-License-Identifier: Apache-2.0
//! Limits are set, and processes that exceed them are stopped.

use crate::in_box;
use anyhow::{Result, ensure};
use tests::{Checks, Guest, image};

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("a memory limit is set", || {
        let max = in_box(
            guest,
            &["--memory", "64m"],
            &["cat", "/sys/fs/cgroup/memory.max"],
        )?;
        ensure!(max == "67108864", "memory.max is {max}");
        Ok(())
    });
    checks.check("a container above its memory limit is killed", || {
        killed(guest)
    });
    checks.check("a pids limit holds", || pids(guest));
    checks.check("a cpu limit is set", || {
        let max = in_box(
            guest,
            &["--cpus", "0.5"],
            &["cat", "/sys/fs/cgroup/cpu.max"],
        )?;
        ensure!(max == "50000 100000", "cpu.max is {max}");
        Ok(())
    });
}

/// Expects that dd, which fills a buffer of its block size, is killed.
fn killed(guest: &Guest) -> Result<()> {
    let limit = [
        "run",
        "--network=none",
        "--name",
        "hungry",
        "--memory",
        "32m",
        "--memory-swap",
        "32m",
        image::NAME,
    ];
    let dd = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"];
    let out = guest.podman_out(&[&limit[..], &dd].concat())?;
    ensure!(out.status.code() == Some(137), "{out:?}");
    let oom = guest.podman(&["inspect", "--format", "{{.State.OOMKilled}}", "hungry"])?;
    guest.podman(&["rm", "hungry"])?;
    ensure!(oom == "true", "OOMKilled is {oom}");
    Ok(())
}

fn pids(guest: &Guest) -> Result<()> {
    let script =
        "cat /sys/fs/cgroup/pids.max; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 100 & done; wait";
    let out = guest.podman_out(&[
        "run",
        "--rm",
        "--network=none",
        "--pids-limit",
        "8",
        image::NAME,
        "sh",
        "-c",
        script,
    ])?;
    let (said, complained) = (
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr),
    );
    ensure!(said.starts_with("8\n"), "pids.max: {said}");
    ensure!(
        complained.contains("can't fork") && !out.status.success(),
        "{out:?}"
    );
    Ok(())
}
