// SPDX-License-Identifier: Apache-2.0
//! Disks that become the data disk: every label, file system, layout and bus at least once, in as
//! few machines as possible.

use super::make::{Fs, Layout, disk};
use super::{Image, userdata};
use anyhow::Result;
use initramfs::packages::Kernel;
use std::path::Path;
use vmm::Bus;

/// A disk that the machine uses.
pub struct Row {
    /// Name of the disk in messages.
    pub name: &'static str,
    /// Bus of the disk.
    pub bus: Bus,
    /// Kernel that has a driver for the bus.
    pub kernel: Kernel,
    /// Makes the disk.
    pub make: fn(&Path, &str) -> Result<Image>,
    /// Device that the ready line names; the machine has no other disk.
    pub device: &'static str,
    /// File system on the device after the boot.
    pub fs: Fs,
    /// Further arguments of QEMU.
    pub args: &'static [&'static str],
}

/// With libvirt's setting `strict=on`, SeaBIOS ignores disks that it does not boot from, so that
/// its report of no disk means nothing.
const STRICT: &[&str] = &["-boot", "strict=on"];

const fn row(
    name: &'static str,
    bus: Bus,
    device: &'static str,
    fs: Fs,
    make: fn(&Path, &str) -> Result<Image>,
) -> Row {
    // The cloud kernel has no drivers for USB and SD.
    let kernel = match bus {
        Bus::Usb | Bus::Sd => Kernel::Generic,
        _ => Kernel::Cloud,
    };
    Row {
        name,
        bus,
        kernel,
        make,
        device,
        fs,
        args: match bus {
            Bus::Ide => STRICT,
            _ => &[],
        },
    }
}

/// Every disk that must be used.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("scsi-xfs",     Bus::Scsi,   "/dev/sda",       Fs::Xfs,   |d, n| disk(d, n, Layout::Whole, Fs::Xfs, "b2p-data")),
    row("ahci-btrfs",   Bus::Ahci,   "/dev/sda1",      Fs::Btrfs, |d, n| disk(d, n, Layout::Gpt, Fs::Btrfs, "boot2docker-data")),
    row("ide-ext4",     Bus::Ide,    "/dev/sda1",      Fs::Ext4,  |d, n| disk(d, n, Layout::Mbr, Fs::Ext4, "boot2podman-data")),
    row("virtio-ext2",  Bus::Virtio, "/dev/vda",       Fs::Ext2,  |d, n| disk(d, n, Layout::Whole, Fs::Ext2, "boot2docker-data")),
    row("nvme-words",   Bus::Nvme,   "/dev/nvme0n1p1", Fs::Ext4,  |d, n| words(d, n, userdata::OURS.as_bytes())),
    row("usb-words",    Bus::Usb,    "/dev/sda1",      Fs::Ext4,  |d, n| words(d, n, &userdata::archive(userdata::DOCKERS, &[])?)),
    row("sd-words",     Bus::Sd,     "/dev/mmcblk0p1", Fs::Ext4,  |d, n| words(d, n, userdata::DOCKERS.as_bytes())),
];

/// Makes a blank disk that starts with `front`.
pub fn words(dir: &Path, name: &str, front: &[u8]) -> Result<Image> {
    let image = Image::blank(dir, name, 256)?;
    image.write(0, front)?;
    Ok(image)
}
