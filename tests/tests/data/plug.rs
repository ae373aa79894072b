// SPDX-License-Identifier: Apache-2.0
//! Disks that appear while the machine runs: used if that hides nothing.

use super::{END, SOON, on};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use tests::disks::inspect::Ext;
use tests::disks::{self, make};
use tests::{BOOT_LIMIT, Checks, Guest, eventually, machine};
use vmm::Vm;

/// Returns a machine with a controller and no disk.
fn bare(name: &str) -> Result<Guest> {
    Guest::boot(name, |m| {
        m.qemu_args(&["-device", "virtio-scsi-pci,id=hot"])
    })
}

/// PCI Express port into which a running machine takes a card.
const PORT: &[&str] = &["-device", "pcie-root-port,id=hot"];

/// Plugs a disk in.
fn plug(guest: &Guest, file: &Path) -> Result<()> {
    let device = json!({"driver": "scsi-hd", "bus": "hot.0", "drive": "plugged", "id": "disk"});
    plug_as(&guest.vm, file, &device)
}

/// Unplugs the disk, and waits until QEMU has let go of its file.
fn unplug_for_good(guest: &Guest) -> Result<()> {
    unplug(guest)?;
    let node = json!({"node-name": "plugged"});
    eventually(SOON, || guest.vm.qmp_with("blockdev-del", &node).map(drop))
}

/// Plugs `device` in, whose drive is `plugged`.
fn plug_as(vm: &Vm, file: &Path, device: &Value) -> Result<()> {
    let node = json!({
        "driver": "raw", "node-name": "plugged",
        "file": {"driver": "file", "filename": file},
    });
    vm.qmp_with("blockdev-add", &node)?;
    vm.qmp_with("device_add", device).map(drop)
}

fn unplug(guest: &Guest) -> Result<()> {
    guest
        .vm
        .qmp_with("device_del", &json!({"id": "disk"}))
        .map(drop)
}

/// Waits until `b2p status` contains all of these texts.
fn says(guest: &Guest, words: &[&str]) -> Result<()> {
    eventually(SOON, || {
        let said = guest.sh("b2p status")?;
        let all = words.iter().all(|w| said.contains(w));
        ensure!(all, "{words:?}: {said}");
        Ok(())
    })
}

/// Checks the flags of the disk's three mounts, and their effect.
fn mount_flags(guest: &Guest) -> Result<()> {
    for (at, wanted) in [
        ("/mnt/data", "rw,nosuid,nodev,noatime"),
        ("/var/lib/containers", "rw,nodev,noatime"),
        ("/var/lib/boot2podman", "rw,nosuid,nodev,noatime"),
    ] {
        let said = guest.sh(&format!(
            "awk '$5 == \"{at}\" {{ o = $6 }} END {{ print o }}' /proc/self/mountinfo"
        ))?;
        ensure!(said == wanted, "{at}: {said}");
    }
    for (dir, wanted) in [("/mnt/data", "1000"), ("/var/lib/containers", "0")] {
        guest.sh(&format!("install -m 4755 /bin/bash {dir}/bash-4755"))?;
        let said = guest.sh_as("core", &format!("{dir}/bash-4755 -p -c 'echo $EUID'"))?;
        guest.sh(&format!("rm {dir}/bash-4755"))?;
        ensure!(said == wanted, "{dir}: {said}");
    }
    let node = "mknod /var/lib/containers/null c 1 3; echo x >/var/lib/containers/null";
    let said = guest.sh(&format!("({node}) 2>&1; rm /var/lib/containers/null"))?;
    ensure!(said.contains("ermission denied"), "{said}");
    Ok(())
}

/// Expects no degraded line in the status, in the file and at a login, and one in the log that
/// takes the last one back.
fn taken_back(guest: &Guest) -> Result<()> {
    eventually(SOON, || {
        let said = guest.sh("b2p status; cat /run/boot2podman/degraded")?;
        ensure!(
            !said.contains("degraded") && !said.contains("data:"),
            "{said}"
        );
        Ok(())
    })?;
    let log = guest.sh("dmesg | grep 'no longer degraded data'")?;
    ensure!(log.contains("it has 100 MiB"), "{log}");
    Ok(())
}

fn off(guest: &Guest) -> Result<()> {
    guest.vm.power_button()?;
    guest.vm.wait_exit(END).map(drop)
}

