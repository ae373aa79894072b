// SPDX-License-Identifier: Apache-2.0
//! The reach of a lease: a DHCP server is trusted for its own card, and not with networks of the
//! other cards and the containers. Pure.
//!
//! A route that is more specific than another takes precedence, with any metric (CVE-2024-3661). A lease
//! therefore has no route into a bridge's or another card's network, and none that leads to a server of
//! another card. A default route is set if its router is not another's: its metric is that of the card. A
//! broader route than a bridge's is harmless, because the bridge's own takes precedence. An address is the machine's own from
//! the moment it is set, with any routes: the address of another host, such as a server of a card or a
//! container, would cut the machine off from that host.

use std::net::Ipv4Addr;

use super::lease::{Lease, Network, Route};

/// Another card, with the lease that its server has granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherCard {
    /// Name of the card.
    pub name: String,
    /// Index of the card: the lower one takes precedence.
    pub index: u32,
    /// The lease.
    pub lease: Lease,
}

/// Networks and servers that a lease must not reach into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The other cards.
    pub cards: Vec<OtherCard>,
    /// Name and network of each bridge without a card.
    pub bridges: Vec<(String, Network)>,
    /// Name and address of each interface that is no card.
    pub addresses: Vec<(String, Ipv4Addr)>,
    /// Bridge and address of each container that the kernel knows.
    pub containers: Vec<(String, Ipv4Addr)>,
}

impl Surroundings {
    /// Returns the interface that is no card, or the container, that has an address, in words.
    #[must_use]
    pub fn holder(&self, addr: Ipv4Addr) -> Option<String> {
        let name = |all: &[(String, Ipv4Addr)]| {
            let (name, _) = all.iter().find(|(_, other)| *other == addr)?;
            Some(name.clone())
        };
        if let Some(name) = name(&self.addresses) {
            return Some(format!("{addr} is the address of {name}"));
        }
        let name = name(&self.containers)?;
        Some(format!("a container on {name} has {addr}"))
    }
}

/// Returns the reason why the address of a lease of the card `index` is not set. An earlier card
/// keeps its own address and its servers.
#[must_use]
pub fn address_refusal(granted: &Lease, index: u32, around: &Surroundings) -> Option<String> {
    let addr = granted.addr;
    if let Some(why) = around.holder(addr) {
        return Some(why);
    }
    let mut before = around.cards.iter().filter(|card| card.index < index);
    before.find_map(|card| {
        let is_server = card.lease.servers().any(|server| server == addr);
        let what = match (card.lease.addr == addr, is_server) {
            (true, _) => "the address",
            (_, true) => "a server",
            _ => return None,
        };
        Some(format!("{addr} is {what} of {}", card.name))
    })
}

/// Returns the part of a lease of the card `index` that may be set; the other part is named in
/// its list.
#[must_use]
pub fn vet(granted: &Lease, index: u32, around: &Surroundings) -> Lease {
    let mut lease = granted.clone();
    if let Some(why) = network_refusal(granted, index, around) {
        let network = granted.network();
        let text = format!("the network {network} is not set, the address alone is: {why}");
        lease.refused.push(text);
        lease.prefix = 32;
    }
    lease.routes.clear();
    for route in &granted.routes {
        match route_refusal(route, &lease, index, around) {
            None => lease.routes.push(*route),
            Some(why) => lease.refused.push(format!("{route} is not set: {why}")),
        }
    }
    for (list, what) in [
        (&mut lease.dns, "name server"),
        (&mut lease.ntp, "time server"),
    ] {
        let own = granted.network();
        list.retain(|addr| {
            let why = server_refusal(*addr, &own, around);
            if let Some(why) = &why {
                lease
                    .refused
                    .push(format!("the {what} {addr} is not used: {why}"));
            }
            why.is_none()
        });
    }
    lease
}

/// Returns the reason why the network of a lease is not set: in another card's network it would be
/// the more specific one, and take a server of a card that takes precedence.
fn network_refusal(lease: &Lease, index: u32, around: &Surroundings) -> Option<String> {
    let own = lease.network();
    around
        .cards
        .iter()
        .filter(|card| card.index < index)
        .find_map(|card| {
            if card.lease.network() == own {
                return None;
            }
            let server = server_taken_by(&own, card)?;
            Some(format!("{server} is a server of {}", card.name))
        })
}

