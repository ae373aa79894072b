// SPDX-License-Identifier: Apache-2.0
//! The generic kernel on a machine without virtio: every card, controller and bus that QEMU
//! emulates, each with its driver.

use anyhow::{Context, Result, ensure};
use initramfs::arch::Arch;
use initramfs::packages::Kernel;
use initramfs::paths;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::{Checks, Guest, eventually, image, machine_of};
use vmm::{Bus, Card, Disk, Machine};

/// Time limit of all drivers of such a machine, one after the other: some controllers wait two
/// seconds and more after the reset of a bus.
const SETTLED: Duration = Duration::from_secs(120);

/// Disks on buses that the runner knows, and the driver of each. QEMU requires an SD card of 2^n
/// bytes: the card is first, and no other disk has its size.
const DISKS: &[(&str, Bus)] = &[
    ("mmcblk", Bus::Sd),
    ("usb-storage", Bus::Usb),
    ("nvme", Bus::Nvme),
    ("ata_piix", Bus::Ide),
];

/// Further disks: the driver of each, and QEMU's devices, the last of which is the disk.
const CONTROLLERS: &[(&str, &[&str])] = &[
    ("ehci-pci", &["usb-ehci,id=BUS", "usb-storage,bus=BUS.0"]),
    (
        "uas",
        &[
            "qemu-xhci,id=xBUS",
            "usb-uas,bus=xBUS.0,id=BUS",
            "scsi-hd,bus=BUS.0",
        ],
    ),
    ("megaraid_sas", &["megasas,id=BUS", "scsi-hd,bus=BUS.0"]),
    ("sym53c8xx", &["lsi53c895a,id=BUS", "scsi-hd,bus=BUS.0"]),
];

/// Network cards beside the one in use: driver, QEMU's device.
const CARDS: &[(&str, &str)] = &[
    ("e1000e", "e1000e"),
    ("8139cp", "rtl8139"),
    ("pcnet32", "pcnet"),
    ("vmxnet3", "vmxnet3"),
];

const MIB: u64 = 1 << 20;

#[test]
fn the_generic_kernel_drives_every_device_of_qemu() -> Result<()> {
    let machine = machine_of(Kernel::Generic, "generic")?;
    let machine = machine.card(Card::E1000).entropy(false).memory_mib(1536);
    let guest = Guest::start(&with_cards(with_disks(machine)?))?;
    let mut checks = Checks::new("generic");
    checks.check("the machine is ready without virtio", || ready(&guest));
    let disks = disks()?.into_iter().map(|(driver, _)| driver);
    let disks = disks.chain(CONTROLLERS.iter().map(|(driver, _)| *driver));
    for (n, driver) in disks.enumerate() {
        checks.check(&format!("a disk by {driver}"), || {
            disk(&guest, n, driver).map(drop)
        });
    }
    checks.check("network cards", || cards(&guest));
    checks.check("a keyboard by USB", || keyboard(&guest));
    checks.check("ext4 on a stick", || ext4(&guest));
    checks.check("a container with a network", || container(&guest));
    checks.finish(&guest)
}

/// Returns the rows of [`DISKS`] for the machine's architecture: parallel ATA is on PCs only.
fn disks() -> Result<Vec<(&'static str, Bus)>> {
    let is_pc = Arch::from_env()?.has_bios;
    let rows = DISKS.iter().filter(|(_, bus)| is_pc || *bus != Bus::Ide);
    Ok(rows.copied().collect())
}

/// Adds a disk on every bus. Each disk is recognized by its own size.
fn with_disks(mut machine: Machine) -> Result<Machine> {
    let dir = paths::out().join("vm/generic-disks");
    fs::create_dir_all(&dir)?;
    let disks = disks()?;
    for (n, (_, bus)) in disks.iter().enumerate() {
        machine = machine.disk(Disk::raw(file(&dir, n)?).on(*bus));
    }
    for (n, (_, devices)) in (disks.len()..).zip(CONTROLLERS) {
        let file = file(&dir, n)?.display().to_string().replace(',', ",,");
        let drive = format!("if=none,id=more{n},format=raw,file={file}");
        machine = machine.qemu_args(&["-drive", &drive]);
        let (last, before) = devices.split_last().context("no device")?;
        let last = format!("{last},drive=more{n}");
        for device in before.iter().copied().chain([last.as_str()]) {
            machine = machine.qemu_args(&["-device", &device.replace("BUS", &format!("c{n}"))]);
        }
    }
    Ok(machine)
}

