// SPDX-License-Identifier: Apache-2.0
//! Varlink services: PID 1 holds a socket for each, and a process runs while there are clients.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use config::Podman;
use services::ServiceDef;
use sys::error::{Doing, Result};
use sys::paths::{B2P, VARLINK_MACHINE, VARLINK_PODMAN, VARLINK_REGISTRY, VARLINK_RESOLVER};

use super::{Row, names, stream_socket};

/// Rows of the service table about varlink interfaces.
pub const VARLINK: &[Row] = &[
    // Mode 0666: the resolver returns addresses only. The mode of each address decides which users may
    // connect.
    Row {
        when: |config, _| config.varlink,
        def: ServiceDef {
            name: names::VARLINK_RESOLVER,
            why: "a varlink client that knows an interface learns the address of its service",
            argv: &[B2P, "varlink-resolver"],
            socket: stream_socket(VARLINK_RESOLVER, 0o666),
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        ..Row::DEFAULT
    },
    // A client of this socket has the rights of root, as has a client of podman's socket; the mode is therefore 0600.
    Row {
        when: |config, _| config.varlink && config.podman != Podman::Off,
        def: ServiceDef {
            name: names::VARLINK_PODMAN,
            why: "clients of podman 1 reach its varlink interface",
            argv: &[B2P, "varlink-podman"],
            socket: stream_socket(VARLINK_PODMAN, 0o600),
            after_ready: true,
            // Each of 64 clients may follow the logs of 64 containers, each with a connection to podman.
            nofile: (16_384, 1_048_576),
            ..ServiceDef::DEFAULT
        },
        ..Row::DEFAULT
    },
    // Every user may connect; the service allows or refuses each call by the credentials of its client.
    Row {
        when: |config, _| config.varlink,
        def: ServiceDef {
            name: names::VARLINK_MACHINE,
            why: "programs of the machine and of a host query and control the machine as `b2p` does",
            argv: &[B2P, "varlink-machine"],
            socket: stream_socket(VARLINK_MACHINE, 0o666),
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        ..Row::DEFAULT
    },
];

/// Links of the registry: name of the interface, path of the socket.
const INTERFACES: &[(&str, &str)] = &[
    ("io.podman", VARLINK_PODMAN),
    ("org.boot2podman.machine", VARLINK_MACHINE),
    ("org.varlink.resolver", VARLINK_RESOLVER),
];

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
    for (interface, socket) in INTERFACES {
        let link = dir.join(interface);
        // A link that exists stays: PID 1 may have been executed again.
        match symlink(socket, &link) {
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
