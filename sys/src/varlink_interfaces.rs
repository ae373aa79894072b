// SPDX-License-Identifier: Apache-2.0
//! Sockets of the machine's varlink interfaces, for the services, the registry of systemd and the resolver.

/// Socket of one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceSocket {
    /// Name of the interface.
    pub interface: &'static str,
    /// Path of the socket.
    pub path: &'static str,
    /// Permission bits of the socket.
    pub mode: u32,
    /// Reason for the permission bits.
    pub why: &'static str,
}

/// Interface of podman 1.
pub const PODMAN: InterfaceSocket = InterfaceSocket {
    interface: "io.podman",
    path: "/run/podman/io.podman",
    mode: 0o600,
    why: "a client has the rights of root, as has a client of podman's socket",
};

/// Interface of the machine itself.
pub const MACHINE: InterfaceSocket = InterfaceSocket {
    interface: "org.boot2podman.machine",
    path: "/run/boot2podman/machine.varlink",
    mode: 0o666,
    why: "the service allows or refuses each call by the credentials of its client",
};

/// Interface that returns the addresses of interfaces.
pub const RESOLVER: InterfaceSocket = InterfaceSocket {
    interface: "org.varlink.resolver",
    path: "/run/org.varlink.resolver",
    mode: 0o666,
    why: "the service returns addresses only; the mode of each address decides which users may connect",
};

/// All interfaces of the machine.
pub const INTERFACE_SOCKETS: [InterfaceSocket; 3] = [PODMAN, MACHINE, RESOLVER];

impl InterfaceSocket {
    /// Returns the address with the options of the socket, in the form of libvarlink's resolver.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix:{};mode={:04o}", self.path, self.mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_mode_in_four_octal_digits() {
        let addresses = INTERFACE_SOCKETS.map(|socket| socket.address());
        let expected = [
            "unix:/run/podman/io.podman;mode=0600",
            "unix:/run/boot2podman/machine.varlink;mode=0666",
            "unix:/run/org.varlink.resolver;mode=0666",
        ];
        assert_eq!(addresses, expected);
    }
}
