//! Disks that come while the machine runs: taken when that hides nothing.

use super::{END, SOON, on};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::path::Path;
use tests::disks::inspect::Ext;
use tests::disks::{self, make};
use tests::{Checks, Guest, eventually};

/// A machine with a controller and no disk on it.
fn bare(name: &str) -> Result<Guest> {
    Guest::boot(name, |m| {
        m.qemu_args(&["-device", "virtio-scsi-pci,id=hot"])
    })
}

/// Plugs a disk in.
fn plug(guest: &Guest, file: &Path) -> Result<()> {
    let node = json!({
        "driver": "raw", "node-name": "plugged",
        "file": {"driver": "file", "filename": file},
    });
    guest.vm.qmp_with("blockdev-add", &node)?;
    let device = json!({"driver": "scsi-hd", "bus": "hot.0", "drive": "plugged", "id": "disk"});
    guest.vm.qmp_with("device_add", &device).map(drop)
}

fn unplug(guest: &Guest) -> Result<()> {
    guest
        .vm
        .qmp_with("device_del", &json!({"id": "disk"}))
        .map(drop)
}

/// Waits until `b2p status` has all of these words.
fn says(guest: &Guest, words: &[&str]) -> Result<()> {
    eventually(SOON, || {
        let said = guest.sh("b2p status")?;
        let all = words.iter().all(|w| said.contains(w));
        ensure!(all, "{words:?}: {said}");
        Ok(())
    })
}

fn off(guest: &Guest) -> Result<()> {
    guest.vm.power_button()?;
    guest.vm.wait_exit(END).map(drop)
}

/// It comes, is used, and goes again.
#[test]
fn it_comes_and_goes() -> Result<()> {
    let dir = disks::dir("plug")?;
    let disk = make::ours(&dir, "disk")?;
    let guest = bare("data-plug")?;
    let mut checks = Checks::new("plug");
    checks.check("in RAM first", || on(&guest, "ram"));
    checks.check("it comes", || {
        plug(&guest, disk.file())?;
        says(&guest, &["/dev/sda1"])?;
        let kept = guest.sh("cat /var/lib/containers/kept")?;
        ensure!(format!("{kept}\n") == make::KEPT, "{kept}");
        guest
            .sh("echo new >/var/lib/containers/new && sync")
            .map(drop)
    });
    checks.check("it goes", || {
        unplug(&guest)?;
        says(&guest, &["degraded data"])
    });
    checks.check("the machine lives", || {
        guest.ssh_alone("core", "true")?;
        guest.sh("dmesg | tail -3").map(drop)
    });
    checks.check("off", || off(&guest));
    checks.check("what was written", || {
        let ext = Ext::taken_out(&disk)?;
        ext.mend()?;
        ext.clean()?;
        ensure!(ext.file("/containers/new")? == b"new\n");
        Ok(())
    });
    checks.finish(&guest)
}

/// Something is in RAM already, which the disk would hide: it is announced.
#[test]
fn it_comes_too_late() -> Result<()> {
    let dir = disks::dir("late")?;
    let disk = make::ours(&dir, "disk")?;
    let before = disk.sum()?;
    let guest = bare("data-late")?;
    let mut checks = Checks::new("late");
    checks.check("in RAM first", || on(&guest, "ram"));
    checks.check("it is announced", || {
        guest.sh("podman volume create in-ram")?;
        plug(&guest, disk.file())?;
        says(&guest, &["degraded data", "sda1", "next boot"])
    });
    checks.check("what is in RAM stays in sight", || {
        let all = guest.sh("podman volume ls -q")?;
        ensure!(all == "in-ram", "{all}");
        Ok(())
    });
    checks.check("off", || off(&guest));
    checks.check("the disk is as it was", || {
        ensure!(disk.sum()? == before);
        Ok(())
    });
    checks.finish(&guest)?;
    let dir = disk.file().parent().context("no directory")?;
    Ok(std::fs::remove_dir_all(dir)?)
}
