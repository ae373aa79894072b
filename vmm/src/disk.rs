// SPDX-License-Identifier: Apache-2.0
//! Disks, on each bus that a guest may find one on.

use std::path::{Path, PathBuf};

/// A disk image, and its device in the guest.
#[derive(Clone, Debug)]
pub struct Disk {
    file: PathBuf,
    format: &'static str,
    bus: Bus,
    snapshot: bool,
    read_only: bool,
    cdrom: bool,
    serial: Option<String>,
    sector: Option<u32>,
    blkdebug: Option<PathBuf>,
    log: Option<PathBuf>,
}

/// Bus of a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bus {
    /// virtio-blk: `/dev/vdX`.
    #[default]
    Virtio,
    /// virtio-blk without PCI, for microvm.
    Mmio,
    /// virtio-scsi: `/dev/sdX`.
    Scsi,
    /// NVMe: `/dev/nvmeXn1`.
    Nvme,
    /// SATA on an AHCI controller of its own.
    Ahci,
    /// Parallel ATA on a PIIX3 controller.
    Ide,
    /// USB stick on an xHCI controller.
    Usb,
    /// SD card in an SDHCI reader: `/dev/mmcblkX`.
    Sd,
}

impl Disk {
    /// Returns a raw image.
    pub fn raw(file: impl AsRef<Path>) -> Self {
        Self::new(file.as_ref(), "raw")
    }

    /// Returns a qcow2 image.
    pub fn qcow2(file: impl AsRef<Path>) -> Self {
        Self::new(file.as_ref(), "qcow2")
    }

    /// Returns an ISO image in a CD drive.
    pub fn iso(file: impl AsRef<Path>) -> Self {
        Self {
            read_only: true,
            cdrom: true,
            bus: Bus::Ahci,
            ..Self::raw(file)
        }
    }

    fn new(file: &Path, format: &'static str) -> Self {
        Self {
            file: file.to_owned(),
            format,
            bus: Bus::default(),
            snapshot: false,
            read_only: false,
            cdrom: false,
            serial: None,
            sector: None,
            blkdebug: None,
            log: None,
        }
    }

    /// Puts the disk on a bus.
    #[must_use]
    pub fn on(self, bus: Bus) -> Self {
        Self { bus, ..self }
    }

    /// Discards the guest's writes when QEMU ends; the image is unchanged.
    #[must_use]
    pub fn snapshot(self) -> Self {
        Self {
            snapshot: true,
            ..self
        }
    }

    /// Makes the disk read-only for the guest.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self {
            read_only: true,
            ..self
        }
    }

    /// Sets the serial number that the guest sees.
    #[must_use]
    pub fn serial(self, serial: &str) -> Self {
        Self {
            serial: Some(serial.to_owned()),
            ..self
        }
    }

    /// Sets the sector size that the guest sees, if not 512.
    #[must_use]
    pub fn sector(self, sector: u32) -> Self {
        Self {
            sector: Some(sector),
            ..self
        }
    }

    /// Logs every write and every flush to an existing file, in the format of dm-log-writes.
    #[must_use]
    pub fn log_writes(self, log: impl AsRef<Path>) -> Self {
        Self {
            log: Some(log.as_ref().to_owned()),
            ..self
        }
    }

    /// Returns the bus.
    pub(super) fn bus(&self) -> Bus {
        self.bus
    }

    /// Injects errors, by the rules in a file:
    /// <https://www.qemu.org/docs/master/devel/testing/blkdebug.html>.
    #[must_use]
    pub fn blkdebug(self, rules: impl AsRef<Path>) -> Self {
        Self {
            blkdebug: Some(rules.as_ref().to_owned()),
            ..self
        }
    }

    /// Returns QEMU's arguments for disk number `n` of a machine, whose device is `dev<n>` in QMP.
    /// All disks on SCSI share the controller of the first of them, which is number `shared`.
    pub(super) fn argv(&self, n: usize, shared: usize) -> Vec<String> {
        let own = if self.bus == Bus::Scsi { shared } else { n };
        let mut args = vec!["-drive".to_owned(), self.drive(n)];
        if own == n
            && let Some(controller) = self.controller(n)
        {
            args.extend(["-device".to_owned(), controller]);
        }
        args.extend(["-device".to_owned(), self.device(n, own)]);
        args
    }

    fn drive(&self, n: usize) -> String {
        let file = escape(&self.file);
        let file = match (&self.blkdebug, &self.log) {
            (None, None) => format!("file={file}"),
            (Some(rules), _) => {
                format!(
                    "file.driver=blkdebug,file.config={},file.image.filename={file}",
                    escape(rules)
                )
            }
            // The log is readable at any time, and needs no protection from a power failure of the
            // host.
            (None, Some(log)) => format!(
                "file.driver=blklogwrites,file.file.driver=file,file.file.filename={file},\
                 file.log.driver=file,file.log.filename={},file.log-super-update-interval=1,\
                 file.file.cache.no-flush=on,file.log.cache.no-flush=on",
                escape(log)
            ),
        };
        let mut drive = format!("if=none,id=disk{n},format={},{file}", self.format);
        // A power cut kills QEMU while the host keeps running: the host's cache counts as written,
        // so its flushes may be cheap.
        drive.push_str(",discard=unmap,cache=writeback");
        for (set, text) in [
            (self.snapshot, ",snapshot=on"),
            (self.read_only, ",readonly=on"),
        ] {
            drive.push_str(if set { text } else { "" });
        }
        drive
    }

    fn controller(&self, n: usize) -> Option<String> {
        let kind = match self.bus {
            Bus::Virtio | Bus::Mmio | Bus::Nvme => return None,
            Bus::Scsi => "virtio-scsi-pci",
            Bus::Ahci => "ich9-ahci",
            Bus::Ide => "piix3-ide",
            Bus::Usb => "qemu-xhci",
            Bus::Sd => "sdhci-pci",
        };
        Some(format!("{kind},id=bus{n}"))
    }

    fn device(&self, n: usize, bus: usize) -> String {
        let ata = if self.cdrom { "ide-cd" } else { "ide-hd" };
        let mut device = match self.bus {
            Bus::Virtio => format!("virtio-blk-pci,drive=disk{n}"),
            Bus::Mmio => format!("virtio-blk-device,drive=disk{n}"),
            Bus::Scsi => format!(
                "scsi-{},bus=bus{bus}.0,drive=disk{n}",
                if self.cdrom { "cd" } else { "hd" }
            ),
            Bus::Nvme => format!("nvme,drive=disk{n}"),
            Bus::Ahci | Bus::Ide => format!("{ata},bus=bus{n}.0,drive=disk{n}"),
            Bus::Usb => format!("usb-storage,bus=bus{n}.0,drive=disk{n}"),
            Bus::Sd => format!("sd-card,drive=disk{n}"),
        };
        match (&self.serial, self.bus) {
            (Some(serial), _) => device.push_str(&format!(",serial={serial}")),
            // QEMU requires a serial number for NVMe.
            (None, Bus::Nvme) => device.push_str(&format!(",serial=b2p{n}")),
            (None, _) => {}
        }
        device.push_str(&format!(",id=dev{n}"));
        if let Some(sector) = self.sector {
            let both = format!(",logical_block_size={sector},physical_block_size={sector}");
            device.push_str(&both);
        }
        device
    }
}

