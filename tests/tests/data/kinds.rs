// SPDX-License-Identifier: Apache-2.0
//! Every label, file system, layout and bus; and disks that may not be used.

use super::{END, loud, missing, off, on, same, whole};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tests::disks::inspect::{self, Ext};
use tests::disks::make::{self, Fs, Layout};
use tests::disks::{self, MIB, taken, userdata};
use tests::{BOOT_LIMIT, Checks, Guest, machine_of};
use vmm::Disk;

/// Boots the row with this name and examines the disk afterwards. The disk has grown since its
/// creation: a file system on the disk itself follows, a foreign partition does not.
fn row(name: &str) -> Result<()> {
    let row = taken::ROWS.iter().find(|r| r.name == name);
    let row = row.context("no such row")?;
    let dir = disks::dir(name)?;
    let disk = (row.make)(&dir, name)?;
    let made = disk.size()?;
    // QEMU accepts SD cards of a power of two only.
    disk.grow(2 * made / MIB)?;
    let table = inspect::partitions(&disk).ok();
    let machine = machine_of(row.kernel, &format!("data-{name}"))?;
    let machine = machine.qemu_args(row.args);
    let guest = Guest::start(&machine.disk(Disk::raw(disk.file()).on(row.bus)))?;
    let mut checks = Checks::new(name);
    checks.check("the data disk is used", || on(&guest, row.device));
    checks.check("nothing is missing", || whole(&guest));
    checks.check("the file system is the expected one", || {
        let line = format!("{} /var/lib/containers {} ", row.device, row.fs.name());
        let mounts = guest.sh("cat /proc/mounts")?;
        ensure!(mounts.contains(&line), "no {line:?}:\n{mounts}");
        ensure!(
            mounts.contains(&line.replace("containers", "boot2podman")),
            "{mounts}"
        );
        guest
            .sh("echo kept >/var/lib/containers/kept && sync")
            .map(drop)
    });
    checks.check("the file system grows with its disk", || {
        let kib: u64 = guest
            .sh("df -k /var/lib/containers | awk 'END {print $2}'")?
            .parse()?;
        let grown = kib * 1024 > made;
        // ext2 grows only while unmounted.
        let follows = table.is_none() && row.fs != Fs::Ext2;
        ensure!(
            grown == follows,
            "{kib} KiB of {made}, then of {}",
            disk.size()?
        );
        Ok(())
    });
    checks.check("poweroff succeeds", || off(&guest));
    checks.check("the content after the poweroff", || {
        if let Some(table) = &table {
            ensure!(
                inspect::partitions(&disk)? == *table,
                "somebody's table was changed"
            );
        }
        if matches!(row.fs, Fs::Ext4 | Fs::Ext2) {
            let ext = Ext::on(&disk)?;
            ext.clean()?;
            ensure!(ext.file("/containers/kept")? == b"kept\n");
        }
        Ok(())
    });
    checks.finish(&guest)?;
    Ok(fs::remove_dir_all(dir)?)
}

#[test]
fn an_xfs_disk_on_scsi_is_used() -> Result<()> {
    row("scsi-xfs")
}

#[test]
fn a_btrfs_disk_on_ahci_is_used() -> Result<()> {
    row("ahci-btrfs")
}

#[test]
fn an_ext4_disk_on_ide_is_used() -> Result<()> {
    row("ide-ext4")
}

#[test]
fn an_ext2_disk_on_virtio_is_used() -> Result<()> {
    row("virtio-ext2")
}

#[test]
fn a_format_request_on_nvme_is_granted() -> Result<()> {
    row("nvme-words")
}

#[test]
fn a_format_request_on_usb_is_granted() -> Result<()> {
    row("usb-words")
}

#[test]
fn a_format_request_on_an_sd_card_is_granted() -> Result<()> {
    row("sd-words")
}

/// Three disks: labelled and read-only; with a request and read-only; with a request and
/// `b2p.format=never`.
#[test]
fn read_only_disks_and_format_never_are_left_untouched() -> Result<()> {
    let dir = disks::dir("never")?;
    let data = make::disk(
        &dir,
        "labelled",
        Layout::Whole,
        Fs::Ext4,
        "boot2podman-data",
    )?;
    let asks = taken::words(&dir, "asks", userdata::OURS.as_bytes())?;
    let both = taken::words(&dir, "never", userdata::DOCKERS.as_bytes())?;
    let all = vec![
        ("labelled", data.clone(), data.sum()?),
        ("asks", asks.clone(), asks.sum()?),
        ("never", both.clone(), both.sum()?),
    ];
    let guest = Guest::boot("data-never", |m| {
        m.append("b2p.format=never")
            .disk(Disk::raw(data.file()).read_only())
            .disk(Disk::raw(asks.file()).read_only())
            .disk(Disk::raw(both.file()))
    })?;
    let mut checks = Checks::new("never");
    checks.check("the data is in RAM, and a degraded line says so", || {
        loud(&guest)
    });
    checks.check("a read-only disk is refused", || {
        missing(&guest, &["vda: it can only be read"])
    });
    checks.check("a format request is refused by b2p.format=never", || {
        missing(
            &guest,
            &["vdb: it asks to be formatted, but b2p.format=never"],
        )?;
        missing(
            &guest,
            &["vdc: it asks to be formatted, but b2p.format=never"],
        )
    });
    checks.check("poweroff succeeds", || {
        guest.vm.power_button()?;
        guest.vm.wait_exit(END).map(drop)
    });
    checks.check("the disks are unchanged", || same(&all));
    checks.finish(&guest)?;
    Ok(fs::remove_dir_all(dir)?)
}

