// SPDX-License-Identifier: Apache-2.0
//! `b2p ignition`: configures the machine by a document of Ignition 3 (docs/guide/ignition.md), as
//! podman machine sends one. PID 1 runs the helper where there is a source, before the services
//! that depend on users, keys or files. Ignition itself runs at the first boot alone; here, where
//! /etc is in RAM, the document is applied at every boot, and existing files are left as they are.
//!
//! [`source`] finds the document, [`fw_cfg`] reads it from QEMU. [`plan`] parses it, with [`document`], [`data_url`], [`users`],
//! [`storage`] and [`units`], and changes nothing. [`apply`] and [`apply_units`] apply it.

mod apply;
mod apply_units;
pub mod data_url;
pub mod document;
mod fw_cfg;
mod host;
mod known_paths;
pub mod plan;
mod source;
pub mod storage;
pub mod units;
pub mod users;

use std::time::{Duration, Instant};

use log::{info, warn};

use crate::common::degraded::Degraded;
use crate::helpers::block::drivers::Drivers;
use crate::helpers::cloud::diagnostics::Diagnostics;

/// Time limit of mounts; PID 1 waits longer (init/src/service_table/configuration.rs).
const TIMEOUT: Duration = Duration::from_secs(60);

/// Applies the document; returns the exit status. An item that cannot be applied does not fail the
/// helper.
pub fn main() -> i32 {
    let (config, _) = sys::config_sources::read();
    // PID 1 reports to the host by a port at the time of the ready line (init/src/ready_report.rs).
    Drivers::of_the_machine().load(sys::uevent::is_virtio_console);
    let mut diagnostics = Diagnostics::default();
    match source::read(config.ignition) {
        Ok(None) => return 0,
        Ok(Some((bytes, from))) => {
            info!("ignition: {} bytes from {from}", bytes.len());
            match plan::parse(&bytes) {
                Ok((plan, found)) => {
                    diagnostics.append(found);
                    let deadline = Instant::now() + TIMEOUT;
                    apply::apply(&plan, &config, deadline, &mut diagnostics);
                }
                Err(why) => diagnostics.failed(format_args!("{why}; none of it is taken")),
            }
        }
        Err(why) => diagnostics.failed(format_args!("{why}; none of it is taken")),
    }
    let mut degraded = Degraded::of("ignition");
    for line in diagnostics.failed {
        warn!("ignition: {line}");
        degraded.add(line);
    }
    degraded.report()
}
