// SPDX-License-Identifier: Apache-2.0
//! A template: a machine that boots as far as it can without an identity of its own, and whose memory and disk a host
//! then copies. A template loads no driver of a network card, does not read fw_cfg, which differs between the copies,
//! and has no host key, machine-id or address.
//!
//! The service `template` ends in a copy of the memory, or if the preparation fails before its report to the host
//! ([`crate::service_table`]). A reaction to its end ([`crate::reactions`]) then runs the phases of the boot
//! that a template leaves out. The machine then has an identity of its own.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use config::Config;
use sys::error::{Doing, Result};
use sys::paths::TEMPLATE_LEFT;

/// True if this machine is a copy that has become a machine of its own ([`mark_left`]).
static LEFT: AtomicBool = AtomicBool::new(false);

/// Returns true if a flag requests a template, and this machine is not a copy that has become a machine of its own.
#[must_use]
pub fn is_template(config: &Config) -> bool {
    config.template && !LEFT.load(Ordering::Relaxed) && !Path::new(TEMPLATE_LEFT).exists()
}

/// Writes a file which says that this copy has become a machine of its own. PID 1 reads the file after a crash.
///
/// # Errors
/// The file cannot be written.
pub fn mark_left() -> Result<()> {
    LEFT.store(true, Ordering::Relaxed);
    fs::write(TEMPLATE_LEFT, "").on(TEMPLATE_LEFT)
}
