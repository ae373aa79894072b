// SPDX-License-Identifier: Apache-2.0
//! Documents of Ignition from SMBIOS and from a disk. Each writes a file of /srv that contains its own
//! name.

use super::{World, path_of};
use anyhow::Result;
use std::fs;
use std::path::PathBuf;
use tests::disks::seed;

/// Returns a document that writes a file.
fn document(file: &str) -> String {
    format!(
        r#"{{"ignition":{{"version":"3.4.0"}},"storage":{{"files":[{{"path":"/srv/{file}","contents":{{"source":"data:,{file}"}}}}]}}}}"#
    )
}

/// Returns the value of QEMU's `-smbios` for an OEM string with a document.
pub fn in_smbios(world: &World) -> Result<String> {
    let text = format!("opt/com.coreos/config={}", document("smbios"));
    fs::write(world.dir().join("oem-string"), text)?;
    let path = path_of(world, "oem-string")?;
    Ok(format!("type=11,path={}", path.display()))
}

/// Returns a disk with the label `ignition` and a document.
pub fn on_disk(world: &World) -> Result<PathBuf> {
    let document = document("disk");
    seed::vfat_labelled(world.dir(), "IGNITION", &[("config.ign", false, &document)])
}
