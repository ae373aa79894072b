// SPDX-License-Identifier: Apache-2.0
//! virtio without PCI under a device tree, as Firecracker has it on Arm: the driver of the transports is a module of
//! Debian's kernel, and the network card and the disk appear only after its load.

use super::END;
use anyhow::{Result, ensure};
use initramfs::arch::Arch;
use std::fs;
use tests::disks::{self, Image};
use tests::{Checks, Guest, machine_of_arch};
use vmm::{Bus, Card, Disk};

#[test]
#[ignore = "`make test-all` makes the image for aarch64"]
fn virtio_over_mmio() -> Result<()> {
    let arch = Arch::parse("aarch64")?;
    let dir = disks::dir("aarch64-mmio")?;
    let disk = Image::blank(&dir, "data", 512)?;
    let machine = machine_of_arch(arch, "aarch64-mmio")?
        .card(Card::VirtioMmio)
        .entropy(false)
        .disk(Disk::raw(disk.file()).on(Bus::Mmio))
        .append("b2p.format=blank");
    let guest = Guest::start(&machine)?;
    let mut checks = Checks::new("aarch64-mmio");
    checks.check("the card and the disk are there when it is ready", || {
        let (ready, degraded) = (&guest.ready, &guest.ready.degraded);
        ensure!(degraded.is_empty(), "{degraded:?}");
        ensure!(ready.field("ssh") == "10.0.2.15:22", "{}", ready.line);
        ensure!(
            ready.field("data").starts_with("/dev/vda"),
            "{}",
            ready.line
        );
        Ok(())
    });
    checks.check("neither is on PCI", || {
        let said =
            guest.sh("for device in /sys/block/vda /sys/class/net/eth0; do readlink -f $device; done | grep -c virtio_mmio")?;
        ensure!(said == "2", "{said}");
        Ok(())
    });
    checks.check("off by the power button", || {
        guest.vm.power_button()?;
        ensure!(guest.vm.wait_exit(END)?.success(), "QEMU failed");
        Ok(())
    });
    checks.finish(&guest)?;
    drop(guest);
    Ok(fs::remove_dir_all(dir)?)
}
