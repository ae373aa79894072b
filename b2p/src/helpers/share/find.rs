//! What the host offers, as sysfs has it.

use std::fs;
use std::path::{Path, PathBuf};

use sys::modules::glob_match;

/// How a folder comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By a server of its own on the host.
    Virtiofs,
    /// By QEMU itself.
    Plan9,
}

/// The tags of every folder that the host shares.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Offer {
    virtiofs: Vec<String>,
    plan9: Vec<String>,
    /// There is a device of 9p that no driver has taken: nobody knows its tag.
    mute: bool,
}

/// Devices that folders come by, and what those are plugged into: modalias pattern, why.
#[rustfmt::skip]
const DEVICES: &[(&str, &str)] = &[
    ("pci:v00001AF4d*",    "virtio on PCI"),
    ("acpi*:LNRO0005:*",   "virtio on MMIO"),
    ("virtio:d0000001Av*", "virtiofs"),
    ("virtio:d00000009v*", "9p"),
];

/// Whether a folder may come by the device of `alias`.
pub fn may_share(alias: &str) -> bool {
    let fits = |pattern: &str| glob_match(pattern.as_bytes(), alias.as_bytes());
    DEVICES.iter().any(|(pattern, _)| fits(pattern))
}

impl Offer {
    /// Reads it below `sys`: Documentation/ABI/testing/sysfs-fs-virtiofs, and
    /// p9_mount_tag_show() in net/9p/trans_virtio.c.
    pub fn read(sys: &Path) -> Offer {
        let virtio = entries(&sys.join("bus/virtio/devices"));
        let kind = |device: &PathBuf| fs::read_to_string(device.join("device"));
        let is_9p = |d: &&PathBuf| kind(d).is_ok_and(|id| id.trim() == "0x0009");
        let (driven, mute): (Vec<&PathBuf>, Vec<_>) = virtio
            .iter()
            .filter(is_9p)
            .partition(|device| device.join("mount_tag").exists());
        Offer {
            virtiofs: tags(entries(&sys.join("fs/virtiofs")).iter(), "tag"),
            plan9: tags(driven.into_iter(), "mount_tag"),
            mute: !mute.is_empty(),
        }
    }

    /// How the folder of this tag comes; else why not, and what would be right.
    pub fn find(&self, tag: &str) -> Result<By, String> {
        let has = |tags: &[String]| tags.iter().any(|t| t == tag);
        if has(&self.virtiofs) {
            return Ok(By::Virtiofs);
        }
        if has(&self.plan9) {
            return Ok(By::Plan9);
        }
        let all: Vec<&str> = self
            .virtiofs
            .iter()
            .chain(&self.plan9)
            .map(|t| &**t)
            .collect();
        let offered = match all.is_empty() {
            true => "nothing".to_owned(),
            false => all.join(", "),
        };
        let more = match self.mute {
            true => {
                "there is more by 9p, for which this kernel has no driver: \
                     virtiofs is right, or the image of KERNEL=generic"
            }
            false => "it is mounted when it comes",
        };
        Err(format!(
            "the host shares {offered}, and nothing of this tag; {more}"
        ))
    }
}

/// What `file` in each of these says; 9p's ends with a NUL.
fn tags<'a>(dirs: impl Iterator<Item = &'a PathBuf>, file: &str) -> Vec<String> {
    let read = dirs.filter_map(|dir| fs::read_to_string(dir.join(file)).ok());
    let bare = read.map(|text| text.trim_end_matches(['\n', '\0']).to_owned());
    bare.filter(|tag| !tag.is_empty()).collect()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut all: Vec<_> = read.map(|entry| entry.path()).collect();
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tags_are_found_and_what_is_missing_is_explained() {
        let sys = std::env::temp_dir().join(format!("b2p-share-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = sys.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(Offer::read(&sys), Offer::default());
        let why = Offer::default().find("home").unwrap_err();
        assert!(why.starts_with("the host shares nothing, "), "{why}");
        write("fs/virtiofs/3/tag", "home\n");
        write("bus/virtio/devices/virtio1/device", "0x0001\n");
        write("bus/virtio/devices/virtio4/device", "0x0009\n");
        write("bus/virtio/devices/virtio4/mount_tag", "old\0");
        let offer = Offer::read(&sys);
        assert_eq!(offer.find("home"), Ok(By::Virtiofs));
        assert_eq!(offer.find("old"), Ok(By::Plan9));
        let why = offer.find("hom").unwrap_err();
        assert!(why.starts_with("the host shares home, old, "), "{why}");
        write("bus/virtio/devices/virtio5/device", "0x0009\n");
        let why = Offer::read(&sys).find("hom").unwrap_err();
        assert!(why.contains("KERNEL=generic"), "{why}");
        fs::remove_dir_all(sys).unwrap();
    }

    #[test]
    fn only_devices_that_share_get_a_driver() {
        assert!(may_share("virtio:d00000009v00001AF4") && may_share("virtio:d0000001Av00001AF4"));
        assert!(!may_share("virtio:d00000002v00001AF4") && !may_share("pci:v00008086d00001234"));
    }
}