fn size(n: usize) -> u64 {
    (64 + n as u64) * MIB
}

fn file(dir: &Path, n: usize) -> Result<PathBuf> {
    let path = dir.join(format!("{n}.img"));
    File::create(&path)?.set_len(size(n))?;
    Ok(path)
}

fn with_cards(machine: Machine) -> Machine {
    let keyboard = [
        "-device",
        "qemu-xhci,id=kbd",
        "-device",
        "usb-kbd,bus=kbd.0",
    ];
    let machine = machine.qemu_args(&keyboard);
    CARDS.iter().fold(machine, |machine, (_, device)| {
        machine.qemu_args(&["-device", &format!("{device},romfile=")])
    })
}

fn ready(guest: &Guest) -> Result<()> {
    let ready = &guest.ready;
    ensure!(ready.degraded.is_empty(), "degraded: {:?}", ready.degraded);
    ensure!(ready.field("ssh") == "10.0.2.15:22", "{}", ready.line);
    let release = guest.sh("uname -r")?;
    ensure!(!release.contains("cloud"), "{release}");
    let virtio = guest.sh("ls /sys/bus/virtio/devices")?;
    ensure!(virtio.is_empty(), "{virtio}");
    let card = guest.sh("ip -o route get 10.0.2.2 | sed 's/.* dev \\([^ ]*\\).*/\\1/'")?;
    let driver = guest.sh(&format!("readlink /sys/class/net/{card}/device/driver"))?;
    ensure!(driver.ends_with("/e1000"), "{card}: {driver}");
    Ok(())
}

/// Waits for the disk of this number under this driver, and returns its name.
fn disk(guest: &Guest, n: usize, driver: &str) -> Result<String> {
    let size = size(n).to_string();
    let (list, name) = eventually(SETTLED, || {
        let list = guest.sh("lsblk -bdnro SIZE,NAME")?;
        let line = list
            .lines()
            .find_map(|line| line.split_once(' ').filter(|l| l.0 == size));
        let name = line
            .with_context(|| format!("none of {size} bytes:\n{list}"))?
            .1
            .to_owned();
        Ok((list, name))
    })?;
    // The drivers of each step, from the disk up to its controller.
    let up = format!(
        "cd -P /sys/class/block/{name}/device && while [ $PWD != / ]; do readlink driver; cd ..; done; true"
    );
    let above = guest.sh(&up)?;
    let found = above
        .lines()
        .any(|link| link.rsplit('/').next() == Some(driver));
    ensure!(found || name.starts_with(driver), "{name}: {above}\n{list}");
    Ok(name)
}

fn cards(guest: &Guest) -> Result<()> {
    for (driver, _) in CARDS {
        let bound = format!("ls -d /sys/bus/pci/drivers/{driver}/0000:*/net/*");
        eventually(SETTLED, || guest.sh(&bound)).with_context(|| format!("no card by {driver}"))?;
    }
    Ok(())
}

fn keyboard(guest: &Guest) -> Result<()> {
    eventually(SETTLED, || {
        let names = guest.sh("cat /sys/bus/hid/drivers/hid-generic/*/input/*/name")?;
        ensure!(names.contains("Keyboard"), "{names}");
        guest.sh("ls /dev/input/event*").map(drop)
    })
}

/// Uses modules that the cloud kernel has built in: the file system, its checksums.
fn ext4(guest: &Guest) -> Result<()> {
    let stick = disk(guest, 1, "usb-storage")?;
    let script = format!(
        "mkfs.ext4 -q /dev/{stick} && mount /dev/{stick} /mnt && echo kept >/mnt/note && umount /mnt && mount /dev/{stick} /mnt && cat /mnt/note && umount /mnt"
    );
    let note = guest.sh(&script)?;
    ensure!(note == "kept", "{note}");
    guest
        .sh("! dmesg | grep -E 'EXT4-fs.*(error|warning)'")
        .map(drop)
}

/// Uses the modules of netavark's rules, which are those of this kernel.
fn container(guest: &Guest) -> Result<()> {
    let archive = image::archive(guest.vm.dir())?.display().to_string();
    guest.podman(&["load", "-i", &archive])?;
    let run = ["run", "--rm", "--cap-add=net_raw", image::NAME];
    let ping = ["ping", "-c1", "-W5", "10.0.2.2"];
    let said = guest.podman(&[&run[..], &ping].concat())?;
    ensure!(said.contains("1 packets received"), "{said}");
    Ok(())
}
