// SPDX-License-Identifier: Apache-2.0
//! Settings for disks and swap.

use std::fmt;

/// Disk that a flag selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskSelector {
    /// Disk with one of the system's own labels, or one that asks to be formatted.
    Auto,
    /// No disk; all state stays in RAM.
    Off,
    /// File system with this label.
    Label(String),
    /// File system with this UUID, as written (to be compared without case).
    Uuid(String),
    /// Partition with this UUID, as written (to be compared without case).
    PartUuid(String),
    /// Device node: a path below `/dev/` without `..`.
    Device(String),
}

impl DiskSelector {
    /// Returns true if the selector names the device `name` of /sys/class/block, where the kernel
    /// writes `!` for `/`.
    #[must_use]
    pub fn is_device(&self, name: &str) -> bool {
        match self {
            DiskSelector::Device(path) => path
                .strip_prefix("/dev/")
                .is_some_and(|node| node.replace('/', "!") == name),
            _ => false,
        }
    }
}

impl fmt::Display for DiskSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiskSelector::Auto => f.write_str("auto"),
            DiskSelector::Off => f.write_str("off"),
            DiskSelector::Label(label) => write!(f, "LABEL={label}"),
            DiskSelector::Uuid(uuid) => write!(f, "UUID={uuid}"),
            DiskSelector::PartUuid(uuid) => write!(f, "PARTUUID={uuid}"),
            DiskSelector::Device(path) => f.write_str(path),
        }
    }
}

/// Disks that may be formatted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatPolicy {
    /// Disks that begin with the format request.
    Magic,
    /// Disks that begin with the format request, and blank disks.
    Blank,
    /// No disk.
    Never,
}

/// Swap area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// Compressed memory.
    Zram(ZramSize),
    /// Swap partition; never [`DiskSelector::Auto`] nor [`DiskSelector::Off`].
    Disk(DiskSelector),
    /// File on the data disk, with its size in MiB.
    File(u32),
}

impl Swap {
    /// Returns true if `later` replaces this area: zram and the file exist once, a partition is
    /// not used twice.
    pub(crate) fn is_replaced_by(&self, later: &Swap) -> bool {
        match (self, later) {
            (Swap::Disk(disk), Swap::Disk(other)) => disk == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(later),
        }
    }
}

/// Size of zram before compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZramSize {
    /// Percentage of the memory, 1 to 300.
    Percent(u32),
    /// Size in MiB.
    Mib(u32),
}

/// Time to wait for a slow disk (Tiny Core `waitusb=`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitUsb {
    /// Maximum time in seconds, 0 to 3600.
    pub seconds: u16,
    /// Disk that ends the wait when it appears; never [`DiskSelector::Auto`] nor
    /// [`DiskSelector::Off`]. The whole time is waited if `None`.
    pub disk: Option<DiskSelector>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_known_by_its_name_in_sysfs() {
        let disk = DiskSelector::Device("/dev/cciss/c0d0".to_owned());
        assert!(disk.is_device("cciss!c0d0"));
        assert!(!disk.is_device("cciss/c0d0") && !disk.is_device("c0d0"));
        assert!(!DiskSelector::Label("vda".to_owned()).is_device("vda"));
    }
}
