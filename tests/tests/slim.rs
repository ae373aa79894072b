// SPDX-License-Identifier: Apache-2.0
//! The slim kernel: a PC, and QEMU's microvm with the bzImage and with the ELF file that
//! Firecracker boots. The compilation of the kernel takes longer than all other tests, so these
//! tests are part of `make test-all` only.

use anyhow::{Result, ensure};
use initramfs::packages::Kernel;
use initramfs::{kernel, paths};
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use tests::{Checks, Guest, image, machine_of};
use vmm::{Board, Bus, Disk, Machine};

const MIB: u64 = 1 << 20;

static ALONE: Mutex<()> = Mutex::new(());

#[test]
#[ignore = "needs `make kernel`; part of make test-all"]
fn the_slim_kernel_works_on_a_pc() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let disks = ["ext4", "xfs", "vfat"].map(|kind| (kind, Bus::Ahci));
    let mut machine = machine_of(Kernel::Slim, "slim")?.memory_mib(768);
    for (n, (_, bus)) in disks.iter().enumerate() {
        machine = machine.disk(Disk::raw(blank("slim", n, 512)?).on(*bus));
    }
    let guest = Guest::start(&machine.append("b2p.podman=boot"))?;
    let mut checks = Checks::new("slim");
    checks.check("the machine is ready", || ready(&guest));
    checks.check("no modules exist and none is missing", || complete(&guest));
    checks.check("the kernel is hardened as Debian's is", || hardened(&guest));
    checks.check("disks with ext4, xfs and vfat work", || disks_work(&guest));
    checks.check("a container, its network and its limits", || {
        container(&guest)
    });
    checks.check("a rootless container", || rootless(&guest));
    checks.check("swap in RAM", || {
        let swap = "swapon /dev/zram0 2>&1; cat /proc/filesystems /proc/config.gz | wc -c";
        ensure!(guest.sh(swap)?.lines().last() != Some("0"));
        guest.sh("test -e /sys/block/zram0").map(drop)
    });
    checks.finish(&guest)
}

/// microvm machines run one after the other, and not beside the machine above (the lock): microvm has
/// only the PIT to calibrate the TSC with, and a translator on a busy host is too late for that.
/// KVM identifies itself to its guests.
#[test]
#[ignore = "needs `make kernel`; part of make test-all"]
fn the_slim_kernel_boots_a_microvm_by_bzimage_and_by_elf() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let machine = machine_of(Kernel::Slim, "slim-microvm")?;
    microvm("slim-microvm", machine)?;
    let machine = machine_of(Kernel::Slim, "slim-elf")?;
    microvm("slim-elf", machine.kernel(kernel::vmlinux()?))
}

fn microvm(name: &str, machine: Machine) -> Result<()> {
    let disk = blank(name, 0, 512)?;
    let machine = machine.board(Board::Microvm);
    let machine = machine.disk(Disk::raw(disk).on(Bus::Mmio));
    let guest = Guest::start(&machine.append("b2p.format=blank"))?;
    let mut checks = Checks::new(name);
    checks.check("ready, with a data disk and without PCI", || {
        ready(&guest)?;
        let data = guest.ready.field("data");
        ensure!(data.starts_with("/dev/vda"), "data={data}");
        ensure!(guest.sh("ls /sys/bus/pci/devices 2>/dev/null")?.is_empty());
        Ok(())
    });
    checks.check("a container runs", || container(&guest));
    checks.check("poweroff switches the machine off", || {
        let _ = guest.ssh_alone("root", "poweroff");
        guest
            .vm
            .wait_exit(std::time::Duration::from_secs(60))
            .map(drop)
    });
    checks.finish(&guest)
}

fn blank(name: &str, n: usize, mib: u64) -> Result<PathBuf> {
    let dir = paths::out().join("vm").join(format!("{name}-disks"));
    fs::create_dir_all(&dir)?;
    let file = dir.join(format!("{n}.img"));
    File::create(&file)?.set_len(mib * MIB)?;
    Ok(file)
}

