// SPDX-License-Identifier: Apache-2.0
//! The disk that the machine was booted from: one with the partitions of `make disk`
//! (`initramfs/src/disk.rs`), found by the names of its partitions.

use std::fs;
use std::path::Path;

use sys::error::{Error, Result};

use crate::helpers::block::scan;

const ESP: &str = "boot2podman-esp";
const SLOTS: [&str; 2] = ["boot2podman-a", "boot2podman-b"];

/// Partitions of a boot disk, by their names in /dev.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootDisk {
    /// EFI system partition, with GRUB and its environment.
    pub esp: String,
    slots: [String; 2],
}

impl BootDisk {
    /// Returns the partition of slot `a` or `b`.
    pub fn slot(&self, slot: char) -> &str {
        &self.slots[usize::from(slot == 'b')]
    }
}

/// A partition of any disk.
#[derive(Clone, Debug)]
struct Partition {
    /// Name of the whole disk in /dev.
    disk: String,
    /// Name of the partition in /dev.
    name: String,
    /// Name of the partition in the partition table.
    label: String,
}

/// Finds the boot disk, if there is one.
///
/// # Errors
/// Two such disks exist, and nothing shows which of them was booted.
pub fn find() -> Result<Option<BootDisk>> {
    let partitions = scan::names()
        .into_iter()
        .filter_map(|name| partition(&name));
    among(&partitions.collect::<Vec<_>>())
}

fn partition(name: &str) -> Option<Partition> {
    let uevent = scan::attribute(name, "uevent")?;
    let label = uevent.lines().find_map(|l| l.strip_prefix("PARTNAME="))?;
    let real = fs::canonicalize(Path::new("/sys/class/block").join(name)).ok()?;
    let disk = real.parent()?.file_name()?.to_str()?;
    Some(Partition {
        disk: disk.to_owned(),
        name: name.to_owned(),
        label: label.to_owned(),
    })
}

fn among(partitions: &[Partition]) -> Result<Option<BootDisk>> {
    let on = |disk: &str, label: &str| {
        let mut hits = partitions.iter();
        let hit = hits.find(|p| p.disk == disk && p.label == label)?;
        Some(hit.name.clone())
    };
    let boot_disk = |esp: &Partition| {
        let slots = [on(&esp.disk, SLOTS[0])?, on(&esp.disk, SLOTS[1])?];
        let esp_name = (esp.label == ESP).then(|| esp.name.clone())?;
        Some((
            esp.disk.clone(),
            BootDisk {
                esp: esp_name,
                slots,
            },
        ))
    };
    let mut found: Vec<_> = partitions.iter().filter_map(boot_disk).collect();
    match found.as_slice() {
        [] | [_] => Ok(found.pop().map(|(_, boot_disk)| boot_disk)),
        [(first, _), (second, _), ..] => Err(Error::invalid(format!(
            "/dev/{first} and /dev/{second} are both disks with two versions: remove the one \
             that this machine was not booted from"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::why;

    fn disk(disk: &str, labels: &[&str]) -> Vec<Partition> {
        let partition = |(n, label): (u32, &&str)| Partition {
            disk: disk.to_owned(),
            name: disk::device_name::partition(disk, n),
            label: (*label).to_owned(),
        };
        (1..).zip(labels).map(partition).collect()
    }

    #[test]
    fn esp_and_both_slots_must_be_on_one_disk() {
        let whole = [
            "boot2podman-bios",
            ESP,
            SLOTS[0],
            SLOTS[1],
            "boot2podman-data",
        ];
        let vda = disk("vda", &whole);
        let found = among(&vda).unwrap().unwrap();
        assert_eq!(
            (found.esp.as_str(), found.slot('a'), found.slot('b')),
            ("vda2", "vda3", "vda4")
        );
        let nvme = disk("nvme0n1", &[ESP, "boot2podman-data"]);
        assert_eq!(
            among(&[nvme.clone(), disk("sda", &SLOTS)].concat()),
            Ok(None)
        );
        assert_eq!(among(&[vda.clone(), nvme].concat()).unwrap(), Some(found));
        let two = among(&[vda, disk("vdb", &whole)].concat());
        assert!(why(two).contains("/dev/vda and /dev/vdb"));
        assert_eq!(among(&[]), Ok(None));
    }
}
