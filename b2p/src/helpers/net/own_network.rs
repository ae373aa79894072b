// SPDX-License-Identifier: Apache-2.0
//! Routing rules that keep a card's own network on the card, by rtnetlink(7).
//!
//! A bridge of containers may get a network that overlaps the card's: the kernel's route for the
//! bridge then takes precedence, and answers to neighbours leave by the bridge. Each card has a table
//! with the route to its own network. Packets from the card's own address to its network use this
//! table, so that who reaches the machine by the card gets its answers by the card, whatever bridges
//! there are. While a bridge overlaps, so do packets to the servers of the lease.

use std::io;
use std::net::Ipv4Addr;

use log::error;

use super::lease::Network;
use super::netlink::{attribute, finish, head, request};

/// Number of the table of the card with index 0; every card has its own.
const TABLES: u32 = 178_000;
/// Priority of the rules: after the local addresses (0), before those for forwarding.
const PRIORITY: u32 = 20_000;
/// Types of attributes (linux/fib_rules.h, linux/rtnetlink.h).
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_PRIORITY: u16 = 6;
const FRA_TABLE: u16 = 15;
const FR_ACT_TO_TBL: u8 = 1;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_TABLE: u16 = 15;

/// Address of a card in its network, and the servers there that stay on the card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnNetwork {
    /// Index of the card.
    pub index: u32,
    /// The card's address.
    pub addr: Ipv4Addr,
    /// Network of the address.
    pub network: Network,
    /// Servers in that network.
    pub servers: Vec<Ipv4Addr>,
}

impl OwnNetwork {
    /// Sets the route and the rules; those that are there stay.
    pub fn add(&self) {
        for message in self.messages(true) {
            log_unless(libc::EEXIST, request(&message));
        }
    }

    /// Removes them.
    pub fn remove(&self) {
        for message in self.messages(false) {
            let _ = request(&message); // the kernel has removed the route with the link
        }
    }

    fn messages(&self, add: bool) -> Vec<Vec<u8>> {
        let own = (FRA_SRC, Network::new(self.addr, 32));
        let rules = [vec![own, (FRA_DST, self.network)]].into_iter();
        let servers = self.servers.iter();
        let servers = servers.map(|server| vec![(FRA_DST, Network::new(*server, 32))]);
        let rules = rules.chain(servers).map(|parts| self.rule(add, &parts));
        [self.route(add)].into_iter().chain(rules).collect()
    }

    /// Returns nlmsghdr, fib_rule_hdr, attributes.
    fn rule(&self, add: bool, parts: &[(u16, Network)]) -> Vec<u8> {
        let (kind, flags) = match add {
            true => (libc::RTM_NEWRULE, libc::NLM_F_CREATE | libc::NLM_F_EXCL),
            false => (libc::RTM_DELRULE, 0),
        };
        let length = |wanted| {
            let part = parts.iter().find(|(kind, _)| *kind == wanted);
            part.map_or(0, |(_, network)| network.prefix)
        };
        let mut m = head(kind, flags as u16);
        let family = libc::AF_INET as u8;
        m.extend([family, length(FRA_DST), length(FRA_SRC), 0, 0, 0, 0]);
        m.extend([FR_ACT_TO_TBL, 0, 0, 0, 0]);
        for (kind, network) in parts {
            attribute(&mut m, *kind, &network.first.octets());
        }
        attribute(&mut m, FRA_PRIORITY, &PRIORITY.to_ne_bytes());
        attribute(&mut m, FRA_TABLE, &self.table());
        finish(m)
    }

    /// Returns nlmsghdr, rtmsg, attributes.
    fn route(&self, add: bool) -> Vec<u8> {
        let (kind, flags) = match add {
            true => (libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE),
            false => (libc::RTM_DELROUTE, 0),
        };
        let mut m = head(kind, flags as u16);
        let (family, prefix) = (libc::AF_INET as u8, self.network.prefix);
        let (scope, kind) = (libc::RT_SCOPE_LINK, libc::RTN_UNICAST);
        m.extend([
            family,
            prefix,
            0,
            0,
            0,
            libc::RTPROT_STATIC,
            scope,
            kind,
            0,
            0,
            0,
            0,
        ]);
        attribute(&mut m, RTA_DST, &self.network.first.octets());
        attribute(&mut m, RTA_OIF, &self.index.to_ne_bytes());
        attribute(&mut m, RTA_TABLE, &self.table());
        finish(m)
    }

    fn table(&self) -> [u8; 4] {
        TABLES.saturating_add(self.index).to_ne_bytes()
    }
}

fn log_unless(expected: i32, done: io::Result<()>) {
    if let Err(e) = done
        && e.raw_os_error() != Some(expected)
    {
        error!("network: the rules of a card's own network: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_route_and_a_rule_for_each_address() {
        let own = OwnNetwork {
            index: 3,
            addr: Ipv4Addr::new(10, 88, 0, 15),
            network: Network::new(Ipv4Addr::new(10, 88, 0, 15), 16),
            servers: vec![Ipv4Addr::new(10, 88, 0, 2)],
        };
        let [route, from, to] = &own.messages(true)[..] else {
            panic!()
        };
        assert_eq!(route[16..24], [2, 16, 0, 0, 0, 4, 253, 1]);
        assert_eq!(from[16..24], [2, 16, 32, 0, 0, 0, 0, 1]);
        assert_eq!(to[16..24], [2, 32, 0, 0, 0, 0, 0, 1]);
        assert_eq!(from[32..36], [10, 88, 0, 15]);
        assert_eq!(from[40..44], [10, 88, 0, 0]);
        for message in own.messages(false) {
            assert_eq!(
                message[..4],
                u32::try_from(message.len()).unwrap_or(0).to_ne_bytes()
            );
        }
    }
}
