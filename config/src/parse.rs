// SPDX-License-Identifier: Apache-2.0
//! From the sources to the configuration.

use crate::diagnostic::Diagnostic;
use crate::reader::Reader;
use crate::settings::Config;
use crate::sources::{FwCfg, Sources};

impl Sources<'_> {
    /// Returns the configuration, and the faults of the flags in their order: at most
    /// [`MAX_DIAGNOSTICS`] and one diagnostic that counts the others. Any input gives a
    /// configuration.
    ///
    /// [`MAX_DIAGNOSTICS`]: crate::MAX_DIAGNOSTICS
    #[must_use]
    pub fn parse(&self) -> (Config, Vec<Diagnostic>) {
        Reader::read(self, false).finish()
    }
}

/// Parses a command line and fw_cfg entries without the other sources.
#[must_use]
pub fn parse(cmdline: &[u8], fw_cfg: &[FwCfg<'_>]) -> (Config, Vec<Diagnostic>) {
    let sources = Sources {
        cmdline,
        fw_cfg,
        ..Sources::default()
    };
    sources.parse()
}
