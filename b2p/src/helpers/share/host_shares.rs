// SPDX-License-Identifier: Apache-2.0
//! The folders that the host shares, from sysfs.

use std::fs;
use std::path::{Path, PathBuf};

use sys::error::{Error, Result};
use sys::modules::glob_match;

/// File system by which a folder is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// virtiofs: served by a process on the host.
    Virtiofs,
    /// 9p over virtio: served by QEMU itself.
    Plan9,
}

/// Tags of all folders that the host shares.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct HostShares {
    virtiofs: Vec<String>,
    plan9: Vec<String>,
    /// True if a 9p device has no driver, so that its tag is unknown.
    has_undriven_plan9: bool,
}

/// Devices of shared folders and their buses: modalias pattern, description.
#[rustfmt::skip]
const DEVICES: &[(&str, &str)] = &[
    ("pci:v00001AF4d*",    "virtio on PCI"),
    ("acpi*:LNRO0005:*",   "virtio on MMIO"),
    ("virtio:d0000001Av*", "virtiofs"),
    ("virtio:d00000009v*", "9p"),
];

/// Returns true if the device with this modalias may share a folder.
pub fn may_share(modalias: &str) -> bool {
    let matches = |pattern: &str| glob_match(pattern.as_bytes(), modalias.as_bytes());
    DEVICES.iter().any(|(pattern, _)| matches(pattern))
}

impl HostShares {
    /// Reads the tags below `sysfs`: Documentation/ABI/testing/sysfs-fs-virtiofs, and
    /// p9_mount_tag_show() in net/9p/trans_virtio.c.
    pub fn read(sysfs: &Path) -> HostShares {
        let virtio = entries(&sysfs.join("bus/virtio/devices"));
        let id = |device: &PathBuf| fs::read_to_string(device.join("device"));
        let is_plan9 = |device: &&PathBuf| id(device).is_ok_and(|id| id.trim() == "0x0009");
        let (driven, undriven): (Vec<&PathBuf>, Vec<_>) = virtio
            .iter()
            .filter(is_plan9)
            .partition(|device| device.join("mount_tag").exists());
        HostShares {
            virtiofs: tags(entries(&sysfs.join("fs/virtiofs")).iter(), "tag"),
            plan9: tags(driven.into_iter(), "mount_tag"),
            has_undriven_plan9: !undriven.is_empty(),
        }
    }

    /// Returns the transport of the folder with this tag.
    ///
    /// # Errors
    /// The host does not share the folder; the error names the shared ones.
    pub fn find(&self, tag: &str) -> Result<Transport> {
        let has = |tags: &[String]| tags.iter().any(|t| t == tag);
        if has(&self.virtiofs) {
            return Ok(Transport::Virtiofs);
        }
        if has(&self.plan9) {
            return Ok(Transport::Plan9);
        }
        let tags: Vec<&str> = self
            .virtiofs
            .iter()
            .chain(&self.plan9)
            .map(|t| &**t)
            .collect();
        let shared = match tags.is_empty() {
            true => "nothing".to_owned(),
            false => tags.join(", "),
        };
        let hint = match self.has_undriven_plan9 {
            true => {
                "there is more by 9p, for which this kernel has no driver: use virtiofs, or \
                 the image of KERNEL=generic"
            }
            false => "it is mounted when it appears",
        };
        Err(Error::invalid(format!(
            "the host shares {shared}, and nothing with this tag; {hint}"
        )))
    }
}

/// Returns the content of `file` in each directory. The tag of 9p ends with a NUL.
fn tags<'a>(dirs: impl Iterator<Item = &'a PathBuf>, file: &str) -> Vec<String> {
    let texts = dirs.filter_map(|dir| fs::read_to_string(dir.join(file)).ok());
    let tags = texts.map(|text| text.trim_end_matches(['\n', '\0']).to_owned());
    tags.filter(|tag| !tag.is_empty()).collect()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    sys::sort::sort(&mut paths);
    paths
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    #[test]
    fn tags_are_found_and_what_is_missing_is_explained() {
        let sysfs = Temp::new();
        let write = |path: &str, text: &str| {
            let path = sysfs.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let read = || HostShares::read(sysfs.dir());
        assert_eq!(read(), HostShares::default());
        let missing = why(HostShares::default().find("home"));
        assert!(missing.starts_with("the host shares nothing, "));
        write("fs/virtiofs/3/tag", "home\n");
        write("bus/virtio/devices/virtio1/device", "0x0001\n");
        write("bus/virtio/devices/virtio4/device", "0x0009\n");
        write("bus/virtio/devices/virtio4/mount_tag", "old\0");
        assert_eq!(read().find("home"), Ok(Transport::Virtiofs));
        assert_eq!(read().find("old"), Ok(Transport::Plan9));
        let missing = why(read().find("hom"));
        assert!(missing.starts_with("the host shares home, old, "));
        write("bus/virtio/devices/virtio5/device", "0x0009\n");
        assert!(why(read().find("hom")).contains("KERNEL=generic"));
    }

    #[test]
    fn only_devices_that_share_get_a_driver() {
        assert!(may_share("virtio:d00000009v00001AF4") && may_share("virtio:d0000001Av00001AF4"));
        assert!(!may_share("virtio:d00000002v00001AF4") && !may_share("pci:v00008086d00001234"));
    }
}
