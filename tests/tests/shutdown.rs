// SPDX-License-Identifier: Apache-2.0
//! The shutdown always ends, in order, with a clean disk.

use anyhow::{Context, Result, ensure};
use initramfs::tools;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;
use tests::disks::{clean, ext4};
use tests::folder::{self, Folder};
use tests::{Checks, Guest, eventually, image};
use vmm::Disk;

/// Time limit of a shutdown under TCG: the limits of all phases add up to two and a half minutes, and
/// none of them should be used up here.
const END: Duration = Duration::from_secs(120);

#[test]
fn a_shutdown_ends_in_order_with_a_clean_disk() -> Result<()> {
    let mut checks = Checks::new("shutdown");
    let dir = initramfs::paths::out().join("vm").join("shutdown-share");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    let disk = ext4(&dir.join("disk.img"), None)?;
    let mut share = Folder::serve(&dir, "share")?;
    let guest = Guest::boot("shutdown", |machine| {
        let machine = folder::machine(machine, 1536).disk(Disk::raw(&disk));
        share.plugged(machine)
    })?;
    prepare(&guest)?;
    // From here on, the server of the share answers nothing.
    share.kill();
    guest.vm.power_button()?;
    let ended = guest.vm.wait_exit(END);
    let said = guest.vm.console();
    checks.check("the shutdown ends, whatever is stuck", || ended.map(drop));
    for phase in [
        "sockets",
        "units",
        "api",
        "containers",
        "services",
        "terminate",
        "kill",
        "sync",
        "unmount",
    ] {
        let line = format!("shutdown: {phase} took ");
        checks.check(&format!("phase {phase}"), || {
            ensure!(said.contains(&line), "{}", guest.vm.tail());
            Ok(())
        });
    }
    checks.check("the phases of disks have achieved their purpose", || {
        for purpose in [
            "(dirty data is on the disks",
            "(file systems are unmounted and clean",
        ] {
            ensure!(said.contains(purpose), "{}", guest.vm.tail());
        }
        Ok(())
    });
    checks.check("processes that ignore their signal are named", || {
        ensure!(said.contains("container deaf does not heed signal 15: killed"));
        ensure!(
            said.contains("containers: 7 of 7 ended"),
            "{}",
            guest.vm.tail()
        );
        Ok(())
    });
    checks.check("no container speaks as PID 1", || {
        ensure!(!said.contains("6.6.6.6"), "{}", guest.vm.tail());
        Ok(())
    });
    checks.check("the disk is clean", || clean(&disk));
    checks.check("each container got its own stop signal", || {
        let note = |name: &str| read(&disk, name);
        ensure!(note("usr1")? == "10\n", "usr1: {:?}", note("usr1")?);
        let rootless = note("rootless")?;
        ensure!(rootless.is_empty(), "rootless: {rootless:?}");
        ensure!(note("term")? == "15\n", "term: {:?}", note("term")?);
        ensure!(note("paused")? == "15\n", "paused: {:?}", note("paused")?);
        // The container was not started again: its restart policy did not apply.
        ensure!(
            note("always")? == "begun\n",
            "always: {:?}",
            note("always")?
        );
        Ok(())
    });
    checks.done()
}

/// Prepares containers of all kinds, a disk that is full, and a share.
fn prepare(guest: &Guest) -> Result<()> {
    // Drivers of disks are loaded after the ready line.
    eventually(END, || guest.sh("test -b /dev/vda"))?;
    guest.sh("mkdir /mnt/disk /mnt/share && mount -t ext4 /dev/vda /mnt/disk && mount -t virtiofs share /mnt/share && ls /mnt/share")?;
    let archive = image::archive(guest.vm.dir())?.display().to_string();
    guest.podman(&["load", "-i", &archive])?;
    let trap = |name: &str, signal: &str, number: u32| {
        format!(
            "trap 'echo {number} >/d/{name}; exit 0' {signal}; while :; do sleep 1000 & wait; done"
        )
    };
    run(
        guest,
        "usr1",
        &["--stop-signal", "USR1"],
        &trap("usr1", "USR1", 10),
    )?;
    run(guest, "term", &[], &trap("term", "TERM", 15))?;
    run(guest, "paused", &[], &trap("paused", "TERM", 15))?;
    run(
        guest,
        "always",
        &["--restart", "always"],
        "echo begun >>/d/always; exec sleep 1000 & trap 'exit 0' TERM; wait",
    )?;
    run(
        guest,
        "deaf",
        &[],
        "trap '' TERM; while :; do sleep 1; done",
    )?;
    run(guest, "liar", &[], LIAR)?;
    rootless(guest, &archive, ROOTLESS)?;
    guest.sh("podman pause paused")?;
    // The notes still fit: their files and blocks exist.
    guest.sh("cd /mnt/disk && for n in usr1 term paused rootless; do echo ............ >$n; done; chmod 666 rootless; dd if=/dev/zero of=full bs=1M 2>/dev/null; df /mnt/disk | tail -n 1")?;
    Ok(())
}

