// SPDX-License-Identifier: Apache-2.0
//! Sources of the configuration: the kernel command line; QEMU's fw_cfg, if the command line is too short; OEM strings
//! of SMBIOS, if a host offers no other source; the files of the data disk after their copy to RAM; documents of a
//! host.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use config::{Config, Diagnostic, FwCfg, Sources};
use nix::fcntl::{Flock, FlockArg};

use crate::error::{Doing, Error, Result};
use crate::files::read_bounded;
use crate::paths::{
    DISK_CONFIG_DIR, DOCUMENT_CONFIG, ETC_ENVIRONMENT, FW_CFG_COPY, FW_CFG_LOCK, IGNITION_DEVICES,
    RUNTIME_DIR,
};

/// Directory of this project's fw_cfg entries (docs/specs/fw_cfg.rst: `opt/<reverse domain>/…`).
const FW_CFG: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/org.boot2podman";
/// Tables of SMBIOS as the kernel found them (dmi_scan.c); readable by root only.
pub const SMBIOS: &str = "/sys/firmware/dmi/tables/DMI";
/// Directory of the fw_cfg entry that Fedora CoreOS and podman machine use for Ignition.
pub const IGNITION_FW_CFG: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/com.coreos/config";
/// Start of the OEM string of SMBIOS with a document of Ignition.
pub const IGNITION_SMBIOS: &[u8] = b"opt/com.coreos/config=";
/// Maximum size in bytes of an entry; no setting is longer.
pub const MAX_ENTRY_BYTES: u64 = 64 * 1024;

/// Reads the sources that exist before fw_cfg's driver is loaded.
#[must_use]
pub fn read_early() -> Config {
    let raw = RawSources {
        cmdline: command_line(),
        smbios: read_bounded(Path::new(SMBIOS), MAX_ENTRY_BYTES).unwrap_or_default(),
        ..RawSources::default()
    };
    raw.with_sources(|sources| sources.parse().0)
}

/// Reads all sources; returns the configuration and the diagnostics.
#[must_use]
pub fn read() -> (Config, Vec<Diagnostic>) {
    read_raw().with_sources(|sources| sources.parse())
}

/// Reads the sources that are known before the data disk and documents are.
#[must_use]
pub fn read_host() -> Config {
    let raw = RawSources {
        disk: Vec::new(),
        document: Vec::new(),
        ..read_raw()
    };
    raw.with_sources(|sources| sources.parse().0)
}

/// Reads the texts of all sources. None of them is on a disk: `b2p data` has copied the disk's
/// files.
#[must_use]
pub fn read_raw() -> RawSources {
    let kept = |name| {
        read_bounded(&Path::new(DISK_CONFIG_DIR).join(name), MAX_ENTRY_BYTES).unwrap_or_default()
    };
    RawSources {
        cmdline: command_line(),
        fw_cfg: match Path::new(FW_CFG_COPY).exists() {
            true => fw_cfg(Path::new(FW_CFG_COPY)),
            false => fw_cfg(Path::new(FW_CFG)),
        },
        smbios: read_bounded(Path::new(SMBIOS), MAX_ENTRY_BYTES).unwrap_or_default(),
        disk: kept("config"),
        document: read_bounded(Path::new(DOCUMENT_CONFIG), MAX_ENTRY_BYTES).unwrap_or_default(),
        hostname: kept("hostname"),
        environment: join_texts([kept(ETC_ENVIRONMENT), kept("environment")]),
        hooks: kept("hooks"),
    }
}

/// Joins two texts of lines. The last line of the first text may be cut at the limit of a file, without its newline.
fn join_texts(texts: [Vec<u8>; 2]) -> Vec<u8> {
    texts.join(&b'\n')
}

/// Copies the entries of fw_cfg, if there are any. Every later reader gets the copy: the device is read byte by byte,
/// and `b2p ignition` may read from it without the kernel's lock.
///
/// # Errors
/// The copy cannot be written; the entries are read from the device then.
pub fn copy_fw_cfg() -> Result<()> {
    let entries = fw_cfg(Path::new(FW_CFG));
    // After a crash, PID 1 may repeat the phase.
    match entries.is_empty() || Path::new(FW_CFG_COPY).exists() {
        true => Ok(()),
        false => {
            fs::create_dir_all(RUNTIME_DIR).on(RUNTIME_DIR)?;
            copy_entries(&entries, Path::new(FW_CFG_COPY)).doing("copy of fw_cfg")
        }
    }
}

