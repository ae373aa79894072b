// SPDX-License-Identifier: Apache-2.0
//! A lease of DHCP, or a static address, as plain data.

use std::fmt;
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
    /// Domains to search, in order.
    pub domains: Vec<String>,
    /// MTU of the interface in bytes, if the server sent a plausible one.
    pub mtu: Option<u16>,
    /// Name of this machine, if the server sent a valid one.
    pub hostname: Option<String>,
    /// Server that granted the lease and gets the renewals.
    pub server: Ipv4Addr,
    /// Times of renewal and expiry.
    pub times: Times,
    /// Parts of the server's answer that are not used, in words.
    pub refused: Vec<String>,
}

impl Lease {
    /// Returns the network of the address.
    #[must_use]
    pub fn network(&self) -> Network {
        Network::new(self.addr, self.prefix)
    }

    /// Returns every address that gets requests of the machine: servers and routers.
    pub fn servers(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        let routers = self.routes.iter().map(|route| route.gateway);
        let named = self.dns.iter().chain(&self.ntp).copied();
        let all = routers.chain(named).chain([self.server]);
        all.filter(|addr| !addr.is_unspecified())
    }
}

/// Times of a lease, in seconds since the grant (RFC 2131, 4.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// T1: the server that granted the lease is asked.
    pub renew: u32,
    /// T2: any server is asked.
    pub rebind: u32,
    /// The machine may no longer use the address.
    pub expire: u32,
}

/// An IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    /// First address.
    pub first: Ipv4Addr,
    /// Length of the prefix, 0 to 32.
    pub prefix: u8,
}

impl Network {
    /// Returns the network of this prefix length that `addr` is in.
    #[must_use]
    pub const fn new(addr: Ipv4Addr, prefix: u8) -> Network {
        let mask = netmask(prefix).to_bits();
        Network {
            first: Ipv4Addr::from_bits(addr.to_bits() & mask),
            prefix,
        }
    }

    /// Returns true if `addr` is in the network.
    #[must_use]
    pub fn contains(&self, addr: Ipv4Addr) -> bool {
        Network::new(addr, self.prefix) == *self
    }

    /// Returns true if `other` is this network or a part of this network.
    #[must_use]
    pub fn covers(&self, other: &Network) -> bool {
        self.prefix <= other.prefix && self.contains(other.first)
    }

    /// Returns true if an address is in both.
    #[must_use]
    pub fn overlaps(&self, other: &Network) -> bool {
        self.covers(other) || other.covers(self)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
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
    /// Returns the network that the route leads to.
    #[must_use]
    pub fn to(&self) -> Network {
        Network::new(self.network, self.prefix)
    }

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

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the route {} via {}", self.to(), self.gateway)
    }
}

/// Returns the netmask of `prefix` bits.
#[must_use]
pub const fn netmask(prefix: u8) -> Ipv4Addr {
    let bits = match prefix {
        0 => 0,
        1..=32 => u32::MAX << (32 - prefix),
        33.. => u32::MAX,
    };
    Ipv4Addr::from_bits(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netmask_of_each_prefix_length() {
        assert_eq!(netmask(24), Ipv4Addr::new(255, 255, 255, 0));
        assert_eq!(netmask(0), Ipv4Addr::UNSPECIFIED);
        assert_eq!(netmask(32), Ipv4Addr::BROADCAST);
        assert_eq!(netmask(200), Ipv4Addr::BROADCAST);
    }

    #[test]
    fn networks_are_shown_and_compared() {
        let net = |text: &str| {
            let (addr, prefix) = text.split_once('/').unwrap_or((text, "32"));
            let addr = addr.parse().unwrap_or(Ipv4Addr::UNSPECIFIED);
            Network::new(addr, prefix.parse().unwrap_or(0))
        };
        assert_eq!(net("10.0.2.15/24").to_string(), "10.0.2.0/24");
        for (a, b, covers, overlaps) in [
            ("10.88.0.0/16", "10.88.128.0/17", true, true),
            ("10.88.128.0/17", "10.88.0.0/16", false, true),
            ("10.88.0.0/16", "10.88.0.0/16", true, true),
            ("0.0.0.0/0", "10.0.2.3", true, true),
            ("10.0.2.0/24", "10.0.3.0/24", false, false),
        ] {
            assert_eq!(net(a).covers(&net(b)), covers, "{a} {b}");
            assert_eq!(net(a).overlaps(&net(b)), overlaps, "{a} {b}");
        }
    }
}
