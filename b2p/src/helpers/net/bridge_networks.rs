// SPDX-License-Identifier: Apache-2.0
//! Routing rules that keep the private networks of bridges on the bridges.
//!
//! In the main table, a route into a part of a bridge's network would take precedence over the bridge's
//! own: the route of a card whose lease has a smaller network, or of a prefix that a router advertises as
//! on the link, which may have any length (RFC 4861, 4.6.2). Packets of the machine to its containers, and
//! to published ports, would reach a neighbour. Each bridge has a table with the routes to its networks
//! alone, which is looked up first. Networks with public addresses are left out: a card may have a part of
//! them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nix::net::if_::if_nametoindex;

use super::firewall::is_private;
use super::overlap::Reached;
use super::policy_routing::{self, FRA_DST};
use super::prefix::Prefix;

/// Priority of the rules: after those for a card's own network.
const PRIORITY: u32 = 20_001;

/// Networks that are kept on their bridges, each with the index of its bridge.
#[derive(Debug, Default)]
pub struct BridgeNetworks(BTreeSet<(u32, Prefix)>);

impl BridgeNetworks {
    /// Brings the rules up to date with the networks of bridges that are there.
    pub fn update(&mut self, bridges: &[Reached]) {
        let private = bridges.iter().filter(|(_, net)| is_private(&net.first));
        let indexed = private.filter_map(|(name, network)| {
            let index = if_nametoindex(name.as_str()).ok()?;
            Some((index, *network))
        });
        let current: BTreeSet<_> = sys::sort::inserted(indexed);
        for (index, network) in self.0.difference(&current) {
            policy_routing::remove(&messages(false, *index, network));
        }
        for (index, network) in current.difference(&self.0) {
            let what = "the rules of a bridge's network";
            policy_routing::add(&messages(true, *index, network), what);
        }
        self.0 = current;
    }

    /// Returns true if an address is in one of the networks.
    pub fn contain(&self, addr: &IpAddr) -> bool {
        self.0.iter().any(|(_, network)| network.contains(addr))
    }
}

fn messages(add: bool, index: u32, network: &Prefix) -> Vec<Vec<u8>> {
    let to = (FRA_DST, *network);
    vec![
        policy_routing::route(add, index, network),
        policy_routing::rule(add, PRIORITY, index, &[to]),
    ]
}