/// A disk appears, is used, and disappears.
#[test]
fn a_data_disk_is_plugged_and_unplugged() -> Result<()> {
    let dir = disks::dir("plug")?;
    let disk = make::ours(&dir, "disk")?;
    let guest = bare("data-plug")?;
    let mut checks = Checks::new("plug");
    checks.check("the data is in RAM first", || on(&guest, "ram"));
    let cut = make::cut(&disk, 100)?;
    let before = cut.sum()?;
    checks.check("a copy without its end is named, and left alone", || {
        plug(&guest, cut.file())?;
        let sizes = ["degraded data", "it has 100 MiB", "disk of 130 MiB"];
        says(&guest, &sizes)?;
        unplug_for_good(&guest)?;
        ensure!(cut.sum()? == before, "it was written to");
        taken_back(&guest)
    });
    checks.check("the data disk is plugged in and used", || {
        plug(&guest, disk.file())?;
        says(&guest, &["/dev/sda1"])?;
        let kept = guest.sh("cat /var/lib/containers/kept")?;
        ensure!(format!("{kept}\n") == make::KEPT, "{kept}");
        guest
            .sh("echo new >/var/lib/containers/new && sync")
            .map(drop)
    });
    checks.check("the disk is mounted nodev and nosuid", || {
        mount_flags(&guest)
    });
    checks.check("the loss of the data disk is reported", || {
        unplug(&guest)?;
        says(&guest, &["degraded data"])
    });
    checks.check("the machine lives", || {
        guest.ssh_alone("core", "true")?;
        guest.sh("dmesg | tail -3").map(drop)
    });
    checks.check("poweroff succeeds", || off(&guest));
    checks.check("the written files are on the disk", || {
        let ext = Ext::taken_out(&disk)?;
        ext.mend()?;
        ext.clean()?;
        ensure!(ext.file("/containers/new")? == b"new\n");
        Ok(())
    });
    checks.finish(&guest)
}

/// RAM already holds something that the disk would hide: the disk is announced for the next boot.
#[test]
fn a_late_data_disk_waits_for_the_next_boot_if_ram_has_a_volume() -> Result<()> {
    let dir = disks::dir("late")?;
    let disk = make::ours(&dir, "disk")?;
    let before = disk.sum()?;
    let guest = bare("data-late")?;
    let mut checks = Checks::new("late");
    checks.check("the data is in RAM first", || on(&guest, "ram"));
    checks.check("the late disk is announced", || {
        guest.sh("podman volume create in-ram")?;
        plug(&guest, disk.file())?;
        says(&guest, &["degraded data", "sda1", "next boot"])
    });
    checks.check("data in RAM is not hidden", || {
        let all = guest.sh("podman volume ls -q")?;
        ensure!(all == "in-ram", "{all}");
        Ok(())
    });
    checks.check("poweroff succeeds", || off(&guest));
    checks.check("the disk is as it was", || {
        ensure!(disk.sum()? == before);
        Ok(())
    });
    checks.finish(&guest)?;
    let dir = disk.file().parent().context("no directory")?;
    Ok(std::fs::remove_dir_all(dir)?)
}

/// `waitusb=`: the ready line waits for a disk on PCI, and no longer than needed.
#[test]
fn waitusb_waits_for_a_data_disk() -> Result<()> {
    let dir = disks::dir("waited")?;
    let disk = make::ours(&dir, "disk")?;
    let vm = machine("data-waited")?;
    let vm = vm.qemu_args(PORT).append("waitusb=600").start()?;
    vm.wait_console("data: waits for a disk", BOOT_LIMIT)?;
    let device =
        json!({"driver": "virtio-blk-pci", "bus": "hot", "drive": "plugged", "id": "disk"});
    plug_as(&vm, disk.file(), &device)?;
    let ready = vm.wait_ready(BOOT_LIMIT)?;
    let guest = Guest::wrap(vm, ready)?;
    let mut checks = Checks::new("waited");
    checks.check("the data disk is used", || on(&guest, "/dev/vda1"));
    checks.check("poweroff succeeds", || off(&guest));
    checks.finish(&guest)?;
    Ok(std::fs::remove_dir_all(dir)?)
}

/// The wait ends; then the disk, on NVMe here, is treated as any disk that appears later.
#[test]
fn waitusb_ends_and_a_later_disk_is_used() -> Result<()> {
    let dir = disks::dir("nvme-later")?;
    let disk = make::ours(&dir, "disk")?;
    let guest = Guest::boot("data-nvme-later", |m| m.qemu_args(PORT).append("waitusb=3"))?;
    let mut checks = Checks::new("nvme-later");
    checks.check("the data is in RAM first", || {
        on(&guest, "ram")?;
        let init = guest.ready.init_ms().context("no time")?;
        ensure!(init >= 3000, "it was not waited for: {init} ms");
        Ok(())
    });
    checks.check("the data disk is plugged in and used", || {
        let device = json!({
            "driver": "nvme", "bus": "hot", "serial": "later", "drive": "plugged", "id": "disk",
        });
        plug_as(&guest.vm, disk.file(), &device)?;
        says(&guest, &["/dev/nvme0n1p1"])
    });
    checks.check("poweroff succeeds", || off(&guest));
    checks.finish(&guest)?;
    Ok(std::fs::remove_dir_all(dir)?)
}