/// Process of a container that looks like conmon. The process names a fifo as its configuration, and
/// has a name with which the line about the container would clear the console and end in the ready
/// line.
const LIAR: &str =
    "busybox mkfifo /config.json; printf '#!/bin/sh\\nsleep 1000 & wait\\n' >/conmon;
    busybox chmod +x /conmon; /conmon -b / -n \"$(printf 'x\\033[2J\\nready ssh=6.6.6.6:22')\" &
    trap 'exit 0' TERM; while :; do sleep 1000 & wait; done";

/// Process that empties its note: the disk is full, and what is left of it is root's.
const ROOTLESS: &str = "trap ': >/d/rootless; exit 0' USR1; while :; do sleep 1000 & wait; done";

/// Runs a container of core's with a stop signal of its own.
fn rootless(guest: &Guest, archive: &str, script: &str) -> Result<()> {
    let bytes = fs::read(archive)?;
    let loaded = guest.ssh_with("core", "podman load", &bytes)?;
    ensure!(loaded.status.success(), "{loaded:?}");
    let run = format!(
        "podman run --detach --network none --name rootless --stop-signal USR1 -v /mnt/disk:/d {} sh -c {script:?}",
        image::NAME
    );
    guest.sh_as("core", &run).map(drop)
}

fn run(guest: &Guest, name: &str, options: &[&str], script: &str) -> Result<()> {
    let base = ["run", "--detach", "--name", name, "-v", "/mnt/disk:/d"];
    let args = [&base, options, &[image::NAME, "sh", "-c", script]].concat();
    guest.podman(&args).map(drop)
}

#[test]
fn a_second_request_ends_the_wait_of_a_shutdown() -> Result<()> {
    let guest = Guest::boot("shutdown-twice", |machine| machine.memory_mib(512))?;
    // Neither SIGTERM nor the loss of its terminal ends this process.
    guest.sh("(trap '' TERM HUP; while :; do sleep 1; done) </dev/null >/dev/null 2>&1 &")?;
    guest.vm.power_button()?;
    guest.vm.wait_console("going down for poweroff", END)?;
    thread::sleep(Duration::from_secs(1));
    guest.vm.power_button()?;
    guest.vm.wait_exit(END)?;
    let said = guest.vm.console();
    ensure!(said.contains("second request"), "{}", guest.vm.tail());
    Ok(())
}

fn read(disk: &Path, name: &str) -> Result<String> {
    let mut debugfs = tools::command("debugfs")?;
    debugfs.args(["-R", &format!("cat /{name}")]).arg(disk);
    Ok(String::from_utf8(tools::run(&mut debugfs, "debugfs")?)?)
}

/// Measures the time from the power button to power off on the instruction clock: a figure, not a
/// test. `cargo test -p tests --test shutdown -- --ignored --nocapture`
#[test]
#[ignore = "a figure for docs/measured/figures.md"]
fn power_off_is_measured() -> Result<()> {
    for containers in [0, 10] {
        let guest = Guest::boot("shutdown-time", |m| m.memory_mib(1536).icount(true))?;
        if containers > 0 {
            let archive = image::archive(guest.vm.dir())?.display().to_string();
            guest.podman(&["load", "-i", &archive])?;
        }
        for n in 0..containers {
            let script = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done";
            run_detached(&guest, &format!("c{n}"), script)?;
        }
        guest.vm.power_button()?;
        guest.vm.wait_exit(END)?;
        let said = guest.vm.console();
        let (from, to) = (
            at(&said, "going down for")?,
            at(&said, "reboot: Power down")?,
        );
        println!("{containers} containers: {:.0} ms", (to - from) * 1000.0);
        let phases = said.lines().filter(|l| l.contains("shutdown: "));
        phases.for_each(|l| println!("  {}", l.split(" (").next().unwrap_or_default()));
    }
    Ok(())
}

fn run_detached(guest: &Guest, name: &str, script: &str) -> Result<()> {
    let args = [
        "run",
        "--detach",
        "--name",
        name,
        image::NAME,
        "sh",
        "-c",
        script,
    ];
    guest.podman(&args).map(drop)
}

/// Returns the time of the kernel log line with `text`, in seconds since the kernel started.
fn at(log: &str, text: &str) -> Result<f64> {
    let line = log
        .lines()
        .find(|l| l.contains(text))
        .context(text.to_owned())?;
    let time = line.trim_start().trim_start_matches('[').split(']').next();
    Ok(time.unwrap_or_default().trim().parse()?)
}