/// Formats a path as part of an option: commas are doubled.
pub(super) fn escape(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bus_has_its_device() {
        let args = |bus| Disk::raw("/d,1.img").on(bus).argv(3, 3).join(" ");
        assert!(
            args(Bus::Virtio).contains("if=none,id=disk3,format=raw,file=/d,,1.img,discard=unmap")
        );
        assert!(args(Bus::Virtio).ends_with("-device virtio-blk-pci,drive=disk3,id=dev3"));
        assert!(args(Bus::Scsi).ends_with(
            "-device virtio-scsi-pci,id=bus3 -device scsi-hd,bus=bus3.0,drive=disk3,id=dev3"
        ));
        assert!(args(Bus::Nvme).ends_with("-device nvme,drive=disk3,serial=b2p3,id=dev3"));
        assert!(args(Bus::Usb).contains("-device qemu-xhci,id=bus3 -device usb-storage"));
    }

    #[test]
    fn options_reach_the_drive() {
        let disk = Disk::qcow2("/d")
            .snapshot()
            .read_only()
            .serial("S1")
            .blkdebug("/rules");
        let args = disk.argv(0, 0).join(" ");
        assert!(args.contains(
            "format=qcow2,file.driver=blkdebug,file.config=/rules,file.image.filename=/d"
        ));
        assert!(args.contains("snapshot=on,readonly=on") && args.ends_with("serial=S1,id=dev0"));
        assert!(Disk::iso("/i").argv(0, 0).join(" ").contains("ide-cd"));
        let large = Disk::raw("/d").sector(4096).argv(0, 0).join(" ");
        assert!(large.ends_with("logical_block_size=4096,physical_block_size=4096"));
    }

    #[test]
    fn disks_on_scsi_share_a_controller() {
        let second = Disk::raw("/d").on(Bus::Scsi).argv(5, 3).join(" ");
        assert!(
            second.ends_with("-device scsi-hd,bus=bus3.0,drive=disk5,id=dev5"),
            "{second}"
        );
        assert!(!second.contains("virtio-scsi-pci"), "{second}");
        let other = Disk::raw("/d").on(Bus::Ahci).argv(5, 3).join(" ");
        assert!(other.contains("ich9-ahci,id=bus5"), "{other}");
    }

    #[test]
    fn writes_are_logged_below_the_format() {
        let args = Disk::raw("/d").log_writes("/l").argv(0, 0).join(" ");
        let wanted = "format=raw,file.driver=blklogwrites,file.file.driver=file,file.file.filename=/d,file.log.driver=file,file.log.filename=/l,";
        assert!(args.contains(wanted), "{args}");
    }
}
