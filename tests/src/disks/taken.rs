//! Disks that become the data disk: every label, file system, layout and bus at
//! least once, in as few machines as that takes.

use super::make::{Fs, Layout, disk};
use super::{Image, userdata};
use anyhow::Result;
use initramfs::packages::Kernel;
use std::path::Path;
use vmm::Bus;

/// A disk that is taken.
pub struct Row {
    /// What it is called.
    pub name: &'static str,
    /// What it hangs on.
    pub bus: Bus,
    /// The kernel that has a driver for that.
    pub kernel: Kernel,
    /// How it is made.
    pub make: fn(&Path, &str) -> Result<Image>,
    /// The device that the machine names in its ready line; it has no other disk.
    pub device: &'static str,
    /// The file system that the device has then.
    pub fs: Fs,
    /// What QEMU is told besides.
    pub args: &'static [&'static str],
}

/// SeaBIOS leaves disks alone that it does not boot from, as libvirt wants it: the
/// firmware's word that there is none is then worth nothing.
const STRICT: &[&str] = &["-boot", "strict=on"];

const fn row(
    name: &'static str,
    bus: Bus,
    device: &'static str,
    fs: Fs,
    make: fn(&Path, &str) -> Result<Image>,
) -> Row {
    // Clouds have no sticks and no cards.
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

/// All of them.
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

/// A disk with nothing but this in front.
pub fn words(dir: &Path, name: &str, front: &[u8]) -> Result<Image> {
    let image = Image::blank(dir, name, 256)?;
    image.write(0, front)?;
    Ok(image)
}
