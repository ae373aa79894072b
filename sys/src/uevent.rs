// SPDX-License-Identifier: Apache-2.0
//! Devices, as the kernel announces them: a pass over sysfs for existing ones, and a netlink socket
//! for new ones (`NETLINK_KOBJECT_UEVENT`, kobject_uevent.c).

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use log::{debug, warn};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, socket,
};

use crate::modules::{LoadError, Modules, glob_match};
mod driver_loader;

pub use driver_loader::DriverLoader;

/// Multicast group of the kernel; udev's is 2.
const KERNEL_GROUP: u32 = 1;

/// Mount point of sysfs, which lists devices.
pub const SYSFS: &str = "/sys";

/// A device event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uevent {
    /// A device that needs a driver.
    Modalias(String),
    /// A network interface appeared, a card or one that a program made.
    NetworkInterface,
    /// Node of an input device, such as `event0`.
    InputNode(String),
    /// A disk or a partition appeared; sequence number of the message.
    BlockAdded(u64),
    /// The disk or partition of this name is gone.
    BlockRemoved(String),
    /// A shared folder has its tag, or is gone.
    SharedFolder,
    /// A CD drive appeared, with or without a medium.
    CdDrive,
    /// A virtio port has its name (drivers/char/virtio_console.c, VIRTIO_CONSOLE_PORT_NAME).
    VirtioPort,
    /// Messages were lost: sysfs must be read again.
    Overrun,
}

/// The open netlink socket.
#[derive(Debug)]
pub struct UeventSocket(OwnedFd);