/// A data disk with sectors of another size than its table is made for, and one of which both headers are damaged.
#[test]
fn tables_that_are_not_read_are_named() -> Result<()> {
    let dir = disks::dir("tables")?;
    let make = |name| make::disk(&dir, name, Layout::Gpt, Fs::Ext4, "boot2podman-data");
    let (other, damaged) = (make("other-sector")?, make("damaged")?);
    let size = damaged.size()?;
    let file = fs::File::options().write(true).open(damaged.file())?;
    for header in [512, size - 512] {
        file.write_all_at(b"x", header + 16)?;
    }
    let all = vec![
        ("other", other.clone(), other.sum()?),
        ("damaged", damaged.clone(), damaged.sum()?),
    ];
    let guest = Guest::boot("data-tables", |m| {
        m.append("b2p.format=blank")
            .disk(Disk::raw(other.file()).sector(4096))
            .disk(Disk::raw(damaged.file()))
    })?;
    let mut checks = Checks::new("tables");
    checks.check("in RAM, and nobody can overlook it", || loud(&guest));
    checks.check("each is named", || {
        let has = "it has data of this system, but its partition table";
        let sector = format!("vda: {has} cannot be read: the table is made for sectors of 512");
        missing(&guest, &[&sector])?;
        missing(&guest, &[&format!("vdb: {has} is damaged")])
    });
    checks.check("off", || {
        guest.vm.power_button()?;
        guest.vm.wait_exit(END).map(drop)
    });
    checks.check("as they were", || same(&all));
    checks.finish(&guest)?;
    Ok(fs::remove_dir_all(dir)?)
}

/// Boots a machine whose first disk stops answering once the kernel runs.
fn beside_a_silent_disk(name: &str, dir: &Path, more: Option<&disks::Image>) -> Result<Guest> {
    let silent = disks::Image::blank(dir, "silent", 64)?;
    let machine = tests::machine(name)?.disk(Disk::raw(silent.file()));
    let vm = match more {
        Some(disk) => machine.disk(Disk::raw(disk.file())).start()?,
        None => machine.start()?,
    };
    // The firmware reads each disk. A byte a second is no answer to the kernel, which reads next.
    vm.wait_console("Linux version", BOOT_LIMIT)?;
    let mut limits = serde_json::json!({ "device": "disk0" });
    for limit in ["bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"] {
        limits[limit] = u8::from(limit == "bps").into();
    }
    vm.qmp_with("block_set_io_throttle", &limits)?;
    let ready = vm.wait_ready(BOOT_LIMIT)?;
    Guest::wrap(vm, ready)
}

/// A disk that does not answer, before the data disk and with the same driver.
#[test]
fn a_disk_that_does_not_answer_delays_no_other() -> Result<()> {
    let dir = disks::dir("silent")?;
    let label = "boot2podman-data";
    let data = make::disk(&dir, "healthy", Layout::Whole, Fs::Ext4, label)?;
    let guest = beside_a_silent_disk("data-silent", &dir, Some(&data))?;
    let mut checks = Checks::new("silent");
    checks.check("the other disk is used", || on(&guest, "/dev/vdb"));
    checks.check("the silent one is named", || {
        missing(&guest, &["vda: cannot be read: it does not answer"])
    });
    checks.check("poweroff succeeds", || {
        guest.vm.power_button()?;
        guest.vm.wait_exit(END).map(drop)
    });
    checks.check("the content of the data disk after the poweroff", || {
        Ext::on(&data)?.clean()
    });
    checks.finish(&guest)?;
    Ok(fs::remove_dir_all(dir)?)
}

#[test]
fn a_disk_that_does_not_answer_does_not_prevent_the_boot() -> Result<()> {
    let dir = disks::dir("silent-alone")?;
    let guest = beside_a_silent_disk("data-silent-alone", &dir, None)?;
    let mut checks = Checks::new("silent alone");
    checks.check("the data is in RAM, and a degraded line says so", || {
        loud(&guest)
    });
    checks.check("the disk is named", || {
        missing(&guest, &["vda: cannot be read: it does not answer"])
    });
    checks.check("poweroff succeeds", || {
        guest.vm.power_button()?;
        guest.vm.wait_exit(END).map(drop)
    });
    checks.finish(&guest)?;
    Ok(fs::remove_dir_all(dir)?)
}
