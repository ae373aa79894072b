// SPDX-License-Identifier: Apache-2.0
//! Applies the units of a plan, after its files: a unit may be one of them.

use std::path::Path;
use std::time::Instant;

use sys::error::{Error, Result};
use sys::paths::READY_VSOCK;
use sys::uevent;

use super::units::{QUADLETS, Unit};
use crate::common::confined::{Attributes, Tree};
use crate::common::service_env::USER_FILES;
use crate::helpers::block::drivers::Drivers;
use crate::helpers::cloud::apply as cloud;
use crate::helpers::cloud::diagnostics::Diagnostics;
use crate::helpers::quadlet::install;
use crate::helpers::quadlet::specifiers::Owner;
use crate::helpers::share;
use crate::helpers::timers::update_timer;

/// Attributes of unit files.
const OF_FILES: Attributes = Attributes {
    mode: 0o644,
    uid: 0,
    gid: 0,
};

/// Requests that PID 1 reports to the host on a port of vsock, at the time of the ready line.
fn wait_on_vsock(port: u32) -> Result<()> {
    Drivers::of_the_machine().load(uevent::is_vsock);
    sys::files::replace(
        Path::new(READY_VSOCK),
        format!("{port}\n").as_bytes(),
        0o644,
    )
}

/// Applies the units; mounts until `deadline`.
pub fn apply(units: &[Unit], root: &Tree, deadline: Instant, diagnostics: &mut Diagnostics) {
    let (mut folders, mut mounts) = (Vec::new(), Vec::new());
    for unit in units {
        match unit {
            Unit::Share(folder) => folders.push(folder.clone()),
            Unit::Mount(mount) => mounts.push(mount.clone()),
            Unit::File(path, text) => {
                diagnostics.record(root.replace(path, text.as_bytes(), OF_FILES));
            }
            Unit::Off(path) => diagnostics.record(root.symlink(path, "/dev/null", OF_FILES)),
            Unit::Enable(_) | Unit::Disable(_) => {}
            Unit::Updates => diagnostics.record(update_timer::write(Path::new(USER_FILES))),
            Unit::ReadyPort(port) => diagnostics.record(wait_on_vsock(*port)),
        }
    }
    if !folders.is_empty() {
        for line in share::mount_and_report(folders) {
            diagnostics.failed(line);
        }
    }
    // The file may be that of another row.
    for unit in units {
        if let Unit::Enable(name) = unit {
            diagnostics.record(enable(name));
        }
    }
    cloud::mounts(&mounts, deadline, diagnostics);
}

/// Has the targets of a unit file want the unit. `b2p user-services` starts it after the ready line.
fn enable(name: &str) -> Result<()> {
    let root = Owner {
        home: "/root".to_owned(),
        ..Owner::default()
    };
    let why = match install::enable(&root, name)? {
        Some(enabled) if enabled.is_wanted => return Ok(()),
        Some(_) => "enabled, and its section [Install] names no target that wants it",
        None if Path::new(QUADLETS).join(name).exists() => return Ok(()),
        None => "there is no such unit to enable; `b2p status` lists the services",
    };
    Err(Error::invalid(format!("systemd.units: {name}: {why}")))
}
