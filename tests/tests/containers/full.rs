// SPDX-License-Identifier: Apache-2.0
//! A container that fills every writable file system, in a machine without a disk.

use anyhow::{Context, Result, ensure};
use std::fs;
use tests::{Checks, Guest, eventually, image};

use crate::SOON;

/// Fills the layer, takes all freed space, and prints without end: when the container is killed,
/// some 10,000 lines are in the pipe to conmon, which cannot write them.
const FILL: &str =
    "(while :; do cat /dev/zero >>/fill; done 2>/dev/null) & while :; do seq 1 100000; done";

/// Script of [`FILL`] with 65,536 lines without a character in the pipe.
const FILL_AND_PRINT_NOTHING: &str =
    "(while :; do cat /dev/zero >>/fill; done 2>/dev/null) & exec busybox yes ''";

/// Script that fills the layer, and takes what is freed only later, when the machine has given all room that it kept.
const FILL_AND_WAIT: &str = "while :; do cat /dev/zero >>/fill; sleep 20; done 2>/dev/null";

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
            expect_store_full(guest, true)
        },
    );
    checks.check("full: the machine's own files have room", || {
        guest.sh("echo x >/etc/b2p-full && rm /etc/b2p-full")?;
        add_key(guest)
    });
    checks.check("full: podman still removes what fills it", || {
        guest.podman(&["ps", "--all"])?;
        guest.podman(&["rm", "--force", "--time", "0", "bomb"])?;
        expect_store_full(guest, false)
    });
    checks.check(
        "full: /etc/hosts of a container fills nothing of the machine's",
        || hosts(guest),
    );
    checks.check("full: a root without room is said, and takes a key", || {
        root(guest)
    });
    checks.check(
        "full: files in a container's own tmpfs are its memory",
        || tmpfs(guest),
    );
    checks.check("full: files of /tmp are named", || temporary(guest));
}

/// Fills by containers of core, whose podman has its database beside what they fill.
pub fn of_core(guest: &Guest, checks: &mut Checks, archive: &str) {
    checks.check(
        "full: a container of core fills the store, and is paused",
        || {
            let out = guest.ssh_with("core", "podman load -q", &fs::read(archive)?)?;
            tests::text(&out)?;
            expect_paused_of_core(guest, "bomb", FILL)
        },
    );
    checks.check("full: core removes it", || {
        let grown = guest.sh("cat /run/boot2podman/store.before; stat -f -c %b /tmp")?;
        guest.sh_as("core", "podman rm --force --time 0 bomb")?;
        expect_store_full(guest, false)?;
        let left = guest.sh("ls /run/boot2podman; stat -f -c %b /tmp")?;
        let blocks = |said: &str| {
            said.lines()
                .last()
                .and_then(|last| last.parse::<u64>().ok())
        };
        let before = grown
            .split(' ')
            .next()
            .and_then(|bytes| bytes.parse::<u64>().ok());
        let before = before.map(|bytes| bytes / 4096);
        ensure!(before < blocks(&grown), "{grown}");
        ensure!(
            before == blocks(&left) && !left.contains("store.before"),
            "{grown} {left}"
        );
        Ok(())
    });
    checks.check("full: core removes one that fills now and then", || {
        expect_paused_of_core(guest, "waiter", FILL_AND_WAIT)?;
        guest.sh_as("core", "podman rm --force --time 0 waiter")?;
        expect_store_full(guest, false)
    });
    checks.check(
        "full: /etc/hosts of core's container fills nothing of others",
        || hosts_of_core(guest),
    );
    checks.check("full: core leaves nothing", || {
        guest.sh_as("core", "podman system reset --force").map(drop)
    });
}

fn detached_of_core(guest: &Guest, name: &str, script: &str) -> Result<String> {
    let run = format!(
        "podman run -d --network none --name {name} {} sh -c '{script}'",
        image::NAME
    );
    guest.sh_as("core", &run)
}

/// Starts a container of core that fills the store, and expects that the machine pauses the container.
fn expect_paused_of_core(guest: &Guest, name: &str, script: &str) -> Result<()> {
    let id = detached_of_core(guest, name, script)?;
    expect_store_full(guest, true)?;
    let paused = format!("paused until there is room: {} of user 1000", &id[..12]);
    expect_status(guest, &paused, true)
}

fn hosts_of_core(guest: &Guest) -> Result<()> {
    detached_of_core(guest, "filler", FILL_HOSTS)?;
    let line = "store: paused, because their /etc/hosts";
    let filled =
        format!("[ $(stat -f -c %a /run/user/1000) = 0 ] || b2p status | grep -q '{line}'");
    eventually(SOON, || guest.sh(&filled))?;
    guest.sh("mkdir /run/user/other && rmdir /run/user/other && b2p restart image-sync")?;
    expect_status(guest, line, true)?;
    guest.sh_as("core", "podman ps && podman rm --force --time 0 filler")?;
    guest.sh("b2p restart image-sync")?;
    expect_status(guest, line, false)?;
    expect_status(guest, "/run/user/1000 is full", false)
}