/// Makes the directory `copy`, which root alone can read, with all entries or not at all.
fn copy_entries(entries: &[(String, Vec<u8>)], copy: &Path) -> Result<()> {
    let new = copy.with_extension("new");
    let dir = |path: &Path| DirBuilder::new().mode(0o700).create(path).on(path);
    // A crash may have left a part.
    let _ = fs::remove_dir_all(&new);
    dir(&new)?;
    for (name, content) in entries {
        let entry = new.join(name);
        dir(&entry)?;
        fs::write(entry.join("raw"), content).on(&entry)?;
    }
    fs::rename(&new, copy).on(copy)
}

/// Returns true if a program may read flags from fw_cfg at any time, because there is no copy.
#[must_use]
pub fn fw_cfg_is_shared() -> bool {
    Path::new(FW_CFG).exists() && !Path::new(FW_CFG_COPY).exists()
}

/// Waits until no other helper reads fw_cfg's device, and keeps other helpers from the device while the returned value
/// exists. Root alone can open the file of the lock: any user could hold a lock on the device's directory for ever.
///
/// # Errors
/// The file of the lock cannot be made.
pub fn lock_fw_cfg() -> Result<Flock<File>> {
    let mut options = File::options();
    let options = options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(FW_CFG_LOCK).on(FW_CFG_LOCK)?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| Error::from(errno))
        .on(FW_CFG_LOCK)
}

/// Returns true if the host or a disk offers a document of Ignition. Its content is not read: that
/// is the work of `b2p ignition`.
#[must_use]
pub fn has_ignition() -> bool {
    let exists = |path: &str| Path::new(path).exists();
    let in_smbios = || {
        let table = read_bounded(Path::new(SMBIOS), MAX_ENTRY_BYTES).unwrap_or_default();
        let mut windows = table.windows(IGNITION_SMBIOS.len());
        windows.any(|window| window == IGNITION_SMBIOS)
    };
    exists(IGNITION_FW_CFG) || exists(IGNITION_DEVICES) || in_smbios()
}

/// Texts of all sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawSources {
    /// Kernel command line.
    pub cmdline: Vec<u8>,
    /// Name and content of every fw_cfg entry of this project.
    pub fw_cfg: Vec<(String, Vec<u8>)>,
    /// Table of SMBIOS.
    pub smbios: Vec<u8>,
    /// Configuration of the data disk.
    pub disk: Vec<u8>,
    /// Flags that follow from Ignition or cloud-init.
    pub document: Vec<u8>,
    /// Host name that the data disk keeps.
    pub hostname: Vec<u8>,
    /// Variables of /etc/environment, then those that the data disk's profile exports.
    pub environment: Vec<u8>,
    /// Names of the hooks on the data disk.
    pub hooks: Vec<u8>,
}

impl RawSources {
    /// Calls `act` with the texts in the form that the configuration's parser takes.
    pub fn with_sources<T>(&self, act: impl FnOnce(&Sources<'_>) -> T) -> T {
        let entries: Vec<FwCfg<'_>> = self
            .fw_cfg
            .iter()
            .map(|(name, value)| FwCfg {
                name: name.as_bytes(),
                value,
            })
            .collect();
        act(&Sources {
            cmdline: &self.cmdline,
            fw_cfg: &entries,
            smbios: &self.smbios,
            disk: &self.disk,
            document: &self.document,
            hostname: &self.hostname,
            environment: &self.environment,
            hooks: &self.hooks,
        })
    }
}

fn command_line() -> Vec<u8> {
    fs::read("/proc/cmdline").unwrap_or_default()
}

/// Returns name and content of every entry below `dir`, sorted by name.
fn fw_cfg(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let content = |path: &Path| {
        let mut bytes = Vec::new();
        let file = fs::File::open(path.join("raw"))?;
        std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_ENTRY_BYTES), &mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let mut all: Vec<(String, Vec<u8>)> = entries
        .flatten()
        .filter_map(|e| Some((e.file_name().into_string().ok()?, content(&e.path()).ok()?)))
        .collect();
    crate::sort::sort(&mut all);
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn copied_fw_cfg_entries_are_read_back() {
        let temp = std::env::temp_dir().join(format!("b2p-fw-cfg-{}", std::process::id()));
        fs::create_dir(&temp).unwrap();
        let entries = [
            ("hostname", "box"),
            ("ssh_key", "ssh-rsa A\nssh-rsa B\n"),
            ("x", ""),
        ]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let copy = temp.join("fw_cfg");
        assert_eq!(copy_entries(&entries, &copy), Ok(()));
        assert_eq!(fw_cfg(&copy), entries);
        let mode = fs::metadata(&copy).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        // A crash has left a part of the next copy.
        fs::create_dir_all(temp.join("fw_cfg.new/part")).unwrap();
        fs::remove_dir_all(&copy).unwrap();
        assert_eq!(copy_entries(&entries, &copy), Ok(()));
        assert_eq!(fw_cfg(&copy), entries);
        fs::remove_dir_all(&temp).unwrap();
    }
}
