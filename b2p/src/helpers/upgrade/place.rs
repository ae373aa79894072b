//! Where the machine was booted from: a disk with the partitions of `make disk`
//! (`initramfs/src/disk.rs`), found by the names that they have in its table.

use std::fs;
use std::path::Path;

use crate::helpers::data::scan;

const ESP: &str = "boot2podman-esp";
const SLOTS: [&str; 2] = ["boot2podman-a", "boot2podman-b"];

/// The partitions of such a disk, as /dev has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// GRUB's.
    pub esp: String,
    slots: [String; 2],
}

impl Place {
    /// The partition of slot `a` or `b`.
    pub fn slot(&self, name: char) -> &str {
        &self.slots[usize::from(name == 'b')]
    }
}

/// A partition: its disk, its own name, the name in the table.
type Part = (String, String, String);

/// The disk, if there is one.
///
/// # Errors
/// There are two, and nobody knows which of them was booted.
pub fn find() -> Result<Option<Place>, String> {
    let all = scan::names().into_iter().filter_map(|name| part(&name));
    of(&all.collect::<Vec<_>>())
}

fn part(name: &str) -> Option<Part> {
    let event = scan::text(name, "uevent")?;
    let label = event.lines().find_map(|l| l.strip_prefix("PARTNAME="))?;
    let real = fs::canonicalize(Path::new("/sys/class/block").join(name)).ok()?;
    let disk = real.parent()?.file_name()?.to_str()?;
    Some((disk.to_owned(), name.to_owned(), label.to_owned()))
}

fn of(parts: &[Part]) -> Result<Option<Place>, String> {
    let on = |disk: &str, label: &str| {
        let mut hits = parts.iter().filter(|(d, _, l)| d == disk && l == label);
        hits.next().map(|(_, name, _)| name.clone())
    };
    let place = |(disk, name, label): &Part| {
        let slots = [on(disk, SLOTS[0])?, on(disk, SLOTS[1])?];
        let esp = (label == ESP).then(|| name.clone())?;
        Some((disk.clone(), Place { esp, slots }))
    };
    let mut all: Vec<_> = parts.iter().filter_map(place).collect();
    match all.as_slice() {
        [] | [_] => Ok(all.pop().map(|(_, place)| place)),
        [(one, _), (other, _), ..] => Err(format!(
            "/dev/{one} and /dev/{other} are both disks with two versions: take away the one \
             that this machine was not booted from"
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn disk(disk: &str, labels: &[&str]) -> Vec<Part> {
        let part = |(n, label): (u32, &&str)| {
            let name = disk::device_name::partition(disk, n);
            (disk.to_owned(), name, (*label).to_owned())
        };
        (1..).zip(labels).map(part).collect()
    }

    #[test]
    fn all_three_must_be_on_one_disk() {
        let whole = [
            "boot2podman-bios",
            ESP,
            SLOTS[0],
            SLOTS[1],
            "boot2podman-data",
        ];
        let vda = disk("vda", &whole);
        let found = of(&vda).unwrap().unwrap();
        assert_eq!(
            (found.esp.as_str(), found.slot('a'), found.slot('b')),
            ("vda2", "vda3", "vda4")
        );
        let nvme = disk("nvme0n1", &[ESP, "boot2podman-data"]);
        assert_eq!(of(&[nvme.clone(), disk("sda", &SLOTS)].concat()), Ok(None));
        assert_eq!(of(&[vda.clone(), nvme].concat()).unwrap(), Some(found));
        let two = of(&[vda, disk("vdb", &whole)].concat());
        assert!(two.unwrap_err().contains("/dev/vda and /dev/vdb"));
        assert_eq!(of(&[]), Ok(None));
    }
}
