// SPDX-License-Identifier: Apache-2.0
//! Neighbours that stay in the kernel's tables: the routers and servers on the links of the cards.
//!
//! Each family has one table of neighbours for all network namespaces. A container that sends a packet to each address
//! of its network fills the table of IPv4, or that of IPv6, with entries for hosts that do not answer, and the kernel
//! makes room by removing the oldest entry that has an answer: that of the machine's router. An entry with
//! `NTF_EXT_LEARNED` is neither counted nor removed (net/core/neighbour.c, `neigh_alloc`, `neigh_update_gc_list`); with
//! `NTF_USE` the kernel resolves the address as it does for a packet, and notices a router that has moved.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use log::debug;

use super::lease::Lease;
use super::netlink::{attribute, finish, head, request};

/// Flags of an entry (linux/neighbour.h).
const NTF_USE: u8 = 1;
const NTF_EXT_LEARNED: u8 = 1 << 4;
/// Attribute with the address (linux/neighbour.h).
const NDA_DST: u16 = 1;
/// Number of neighbours that are kept. A neighbour that advertises routers without end does not fill the tables.
const MAX_HELD: usize = 32;
/// `RTF_GATEWAY` (linux/route.h).
const GATEWAY: u32 = 2;

/// Index of a card, and the address of a host on its link.
pub type Host = (u32, IpAddr);

/// The neighbours that are kept.
#[derive(Debug, Default)]
pub struct Held(BTreeSet<Host>);

impl Held {
    /// Keeps these neighbours, and gives the others back. The kernel forgets all neighbours of a card that loses its
    /// carrier, so that all are set each time.
    pub fn update(&mut self, hosts: impl IntoIterator<Item = Host>) {
        let hosts: BTreeSet<Host> = sys::sort::inserted(hosts.into_iter().take(MAX_HELD));
        for host in self.0.difference(&hosts) {
            let _ = request(&message(libc::RTM_DELNEIGH, 0, 0, host)); // gone with its card
        }
        for host in &hosts {
            let kept = keep(host);
            kept.unwrap_or_else(|e| debug!("neighbour {}: {e}", host.1));
        }
        self.0 = hosts;
    }
}

fn keep(host: &Host) -> io::Result<()> {
    let flags = NTF_USE | NTF_EXT_LEARNED;
    request(&message(
        libc::RTM_NEWNEIGH,
        libc::NLM_F_CREATE as u16,
        flags,
        host,
    ))
}

/// Returns a message: nlmsghdr, ndmsg (family, card, state, flags of the entry), address.
fn message(kind: u16, request_flags: u16, flags: u8, (index, addr): &Host) -> Vec<u8> {
    let (family, octets) = match addr {
        IpAddr::V4(addr) => (libc::AF_INET, addr.octets().to_vec()),
        IpAddr::V6(addr) => (libc::AF_INET6, addr.octets().to_vec()),
    };
    let mut m = head(kind, request_flags);
    m.extend([family as u8, 0, 0, 0]);
    m.extend(index.to_ne_bytes());
    m.extend([0, 0, flags, 0]);
    attribute(&mut m, NDA_DST, &octets);
    finish(m)
}

/// Returns the routers and servers of a lease that are on the card's own link.
pub fn of_lease(lease: &Lease) -> impl Iterator<Item = IpAddr> + '_ {
    let network = lease.network();
    let is_router = |addr| lease.routes.iter().any(|route| route.gateway == addr);
    let servers = lease.servers();
    let on_link = servers.filter(move |addr| network.contains(*addr) || is_router(*addr));
    on_link.map(IpAddr::from)
}

/// Returns the routers of IPv6 of a card, by /proc/net/ipv6_route (proc_pid_net(5)): target, length, source, length,
/// router, metric, two counters, flags, interface.
pub fn routers<'a>(table: &'a str, card: &'a str) -> impl Iterator<Item = IpAddr> + 'a {
    table.lines().filter_map(move |line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let flags = u32::from_str_radix(words.get(8)?, 16).ok()?;
        let router = u128::from_str_radix(words.get(4)?, 16).ok()?;
        let is_router = flags & GATEWAY != 0 && words.get(9) == Some(&card) && router != 0;
        is_router.then(|| Ipv6Addr::from(router).into())
    })
}

#[cfg(test)]
mod tests {
    use super::super::lease::{Route, Times};
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_message_names_the_card_and_the_address() {
        let v4 = message(libc::RTM_NEWNEIGH, 0, 0x11, &(3, [10, 0, 2, 2].into()));
        let wanted = [
            2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0x11, 0, 8, 0, 1, 0, 10, 0, 2, 2,
        ];
        assert_eq!((v4.len(), &v4[16..]), (36, &wanted[..]));
        let v6 = message(libc::RTM_DELNEIGH, 0, 0, &(3, Ipv6Addr::LOCALHOST.into()));
        assert_eq!((v6.len(), v6[16]), (48, libc::AF_INET6 as u8));
        // No card has this index.
        assert!(keep(&(0x7fff_ffff, [10, 0, 2, 2].into())).is_err());
    }

    #[test]
    fn hosts_on_the_link_are_kept() {
        let addr = |text: &str| text.parse().unwrap_or(Ipv4Addr::UNSPECIFIED);
        let route = |gateway| Route {
            network: addr("0.0.0.0"),
            prefix: 0,
            gateway: addr(gateway),
        };
        let lease = Lease {
            addr: addr("10.0.2.15"),
            prefix: 24,
            routes: vec![route("10.0.2.2"), route("169.254.1.1"), route("0.0.0.0")],
            dns: vec![addr("10.0.2.3"), addr("9.9.9.9")],
            ntp: Vec::new(),
            domains: Vec::new(),
            mtu: None,
            hostname: None,
            server: addr("10.0.2.2"),
            times: Times {
                renew: 1,
                rebind: 2,
                expire: 3,
            },
            refused: Vec::new(),
        };
        let found: Vec<String> = of_lease(&lease).map(|a| a.to_string()).collect();
        let wanted = ["10.0.2.2", "169.254.1.1", "10.0.2.3", "10.0.2.2"];
        assert_eq!(found, wanted);
    }

    #[test]
    fn routers_of_a_card_are_those_of_its_routes() {
        let zeros = "0".repeat(32);
        let router = "fe80000000000000025056fffe000001";
        let line = |router: &str, flags: &str, card: &str| {
            format!("{zeros} 00 {zeros} 00 {router} 00000400 00000001 00000000 {flags} {card}\n")
        };
        let table = [
            line(router, "00450003", "    eth0"),
            line(router, "00450003", "    eth1"),
            line(&zeros, "00000001", "    eth0"),
            line("x", "00450003", "eth0"),
            "short\n".to_owned(),
        ];
        let found: Vec<_> = routers(&table.concat(), "eth0")
            .map(|a| a.to_string())
            .collect();
        assert_eq!(found, ["fe80::250:56ff:fe00:1"]);
    }
}
