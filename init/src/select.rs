//! The services as the configuration wants them; `rows.rs` has each.

use std::fs;

use config::{Config, DiskSelector, Net, Podman, Role};
use services::{ServiceDef, Socket};

pub use crate::catalog::SHARES;
use crate::catalog::*;
use crate::{console, root};
use sys::paths::B2P;

/// Who may use the API besides root.
const API_GROUP: &str = "podman";

/// The rows that `config` asks for.
#[must_use]
pub fn services(config: &Config) -> Vec<ServiceDef> {
    let variables = config.variables();
    // Twice in a boot at the most, and kept for its whole life.
    let line = |(name, value): &(String, String)| &*[name, "=", value].concat().leak();
    let env: Vec<&'static str> = variables.iter().map(line).collect();
    let env: &'static [&'static str] = env.leak();
    let mut rows = plain(config);
    let told = |row: &&mut ServiceDef| TOLD.contains(&row.name);
    // Of two of one name the first counts: the owner's.
    let beside = |row: &ServiceDef| [env, row.env].concat().leak();
    rows.iter_mut()
        .filter(told)
        .for_each(|row| row.env = beside(row));
    rows
}

fn plain(config: &Config) -> Vec<ServiceDef> {
    let mut rows = Vec::new();
    // In a namespace the disks are somebody else's.
    let disk = config.data != DiskSelector::Off && !root::in_container();
    rows.extend(disk.then_some(late(config)));
    let cloud = config.cloud && !root::in_container();
    rows.extend(cloud.then_some(CLOUD));
    rows.extend(net(&config.net));
    if config.sshd {
        rows.extend([HOSTKEY, SSHD]);
    }
    rows.extend(podman(config.podman));
    rows.extend(upgrade(config.slot));
    rows.extend((config.vsock && !root::in_container()).then_some(VSOCK));
    rows.extend(swap(config));
    rows.extend((!config.shares.is_empty() && !root::in_container()).then_some(SHARE));
    rows.extend(extensions(config));
    rows.extend((config.tz.is_some() || !config.utc).then_some(TIMEZONE));
    rows.extend([LATE_DRIVERS, SYSLOG, HEALTH_CHECKS]);
    if disk {
        rows.extend([REGISTRY, BOOTSYNC, IMAGE_SYNC, CONTAINERS, BOOTLOCAL]);
    }
    rows.extend(cloud.then_some(CLOUD_SCRIPTS));
    // In a container it is somebody else's clock.
    rows.extend((!root::in_container()).then_some(TIME));
    // Without a disk it is in RAM, and the kernel's ring is that already.
    rows.extend(config.syslog.then_some(LOG_FILES));
    rows.push(USER_SERVICES);
    rows.extend(console::services(config.console));
    rows.extend(console::rescues());
    rows
}

fn net(net: &Net) -> Option<ServiceDef> {
    let words = sys::net::arguments(net)?;
    let argv = [B2P.to_owned(), "net".to_owned()].into_iter().chain(words);
    // Made once in a boot and kept for its whole life.
    let argv: Vec<&'static str> = argv.map(|w| &*w.leak()).collect();
    // Without a card there is nothing to wait for; one may be plugged in.
    let gates_ready = sys::net::missing(net).is_none();
    Some(ServiceDef {
        argv: argv.leak(),
        gates_ready,
        ..NET
    })
}

/// The data disk's row: who waits for a slow disk by flag has that time besides.
fn late(config: &Config) -> ServiceDef {
    let asked = config.waitusb.as_ref().map_or(0, |w| w.seconds);
    ServiceDef {
        late_ms: DATA.late_ms + u64::from(asked) * 1000,
        ..DATA
    }
}

fn upgrade(slot: Option<config::Slot>) -> Option<ServiceDef> {
    match slot?.role {
        Role::Kept => None,
        Role::Trial => Some(UPGRADE),
        Role::Fallback => Some(ServiceDef {
            gates_ready: true,
            late_ms: ServiceDef::DEFAULT.late_ms,
            ..UPGRADE
        }),
    }
}

/// No row where nobody asks. A swap file is on the data disk.
fn swap(config: &Config) -> Option<ServiceDef> {
    let wait = config.waitusb.as_ref().map_or(0, |w| w.seconds);
    config.asks_for_swap().then_some(ServiceDef {
        after: if config.swaps_to_disk() { KEPT } else { &[] },
        late_ms: SWAP.late_ms + u64::from(wait) * 1000,
        ..SWAP
    })
}

/// No row where nobody asks. A medium is waited for as long as a slow disk.
fn extensions(config: &Config) -> Option<ServiceDef> {
    let wait = config.waitusb.as_ref().map_or(0, |w| w.seconds);
    (!config.extensions.is_empty() && !root::in_container()).then_some(ServiceDef {
        late_ms: EXTENSIONS.late_ms + u64::from(wait) * 1000,
        ..EXTENSIONS
    })
}

/// The API as the flag has it.
#[must_use]
pub fn podman(podman: Podman) -> Option<ServiceDef> {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let gid = gid(&groups, API_GROUP).unwrap_or(0);
    let socket = |on_demand| {
        PODMAN.socket.map(|s| Socket {
            gid,
            on_demand,
            ..s
        })
    };
    match podman {
        Podman::Off => None,
        Podman::OnDemand => Some(ServiceDef {
            socket: socket(true),
            ..PODMAN
        }),
        Podman::Boot => Some(ServiceDef {
            argv: &["/usr/bin/podman", "system", "service", "--time=0"],
            socket: socket(false),
            ..PODMAN
        }),
    }
}

/// The number of a group in the text of group(5); no name service is asked.
fn gid(groups: &str, name: &str) -> Option<u32> {
    let line = groups.lines().find(|l| l.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests;
