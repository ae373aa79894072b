// SPDX-License-Identifier: Apache-2.0
//! The clock of a machine whose hardware clock keeps local time and whose host sleeps: the machine
//! is stopped, or restored from a snapshot. Its configuration is on a disk with FAT, with a time
//! zone that a flag overrides.
//!
//! `ptp_kvm` is not covered: the driver asks KVM (`KVM_HC_CLOCK_PAIRING`), and these tests run
//! without KVM. `clocks.rs` tests which clock is taken for the host's.

use anyhow::{Context, Result, ensure};
use initramfs::paths;
use serde_json::json;
use std::fs::{self, File};
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tests::{BOOT_LIMIT, Checks, Guest, disks, eventually};
use vmm::Disk;

/// Time limit for steps without a time of their own.
const LIMIT: Duration = Duration::from_secs(240);
/// Time limit for a step of the clock after a pause: the service compares the clocks every eight
/// seconds of guest time and waits for the next second of the hardware clock; the rest is for ssh on
/// a busy host.
const STEP_LIMIT: Duration = Duration::from_secs(120);
/// Duration of the host's sleep; the test consists of this time passing.
const SLEEP: Duration = Duration::from_secs(20);
/// Seconds by which the hardware clock may be late: QEMU's start on a busy host takes some.
#[derive(Clone, Copy)]
struct Late(u64);

/// Limit of the seconds between a pause and the right clock, on the machine's own clock, which continues
/// while the host has no processor for the machine: the documented ten seconds, and the rest for that.
const RIGHT_AFTER: f64 = 10.0 + 5.0;
/// Prints the time since the boot without pauses, counted by the HPET, and the system clock, to the
/// console.
const RECORD: &str = "bash -c 'while :; do
    read -r up _ </proc/uptime; echo \"clock $up $EPOCHSECONDS\" >/dev/ttyS0; sleep 0.2
done' </dev/null >/dev/null 2>&1 & echo $! >/run/record.pid";

/// A marker in the memory of the machine.
const MARKER: &str = "/run/after-the-snapshot";

#[test]
fn the_clock_follows_the_host_after_sleep_and_snapshots() -> Result<()> {
    let dir = disks::dir("time")?;
    let entries = [
        ("user-data", false, "#cloud-config\ntimezone: Asia/Tokyo\n"),
        ("meta-data", false, "local-hostname: clock\n"),
    ];
    let seed = disks::seed::vfat(&dir, &entries)?;
    let disk = paths::out().join("vm/time.img");
    fs::create_dir_all(paths::out().join("vm"))?;
    File::create(&disk)?.set_len(1 << 20)?;
    let machine = tests::machine("time")?;
    // QEMU's clock begins at `base=` when QEMU starts; before that, a trial of KVM takes seconds, and
    // the question for QEMU's version a part of one.
    let _ = (
        machine.resolve_accelerator(),
        vmm::loses_patches(vmm::Board::Q35),
    );
    let begun = now()?;
    let rtc = format!("base={}", berlin("+%FT%T", begun + 1)?);
    let vm = machine
        .memory_mib(512)
        // The disk holds QEMU's snapshots.
        .disk(Disk::raw(&disk).snapshot())
        .disk(Disk::raw(&seed).read_only())
        .qemu_args(&["-rtc", &rtc])
        // As kvm-clock does, the HPET stands still while the machine does. With QEMU's TCG, the
        // TSC of a restored machine continues with the host's.
        .append("b2p.data=off tz=Europe/Berlin noutc clocksource=hpet")
        .start()?;
    let late = Late(now()? - begun);
    let ready = vm.wait_ready(BOOT_LIMIT)?;
    let guest = Guest::wrap(vm, ready)?;
    let mut checks = Checks::new("time");
    checks.check("the time zone", || {
        let said = guest.sh("date -d @1767225600 '+%H:%M %Z'; readlink /etc/localtime")?;
        ensure!(
            said == "01:00 CET\n/usr/share/zoneinfo/Europe/Berlin",
            "{said}"
        );
        ensure!(
            guest.ready.degraded.is_empty(),
            "{:?}",
            guest.ready.degraded
        );
        Ok(())
    });
    checks.check("cidata on FAT", || {
        let said = guest.sh("hostname; ls /dev/disk/by-label; ls /run/boot2podman/cloud")?;
        ensure!(
            said == "clock\nCIDATA\ncidata\ninstance-id\nran\nuser-data",
            "{said}"
        );
        Ok(())
    });
    checks.check("a hardware clock that keeps local time", || {
        local(&guest, late)
    });
    checks.check("no other program sets the clock", || {
        ensure!(steps(&guest)? == 0, "{} steps", steps(&guest)?);
        eventually(LIMIT, || guest.sh("pidof b2p").map(drop))
    });
    checks.check("after a stop the clock is stepped within seconds", || {
        alone(&guest, RECORD)?;
        eventually(LIMIT, || {
            ensure!(!samples(&guest).is_empty(), "no sample");
            Ok(())
        })?;
        guest.vm.stop()?;
        thread::sleep(SLEEP);
        let stopped = samples(&guest);
        guest.vm.cont()?;
        stepped(&guest, 1, late)?;
        alone(&guest, "kill $(cat /run/record.pid)")?;
        soon(stopped.last().context("no sample")?, &samples(&guest))
    });
    checks.check("the lease is requested again after a pause", || {
        let said = "dmesg | sed '1,/boot2podman: ready/d' | grep 'leases are asked for again'";
        eventually(LIMIT, || alone(&guest, said))?;
        alone(&guest, "ip address show eth0 | grep 'inet 10.0.2.15/24'").map(drop)
    });
    checks.check("after a snapshot is restored the clock is stepped", || {
        restored(&guest, late)
    });
    let done = checks.finish(&guest);
    fs::remove_file(disk)?;
    done
}

