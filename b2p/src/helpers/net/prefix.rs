// SPDX-License-Identifier: Apache-2.0
//! Networks of IPv4 and IPv6. Pure.

use std::fmt;
use std::net::IpAddr;

use super::lease::Network;

/// A network of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    /// First address.
    pub first: IpAddr,
    /// Length of the prefix in bits.
    pub length: u8,
}

impl Prefix {
    /// Returns the network of this prefix length that `addr` is in.
    #[must_use]
    pub fn new(addr: IpAddr, length: u8) -> Prefix {
        let first = match addr {
            IpAddr::V4(addr) => IpAddr::V4(Network::new(addr, length).first),
            IpAddr::V6(addr) => {
                let host_bits = 128_u32.saturating_sub(length.into());
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::V6((addr.to_bits() & mask).into())
            }
        };
        Prefix { first, length }
    }

    /// Returns true if `addr` is in the network.
    #[must_use]
    pub fn contains(&self, addr: &IpAddr) -> bool {
        self.first.is_ipv4() == addr.is_ipv4() && Prefix::new(*addr, self.length) == *self
    }

    /// Returns true if an address is in both: the shorter prefix contains the longer one.
    #[must_use]
    pub fn overlaps(&self, other: &Prefix) -> bool {
        let covers = |a: &Prefix, b: &Prefix| a.length <= b.length && a.contains(&b.first);
        covers(self, other) || covers(other, self)
    }
}

impl From<Network> for Prefix {
    fn from(network: Network) -> Prefix {
        Prefix::new(IpAddr::V4(network.first), network.prefix)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Parses `address/length`.
    pub fn prefix(text: &str) -> Prefix {
        let (addr, length) = text.split_once('/').unwrap_or((text, "128"));
        let addr = addr.parse().unwrap_or(IpAddr::from([0; 4]));
        Prefix::new(addr, length.parse().unwrap_or(0))
    }

    #[test]
    fn a_prefix_holds_its_addresses() {
        for (net, addr, is) in [
            ("10.89.0.1/24", "10.89.0.77", true),
            ("10.89.0.1/24", "10.89.1.1", false),
            ("10.89.0.1/24", "fd00::1", false),
            ("fd00::1/64", "fd00::ffff:1", true),
            ("fd00::1/64", "fd00:0:0:1::1", false),
            ("10.0.0.1/0", "1.1.1.1", true),
            ("::1/0", "fd00::1", true),
            ("::/0", "1.1.1.1", false),
            ("fd00::1/128", "fd00::1", true),
        ] {
            assert_eq!(
                prefix(net).contains(&prefix(addr).first),
                is,
                "{net} {addr}"
            );
        }
        assert_eq!(prefix("fd00:1:2:3:4::5/64").to_string(), "fd00:1:2:3::/64");
    }

    #[test]
    fn networks_overlap_where_one_contains_the_other() {
        for (a, b, is) in [
            ("10.88.0.0/16", "10.88.7.0/24", true),
            ("10.88.0.0/16", "10.88.7.9/32", true),
            ("10.88.0.0/16", "10.0.0.0/8", true),
            ("10.88.0.0/16", "10.89.0.0/16", false),
            ("fd00::/64", "fd00::/64", true),
            ("fd00::/64", "fd00::/48", true),
            ("fd00::/64", "fd00::/7", true),
            ("fd00::/64", "fd00::1:0:0/96", true),
            ("fd00::/64", "fd00:0:0:1::/64", false),
            ("fd00::/64", "10.88.0.0/16", false),
            ("::/0", "0.0.0.0/0", false),
        ] {
            assert_eq!(prefix(a).overlaps(&prefix(b)), is, "{a} {b}");
            assert_eq!(prefix(b).overlaps(&prefix(a)), is, "{b} {a}");
        }
    }
}
