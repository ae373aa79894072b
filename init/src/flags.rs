//! Where the configuration comes from: the kernel command line, and QEMU's
//! fw_cfg where a command line is too short.

use std::fs;
use std::path::Path;

use config::{Complaint, Config, FwCfg};

/// Our corner of fw_cfg (docs/specs/fw_cfg.rst: `opt/<reverse domain>/…`).
const FW_CFG: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/org.boot2podman";
/// More than this of one entry is not read: no setting is that long.
const LONGEST: u64 = 64 * 1024;

/// Reads the command line alone, for the phases before fw_cfg's driver is in.
#[must_use]
pub fn early() -> Config {
    config::parse(&command_line(), &[]).0
}

/// Reads both, and says what is wrong with them.
#[must_use]
pub fn all() -> (Config, Vec<Complaint>) {
    let entries = fw_cfg(Path::new(FW_CFG));
    let views: Vec<FwCfg<'_>> = entries
        .iter()
        .map(|(name, value)| FwCfg {
            name: name.as_bytes(),
            value,
        })
        .collect();
    config::parse(&command_line(), &views)
}

fn command_line() -> Vec<u8> {
    fs::read("/proc/cmdline").unwrap_or_default()
}

/// Name and content of every entry below `dir`, in the order of their names.
fn fw_cfg(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(read) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let content = |path: &Path| {
        let mut bytes = Vec::new();
        let file = fs::File::open(path.join("raw"))?;
        std::io::Read::read_to_end(&mut std::io::Read::take(file, LONGEST), &mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let mut all: Vec<(String, Vec<u8>)> = read
        .flatten()
        .filter_map(|e| Some((e.file_name().into_string().ok()?, content(&e.path()).ok()?)))
        .collect();
    all.sort_unstable();
    all
}
