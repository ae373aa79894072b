// SPDX-License-Identifier: Apache-2.0
//! Every service of the machine in one table, [`SERVICES`], with the reason for each and the
//! condition under which it exists.
//!
//! The supervisor gets the entries whose condition holds ([`select`]), adapted to the
//! configuration, in the order of the table. The services of the machine's owner are added
//! later, from files (docs/guide/services.md).

mod adapt;
pub mod names;
mod table;

use config::{Config, DiskSelector};
use services::{ServiceDef, Socket};

use crate::console;

pub use table::SERVICES;

/// One entry of the service table.
pub struct Entry {
    /// Definition of the service, before the configuration changes it.
    pub def: ServiceDef,
    /// Returns true if the service exists with this configuration, on this host.
    pub when: fn(&Config, &Host) -> bool,
    /// Applies the configuration to the definition.
    pub adapt: fn(ServiceDef, &Config, &Host) -> ServiceDef,
    /// Makes one service for each console terminal, with `def.name` in front of its name.
    pub each_terminal: bool,
}

impl Entry {
    /// A service that exists in every machine, as it is defined.
    const DEFAULT: Entry = Entry {
        def: ServiceDef::DEFAULT,
        when: |_, _| true,
        adapt: |def, _, _| def,
        each_terminal: false,
    };
}

/// Facts about the host that the table depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Disks, devices and the clock belong to somebody else.
    pub in_container: bool,
    /// Number of the group that may use the API besides root.
    pub api_gid: u32,
    /// Devices of the console terminals, such as `/dev/ttyS0`.
    pub terminals: Vec<String>,
}

impl Host {
    /// Reads the facts from the running system.
    #[must_use]
    pub fn detect() -> Host {
        let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
        Host {
            in_container: crate::root::in_container(),
            api_gid: adapt::gid(&groups, adapt::API_GROUP).unwrap_or(0),
            terminals: console::terminals(),
        }
    }
}

/// Returns true unless a flag turns the data disk off, or the disks belong to somebody else.
fn data_disk(config: &Config, host: &Host) -> bool {
    config.data != DiskSelector::Off && !host.in_container
}

/// Returns true unless a flag turns cloud-init off, or its disk belongs to somebody else.
fn cloud(config: &Config, host: &Host) -> bool {
    config.cloud && !host.in_container
}

/// A socket of root's, on which the first connection or datagram starts the service.
const fn socket(path: &'static str, mode: u32, datagram: bool) -> Option<Socket> {
    Some(Socket {
        path,
        mode,
        gid: 0,
        datagram,
        on_demand: true,
    })
}

const fn stream(path: &'static str, mode: u32) -> Option<Socket> {
    socket(path, mode, false)
}

const fn datagrams(path: &'static str, mode: u32) -> Option<Socket> {
    socket(path, mode, true)
}

/// Returns the definitions of the services that exist with this configuration, on this host.
#[must_use]
pub fn select(config: &Config, host: &Host) -> Vec<ServiceDef> {
    let entries = SERVICES.iter().filter(|entry| (entry.when)(config, host));
    let mut defs = Vec::with_capacity(SERVICES.len() + host.terminals.len());
    for entry in entries {
        let def = (entry.adapt)(entry.def, config, host);
        match entry.each_terminal {
            true => defs.extend(console::for_each_terminal(&def, &host.terminals)),
            false => defs.push(def),
        }
    }
    defs
}

/// Returns the definition of one service, if it exists with this configuration, on this host.
#[must_use]
pub fn find(name: &str, config: &Config, host: &Host) -> Option<ServiceDef> {
    let entry = SERVICES.iter().find(|entry| entry.def.name == name)?;
    let exists = (entry.when)(config, host);
    exists.then(|| (entry.adapt)(entry.def, config, host))
}

#[cfg(test)]
mod tests;