/// Formats a time as local time in Berlin, with the rule of tz=Europe/Berlin.
fn berlin(format: &str, at: u64) -> Result<String> {
    let mut date = Command::new("date");
    date.env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3");
    tests::text(&date.args(["-d", &format!("@{at}"), format]).output()?)
}

/// Expects one step before the ready line, by the zone's offset, because the kernel takes the
/// hardware clock for UTC.
fn local(guest: &Guest, late: Late) -> Result<()> {
    let hours: i64 = berlin("+%:::z", now()?)?.parse()?;
    let line = format!(
        "clock stepped by {}.000 s: the hardware clock keeps",
        -3600 * hours
    );
    let said = alone(
        guest,
        "dmesg | grep -e 'clock stepped by' -e 'boot2podman: ready'",
    )?;
    let first = said.lines().next().unwrap_or_default();
    ensure!(first.contains(&line), "no {line:?} in\n{said}");
    ensure!(said.lines().count() == 2, "{said}");
    right(guest, late)
}

/// Seconds since the boot, and of the system clock.
type Sample = (f64, f64);

/// Returns the samples on the console, oldest first.
fn samples(guest: &Guest) -> Vec<Sample> {
    let sample = |line: &str| {
        let mut words = line.trim().strip_prefix("clock ")?.split(' ');
        Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    };
    guest.vm.console().lines().filter_map(sample).collect()
}

/// Expects the clock to have been right soon after the pause that `stopped` is the last sample before.
fn soon(stopped: &Sample, all: &[Sample]) -> Result<()> {
    let offset = |(up, clock): &Sample| clock - up;
    let jump = SLEEP.as_secs_f64() / 2.0;
    let is_right = |sample: &&Sample| offset(sample) > offset(stopped) + jump;
    let first = all
        .iter()
        .find(is_right)
        .context("the clock is not right")?;
    let after = first.0 - stopped.0;
    println!("time: the clock was right {after:.1} s after the pause");
    ensure!(after < RIGHT_AFTER, "{after:.1} s");
    Ok(())
}

/// Restores the machine to the state of some seconds ago.
fn restored(guest: &Guest, late: Late) -> Result<()> {
    let monitor = |line: &str| -> Result<()> {
        let say = json!({"command-line": line});
        let said = guest.vm.qmp_with("human-monitor-command", &say)?;
        ensure!(said == "", "{line}: {said}");
        Ok(())
    };
    monitor("savevm before")?;
    alone(guest, &format!("touch {MARKER}"))?;
    thread::sleep(SLEEP);
    monitor("loadvm before")?;
    let there = eventually(LIMIT, || alone(guest, &format!("ls {MARKER} 2>&1 || true")))?;
    ensure!(there.contains("No such file"), "not restored: {there}");
    stepped(guest, 2, late)
}

/// Expects this number of steps, and the host's time.
fn stepped(guest: &Guest, times: usize, late: Late) -> Result<()> {
    eventually(STEP_LIMIT, || {
        let steps = steps(guest)?;
        ensure!(steps == times, "{steps} steps");
        Ok(())
    })?;
    right(guest, late)
}

/// Returns the number of forward steps of the clock.
fn steps(guest: &Guest) -> Result<usize> {
    let said = alone(guest, "dmesg | grep -c 'clock stepped by +' || true")?;
    Ok(said.parse()?)
}

fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

/// Expects the right time within the hardware clock's second, the time that QEMU took to start, and
/// the time that ssh takes.
fn right(guest: &Guest, Late(late): Late) -> Result<()> {
    let before = now()?;
    let said: u64 = alone(guest, "date +%s")?.parse()?;
    let after = now()?;
    ensure!(
        before <= said + 2 + late && said <= after + 2,
        "{before} {said} {after}"
    );
    Ok(())
}

fn alone(guest: &Guest, script: &str) -> Result<String> {
    tests::text(&guest.ssh_alone("root", script)?)
}
