// SPDX-License-Identifier: Apache-2.0
//! A template: a machine that boots until nothing but its own identity is missing, and whose memory and
//! disk a host then copies. No driver of a network card is loaded, fw_cfg, which differs between the
//! machines, is not read, and there is no host key, machine-id or address.
//!
//! The service `template` ends in a copy of the memory, or if the preparation fails before the host is told
//! ([`crate::service_table`]). From then on the machine is one like any other.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use config::Config;
use sys::error::Doing;
use sys::paths::TEMPLATE_LEFT;

use crate::context::Context;
use crate::event_sources::Event;
use crate::{boot, disk_config};

/// True once this machine has left the template.
static LEFT: AtomicBool = AtomicBool::new(false);

/// Returns true if a flag asks for a template, and this machine has not left the template yet.
#[must_use]
pub fn is_template(config: &Config) -> bool {
    config.template && !LEFT.load(Ordering::Relaxed) && !Path::new(TEMPLATE_LEFT).exists()
}

/// Runs the phases that a template leaves out, and adds the services that a template does not have.
pub fn leave(context: &mut Context<'_>, _: &Event) {
    LEFT.store(true, Ordering::Relaxed);
    // PID 1 reads the file after a crash.
    let noted = fs::write(TEMPLATE_LEFT, "").on(TEMPLATE_LEFT);
    context.state.degraded.set_err("template", noted);
    let before = context.state.config.clone();
    boot::configure_machine(context.state, context.sources);
    disk_config::revise(context, &before);
}
