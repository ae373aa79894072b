// SPDX-License-Identifier: Apache-2.0
//! Routing rules that keep a card's own network on the card, by rtnetlink(7).
//!
//! A bridge of containers may get a network that overlaps the card's: the kernel's route for the
//! bridge then takes precedence, and answers to neighbours leave by the bridge. Each card has a table
//! with the route to its own network. Packets from the card's own address to its network use this table, so that a
//! client in that network gets its answers by the card, whatever networks the bridges have. While a bridge overlaps,
//! packets to the servers of the lease use the table as well.

use std::net::Ipv4Addr;

use super::lease::Network;
use super::policy_routing::{self, Condition, FRA_DST, FRA_SRC};
use super::prefix::Prefix;

/// Priority of the rules: after the local addresses (0), before those for the networks of bridges.
const PRIORITY: u32 = 20_000;

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
    /// Sets the route and the rules; existing ones stay.
    pub fn add(&self) {
        policy_routing::add(&self.messages(true), "the rules of a card's own network");
    }

    /// Removes the route and the rules.
    pub fn remove(&self) {
        policy_routing::remove(&self.messages(false));
    }

    fn messages(&self, add: bool) -> Vec<Vec<u8>> {
        let host = |addr: Ipv4Addr| Prefix::from(Network::new(addr, 32));
        let network = Prefix::from(self.network);
        let own: Vec<Condition> = vec![(FRA_SRC, host(self.addr)), (FRA_DST, network)];
        let servers = self.servers.iter();
        let servers = servers.map(|server| vec![(FRA_DST, host(*server))]);
        let rules = [own].into_iter().chain(servers);
        let rules = rules.map(|all| policy_routing::rule(add, PRIORITY, self.index, &all));
        let route = policy_routing::route(add, self.index, &network);
        [route].into_iter().chain(rules).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_route_and_a_rule_for_each_address() {
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
