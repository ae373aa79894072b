//! Where the configuration comes from: the kernel command line, QEMU's fw_cfg where
//! that is too short, OEM strings of SMBIOS where a host has only those, and what the
//! data disk says of it, once that is there.

use std::fs;
use std::path::Path;

use config::{Config, Diagnostic, FwCfg, Sources};

use crate::files::read_bounded;
use crate::paths::DISK_CONFIG_DIR;

/// Our corner of fw_cfg (docs/specs/fw_cfg.rst: `opt/<reverse domain>/…`).
const FW_CFG: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/org.boot2podman";
/// All of SMBIOS, as the kernel found it (dmi_scan.c); for root only.
const SMBIOS: &str = "/sys/firmware/dmi/tables/DMI";
/// More than this of one entry is not read: no setting is that long.
pub const MAX_ENTRY_BYTES: u64 = 64 * 1024;

/// Reads what can be read before fw_cfg's driver is in.
#[must_use]
pub fn read_early() -> Config {
    let raw = RawSources {
        cmdline: command_line(),
        smbios: read_bounded(Path::new(SMBIOS), MAX_ENTRY_BYTES).unwrap_or_default(),
        ..RawSources::default()
    };
    raw.with_sources(|sources| sources.parse().0)
}

/// Reads everything, and says what is wrong with it.
#[must_use]
pub fn read() -> (Config, Vec<Diagnostic>) {
    read_raw().with_sources(|sources| sources.parse())
}

/// The texts themselves. Nothing of it is on a disk: `b2p data` has copied what
/// stands there.
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
        hostname: kept("hostname"),
        environment: kept("environment"),
        hooks: kept("hooks"),
    }
}

/// What the sources hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawSources {
    /// The command line.
    pub cmdline: Vec<u8>,
    /// Name and content of every entry of ours.
    pub fw_cfg: Vec<(String, Vec<u8>)>,
    /// The table of SMBIOS.
    pub smbios: Vec<u8>,
    /// The data disk's configuration.
    pub disk: Vec<u8>,
    /// The name that the data disk keeps.
    pub hostname: Vec<u8>,
    /// What its profile exports.
    pub environment: Vec<u8>,
    /// The hooks that are on it.
    pub hooks: Vec<u8>,
}

impl RawSources {
    /// Hands them to `act` as the configuration's parser takes them.
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
            hostname: &self.hostname,
            environment: &self.environment,
            hooks: &self.hooks,
        })
    }
}

fn command_line() -> Vec<u8> {
    fs::read("/proc/cmdline").unwrap_or_default()
}

/// Name and content of every entry below `dir`, in the order of their names.
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
    all.sort_unstable();
    all
}
