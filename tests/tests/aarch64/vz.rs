// SPDX-License-Identifier: Apache-2.0
//! A machine with the devices that Apple's Virtualization.framework has and no others: no serial line, no fw_cfg, no
//! power button, no virtio on MMIO. Keys and settings come from a cidata disk on virtio-blk, as in Lima, or from the
//! command line.

use super::{END, container};
use anyhow::{Context, Result, ensure};
use initramfs::arch::Arch;
use initramfs::paths;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tests::disks::{self, Image, seed, tool};
use tests::folder::{self, Folder};
use tests::{Checks, Guest, devicetree, firmware};
use vmm::{AcceleratorChoice, Artifacts, Board, Disk, Machine};

/// Nodes of QEMU's board for devices that Apple's machines do not have.
const ABSENT: &[&str] = &[
    "pl011@",
    "pl061@",
    "gpio-keys",
    "fw-cfg@",
    "flash@",
    "virtio_mmio@",
    "platform-bus@",
];
/// Settings that are on the command line.
const FLAGS: &str = "b2p.format=blank b2p.rosetta b2p.share=mount0:/home/core/host";
/// Processors and memory of the machine.
const SIZE: &[&str] = &["-cpu", "max,pauth-impdef=on", "-smp", "2", "-m", "1024"];

/// Returns the machine that boots kernel and initrd, with no settings.
fn machine(arch: &Arch, dir: &Path) -> Result<Machine> {
    let tree = devicetree::virt_without(dir, SIZE, ABSENT)?;
    let boot = Artifacts::from_out_dir(paths::out_for(arch)).context("ARCH=aarch64 make image")?;
    on_board(Machine::new(&boot), arch, &tree)
}

/// Gives a machine the board with this device tree.
fn on_board(machine: Machine, arch: &Arch, tree: &Path) -> Result<Machine> {
    let board = format!("virt,gic-version=3,dtb={}", tree.display());
    let machine = machine
        .board(Board::of_arch(arch.name))
        .accel(AcceleratorChoice::from_env()?)
        .dir(paths::out().join("vm/aarch64-vz"))
        .virtio_console()
        .qemu_args(&["-M", &board, "-device", "virtio-balloon-pci"]);
    Ok(folder::machine(machine, 1024))
}

/// Returns the machine with a blank data disk, and Lima's disk with the key.
fn with_disks(machine: Machine, dir: &Path) -> Result<Machine> {
    let data = Image::blank(dir, "data", 1024)?;
    with_cidata(machine.disk(Disk::raw(data.file())), dir)
}

/// Returns the machine with Lima's disk as a further one.
fn with_cidata(machine: Machine, dir: &Path) -> Result<Machine> {
    let user_data = format!(
        "#cloud-config\nssh_authorized_keys:\n- {}\n",
        Guest::public_key()?
    );
    let entries = [
        ("user-data", false, user_data.as_str()),
        (
            "meta-data",
            false,
            "instance-id: one\nlocal-hostname: mac\n",
        ),
    ];
    let cidata = seed::iso(dir, &entries)?;
    Ok(machine.disk(Disk::raw(&cidata).read_only()))
}

#[test]
#[ignore = "`make test-all` makes the image for aarch64"]
fn devices_of_virtualization_framework() -> Result<()> {
    let arch = Arch::parse("aarch64")?;
    let dir = disks::dir("aarch64-vz")?;
    let [home, rosetta] = [
        Folder::serve(&dir, "mount0")?,
        Folder::serve(&dir, "vz-rosetta")?,
    ];
    fs::write(home.path.join("note"), "from the host\n")?;
    fs::copy(super::emulator(arch)?, rosetta.path.join("rosetta"))?;
    let machine = with_disks(machine(arch, &dir)?, &dir)?;
    let machine = rosetta.plugged(home.plugged(machine));
    let guest = Guest::start(&machine.append(FLAGS))?;
    let mut checks = Checks::new("aarch64-vz");
    checks.check(
        "nothing is missing, and the blank disk is the data disk",
        || {
            let (degraded, data) = (&guest.ready.degraded, guest.ready.field("data"));
            ensure!(
                degraded.is_empty() && data.starts_with("/dev/vda"),
                "{data}: {degraded:?}"
            );
            Ok(())
        },
    );
    checks.check("there is no serial line, no fw_cfg and no button", || {
        let said = guest.sh("cat /sys/class/tty/console/active; ls /dev | grep -c ttyAMA; ls -d /sys/firmware/qemu_fw_cfg /dev/gpiochip* 2>/dev/null; hostname")?;
        ensure!(said == "hvc0\n0\nmac", "{said}");
        Ok(())
    });
    checks.check("PID 1 and b2p are at random addresses", || {
        addresses(&guest)
    });
    checks.check("a container runs", || container(&guest, arch));
    checks.check("a folder of the host", || {
        let said = guest.sh_as("core", "cat ~/host/note; echo back >~/host/answer")?;
        ensure!(said == "from the host", "{said}");
        ensure!(fs::read_to_string(home.path.join("answer"))? == "back\n");
        Ok(())
    });
    checks.check("Rosetta by Lima's tag", || super::foreign(&guest));
    checks.check("poweroff by a command", || {
        let _ = guest.ssh("root", "poweroff")?;
        ensure!(guest.vm.wait_exit(END)?.success(), "QEMU failed");
        Ok(())
    });
    checks.finish(&guest)?;
    drop((guest, home, rosetta));
    Ok(fs::remove_dir_all(dir)?)
}

