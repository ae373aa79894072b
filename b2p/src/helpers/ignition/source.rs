// SPDX-License-Identifier: Apache-2.0
//! Sources of the document; the first source that has one counts.

use std::fs;
use std::path::Path;

use config::Ignition;
use log::{info, warn};
use sys::config_sources::{IGNITION_FW_CFG, IGNITION_SMBIOS, SMBIOS};
use sys::error::{Doing, Error, Result};
use sys::paths::{IGNITION_DEVICES, IGNITION_KEPT, IGNITION_MEDIUM};
use sys_mount::{Mount, MountFlags, Unmount, UnmountFlags};

use super::document::MAX_BYTES;
use super::{fw_cfg, host};
use crate::common::user_text;
use crate::helpers::block::drivers::Drivers;
use crate::helpers::block::labelled::{self, LabelledDevice};
use crate::helpers::data::is_ignition;

/// Names of the document on a disk with the label `ignition`, in the order of their precedence.
const NAMES: [&str; 2] = ["ignition.json", "config.ign"];

/// A source, by the words that a diagnostic uses, and the function that reads it.
type Source = (&'static str, fn(Ignition) -> Result<Option<Vec<u8>>>);

/// All sources.
const SOURCES: &[Source] = &[
    ("fw_cfg opt/com.coreos/config", |_| {
        fw_cfg::read(Path::new(IGNITION_FW_CFG))
    }),
    ("SMBIOS", |_| smbios(Path::new(SMBIOS))),
    ("a disk labelled ignition", disk),
    ("the host, over vsock", |setting| match setting {
        Ignition::Vsock => host::read(Path::new(IGNITION_KEPT)).map(Some),
        _ => Ok(None),
    }),
];

/// Returns the document and the words for its source; `None` if there is none.
///
/// # Errors
/// A source cannot be read, or is too long; the next ones are not asked.
pub fn read(setting: Ignition) -> Result<Option<(Vec<u8>, &'static str)>> {
    for (name, read) in SOURCES {
        if let Some(bytes) = read(setting).doing(*name)? {
            return Ok(Some((bytes, name)));
        }
    }
    Ok(None)
}

/// Returns the OEM string that begins with [`IGNITION_SMBIOS`].
fn smbios(table: &Path) -> Result<Option<Vec<u8>>> {
    let Ok(bytes) = sys::files::read_bounded(table, MAX_BYTES as u64) else {
        return Ok(None);
    };
    let strings = config::oem_strings(&bytes);
    let document = strings
        .iter()
        .find_map(|text| text.strip_prefix(IGNITION_SMBIOS));
    Ok(document.map(<[u8]>::to_vec))
}

/// Returns the document on a disk that `b2p data` has noted; with the setting `disk`, on any.
fn disk(setting: Ignition) -> Result<Option<Vec<u8>>> {
    let noted = fs::read_to_string(IGNITION_DEVICES).unwrap_or_default();
    let found = match labelled::among(noted.lines(), is_ignition)? {
        None if setting == Ignition::Disk => {
            Drivers::of_the_machine().load_fast_disks();
            let found = labelled::find(is_ignition);
            Some(found.ok_or_else(|| Error::invalid("b2p.ignition=disk, and there is none"))?)
        }
        found => found,
    };
    found.map(|device| read_disk(&device)).transpose()
}

fn read_disk(device: &LabelledDevice) -> Result<Vec<u8>> {
    let (node, fs_type) = (device.node(), device.kind.name());
    info!(
        "ignition: {} is {}, {fs_type}",
        node.display(),
        device.label
    );
    fs::create_dir_all(IGNITION_MEDIUM).on(IGNITION_MEDIUM)?;
    let restricted = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let mount = Mount::builder()
        .fstype(fs_type)
        .flags(MountFlags::RDONLY | restricted)
        .mount(&node, IGNITION_MEDIUM)
        .doing(format!("mount {fs_type}"))
        .on(&node)?;
    let document = read_medium(Path::new(IGNITION_MEDIUM));
    mount
        .unmount(UnmountFlags::empty())
        .unwrap_or_else(|e| warn!("ignition: {IGNITION_MEDIUM}: {e}"));
    document
}

fn read_medium(dir: &Path) -> Result<Vec<u8>> {
    for name in NAMES {
        if let Some(bytes) = user_text::read(&dir.join(name), MAX_BYTES as u64)? {
            return Ok(bytes);
        }
    }
    let names = NAMES.join(" nor ");
    Err(Error::invalid(format!("there is neither {names} on it")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    #[test]
    fn places_without_a_document() {
        let temp = Temp::new();
        assert_eq!(smbios(&temp.path("DMI")), Ok(None));
        fs::write(temp.path("DMI"), [0; 8]).unwrap();
        assert_eq!(smbios(&temp.path("DMI")), Ok(None));
        let missing = why(read_medium(temp.dir()));
        assert!(
            missing.contains("neither ignition.json nor config.ign"),
            "{missing}"
        );
    }

    #[test]
    fn places_with_a_document() {
        let temp = Temp::new();
        let strings = b"one\0opt/com.coreos/config={\"a\":1}\0\0";
        let table = [&[11, 5, 0, 1, 2][..], strings].concat();
        fs::write(temp.path("DMI"), table).unwrap();
        assert_eq!(smbios(&temp.path("DMI")).unwrap().unwrap(), b"{\"a\":1}");
        fs::write(temp.path("config.ign"), "{}\r\n").unwrap();
        assert_eq!(read_medium(temp.dir()).unwrap(), b"{}\n");
        fs::write(temp.path("ignition.json"), "[]").unwrap();
        assert_eq!(read_medium(temp.dir()).unwrap(), b"[]");
    }
}
