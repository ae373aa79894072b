// SPDX-License-Identifier: Apache-2.0
//! A container that fills every writable file system, in a machine without a disk.

use anyhow::{Context, Result, ensure};
use tests::{Checks, Guest, eventually};

use crate::SOON;

/// Fills the layer, takes all freed space, and prints without end: when the container is killed,
/// some 10,000 lines are in the pipe to conmon, which cannot write them.
const FILL: &str =
    "(while :; do cat /dev/zero >>/fill; done 2>/dev/null) & while :; do seq 1 100000; done";

/// Script of [`FILL`] with 65,536 lines without a character in the pipe.
const FILL_AND_PRINT_NOTHING: &str =
    "(while :; do cat /dev/zero >>/fill; done 2>/dev/null) & exec busybox yes ''";

pub fn all(guest: &Guest, checks: &mut Checks, archive: &str) {
    checks.check(
        "full: all limits of files in RAM leave room for programs",
        || limits(guest),
    );
    checks.check(
        "full: a container fills its layer, and the machine says so",
        || {
            guest.podman(&["load", "-i", archive])?;
            super::detached(guest, "bomb", &[], &["sh", "-c", FILL])?;
            says(guest, true)
        },
    );
    checks.check("full: the machine's own files have room", || {
        guest.sh("echo x >/etc/b2p-full && rm /etc/b2p-full")?;
        let key = Guest::public_key()?;
        guest.sh(&format!("b2p key add '{}'", key.trim()))?;
        guest.ssh_alone("core", "true").map(drop)
    });
    checks.check("full: podman still removes what fills it", || {
        guest.podman(&["ps", "--all"])?;
        guest.podman(&["rm", "--force", "--time", "0", "bomb"])?;
        says(guest, false)
    });
}

/// Fills the layer once more, by a container whose output is not read fast enough.
pub fn with_output(guest: &Guest, checks: &mut Checks) {
    checks.check("full: also with a pipe full of empty lines", || {
        super::detached(guest, "bomb", &[], &["sh", "-c", FILL_AND_PRINT_NOTHING])?;
        says(guest, true)?;
        guest.podman(&["rm", "--force", "--time", "0", "bomb"])?;
        says(guest, false)
    });
}

/// Expects the line on a full store, or none, in the status and in the file.
fn says(guest: &Guest, full: bool) -> Result<()> {
    eventually(SOON, || {
        let said = guest.sh("b2p status; cat /run/boot2podman/degraded")?;
        let listed = said.matches("store: full: of ").count();
        ensure!(listed == if full { 2 } else { 0 }, "{said}");
        Ok(())
    })
}

/// Adds up the limits of the machine's file systems in RAM, each once.
fn limits(guest: &Guest) -> Result<()> {
    let tmpfs = "awk '/ - (dev)?tmpfs / && !seen[$3]++ { print $NF }' /proc/self/mountinfo";
    let script =
        format!("({tmpfs} | grep -o 'size=[0-9]*k'; df -k / | tail -n 1) | tr -d 'size=k'");
    let said = guest.sh(&script)?;
    let number = |line: &str| {
        let mut words = line.split_whitespace();
        words.find_map(|word| word.parse::<u64>().ok())
    };
    let all: u64 = said.lines().filter_map(number).sum();
    let total = guest.sh("awk '/^MemTotal/ { print $2 }' /proc/meminfo")?;
    let total: u64 = total.parse().context("MemTotal")?;
    let left = total.saturating_sub(all);
    ensure!(all > total / 2 && left > 200 * 1024, "{said} of {total} kB");
    Ok(())
}
