//! The disk that says what the machine is to be: a file system with the label `cidata`
//! (cloud-init's NoCloud), on a CD or a disk. Where it is looked for:
//!
//! 1. on what `b2p data` has looked at, which has noted it ([`CLOUD_SEED_DEVICES`]); without a data
//!    disk's row, on quick buses;
//! 2. in CD drives that hang on a bus whose driver is there;
//! 3. on slow buses only where `b2p data` has gone there for want of a disk, or where the
//!    host says `ds=nocloud`, on the command line or as SMBIOS' serial number of the
//!    machine: to ask them takes 150 ms and more.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use disk::bytes::SizedFile;
use disk::probe::probe;
use disk::signature::{Signature, SignatureKind};
use log::{info, warn};
use nix::mount::{MsFlags, mount, umount};

use super::yaml::LONGEST;
use crate::helpers::compat::lima;
use crate::helpers::data::drivers::Drivers;
use crate::helpers::data::{ioctl, scan, wait};
use sys::paths::{CLOUD_SEED, CLOUD_SEED_DEVICES};

/// Everything that both labels need is in here; the end of a CD may not be readable.
const HEAD: u64 = 128 * 1024;
/// Where a host may say that there is one; for root only.
const SERIAL: &str = "/sys/class/dmi/id/product_serial";

/// The device that was found.
#[derive(Debug)]
pub struct Device {
    name: String,
    label: String,
    kind: SignatureKind,
}

/// What is on it.
#[derive(Debug, Default)]
pub struct Seed {
    /// user-data.
    pub user: Vec<u8>,
    /// meta-data.
    pub meta: Vec<u8>,
    /// network-config.
    pub network: Vec<u8>,
    /// vendor-data.
    pub vendor: Vec<u8>,
    /// Lima has made it.
    pub lima: bool,
}