fn ready(guest: &Guest) -> Result<()> {
    let ready = &guest.ready;
    ensure!(ready.degraded.is_empty(), "degraded: {:?}", ready.degraded);
    ensure!(ready.field("ssh") == "10.0.2.15:22", "{}", ready.line);
    let release = guest.sh("uname -r")?;
    ensure!(release.ends_with("-slim"), "{release}");
    Ok(())
}

/// Expects no failed modprobe of the kernel or a program in the log.
fn complete(guest: &Guest) -> Result<()> {
    let said = guest.sh("dmesg | grep -iE 'no such module|modprobe|not a module' || true")?;
    ensure!(said.is_empty(), "{said}");
    guest.sh("! test -e /proc/modules && modprobe veth && zcat /proc/config.gz | grep -q CONFIG_VETH=y").map(drop)
}

fn hardened(guest: &Guest) -> Result<()> {
    let lsm = guest.sh("cat /sys/kernel/security/lsm")?;
    for name in ["landlock", "lockdown", "yama"] {
        ensure!(lsm.contains(name), "{lsm}");
    }
    let lockdown = guest.sh("cat /sys/kernel/security/lockdown")?;
    ensure!(lockdown.contains("integrity"), "{lockdown}");
    let weak = guest.sh("grep -l Vulnerable /sys/devices/system/cpu/vulnerabilities/* || true")?;
    ensure!(weak.is_empty(), "{weak}");
    let unprivileged = guest.sh("cat /proc/sys/kernel/unprivileged_bpf_disabled")?;
    ensure!(
        unprivileged != "0",
        "unprivileged_bpf_disabled={unprivileged}"
    );
    Ok(())
}

fn disks_work(guest: &Guest) -> Result<()> {
    let script = "set -e; mkfs.ext4 -q /dev/sda; mkdir -p /mnt/a
        mount /dev/sda /mnt/a; echo kept >/mnt/a/note; umount /mnt/a
        mount -o ro /dev/sda /mnt/a; cat /mnt/a/note; umount /mnt/a
        grep -cwE 'ext4|xfs|btrfs|vfat|iso9660|squashfs|erofs|overlay|virtiofs|9p|fuse' /proc/filesystems";
    let said = guest.sh(script)?;
    ensure!(said == "kept\n11", "{said}");
    Ok(())
}

fn container(guest: &Guest) -> Result<()> {
    let archive = image::archive(guest.vm.dir())?.display().to_string();
    guest.podman(&["load", "-i", &archive])?;
    let run = [
        "run",
        "--rm",
        "--cap-add=net_raw",
        "--memory=64m",
        "--cpus=0.5",
        "--pids-limit=50",
        image::NAME,
    ];
    let said = guest.podman(&[&run[..], &["ping", "-c1", "-W5", "10.0.2.2"]].concat())?;
    ensure!(said.contains("1 packets received"), "{said}");
    // A published port, and a name in the container's network.
    let script = format!(
        "set -e; podman network create n >/dev/null
         podman run -d --name web --network n -p 8080:80 {0} httpd -f -p 80 -h /www >/dev/null
         podman run --rm --network n {0} wget -qO- http://web/
         wget -qO- http://127.0.0.1:8080/; podman rm -f -t0 web >/dev/null; podman network rm n >/dev/null",
        image::NAME
    );
    let said = guest.sh(&script)?;
    ensure!(said.matches("hello from the box").count() == 2, "{said}");
    Ok(())
}

fn rootless(guest: &Guest) -> Result<()> {
    let script = format!(
        "podman load -q >/dev/null && podman run --rm {} id -u",
        image::NAME
    );
    let archive = fs::read(image::archive(guest.vm.dir())?)?;
    let out = guest.ssh_with("core", &script, &archive)?;
    let said = tests::text(&out)?;
    ensure!(said == "0", "{said}");
    Ok(())
}