/// Without random addresses, all static programs of one kind begin at the same one. No page of theirs is both writable and
/// executable.
fn addresses(guest: &Guest) -> Result<()> {
    let ours = "for exe in /proc/[0-9]*/exe; do case $(readlink $exe) in */init|*/b2p) echo ${exe%exe}maps;; esac; done";
    let script = format!(
        "all=$({ours}); cat $all | grep -c ' rwx'; head -qn 1 $all | cut -d - -f 1 | sort -u | wc -l"
    );
    let said = guest.sh(&script)?;
    let (bad, places) = said.split_once('\n').context("two numbers")?;
    ensure!(bad == "0" && places.parse::<u32>()? > 1, "{said}");
    Ok(())
}

/// The raw disk by UEFI, as vfkit's `efi` loader, Lima and podman machine boot it: no kernel and no command line from the
/// host. The board keeps the flash memory, which holds the firmware and its variables.
#[test]
#[ignore = "`make test-all` makes the image for aarch64"]
fn raw_disk_by_uefi() -> Result<()> {
    let arch = Arch::parse("aarch64")?;
    let dir = disks::dir("aarch64-vz-disk")?;
    let absent = ABSENT.iter().filter(|name| **name != "flash@");
    let tree = devicetree::virt_without(&dir, SIZE, &absent.copied().collect::<Vec<_>>())?;
    let (raw, disk) = (
        paths::out_for(arch).join(paths::RAW_DISK),
        dir.join("disk.raw"),
    );
    tool("cp", &[Path::new("--sparse=always"), &raw, &disk]).context("ARCH=aarch64 make disk")?;
    let machine = firmware::with_uefi(on_board(Machine::bare(), arch, &tree)?, arch)?;
    let machine = with_cidata(machine.disk(Disk::raw(&disk)), &dir)?;
    let machine = machine.dir(paths::out().join("vm/aarch64-vz-disk"));
    let guest = Guest::start(&machine)?;
    let mut checks = Checks::new("aarch64-vz-disk");
    checks.check("the disk's own slot and data, by UEFI", || {
        let (degraded, data) = (&guest.ready.degraded, guest.ready.field("data"));
        ensure!(
            degraded.is_empty() && data == "/dev/vda5",
            "{data}: {degraded:?}"
        );
        let said =
            guest.sh("test -d /sys/firmware/efi; grep -o b2p.slot=[ab] /proc/cmdline; hostname")?;
        ensure!(said == "b2p.slot=a\nmac", "{said}");
        Ok(())
    });
    checks.check("there is no serial line and no fw_cfg", || {
        let said = guest.sh("cat /sys/class/tty/console/active; ls /dev | grep -c ttyAMA; ls -d /sys/firmware/qemu_fw_cfg 2>/dev/null; true")?;
        ensure!(said == "hvc0 tty0\n0", "{said}");
        Ok(())
    });
    checks.check("off by a command", || {
        let _ = guest.ssh("root", "poweroff")?;
        ensure!(guest.vm.wait_exit(END)?.success(), "QEMU failed");
        Ok(())
    });
    checks.finish(&guest)?;
    drop(guest);
    Ok(fs::remove_dir_all(dir)?)
}

/// Text that the shell computes, so that the echo of what was typed does not contain it.
const ANSWER: &str = "sum=42";

#[test]
#[ignore = "`make test-all` makes the image for aarch64"]
fn a_shell_on_the_virtio_console() -> Result<()> {
    let arch = Arch::parse("aarch64")?;
    let dir = disks::dir("aarch64-hvc0")?;
    let machine = machine(arch, &dir)?.append("b2p.console=shell b2p.net=off");
    let vm = machine.dir(paths::out().join("vm/aarch64-hvc0")).start()?;
    vm.wait_ready(tests::BOOT_LIMIT)?;
    std::thread::sleep(Duration::from_secs(2));
    vm.screen()?.write(b"\necho sum=$((6 * 7))\n")?;
    vm.wait_console(ANSWER, END)?;
    vm.screen()?.write(b"poweroff\n")?;
    ensure!(vm.wait_exit(END)?.success(), "{}", vm.tail());
    drop(vm);
    Ok(fs::remove_dir_all(dir)?)
}