/// Returns why a name server or a time server is not used. In a network that overlaps a bridge's, it is not an
/// address that the bridge has.
fn server_refusal(addr: Ipv4Addr, own: &Network, around: &Surroundings) -> Option<String> {
    let bridge = bridge_of(&Network::new(addr, 32), own, around);
    let in_bridge = bridge.map(|name| format!("it is in the network of {name}"));
    in_bridge.or_else(|| around.holder(addr))
}

/// Returns why a route is not set.
fn route_refusal(
    route: &Route,
    lease: &Lease,
    index: u32,
    around: &Surroundings,
) -> Option<String> {
    let own = lease.network();
    let by = route.gateway;
    if !by.is_unspecified() && !own.contains(by) {
        // A route to the router itself precedes this route (`card::all_routes`).
        if let Some(why) = router_refusal(by, &own, index, around) {
            return Some(format!("the way to its router: {why}"));
        }
    }
    if route.prefix == 0 {
        return None;
    }
    let to = route.to();
    let mut cards = around.cards.iter();
    let earlier = cards.find(|card| to.first.is_link_local() && card.index < index);
    if let Some(card) = earlier {
        return Some(format!("link-local addresses are those of {}", card.name));
    }
    target_refusal(&to, &own, index, around)
}

/// Service of clouds (metadata, time, names), which is reached by the first card.
const CLOUD_SERVICE: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// Returns why there is no route to a router outside of the lease's network. A link-local router of a cloud may have
/// the same address on each card: the route to it is that of the first card that has one.
fn router_refusal(
    by: Ipv4Addr,
    own: &Network,
    index: u32,
    around: &Surroundings,
) -> Option<String> {
    let has_link_local = |card: &&OtherCard| {
        let mut routers = card.lease.routes.iter().map(|route| route.gateway);
        by == CLOUD_SERVICE || routers.any(|router| router.is_link_local())
    };
    let mut before = around.cards.iter().filter(|card| card.index < index);
    match before.find(has_link_local).filter(|_| by.is_link_local()) {
        Some(card) => Some(format!("link-local addresses are those of {}", card.name)),
        None => target_refusal(&Network::new(by, 32), own, index, around),
    }
}

/// Returns why a card has no route to `to`. A later card keeps the servers in its own network alone, as long as that
/// has no more than 65,536 addresses: it takes no route from this card with servers far away or a broad network.
fn target_refusal(
    to: &Network,
    own: &Network,
    index: u32,
    around: &Surroundings,
) -> Option<String> {
    if let Some(name) = bridge_of(to, own, around) {
        return Some(format!("it is in the network of {name}"));
    }
    around.cards.iter().find_map(|card| {
        let network = card.lease.network();
        let is_earlier = card.index < index;
        if is_earlier && network.covers(to) && network != *own {
            return Some(format!("it is in the network of {}", card.name));
        }
        let server = server_taken_by(to, card)?;
        let keeps = is_earlier || network.prefix >= 16 && network.contains(server);
        keeps.then(|| format!("{server} is a server of {}", card.name))
    })
}

/// Returns the bridge whose network contains `to`. A card in a network that overlaps the bridge's
/// is reported elsewhere (`overlap`), and keeps the addresses of its own network.
fn bridge_of<'a>(to: &Network, own: &Network, around: &'a Surroundings) -> Option<&'a str> {
    let in_bridge =
        |(_, network): &&(String, Network)| network.covers(to) && !network.overlaps(own);
    around
        .bridges
        .iter()
        .find(in_bridge)
        .map(|(name, _)| name.as_str())
}

/// Returns the server that a route to `to` would take from a card: the card has no more specific
/// route to this server.
fn server_taken_by(to: &Network, card: &OtherCard) -> Option<Ipv4Addr> {
    let network = card.lease.network();
    let routes = card.lease.routes.iter().map(Route::to);
    let ways: Vec<Network> = routes.chain([network]).collect();
    card.lease.servers().find(|server| {
        let own_way = ways.iter().filter(|way| way.contains(*server));
        let own_prefix = own_way.map(|way| way.prefix).max();
        to.contains(*server) && own_prefix.is_none_or(|prefix| to.prefix >= prefix)
    })
}

#[cfg(test)]
mod tests;
