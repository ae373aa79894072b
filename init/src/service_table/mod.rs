// SPDX-License-Identifier: Apache-2.0
//! Every built-in service of the machine, in the tables that [`rows`] joins, with the purpose of each and the
//! condition under which it exists.
//!
//! The supervisor gets the services of the rows whose condition holds ([`select`]), adapted to the
//! configuration, in the order of the rows. User services are added later, from files
//! (docs/guide/services.md).
//!
//! The ready line is the message `ready ssh=… api=…` on every console (ready.rs). A service with `gates_ready` is a
//! gate of the ready line: the ready line waits until each gate is ready, has failed or is late. Services that name a
//! late service in `after` stop waiting as well; services that name it in `needs` still wait. A late service continues
//! to run.

pub(crate) mod adapt;
mod configuration;
mod consoles;
mod engine;
mod hardware;
mod logs;
pub mod names;
mod network;
mod storage;
mod timed;
mod varlink;

use config::{Config, DiskSelector, Ignition};
use log::warn;
use services::{ServiceDef, Socket, User, account};

use crate::{accounts, console};

pub use varlink::link_registry;

/// One row of the service tables. [`sys::service_names::start_of`] returns the event that starts the service: PID 1 and
/// its helpers decide by the same table.
pub struct Row {
    /// Returns true if the service exists with this configuration, on this machine.
    pub when: fn(&Config, &Platform) -> bool,
    /// Definition of the service, before changes by the configuration.
    pub def: ServiceDef,
    /// Applies the configuration to the definition.
    pub adapt: fn(ServiceDef, &Config, &Platform) -> ServiceDef,
    /// True for a service that runs in a template. The other services create the identity of a machine or depend on the
    /// identity, so each copy starts them.
    pub in_template: bool,
    /// True for a row that stands for one service per console terminal; `def.name` is the prefix of their names.
    pub per_terminal: bool,
}

impl Row {
    /// Default values of a row: the service exists on every machine.
    const DEFAULT: Row = Row {
        when: |_, _| true,
        def: ServiceDef::DEFAULT,
        adapt: |def, _, _| def,
        in_template: false,
        per_terminal: false,
    };
}

/// Properties of the machine that do not come from flags, and that select rows of the service tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Platform {
    /// True in a container, where disks, devices and the clock belong to the container's host.
    pub in_container: bool,
    /// True if the machine is a template ([`crate::template`]), and not yet a copy with an identity of its own.
    pub is_template: bool,
    /// True if the host or a disk offers a document of Ignition.
    pub has_ignition: bool,
    /// Number of the group that may use the API besides root.
    pub api_gid: u32,
    /// The user who may log in, if there is one.
    pub user: Option<User>,
    /// Devices of the console terminals, such as `/dev/ttyS0`.
    pub terminals: Vec<String>,
}

impl Platform {
    /// Reads the properties from the running system. The user of the configuration must exist in /etc/passwd.
    #[must_use]
    pub fn detect(config: &Config) -> Platform {
        let read = |path| {
            accounts::text(path, config.etc).unwrap_or_else(|why| {
                warn!("{why}");
                String::new()
            })
        };
        let (passwd, groups) = (read("/etc/passwd"), read("/etc/group"));
        let user = account::user(&passwd, &groups, &config.user);
        Platform {
            in_container: crate::root::in_container(),
            is_template: crate::template::is_template(config),
            has_ignition: sys::config_sources::has_ignition(),
            api_gid: account::gid(&groups, adapt::API_GROUP).unwrap_or(0),
            user: user
                .filter(|user| user.uid != 0)
                .map(account::Account::leak),
            terminals: console::terminals(),
        }
    }
}

/// `oom_score_adj` of small services whose loss cuts the machine off or loses its log: the OOM killer selects larger
/// processes first (proc_pid_oom_score_adj(5)). `b2p sshd` sets the value of sshd (b2p/src/helpers/sshd/limit.rs).
const OOM_PROTECTED: i32 = -900;

/// Returns true if no flag turns the data disk off and the machine is not a container.
fn wants_data_disk(config: &Config, platform: &Platform) -> bool {
    config.data != DiskSelector::Off && !platform.in_container
}

/// Returns true if no flag turns cloud-init off and the machine is not a container.
fn wants_cloud(config: &Config, platform: &Platform) -> bool {
    config.cloud && !platform.in_container
}

/// Returns true if there is a document of Ignition, or a flag requires one, and the machine is not a
/// container.
fn wants_ignition(config: &Config, platform: &Platform) -> bool {
    let is_wanted = match config.ignition {
        Ignition::Auto => platform.has_ignition,
        Ignition::Disk | Ignition::Vsock => true,
        Ignition::Off => false,
    };
    is_wanted && !platform.in_container
}

/// Returns a stream socket of root; the first connection starts the service.
const fn stream_socket(path: &'static str, mode: u32) -> Option<Socket> {
    Some(Socket {
        path,
        mode,
        uid: 0,
        gid: 0,
        datagram: false,
        on_demand: true,
    })
}

/// Returns a datagram socket of root; the first datagram starts the service.
const fn datagram_socket(path: &'static str, mode: u32) -> Option<Socket> {
    match stream_socket(path, mode) {
        Some(socket) => Some(Socket {
            datagram: true,
            ..socket
        }),
        None => None,
    }
}

/// The tables, in the order in which PID 1 starts services that wait for no other one.
const TABLES: [&[Row]; 9] = [
    // Most services wait for the data disk, for a document or for the network: these start first.
    storage::STORAGE,
    configuration::CONFIGURATION,
    network::NETWORK,
    engine::ENGINE,
    // User services, which ENGINE starts, do not wait for the remaining drivers.
    hardware::HARDWARE,
    // These services do not delay the ready line.
    consoles::CONSOLES,
    logs::LOGS,
    varlink::VARLINK,
    timed::TIMED,
];

/// Returns the rows of all tables, in the order in which PID 1 starts services.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    TABLES.into_iter().flatten()
}

/// Returns true if a row of the table has this name or, for a row per terminal, this prefix. The condition of the
/// row does not matter: reactions refer to services by these names, so a user service must not have a reserved
/// name.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    rows().any(|row| match row.per_terminal {
        true => name.starts_with(row.def.name),
        false => name == row.def.name,
    })
}

fn exists(row: &Row, config: &Config, platform: &Platform) -> bool {
    (row.in_template || !platform.is_template) && (row.when)(config, platform)
}

/// Returns the definitions of the services that exist with this configuration, on this machine.
#[must_use]
pub fn select(config: &Config, platform: &Platform) -> Vec<ServiceDef> {
    let mut defs = Vec::new();
    for row in rows().filter(|row| exists(row, config, platform)) {
        let def = (row.adapt)(row.def, config, platform);
        match row.per_terminal {
            true => defs.extend(console::for_each_terminal(&def, &platform.terminals)),
            false => defs.push(def),
        }
    }
    defs
}

/// Returns the definition of one service, if it exists with this configuration, on this machine.
#[must_use]
pub fn find(name: &str, config: &Config, platform: &Platform) -> Option<ServiceDef> {
    let row = rows().find(|row| row.def.name == name)?;
    exists(row, config, platform).then(|| (row.adapt)(row.def, config, platform))
}

#[cfg(test)]
mod tests;
