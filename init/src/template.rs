// SPDX-License-Identifier: Apache-2.0
//! A template: a machine that boots until nothing but its own identity is missing, and whose memory and
//! disk a host then copies. No driver of a network card is loaded, fw_cfg, which differs between the
//! machines, is not read, and there is no host key, machine-id or address.
//!
//! The service `template` ends in a copy alone ([`crate::service_table`]). From then on the copy is a
//! machine like any other.

use std::fs;
use std::path::Path;

use config::Config;
use log::warn;
use sys::paths::TEMPLATE_LEFT;

use crate::context::Context;
use crate::event_sources::Event;
use crate::{boot, disk_config};

/// Returns true until the memory is that of a machine, if a flag asks for a template.
#[must_use]
pub fn is_one(config: &Config) -> bool {
    config.template && !Path::new(TEMPLATE_LEFT).exists()
}

/// Makes the machine, and adds the services that a template does not have.
pub fn leave(context: &mut Context<'_>, _: &Event) {
    // A program that follows on a crash would otherwise take the machine for the template.
    if let Err(error) = fs::write(TEMPLATE_LEFT, "") {
        warn!("{TEMPLATE_LEFT}: {error}");
    }
    let before = context.state.config.clone();
    boot::make_machine(context.state, context.sources);
    disk_config::revise(context, &before);
}
