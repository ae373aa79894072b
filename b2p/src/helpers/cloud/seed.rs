// SPDX-License-Identifier: Apache-2.0
//! The seed of cloud-init: a file system with the label `cidata` (NoCloud), on a CD or a disk.
//!
//! A seed is searched for
//!
//! 1. on the devices that `b2p data` has noted ([`CLOUD_SEED_DEVICES`]); if that has not run, on
//!    disks whose driver is loaded quickly;
//! 2. in CD drives on a bus whose driver is loaded;
//! 3. on slow buses only if `b2p data` has loaded their drivers because no disk was found, or if
//!    the host announces a seed by `ds=nocloud`, on the command line or as the machine's serial
//!    number in SMBIOS: those drivers take 150 ms and more.

use std::fs;
use std::path::Path;

use log::{info, warn};
use sys::error::{Doing, Error, Result};
use sys::paths::{CLOUD_SEED, CLOUD_SEED_DEVICES};
use sys_mount::{Mount, MountFlags, Unmount, UnmountFlags};

use super::diagnostics::Diagnostics;
use super::yaml::MAX_BYTES;
use crate::common::user_text;
use crate::helpers::block::drivers::Drivers;
use crate::helpers::block::labelled::{self, LabelledDevice};
use crate::helpers::block::wait;
use crate::helpers::compat::lima;
use crate::helpers::data::is_seed;

/// Serial number of the machine, by which a host may announce a seed; only root can read the
/// number.
const SERIAL_NUMBER: &str = "/sys/class/dmi/id/product_serial";
/// Directory of links to devices by their label.
const BY_LABEL: &str = "/dev/disk/by-label";

/// Files of a seed; a file that is missing is empty.
#[derive(Debug, Default)]
pub struct Seed {
    /// Content of user-data.
    pub user_data: Vec<u8>,
    /// Content of meta-data.
    pub meta_data: Vec<u8>,
    /// Content of network-config.
    pub network_config: Vec<u8>,
    /// True if vendor-data has more than comments and an empty document.
    pub has_vendor_data: bool,
    /// True if Lima has made the seed.
    pub is_from_lima: bool,
}

