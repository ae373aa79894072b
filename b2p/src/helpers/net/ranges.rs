// SPDX-License-Identifier: Apache-2.0
//! IPv4 ranges with a meaning of their own (RFC 6890), which no lease reaches into. Pure.

use std::net::Ipv4Addr;

use super::lease::Network;

/// The ranges, and their purposes.
const RESERVED: &[(Network, &str)] = &[
    (
        Network::new(Ipv4Addr::UNSPECIFIED, 8),
        "0.0.0.0/8 (this network)",
    ),
    (
        Network::new(Ipv4Addr::LOCALHOST, 8),
        "127.0.0.0/8 (loopback)",
    ),
    (
        Network::new(Ipv4Addr::new(169, 254, 0, 0), 16),
        "169.254.0.0/16 (link-local)",
    ),
    (
        Network::new(Ipv4Addr::new(224, 0, 0, 0), 4),
        "224.0.0.0/4 (multicast)",
    ),
    (
        Network::new(Ipv4Addr::new(240, 0, 0, 0), 4),
        "240.0.0.0/4 (reserved, broadcast)",
    ),
];

/// Returns the range that `addr` is in.
#[must_use]
pub fn reserved_for(addr: Ipv4Addr) -> Option<&'static str> {
    overlapping(&Network::new(addr, 32))
}

/// Returns a range that has an address in common with `network`.
#[must_use]
pub fn overlapping(network: &Network) -> Option<&'static str> {
    let row = RESERVED.iter().find(|(range, _)| range.overlaps(network))?;
    Some(row.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_known_by_any_part() {
        for (addr, prefix, wanted) in [
            ([127, 0, 0, 0], 9, "loopback"),
            ([127, 128, 0, 0], 9, "loopback"),
            ([126, 0, 0, 0], 7, "loopback"),
            ([169, 254, 169, 254], 32, "link-local"),
            ([169, 254, 0, 0], 15, "link-local"),
            ([224, 0, 0, 1], 32, "multicast"),
            ([255, 255, 255, 255], 32, "broadcast"),
            ([0, 0, 0, 0], 1, "this network"),
            ([128, 0, 0, 0], 1, "link-local"),
            ([0, 0, 0, 0], 0, "this network"),
        ] {
            let found = overlapping(&Network::new(addr.into(), prefix)).unwrap_or_default();
            assert!(found.contains(wanted), "{addr:?}/{prefix}: {found}");
        }
        for (addr, prefix) in [
            ([10, 0, 0, 0], 8),
            ([192, 168, 0, 0], 16),
            ([8, 8, 8, 8], 32),
        ] {
            assert_eq!(overlapping(&Network::new(addr.into(), prefix)), None);
        }
    }
}
