//! What the configuration is read from: texts, wherever they came from.

use crate::diagnostic::Diagnostic;
use crate::reader::Reader;
use crate::settings::Config;

/// One fw_cfg entry, as under `/sys/firmware/qemu_fw_cfg/by_name/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FwCfg<'a> {
    /// What follows `opt/org.boot2podman/`: a flag without its `b2p.`.
    pub name: &'a [u8],
    /// What follows the `=`; newlines and NULs at its end do not count. A flag
    /// that repeats takes one value a line, with `#` comments and blank lines.
    pub value: &'a [u8],
}

/// Everything that flags come from; nothing is what is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources<'a> {
    /// The kernel command line.
    pub cmdline: &'a [u8],
    /// fw_cfg entries.
    pub fw_cfg: &'a [FwCfg<'a>],
    /// The table of SMBIOS. Of its OEM strings those count that begin with
    /// `boot2podman:`; a flag follows, as in fw_cfg, and `=` and its value as far as
    /// the string goes.
    pub smbios: &'a [u8],
    /// `/var/lib/boot2podman/config` of the data disk: a flag a line, with or without
    /// its `b2p.` and with or without quotes around the value; `#` comments.
    pub disk: &'a [u8],
    /// `/var/lib/boot2podman/hostname` of the data disk, which counts where no flag
    /// names the machine.
    pub hostname: &'a [u8],
    /// What the profile on it exports, `NAME=value` a line.
    pub environment: &'a [u8],
    /// Which hooks are on it: the names of their services, one a line. A flag that
    /// names one has the last word.
    pub hooks: &'a [u8],
}

impl Sources<'_> {
    /// The configuration that the flags give, and what was wrong with them, in
    /// order, at most [`MAX_DIAGNOSTICS`] and one. Any input has an answer.
    #[must_use]
    pub fn parse(&self) -> (Config, Vec<Diagnostic>) {
        Reader::reading(self, false).finish()
    }
}

/// The same of command line and fw_cfg alone.
#[must_use]
pub fn parse(cmdline: &[u8], fw_cfg: &[FwCfg<'_>]) -> (Config, Vec<Diagnostic>) {
    let sources = Sources {
        cmdline,
        fw_cfg,
        ..Sources::default()
    };
    sources.parse()
}
