// SPDX-License-Identifier: Apache-2.0
//! Applies the units of a plan, after its files: a unit may be one of them.

use std::path::Path;
use std::time::Instant;

use sys::error::{Error, Result};
use sys::paths::READY_VSOCK;
use sys::uevent;

use super::units::{QUADLET_KINDS, QUADLETS, SERVICES, Unit};
use crate::common::confined::{Attributes, Tree};
use crate::common::service_env::USER_FILES;
use crate::helpers::block::drivers::Drivers;
use crate::helpers::cloud::apply as cloud;
use crate::helpers::cloud::diagnostics::Diagnostics;
use crate::helpers::quadlet::install;
use crate::helpers::quadlet::specifiers::Owner;
use crate::helpers::share;
use crate::helpers::timers::update_timer;

/// Directories of units and quadlets.
const UNIT_DIRS: &[&str] = &[SERVICES, QUADLETS, "/usr/share/containers/systemd"];

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
    for unit in units {
        if let Unit::File(path, _) = unit
            && let Some(missing) = missing_unit(root, path)
        {
            diagnostics.failed(format_args!(
                "systemd.units: {missing}: its drop-in has no effect, because there is no such unit; `b2p status` lists the services"
            ));
        }
    }
    cloud::mounts(&mounts, deadline, diagnostics);
}

/// Drop-ins of units of systemd whose settings hold here without them, and why.
const NEEDLESS: &[(&str, &str)] = &[(
    "user@.service",
    "Delegate=: each user's cgroup is the user's",
)];

/// Returns the unit of a drop-in if the unit is not there, neither as a template nor made of a quadlet. Drop-ins of all
/// services, or of those with a common start of their names, need no unit.
pub fn missing_unit<'a>(root: &Tree, path: &'a str) -> Option<&'a str> {
    let (dir, _) = path.rsplit_once('/')?;
    let (parent, unit) = dir.strip_suffix(".d")?.rsplit_once('/')?;
    let (stem, kind) = unit.rsplit_once('.')?;
    let is_needless = NEEDLESS.iter().any(|(needless, _)| *needless == unit);
    if stem.ends_with('-') || is_needless || !UNIT_DIRS.contains(&parent) {
        return None;
    }
    let mut names = vec![unit.to_owned()];
    if let Some((template, _)) = stem.split_once('@') {
        names.push(format!("{template}@.{kind}"));
    }
    // The service of `web.pod` is `web-pod.service` (podman-systemd.unit(5)).
    for quadlet in QUADLET_KINDS {
        let suffix = format!("-{quadlet}");
        let stem = stem.strip_suffix(suffix.as_str()).unwrap_or(stem);
        names.push(format!("{stem}.{quadlet}"));
    }
    let is_there = |name: &String| {
        let mut paths = UNIT_DIRS.iter().map(|dir| format!("{dir}/{name}"));
        paths.any(|path| root.kind(&path).is_ok_and(|kind| kind.is_some()))
    };
    (!names.iter().any(is_there)).then_some(unit)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn a_drop_in_without_its_unit_is_named() {
        let temp = Temp::new();
        for path in ["a.service", "b@.service"] {
            let path = temp.path(&format!("etc/systemd/system/{path}"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        for path in ["web.container", "net.network"] {
            let path = temp.path(&format!("etc/containers/systemd/{path}"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let root = Tree::open(temp.dir()).unwrap();
        for (unit, is_missing) in [
            ("a.service", false),
            ("b@1.service", false),
            ("web.container", false),
            ("web.service", false),
            ("net-network.service", false),
            ("service", false),
            ("a-.service", false),
            ("serial-getty@ttyS0.service", true),
            ("none.service", true),
            ("none.container", true),
        ] {
            let path = format!("/etc/systemd/system/{unit}.d/x.conf");
            let missing = missing_unit(&root, &path);
            assert_eq!(missing, is_missing.then_some(unit), "{unit}");
        }
        for path in [
            "/etc/systemd/system/none.service",
            "/etc/systemd/system/user@.service.d/delegate.conf",
            "/etc/containers/registries.conf.d/x.conf",
        ] {
            assert_eq!(missing_unit(&root, path), None, "{path}");
        }
    }
}
