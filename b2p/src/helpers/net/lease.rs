// SPDX-License-Identifier: Apache-2.0
//! A lease of DHCP, or a static address, as plain data.

use std::net::Ipv4Addr;

/// An address for a limited time, and the parameters of its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The machine's address until the lease expires.
    pub addr: Ipv4Addr,
    /// Length of the network part, 0 to 32.
    pub prefix: u8,
    /// Routes, the default route among them.
    pub routes: Vec<Route>,
    /// Name servers, in the server's order.
    pub dns: Vec<Ipv4Addr>,
    /// Time servers, in the server's order.
    pub ntp: Vec<Ipv4Addr>,
    /// Domain to search, if the server sent a valid one.
    pub domain: Option<String>,
    /// MTU of the interface in bytes, if the server sent a plausible one.
    pub mtu: Option<u16>,
    /// Name of this machine, if the server sent a valid one.
    pub hostname: Option<String>,
    /// Server that granted the lease; renewals are sent to it.
    pub server: Ipv4Addr,
    /// Times of renewal and expiry.
    pub times: Times,
}

/// Times of a lease, in seconds since it was granted (RFC 2131, 4.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// T1: the server that granted the lease is asked.
    pub renew: u32,
    /// T2: any server is asked.
    pub rebind: u32,
    /// The machine may no longer use the address.
    pub expire: u32,
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination network.
    pub network: Ipv4Addr,
    /// Length of the prefix of that network, 0 to 32.
    pub prefix: u8,
    /// Router; 0.0.0.0 if the network is on the link.
    pub gateway: Ipv4Addr,
}

impl Route {
    /// Returns the default route by `gateway`.
    #[must_use]
    pub fn default_by(gateway: Ipv4Addr) -> Route {
        Route {
            network: Ipv4Addr::UNSPECIFIED,
            prefix: 0,
            gateway,
        }
    }
}

/// Returns the netmask of `prefix` bits.
#[must_use]
pub fn netmask(prefix: u8) -> Ipv4Addr {
    let bits = u32::MAX
        .checked_shl(32 - u32::from(prefix.min(32)))
        .unwrap_or(0);
    Ipv4Addr::from(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        assert_eq!(netmask(24), Ipv4Addr::new(255, 255, 255, 0));
        assert_eq!(netmask(0), Ipv4Addr::UNSPECIFIED);
        assert_eq!(netmask(32), Ipv4Addr::BROADCAST);
        assert_eq!(netmask(200), Ipv4Addr::BROADCAST);
    }
}
