// SPDX-License-Identifier: Apache-2.0
//! Varlink services: PID 1 holds a socket for each, and a process runs while there are clients.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use config::Podman;
use services::{ServiceDef, Socket};
use sys::error::{Doing, Result};
use sys::paths::{B2P, VARLINK_REGISTRY};
use sys::varlink_interfaces::{INTERFACE_SOCKETS, InterfaceSocket, MACHINE, PODMAN, RESOLVER};

use super::{Row, names, stream_socket};

/// Rows of the service table about varlink interfaces.
pub const VARLINK: &[Row] = &[
    Row {
        when: |config, _| config.varlink,
        def: ServiceDef {
            name: names::VARLINK_RESOLVER,
            why: "a varlink client that knows an interface learns the address of its service",
            argv: &[B2P, "varlink-resolver"],
            socket: socket_of(RESOLVER),
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        ..Row::DEFAULT
    },
    Row {
        when: |config, _| config.varlink && config.podman != Podman::Off,
        def: ServiceDef {
            name: names::VARLINK_PODMAN,
            why: "clients of podman 1 reach its varlink interface",
            argv: &[B2P, "varlink-podman"],
            socket: socket_of(PODMAN),
            after_ready: true,
            // Each of 64 clients may follow the logs of 64 containers, each with a connection to podman.
            nofile: (16_384, 1_048_576),
            ..ServiceDef::DEFAULT
        },
        ..Row::DEFAULT
    },
    Row {
        when: |config, _| config.varlink,
        def: ServiceDef {
            name: names::VARLINK_MACHINE,
            why: "programs of the machine and of a host query and control the machine as `b2p` does",
            argv: &[B2P, "varlink-machine"],
            socket: socket_of(MACHINE),
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        ..Row::DEFAULT
    },
];

const fn socket_of(interface: InterfaceSocket) -> Option<Socket> {
    stream_socket(interface.path, interface.mode)
}

/// Makes the links of systemd's registry of varlink interfaces, which `varlinkctl list-registry`
/// shows. A link is made before its socket exists, and stays if the service is off.
///
/// # Errors
/// The errno of mkdir(2) or symlink(2).
pub fn link_registry() -> Result<()> {
    link_interfaces(Path::new(VARLINK_REGISTRY))
}

fn link_interfaces(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).on(dir)?;
    for socket in INTERFACE_SOCKETS {
        let link = dir.join(socket.interface);
        // A link that exists stays: PID 1 may have been executed again.
        match symlink(socket.path, &link) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e).on(&link),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_interface_leads_to_the_socket_of_a_service() {
        let dir = std::env::temp_dir().join(format!("registry-{}", std::process::id()));
        link_interfaces(&dir).unwrap();
        link_interfaces(&dir).unwrap();
        let sockets = VARLINK.iter().filter_map(|row| row.def.socket);
        for socket in sockets {
            let mut links = fs::read_dir(&dir).unwrap().flatten();
            let leads = links.any(|e| fs::read_link(e.path()).unwrap() == Path::new(socket.path));
            assert!(leads, "{}", socket.path);
        }
        assert_eq!(fs::read_dir(&dir).unwrap().count(), VARLINK.len());
        fs::remove_dir_all(dir).unwrap();
    }
}