/// Looks for it.
///
/// # Errors
/// The host says that there is one, and there is none.
pub fn find() -> Result<Option<Device>, String> {
    let found = match fs::read_to_string(CLOUD_SEED_DEVICES) {
        Ok(noted) => noted
            .lines()
            .find_map(|name| labelled(name, false, is_cidata)),
        Err(_) => {
            Drivers::of_the_machine().quick();
            disks(is_cidata)
        }
    };
    let found = found.or_else(|| cds(is_cidata));
    let told = || told_of(&text("/proc/cmdline"), &text(SERIAL));
    if found.is_some() || !told() {
        return Ok(found);
    }
    // For as long as sysfs shows that something is on its way.
    let found = wait::until(0, || labelled_so(is_cidata));
    found.map(Some).ok_or_else(|| {
        "the host says ds=nocloud, and there is no CD or disk with the label cidata".to_owned()
    })
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Whether the host says that there is one: as cloud-init's ds-identify has it.
fn told_of(cmdline: &str, serial: &str) -> bool {
    let says = |word: &str| {
        let source = word.strip_prefix("ds=").unwrap_or_default();
        matches!(source.split(';').next(), Some("nocloud" | "nocloud-net"))
    };
    cmdline.split_whitespace().any(says) || says(serial.trim())
}

/// Says whether a file system is the one that is looked for; it has a label then.
type Is = fn(&Signature) -> bool;

/// A disk or a CD with such a file system, of those that have their drivers.
pub fn labelled_so(is: Is) -> Option<Device> {
    disks(is).or_else(|| cds(is))
}

fn disks(is: Is) -> Option<Device> {
    let names = scan::names();
    names.iter().find_map(|name| labelled(name, false, is))
}

/// The drives whose bus is known; a driver of their own they get here.
fn cds(is: Is) -> Option<Device> {
    let devices = fs::read_dir("/sys/bus/scsi/devices")
        .into_iter()
        .flatten()
        .flatten();
    // TYPE_ROM (scsi_proto.h).
    let drives = devices
        .filter(|d| fs::read_to_string(d.path().join("type")).is_ok_and(|t| t.trim() == "5"));
    let drives: Vec<PathBuf> = drives.map(|d| d.path()).collect();
    if drives.is_empty() {
        return None;
    }
    if drives.iter().any(|d| !d.join("driver").exists()) {
        Drivers::of_the_machine().cds();
    }
    wait::drives();
    let names = drives
        .iter()
        .filter_map(|d| fs::read_dir(d.join("block")).ok())
        .flatten()
        .flatten();
    let mut names: Vec<String> = names
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names.iter().find_map(|name| labelled(name, true, is))
}

fn labelled(name: &str, cd: bool, is: Is) -> Option<Device> {
    let file = open(name, cd)?;
    let found = probe(&SizedFile { file, size: HEAD }).ok()?;
    let it = found.into_iter().find(is)?;
    Some(Device {
        name: name.to_owned(),
        label: it.label?,
        kind: it.kind,
    })
}

/// Whether this is what `b2p data` notes.
pub fn is_cidata(found: &Signature) -> bool {
    let named = found
        .label
        .as_deref()
        .is_some_and(|l| l.eq_ignore_ascii_case("cidata"));
    named && matches!(found.kind, SignatureKind::Iso9660 | SignatureKind::Vfat)
}

/// A drive is asked first whether it has a disc: it would wait for one.
fn open(name: &str, cd: bool) -> Option<File> {
    let with = |flags| {
        OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(scan::node(name))
    };
    let quick = with(libc::O_NONBLOCK).ok()?;
    match cd {
        false => Some(quick),
        true if ioctl::has_disc(&quick) => with(0).ok(),
        true => None,
    }
}

impl Device {
    /// Its node.
    pub fn node(&self) -> PathBuf {
        scan::node(&self.name)
    }

    /// Gives it the name by which boot scripts look for it; nobody else does.
    pub fn link(&self) {
        let dir = Path::new("/dev/disk/by-label");
        let to = format!("../../{}", self.name);
        let link = dir.join(self.label.replace('/', "_"));
        let made = fs::create_dir_all(dir).and_then(|()| {
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(to, &link)
        });
        made.unwrap_or_else(|e| warn!("cloud: {}: {e}", link.display()));
    }

    /// Reads what is on it.
    ///
    /// # Errors
    /// What could not be mounted or read.
    pub fn read(&self) -> Result<Seed, String> {
        let (node, target) = (self.node(), Path::new(CLOUD_SEED));
        info!(
            "cloud: {} is {}, {}",
            node.display(),
            self.label,
            self.kind.name()
        );
        fs::create_dir_all(target).map_err(|e| format!("{CLOUD_SEED}: {e}"))?;
        let flags =
            MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(
            Some(&node),
            target,
            Some(self.kind.name()),
            flags,
            None::<&str>,
        )
        .map_err(|e| format!("{}: mount {}: {e}", node.display(), self.kind.name()))?;
        let seed = Seed::read(target);
        umount(target).unwrap_or_else(|e| warn!("cloud: {CLOUD_SEED}: {e}"));
        seed
    }
}

impl Seed {
    fn read(dir: &Path) -> Result<Seed, String> {
        let read = |name: &str| match File::open(dir.join(name)) {
            Err(_) => Ok(Vec::new()),
            Ok(file) => {
                let mut bytes = Vec::new();
                let most = LONGEST as u64 + 1;
                file.take(most)
                    .read_to_end(&mut bytes)
                    .map_err(|e| format!("{name}: {e}"))?;
                match bytes.len() > LONGEST {
                    true => Err(format!("{name}: longer than {} KiB", LONGEST >> 10)),
                    false => Ok(bytes),
                }
            }
        };
        Ok(Seed {
            user: read("user-data")?,
            meta: read("meta-data")?,
            network: read("network-config")?,
            vendor: read("vendor-data")?,
            lima: dir.join(lima::MARKER).exists(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_says_where_to_look() {
        for (cmdline, serial, told) in [
            ("quiet ds=nocloud b2p.data=off", "", true),
            ("ds=nocloud;h=box", "", true),
            ("", "ds=nocloud-net;s=http://x\n", true),
            ("ds=nocloudy", "nocloud", false),
            ("xds=nocloud ds=ec2", "Not Specified", false),
        ] {
            assert_eq!(told_of(cmdline, serial), told, "{cmdline} {serial}");
        }
    }

    #[test]
    fn a_label_on_a_file_system_that_may_have_it() {
        let found = |kind, label: &str| Signature {
            kind,
            label: Some(label.into()),
            uuid: None,
        };
        assert!(is_cidata(&found(SignatureKind::Iso9660, "cidata")));
        assert!(is_cidata(&found(SignatureKind::Vfat, "CIDATA")));
        assert!(!is_cidata(&found(SignatureKind::Ext4, "cidata")));
        assert!(!is_cidata(&found(SignatureKind::Vfat, "data")));
    }
}
