// SPDX-License-Identifier: Apache-2.0
//! Sources of the configuration: the kernel command line, QEMU's fw_cfg where the command line is
//! too short, OEM strings of SMBIOS where a host offers no other source, and the data disk's files
//! after the copy to RAM.

use std::fs;
use std::path::Path;

use config::{Config, Diagnostic, FwCfg, Sources};

use crate::files::read_bounded;
use crate::paths::{DISK_CONFIG_DIR, DOCUMENT_CONFIG, IGNITION_DEVICES};

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
        fw_cfg: fw_cfg(Path::new(FW_CFG)),
        smbios: read_bounded(Path::new(SMBIOS), MAX_ENTRY_BYTES).unwrap_or_default(),
        disk: kept("config"),
        document: read_bounded(Path::new(DOCUMENT_CONFIG), MAX_ENTRY_BYTES).unwrap_or_default(),
        hostname: kept("hostname"),
        environment: kept("environment"),
        hooks: kept("hooks"),
    }
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
    /// Variables that the data disk's profile exports.
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