/// Fills /tmp, which shares a file system with the store in RAM.
fn temporary(guest: &Guest) -> Result<()> {
    guest.sh_as("core", "cat /dev/zero >/tmp/fill; true")?;
    guest.sh("b2p restart image-sync")?;
    expect_status(
        guest,
        "images or volumes, or files of /tmp and /var/tmp",
        true,
    )?;
    guest.sh("rm /tmp/fill && b2p restart image-sync")?;
    expect_store_full(guest, false)
}

/// Fills the files that podman makes for a container in /run, again and again.
const FILL_HOSTS: &str = "while :; do for f in hosts resolv.conf hostname; do
    cat /dev/zero >>/etc/$f; done; cat /dev/zero >>/run/.containerenv; sleep 1; done 2>/dev/null";

fn hosts(guest: &Guest) -> Result<()> {
    super::detached(guest, "filler", &[], &["sh", "-c", FILL_HOSTS])?;
    // The watch may have made room again before this script first runs.
    let filled = "[ $(stat -f -c %a /run/containers/files) = 0 ] || b2p status | grep -q 'store: paused, because their /etc/hosts'";
    eventually(SOON, || guest.sh(filled))?;
    guest.sh("echo x >/run/b2p-full && rm /run/b2p-full")?;
    // A new watch makes its first check at once, and not in half a minute.
    guest.sh("b2p restart image-sync")?;
    let line = "store: paused, because their /etc/hosts";
    expect_status(guest, line, true)?;
    super::in_box(guest, &[], &["true"])?;
    add_key(guest)?;
    guest.podman(&["rm", "--force", "--time", "0", "filler"])?;
    guest.sh("b2p restart image-sync")?;
    expect_status(guest, line, false)
}

fn root(guest: &Guest) -> Result<()> {
    let said = guest.sh(
        "dd if=/dev/zero of=/root/fill bs=64k 2>&1; dd if=/dev/zero of=/root/rest bs=512 2>&1; true",
    )?;
    ensure!(said.contains("No space left"), "{said}");
    guest.sh("b2p restart image-sync")?;
    expect_status(guest, "store: / is full: of ", true)?;
    add_key(guest)?;
    guest.sh("rm /root/fill /root/rest && b2p restart image-sync")?;
    expect_status(guest, "store: / is full: of ", false)
}

/// Fills two file systems of half the memory each, and expects that the kernel kills nothing but containers.
fn tmpfs(guest: &Guest) -> Result<()> {
    let fill = "for d in /a /b; do cat /dev/zero >$d/fill; done; sleep 10000";
    let options = ["--tmpfs", "/a", "--tmpfs", "/b"];
    super::detached(guest, "hoarder", &options, &["sh", "-c", fill])?;
    let killed = "grep -q 'oom_kill [1-9]' /sys/fs/cgroup/libpod_parent/memory.events";
    eventually(SOON, || guest.sh(killed))?;
    guest.ssh_alone("core", "true")?;
    guest.podman(&["rm", "--force", "--time", "0", "hoarder"])?;
    guest.sh("! dmesg | grep -i '] out of memory'").map(drop)
}

/// Adds a key that no other check adds, and logs in.
fn add_key(guest: &Guest) -> Result<()> {
    let key = Guest::public_key()?;
    let comment = guest.sh("cat /proc/sys/kernel/random/uuid")?;
    guest.sh(&format!("b2p key add '{} {comment}'", key.trim()))?;
    let listed = guest.sh("b2p key list")?;
    ensure!(listed.contains(&comment), "{listed}");
    guest.ssh_alone("core", "true").map(drop)
}

/// Expects this text in `b2p status` if `wanted`, else its absence.
fn expect_status(guest: &Guest, words: &str, wanted: bool) -> Result<()> {
    eventually(SOON, || {
        let said = guest.sh("b2p status")?;
        ensure!(said.contains(words) == wanted, "{words}: {said}");
        Ok(())
    })
}

/// Fills the layer once more, by a container whose output is not read fast enough.
pub fn with_output(guest: &Guest, checks: &mut Checks) {
    checks.check("full: also with a pipe full of empty lines", || {
        super::detached(guest, "bomb", &[], &["sh", "-c", FILL_AND_PRINT_NOTHING])?;
        expect_store_full(guest, true)?;
        guest.podman(&["rm", "--force", "--time", "0", "bomb"])?;
        expect_store_full(guest, false)
    });
}

/// Expects the degraded line about a full store in the status and in the file if `full`, else its absence.
fn expect_store_full(guest: &Guest, full: bool) -> Result<()> {
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