impl UeventSocket {
    /// Opens the socket. Called before the pass over sysfs, so that one of the two sees a device
    /// that appears in between.
    ///
    /// # Errors
    /// No descriptor or memory is left, or the namespace does not permit the socket.
    pub fn open() -> Result<UeventSocket, Errno> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkKObjectUEvent;
        let fd = socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, KERNEL_GROUP))?;
        Ok(UeventSocket(fd))
    }

    /// Returns the events since the last call.
    pub fn receive(&self) -> Vec<Uevent> {
        let mut all = Vec::new();
        let mut message = [0u8; 8192];
        // The number is bounded: the rest arrives with the next poll.
        for _ in 0..256 {
            match recvfrom::<NetlinkAddr>(self.0.as_raw_fd(), &mut message) {
                Ok((n, from)) if from.is_none_or(|a| a.pid() == 0) => {
                    all.extend(parse(message.get(..n).unwrap_or(&[])));
                }
                Ok(_) => {} // not from the kernel
                Err(Errno::ENOBUFS) => all.push(Uevent::Overrun),
                Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        all
    }
}

impl AsFd for UeventSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Parses a kernel message, `add@/devices/…\0ACTION=add\0…`: fields `NAME=value`, each ended by a
/// zero byte.
#[must_use]
pub fn parse(message: &[u8]) -> Option<Uevent> {
    let first = message.split(|&b| b == 0).next()?;
    let value = |name: &[u8]| {
        let mut fields = message.split(|&b| b == 0);
        let found = fields.find_map(|field| field.strip_prefix(name))?;
        String::from_utf8(found.to_vec()).ok()
    };
    let block = value(b"SUBSYSTEM=").is_some_and(|s| s == "block");
    if block && first.starts_with(b"add@") && within(first, CD_DRIVE) {
        return Some(Uevent::CdDrive);
    }
    let block = block && !never_data(first);
    if block && first.starts_with(b"remove@") {
        return value(b"DEVNAME=").map(Uevent::BlockRemoved);
    }
    // virtiofs has a kobject for each folder (fs/fuse/virtio_fs.c); 9p's device changes when its
    // tag is read (net/9p/trans_virtio.c).
    let folder = match value(b"SUBSYSTEM=").as_deref() {
        Some("virtio-ports") if first.starts_with(b"change@") => return Some(Uevent::VirtioPort),
        Some("virtiofs") => true,
        Some("virtio") => first.starts_with(b"change@"),
        _ => false,
    };
    if folder {
        return Some(Uevent::SharedFolder);
    }
    if !first.starts_with(b"add@") {
        return None;
    }
    if value(b"SUBSYSTEM=").is_some_and(|s| s == "net") {
        return Some(Uevent::NetworkInterface);
    }
    if let Some(alias) = value(b"MODALIAS=") {
        return Some(Uevent::Modalias(alias));
    }
    if block {
        return value(b"SEQNUM=")?.parse().ok().map(Uevent::BlockAdded);
    }
    input_node(&value(b"DEVNAME=")?)
}

/// Returns the event of a new node of an input device; `None` for another device.
fn input_node(name: &str) -> Option<Uevent> {
    let node = name
        .strip_prefix("input/")
        .or_else(|| name.strip_prefix("/dev/input/"))?;
    let plain = !node.is_empty() && node.bytes().all(|b| b.is_ascii_alphanumeric());
    plain.then(|| Uevent::InputNode(node.to_owned()))
}

/// Paths in sysfs of disks that cannot be the data disk: loop devices and the like, which consist
/// of existing files or disks; optical drives.
const NEVER_DATA: &[&[u8]] = &[b"/virtual/block/", CD_DRIVE];
/// Path in sysfs of optical drives.
const CD_DRIVE: &[u8] = b"/block/sr";

fn never_data(path: &[u8]) -> bool {
    NEVER_DATA.iter().any(|part| within(path, part))
}

fn within(path: &[u8], part: &[u8]) -> bool {
    path.windows(part.len()).any(|w| w == part)
}

/// Devices whose drivers the services wait for: modalias pattern, why.
#[rustfmt::skip]
const EARLY: &[(&str, &str)] = &[
    ("acpi*:QEMU0002:*",   "fw_cfg: it holds flags"),
    ("of:N*T*Cqemu,fw-cfg-mmio*", "fw_cfg in a device tree"),
    ("acpi*:LNXPWRBN:*",   "the power button of ACPI's fixed hardware: people may press it from the ready line on"),
    ("acpi*:PNP0C0C:*",    "the power button that is a device of its own"),
    ("input:*k74,*",       "a power button whose driver is built in: its lowest key is KEY_POWER, 0x74"),
    ("input:*,74,*",       "the same, behind another key"),
    ("of:N*T*Cvirtio,mmio*", "transports in a device tree, as Firecracker's on Arm: the network card and the disks"),
    ("virtio:d00000001v*", "the network card of QEMU, KVM, Firecracker"),
    ("pci:v*bc02sc*",      "network controllers"),
    ("vmbus:635161f8*",    "Hyper-V's network card"),
    ("xen:vif",            "Xen's network card"),
];

/// Returns true if services wait for the driver of `alias`.
#[must_use]
pub fn is_early(alias: &str) -> bool {
    is_one_of(EARLY, alias)
}

/// Disks and their controllers whose drivers find disks at once: modalias pattern, why. `b2p data`
/// loads them first.
#[rustfmt::skip]
const FAST_DISKS: &[(&str, &str)] = &[
    ("virtio:d00000002v*", "virtio-blk"),
    ("virtio:d00000008v*", "virtio-scsi"),
    ("pci:v*bc01sc08*",    "NVMe"),
    ("vmbus:ba6163d9*",    "Hyper-V's SCSI disks"),
    ("vmbus:32264132*",    "Hyper-V's IDE disks"),
    ("xen:vbd",            "Xen's disks"),
    ("scsi:t-0x00*",       "disks on SCSI, SATA, USB, once they are found"),
    ("scsi:t-0x0e*",       "disks with the reduced set of commands (RBC), once they are found"),
];

/// Disks and controllers that take as long as their hardware does: modalias pattern, why.
#[rustfmt::skip]
const SLOW_DISKS: &[(&str, &str)] = &[
    ("pci:v*bc01sc*",      "controllers of SCSI, RAID"),
    ("pci:v*bc08sc05*",    "readers of SD cards"),
    ("mmc:block",          "SD cards, eMMC"),
    ("pci:v*bc0Csc03*",    "USB"),
    ("usb:v*ic08*",        "disks on USB"),
];

/// Controllers among the slow ones all of whose disks a PC's firmware knows: modalias pattern, why.
#[rustfmt::skip]
const ATA: &[(&str, &str)] = &[
    ("pci:v*bc01sc01*",    "IDE: 150 ms for a reset alone (libata-core.c, ATA_WAIT_AFTER_RESET)"),
    ("pci:v*bc01sc06*",    "SATA: the same, and as long again for ports without a plug"),
];

/// Returns true if the device of `alias` may have a disk, which would be known at once.
#[must_use]
pub fn is_fast_disk(alias: &str) -> bool {
    is_one_of(FAST_DISKS, alias)
}

/// Returns true if the device of `alias` may have a disk.
#[must_use]
pub fn is_disk(alias: &str) -> bool {
    is_fast_disk(alias) || is_one_of(SLOW_DISKS, alias)
}

/// Returns true if `alias` is the device that connects to the host without a network.
#[must_use]
pub fn is_vsock(alias: &str) -> bool {
    is_one_of(VSOCK, alias)
}

/// Returns true if `alias` is the device of consoles and of ports to the host.
#[must_use]
pub fn is_virtio_console(alias: &str) -> bool {
    is_one_of(VIRTIO_CONSOLE, alias)
}

/// Virtio device numbers (virtio, section 5).
const VIRTIO_CONSOLE: &[(&str, &str)] = &[("virtio:d00000003v*", "consoles and ports")];
/// Virtio device numbers (virtio, section 5).
const VSOCK: &[(&str, &str)] = &[("virtio:d00000013v*", "vsock")];

/// Returns true if the device of `alias` may have a disk and is not IDE or SATA.
#[must_use]
pub fn is_non_ata_disk(alias: &str) -> bool {
    is_disk(alias) && !is_one_of(ATA, alias)
}

fn is_one_of(table: &[(&str, &str)], alias: &str) -> bool {
    let fits = |pattern: &str| glob_match(pattern.as_bytes(), alias.as_bytes());
    table.iter().any(|(pattern, _)| fits(pattern))
}

/// Loads the driver of every device below `sys` that `wanted` selects. Returns the number of
/// devices that had none and got one; those may have found further devices.
pub fn coldplug(sys: &Path, modules: &mut Modules, wanted: fn(&str) -> bool) -> usize {
    let mut given = 0;
    for device in devices(sys) {
        let Some(alias) = alias(&device) else {
            continue;
        };
        // A device with a driver needs no other, and most have one built in.
        if wanted(&alias) && !device.join("driver").exists() {
            given += usize::from(load_driver(modules, &alias));
        }
    }
    given
}

/// Returns the directories of all devices: those of input, which are on no bus, then those on a bus. An input
/// device whose driver is built in, such as ACPI's button on aarch64, announced itself before PID 1 listened: evdev,
/// the module that makes the node, is loaded here. Input devices are first because those that a driver of this pass
/// finds announce themselves.
fn devices(sys: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    let buses = entries(&sys.join("bus")).into_iter();
    let on_buses = buses.flat_map(|bus| entries(&bus.join("devices")));
    entries(&sys.join("class/input"))
        .into_iter()
        .chain(on_buses)
}

/// Returns the modalias of a device: in a file of its own or, for cards on the mmc bus, only in the
/// kernel's announcement.
fn alias(device: &Path) -> Option<String> {
    if let Ok(alias) = fs::read_to_string(device.join("modalias")) {
        return Some(alias.trim().to_owned());
    }
    let fields = fs::read_to_string(device.join("uevent")).ok()?;
    let alias = fields.lines().find_map(|l| l.strip_prefix("MODALIAS="));
    alias.map(str::to_owned)
}

/// Loads the driver of one device; returns true if there is one. A device without a driver is the
/// rule, not an error.
pub fn load_driver(modules: &mut Modules, alias: &str) -> bool {
    let outcome = modules.load(alias);
    match &outcome {
        Ok(()) => debug!("driver for {alias}"),
        Err(LoadError::Unknown | LoadError::Blacklisted) => {}
        // The driver's hardware turned out not to be there.
        Err(LoadError::Refused(path, Errno::ENODEV)) => debug!("{path}: no such device"),
        Err(e) => warn!("driver for {alias}: {e}"),
    }
    outcome.is_ok()
}

fn entries(dir: &Path) -> Vec<std::path::PathBuf> {
    let Ok(read) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut all: Vec<_> = read.flatten().map(|e| e.path()).collect();
    crate::sort::sort(&mut all); // the same order at every boot
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alias_of_a_card_is_in_its_announcement() {
        let dir = std::env::temp_dir().join(format!("b2p-alias-{}", std::process::id()));
        let none = fs::create_dir_all(&dir).map(|()| alias(&dir));
        assert!(matches!(none, Ok(None)));
        let write = |name: &str, text: &str| fs::write(dir.join(name), text).is_ok();
        assert!(write("uevent", "MMC_TYPE=SD\nMODALIAS=mmc:block\n"));
        assert_eq!(alias(&dir).as_deref(), Some("mmc:block"));
        assert!(write("modalias", "virtio:d2\n"));
        assert_eq!(alias(&dir).as_deref(), Some("virtio:d2"));
        assert!(fs::remove_dir_all(&dir).is_ok());
    }

    #[test]
    fn services_wait_for_flags_transports_and_power_buttons_that_are_built_in() {
        // Devices of QEMU's `virt`: under a device tree, and under ACPI.
        let button = "input:b0019v0000p0001e0000-e0,1,k74,ramlsfw";
        for early in [
            "of:Nfw-cfgT(null)Cqemu,fw-cfg-mmio",
            "of:Nvirtio_mmioT(null)Cvirtio,mmio",
            "acpi:QEMU0002:",
            button,
        ] {
            assert!(is_early(early), "{early}");
        }
        assert!(is_early(
            "input:b0011v0001p0001eAB41-e0,1,4,11,14,k71,72,74,75,ram4l0,sfw"
        ));
        for late in [
            "of:Npl011T(null)Carm,pl011Carm,primecell",
            "input:b0010v001Fp0001e0100-e0,12,kramls1,2,fw",
        ] {
            assert!(!is_early(late), "{late}");
        }
    }

    #[test]
    fn devices_of_input_come_before_those_on_a_bus() {
        let sys = std::env::temp_dir().join(format!("b2p-devices-{}", std::process::id()));
        let paths = [
            "class/input/input0",
            "bus/acpi/devices/LNXPWRBN:00",
            "bus/pci/devices/0",
        ];
        let paths = paths.map(|path| sys.join(path));
        assert!(paths.iter().all(|path| fs::create_dir_all(path).is_ok()));
        assert!(devices(&sys).eq(paths));
        assert!(fs::remove_dir_all(&sys).is_ok());
    }

    #[test]
    fn parse_reads_added_and_removed_devices() {
        let add = b"add@/devices/x\0ACTION=add\0MODALIAS=virtio:d1\0SEQNUM=3\0";
        assert_eq!(parse(add), Some(Uevent::Modalias("virtio:d1".into())));
        let disk = b"add@/devices/pci/virtio1/block/vda\0ACTION=add\0SUBSYSTEM=block\0DEVNAME=vda\0SEQNUM=77\0";
        assert_eq!(parse(disk), Some(Uevent::BlockAdded(77)));
        let gone = b"remove@/devices/pci/virtio1/block/vda/vda1\0SUBSYSTEM=block\0DEVNAME=vda1\0";
        assert_eq!(parse(gone), Some(Uevent::BlockRemoved("vda1".into())));
        let node = b"add@/devices/x/event3\0ACTION=add\0DEVNAME=input/event3\0";
        assert_eq!(parse(node), Some(Uevent::InputNode("event3".into())));
        for nothing in [
            &b"remove@/devices/x\0MODALIAS=virtio:d1\0"[..],
            b"add@/x\0MODALIAS=\xff\0",
            b"add@/x\0DEVNAME=vda\0",
            b"add@/devices/virtual/block/loop0\0SUBSYSTEM=block\0DEVNAME=loop0\0SEQNUM=7\0",
            b"remove@/devices/virtual/block/loop0\0SUBSYSTEM=block\0DEVNAME=loop0\0",
            b"add@/x\0SUBSYSTEM=block\0DEVNAME=vda\0SEQNUM=x\0",
            b"add@/x\0DEVNAME=input/\0",
            b"add@/x\0DEVNAME=input/../vda\0",
            b"",
        ] {
            assert_eq!(parse(nothing), None);
        }
    }
}
