// SPDX-License-Identifier: Apache-2.0
//! The ISO in its usual uses: a disc or a stick, with BIOS and with UEFI. `make test` has made the
//! file.

use anyhow::{Context, Result, ensure};
use initramfs::arch::Arch;
use initramfs::boot::menu::INITRD_SHARE;
use initramfs::paths;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tests::disks::{self, taken, userdata};
use tests::firmware::Firmware::{Bios, Uefi};
use tests::firmware::{keyed, machine};
use tests::{BOOT_LIMIT, Checks, Guest};
use vmm::{Disk, Machine, process};

fn file() -> Result<PathBuf> {
    let file = paths::out().join(paths::ISO);
    ensure!(
        file.exists(),
        "there is no {}: `make iso` makes it",
        file.display()
    );
    Ok(file)
}

fn disc(machine: Machine, device: &[&str]) -> Result<Machine> {
    let drive = format!(
        "if=none,id=disc,media=cdrom,readonly=on,file={}",
        file()?.display()
    );
    Ok(machine.qemu_args(&[&["-drive", &drive], device].concat()))
}

/// A CD drive on virtio-scsi.
const SCSI_CD: &[&str] = &[
    "-device",
    "virtio-scsi-pci",
    "-device",
    "scsi-cd,drive=disc",
];

/// Puts the stick first in the firmware's order: of two disks, a BIOS tries only the first.
fn stick(machine: Machine) -> Result<Machine> {
    let drive = "if=none,id=stick,format=raw,readonly=on,file=";
    let drive = format!("{drive}{}", file()?.display());
    let device = "usb-storage,drive=stick,bootindex=0";
    Ok(machine.qemu_args(&["-drive", &drive, "-device", "qemu-xhci", "-device", device]))
}

/// Checks that every ready machine must pass.
fn up(name: &str, machine: &Machine, data: &str, more: &[&str]) -> Result<()> {
    let guest = Guest::start(machine)?;
    let mut checks = Checks::new(name);
    checks.check("nothing is missing", || {
        let ready = &guest.ready;
        ensure!(ready.degraded.is_empty(), "{:?}", ready.degraded);
        ensure!(ready.field("data") == data, "data={}", ready.field("data"));
        Ok(())
    });
    checks.check("the first entry of the menu", || {
        let line = guest.sh("cat /proc/cmdline")?;
        let consoles = Arch::from_env()?.consoles;
        for word in ["b2p.console=shell", consoles, INITRD_SHARE] {
            ensure!(line.contains(word), "no {word}: {line}");
        }
        Ok(())
    });
    checks.check("the firmware that was meant", || {
        more.iter()
            .try_for_each(|script| guest.sh(script).map(drop))
    });
    checks.check("the engine answers", || guest.sh("podman info").map(drop));
    checks.check("an upgrade says that this is no disk", || {
        let out = guest.ssh("root", "b2p upgrade /nowhere")?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        ensure!(
            !out.status.success() && said.contains("docs/guide/upgrade.md"),
            "{said}"
        );
        Ok(())
    });
    checks.check("poweroff succeeds", || {
        guest.vm.power_button()?;
        let ended = guest.vm.wait_exit(Duration::from_secs(120))?;
        ensure!(ended.success(), "{ended}");
        Ok(())
    });
    checks.finish(&guest)
}

#[test]
fn a_disc_on_ide_with_bios() -> Result<()> {
    let machine = keyed(machine("iso-ide", Bios)?)?;
    // A PC of the 1990s is the machine type that people start by hand.
    let (machine, drive) = match Arch::from_env()?.has_bios {
        true => (
            machine.qemu_args(&["-M", "pc"]),
            &["-device", "ide-cd,drive=disc,bus=ide.1"][..],
        ),
        false => (machine, SCSI_CD),
    };
    up("iso-ide", &disc(machine, drive)?, "ram", &[Bios.check()])
}

#[test]
#[ignore = "each medium and each firmware has one other boot: make test-all"]
fn a_disc_on_sata_with_uefi() -> Result<()> {
    let machine = keyed(machine("iso-sata", Uefi)?)?;
    let drive = match Arch::from_env()?.has_bios {
        true => &["-device", "ide-cd,drive=disc,bus=ide.0"][..],
        false => SCSI_CD,
    };
    up("iso-sata", &disc(machine, drive)?, "ram", &[Uefi.check()])
}

/// A boot with a data disk, which holds the key.
#[test]
fn a_stick_with_uefi_and_a_data_disk() -> Result<()> {
    let dir = disks::dir("iso-stick")?;
    let tar = userdata::with_key(userdata::OURS, &Guest::public_key()?)?;
    let disk = taken::words(&dir, "disk", &tar)?;
    let machine = stick(machine("iso-stick", Uefi)?)?.disk(Disk::raw(disk.file()));
    let name = "iso-stick";
    up(name, &machine, "/dev/vda1", &[Uefi.check()])?;
    Ok(fs::remove_dir_all(dir)?)
}

/// A person selects another entry of the menu on the serial port.
#[test]
#[ignore = "each medium and each firmware has one other boot: make test-all"]
fn a_stick_with_bios_and_the_menu() -> Result<()> {
    let dir = disks::dir("iso-menu")?;
    let disk = taken::words(&dir, "disk", userdata::OURS.as_bytes())?;
    let before = disk.sum()?;
    let machine = keyed(stick(machine("iso-menu", Bios)?)?)?.disk(Disk::raw(disk.file()));
    let vm = machine.start()?;
    vm.wait_console("without a data disk", BOOT_LIMIT)?;
    vm.screen()?.write(b"d")?;
    let ready = vm.wait_ready(BOOT_LIMIT)?;
    let guest = Guest::wrap(vm, ready)?;
    let mut checks = Checks::new("iso-menu");
    checks.check("the machine runs from RAM", || {
        let (data, line) = (guest.ready.field("data"), guest.sh("cat /proc/cmdline")?);
        ensure!(
            data == "ram" && line.contains("b2p.data=off"),
            "{data}, {line}"
        );
        guest.sh(Bios.check()).map(drop)
    });
    checks.finish(&guest)?;
    drop(guest);
    ensure!(disk.sum()? == before, "the disk is another");
    Ok(fs::remove_dir_all(dir)?)
}

/// Checks the image with tools that know nothing of this project.
#[test]
fn the_iso_has_its_sum_version_and_partitions() -> Result<()> {
    let file = file()?;
    let mut sums = Command::new("sha256sum");
    sums.args(["-c", "boot2podman.iso.sha256"])
        .current_dir(paths::out());
    let out = process::output(sums, b"", Duration::from_secs(60))?;
    ensure!(tests::text(&out)? == "boot2podman.iso: OK");
    // docker-machine reads these 32 bytes, padded with blanks (libmachine, mcnutils/b2d.go).
    let bytes = fs::read(&file)?;
    let volume = String::from_utf8_lossy(bytes.get(0x8028..0x8048).context("too short")?);
    let version = volume
        .trim_end()
        .strip_prefix("b2p-v")
        .context("no version")?;
    ensure!(version == env!("CARGO_PKG_VERSION"), "{volume:?}");
    let mut table = Command::new("sfdisk");
    table.args(["--json"]).arg(&file);
    let table = tests::text(&process::output(table, b"", Duration::from_secs(60))?)?;
    let esp = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
    ensure!(table.contains(esp), "no EFI system partition: {table}");
    Ok(())
}