/// Searches for a device with a seed.
///
/// # Errors
/// The host announces a seed, and there is none; or a device that had one can no longer be read.
pub fn find() -> Result<Option<LabelledDevice>> {
    let noted = fs::read_to_string(CLOUD_SEED_DEVICES);
    let on_disk = match noted {
        Ok(names) => labelled::among(names.lines(), is_seed),
        Err(_) => {
            Drivers::of_the_machine().load_fast_disks();
            Ok(labelled::find_on_disks(is_seed))
        }
    };
    let found = match on_disk {
        Ok(Some(found)) => Some(found),
        other => labelled::find_on_cds(is_seed).map_or(other, |cd| Ok(Some(cd)))?,
    };
    if found.is_some() || !is_announced(&read("/proc/cmdline"), &read(SERIAL_NUMBER)) {
        return Ok(found);
    }
    // Waits as long as sysfs shows that a device may appear.
    match wait::until(0, || labelled::find(is_seed)) {
        Some(found) => Ok(Some(found)),
        None => Err(Error::invalid(
            "the host says ds=nocloud, and there is no CD or disk with the label cidata",
        )),
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Returns true if the host announces a seed, in the ways of cloud-init's ds-identify.
fn is_announced(cmdline: &str, serial_number: &str) -> bool {
    let is_nocloud = |parameter: &str| {
        let source = parameter.strip_prefix("ds=").unwrap_or_default();
        matches!(source.split(';').next(), Some("nocloud" | "nocloud-net"))
    };
    cmdline.split_whitespace().any(is_nocloud) || is_nocloud(serial_number.trim())
}

/// Links the device by its label for boot scripts; no other program makes the link.
pub fn link_by_label(device: &LabelledDevice) {
    let link = Path::new(BY_LABEL).join(device.label.replace('/', "_"));
    let target = format!("../../{}", device.name);
    let linked = fs::create_dir_all(BY_LABEL).and_then(|()| {
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(target, &link)
    });
    linked.unwrap_or_else(|e| warn!("cloud: {}: {e}", link.display()));
}

/// Mounts the device and reads the seed. A file that cannot be read, or is too long, is reported, and the others
/// count: a key may be in any of them.
///
/// # Errors
/// The device cannot be mounted.
pub fn read_seed(device: &LabelledDevice, diagnostics: &mut Diagnostics) -> Result<Seed> {
    let (node, fs_type) = (device.node(), device.kind.name());
    let label = &device.label;
    info!("cloud: {} is {label}, {fs_type}", node.display());
    fs::create_dir_all(CLOUD_SEED).on(CLOUD_SEED)?;
    let restricted = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let mount = Mount::builder()
        .fstype(fs_type)
        .flags(MountFlags::RDONLY | restricted)
        .mount(&node, CLOUD_SEED)
        .doing(format!("mount {fs_type}"))
        .on(&node)?;
    let seed = Seed::read(Path::new(CLOUD_SEED), diagnostics);
    mount
        .unmount(UnmountFlags::empty())
        .unwrap_or_else(|e| warn!("cloud: {CLOUD_SEED}: {e}"));
    Ok(seed)
}

/// Returns true if vendor-data requests any action. LXD and Incus write an empty document (`#cloud-config`,
/// `{}`).
fn has_settings(vendor_data: &[u8]) -> bool {
    let mut lines = vendor_data.split(|byte| *byte == b'\n');
    let is_empty = |line: &[u8]| matches!(line, b"" | b"{}" | b"---") || line.starts_with(b"#");
    // A script of only its first line does nothing either.
    lines.any(|line| !is_empty(line.trim_ascii()))
}

impl Seed {
    fn read(dir: &Path, diagnostics: &mut Diagnostics) -> Seed {
        let mut read = |name: &str| {
            let bytes = user_text::read(&dir.join(name), MAX_BYTES as u64);
            let bytes = bytes.map_err(|why| diagnostics.failed(why));
            bytes.ok().flatten().unwrap_or_default()
        };
        Seed {
            user_data: read("user-data"),
            meta_data: read("meta-data"),
            network_config: read("network-config"),
            has_vendor_data: has_settings(&read("vendor-data")),
            is_from_lima: dir.join(lima::MARKER).exists(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use crate::helpers::cloud::userdata::{Format, format};

    #[test]
    fn a_seed_that_windows_has_saved() {
        let temp = Temp::new();
        let read = || {
            let mut diagnostics = Diagnostics::default();
            let seed = Seed::read(temp.dir(), &mut diagnostics);
            (seed, diagnostics.failed.join("\n"))
        };
        let seed = |text: &[u8]| {
            fs::write(temp.path("user-data"), text).unwrap();
            read()
        };
        let script = seed(b"\xef\xbb\xbf#!/bin/sh\r\ntrue\r\n").0.user_data;
        assert_eq!(format(&script), Format::Script(b"#!/bin/sh\ntrue\n"));
        let config = seed(b"\xef\xbb\xbf#cloud-config\r\na: b\r\n").0.user_data;
        assert_eq!(
            format(&config),
            Format::CloudConfig("#cloud-config\na: b\n")
        );
        // The other files count.
        for name in ["network-config", "meta-data", "vendor-data"] {
            fs::write(temp.path(name), b"\xff\xfe#\0").unwrap();
            let (found, refused) = seed(b"#!");
            assert_eq!(found.user_data, b"#!");
            let line = format!("{name}: UTF-16; save it as UTF-8");
            assert!(refused.ends_with(&line), "{refused}");
            fs::write(temp.path(name), name).unwrap();
        }
        let (found, refused) = seed(b"\xff\xfe#\0");
        let line = "user-data: UTF-16; save it as UTF-8";
        assert!(refused.ends_with(line), "{refused}");
        assert!(found.meta_data == b"meta-data" && found.has_vendor_data);
        fs::remove_file(temp.path("user-data")).unwrap();
        nix::unistd::mkfifo(&temp.path("user-data"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let refused = read().1;
        assert!(
            refused.ends_with("user-data: not a file: a fifo"),
            "{refused}"
        );
    }

    #[test]
    fn an_empty_document_of_vendor_data_asks_for_nothing() {
        for empty in [
            "",
            " \n",
            "#cloud-config\n{}",
            "#cloud-config\n{}\n",
            "---\n# none\n",
        ] {
            assert!(!has_settings(empty.as_bytes()), "{empty:?}");
        }
        for text in [
            "#cloud-config\nusers: []\n",
            "#!/bin/sh\ntrue\n",
            "#include\nhttp://a/",
        ] {
            assert!(has_settings(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn the_host_says_where_to_look() {
        for (cmdline, serial_number, announced) in [
            ("quiet ds=nocloud b2p.data=off", "", true),
            ("ds=nocloud;h=box", "", true),
            ("", "ds=nocloud-net;s=http://x\n", true),
            ("ds=nocloudy", "nocloud", false),
            ("xds=nocloud ds=ec2", "Not Specified", false),
        ] {
            let found = is_announced(cmdline, serial_number);
            assert_eq!(found, announced, "{cmdline} {serial_number}");
        }
    }
}
