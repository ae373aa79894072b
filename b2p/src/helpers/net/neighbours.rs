// SPDX-License-Identifier: Apache-2.0
//! Hosts on a link that the kernel has received packets from, by its table of neighbours (arp(7),
//! proc_pid_net(5)).

use std::fs::File;
use std::io::Read;
use std::net::Ipv4Addr;

use super::lease::Network;

/// `ATF_COM`: the hardware address is known (linux/if_arp.h).
const COMPLETE: u32 = 0x2;
/// Part of the table that is read, in bytes: 25,000 complete lines of containers and cards, more than there are.
const MAX_TABLE: u64 = 2 << 20;

/// Returns bridge and address of each container on one of these bridges.
pub fn on(bridges: &[(String, Network)]) -> Vec<(String, Ipv4Addr)> {
    let mut bytes = Vec::new();
    let opened = File::open("/proc/net/arp");
    let _ = opened.and_then(|table| table.take(MAX_TABLE).read_to_end(&mut bytes)); // no neighbours
    in_table(&String::from_utf8_lossy(&bytes), bridges)
}

/// Returns the complete entries with an address in a network of their own bridge. A container may send an ARP request
/// with any address as its own, and the kernel then has an entry (net/ipv4/arp.c, `arp_process`): an address of
/// another network is not a container's, or a container could take the servers and the next lease of a card.
fn in_table(table: &str, bridges: &[(String, Network)]) -> Vec<(String, Ipv4Addr)> {
    let mut all: Vec<_> = table.lines().filter_map(parse).collect();
    all.retain(|(name, addr)| {
        let mut networks = bridges.iter().filter(|(bridge, _)| bridge == name);
        networks.any(|(_, network)| network.contains(*addr))
    });
    all
}

/// Parses a line: address, type, flags, hardware address, mask, interface.
fn parse(line: &str) -> Option<(String, Ipv4Addr)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let flags = u32::from_str_radix(words.get(2)?.strip_prefix("0x")?, 16).ok()?;
    let addr = words.first()?.parse().ok()?;
    (flags & COMPLETE != 0).then_some((words.get(5)?.to_string(), addr))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_have_answered() {
        let table = "IP address  HW type  Flags  HW address         Mask  Device\n\
                     10.88.0.2   0x1      0x2    02:00:00:00:00:01  *     podman0\n\
                     10.88.0.3   0x1      0x6    02:00:00:00:00:02  *     podman0\n\
                     10.88.0.4   0x1      0x0    00:00:00:00:00:00  *     podman0\n\
                     10.0.2.3    0x1      0x2    02:00:00:00:00:01  *     podman0\n\
                     10.89.0.9   0x1      0x2    02:00:00:00:00:01  *     podman0\n\
                     10.88.0.9   0x1      0x2    02:00:00:00:00:01  *     eth0\n\
                     10.0.2.2    0x1      0x2    52:55:0a:00:02:02  *\n";
        let network = |name: &str, second| {
            let network = Network::new(Ipv4Addr::new(10, second, 0, 0), 16);
            (name.to_owned(), network)
        };
        let bridges = [network("podman0", 88), network("podman1", 89)];
        let found = in_table(table, &bridges);
        let wanted = ["10.88.0.2", "10.88.0.3"].map(|addr| {
            let addr = addr.parse().unwrap_or(Ipv4Addr::UNSPECIFIED);
            ("podman0".to_owned(), addr)
        });
        assert_eq!(found, wanted);
    }
}
