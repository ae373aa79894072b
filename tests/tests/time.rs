//! The clock after the host has slept, on a machine that was stopped meanwhile; and a
//! configuration on a disk with FAT, which has a time zone that a flag is stronger than.

use anyhow::{Result, ensure};
use initramfs::qemu::Disk;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tests::{Checks, Guest, disks, eventually};

/// The service looks once a minute of the guest's time.
const LIMIT: Duration = Duration::from_secs(240);
/// How long the host sleeps. What is tested is that this time passes.
const SLEEP: Duration = Duration::from_secs(20);

#[test]
fn time() -> Result<()> {
    let dir = disks::dir("time")?;
    let entries = [
        ("user-data", false, "#cloud-config\ntimezone: Asia/Tokyo\n"),
        ("meta-data", false, "local-hostname: clock\n"),
    ];
    let seed = disks::seed::vfat(&dir, &entries)?;
    let guest = Guest::boot("time", |machine| {
        machine
            .memory_mib(512)
            .append("b2p.data=off tz=Europe/Berlin")
            .disk(Disk::raw(&seed).read_only())
    })?;
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
    checks.check("the clock is right, and nobody had to set it", || {
        right(&guest)?;
        let steps = steps(&guest)?;
        ensure!(steps == 0, "{steps} steps");
        eventually(LIMIT, || guest.sh("pidof b2p").map(drop))
    });
    checks.check("after a stop the clock is stepped", || {
        guest.vm.stop()?;
        thread::sleep(SLEEP);
        guest.vm.cont()?;
        stepped(&guest)
    });
    checks.finish(&guest)
}

/// Once, and to the host's time.
fn stepped(guest: &Guest) -> Result<()> {
    eventually(LIMIT, || {
        let steps = steps(guest)?;
        ensure!(steps == 1, "{steps} steps");
        Ok(())
    })?;
    right(guest)
}

fn steps(guest: &Guest) -> Result<usize> {
    let said = alone(guest, "dmesg | grep -c 'clock stepped by +' || true")?;
    Ok(said.parse()?)
}

/// Within the hardware clock's second and the time that ssh takes.
fn right(guest: &Guest) -> Result<()> {
    let host = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map(|d| d.as_secs())
    };
    let before = host()?;
    let said: u64 = alone(guest, "date +%s")?.parse()?;
    let after = host()?;
    ensure!(
        before <= said + 2 && said <= after + 2,
        "{before} {said} {after}"
    );
    Ok(())
}

fn alone(guest: &Guest, script: &str) -> Result<String> {
    tests::text(&guest.ssh_alone("root", script)?)
}
