// SPDX-License-Identifier: Apache-2.0
//! The lease of a card: the part that is set, and the way of setting it.

use std::net::Ipv4Addr;

use log::{error, info, warn};

use super::super::lease::{Lease, Network, Route};
use super::super::netlink::{self, Address};
use super::super::own_network::OwnNetwork;
use super::super::vetting::{Surroundings, address_refusal, vet};
use super::super::{carrier, ioctls};
use super::Card;
use sys::clock::now;

/// Number of log lines about answers of one server that are not used.
const MAX_REFUSED: usize = 32;

impl Card {
    /// Takes the networks and servers that the lease must not reach into; returns true if the lease
    /// changes.
    pub fn surround(&mut self, around: Surroundings) -> bool {
        if self.around == around {
            return false;
        }
        self.around = around;
        if let Some(lease) = self.applied.clone() {
            self.keep_own_network(&lease);
        }
        let granted = self.granted.clone();
        let vetted = granted.and_then(|lease| self.vet(&lease));
        match vetted {
            None if self.conflict.is_some() => self.unset(),
            Some(lease) if self.applied.as_ref() != Some(&lease) => self.apply(lease),
            _ => false,
        }
    }

    /// Sets the part of a newly granted lease that is within its reach.
    pub(super) fn grant(&mut self, lease: Lease) -> bool {
        // Another server sends other options.
        let known = |old: &Lease| old.server == lease.server;
        if !self.granted.as_ref().is_some_and(known) {
            self.refused.clear();
        }
        let vetted = self.vet(&lease);
        (self.granted, self.granted_at) = (Some(lease), now());
        match vetted {
            Some(lease) => self.apply(lease),
            None => {
                self.renewal = None;
                self.unset()
            }
        }
    }

    /// Returns the part of a lease that may be set; `None` if its address may not.
    fn vet(&mut self, lease: &Lease) -> Option<Lease> {
        let conflict = address_refusal(lease, self.index, &self.around);
        self.conflict = conflict.map(|why| format!("no address of DHCP is set: {why}"));
        if let Some(why) = self.conflict.clone() {
            self.refuse(&why);
            return None;
        }
        let vetted = vet(lease, self.index, &self.around);
        vetted.refused.iter().for_each(|why| self.refuse(why));
        Some(vetted)
    }

    /// Removes the rules of the card's own network: the kernel keeps them without the card.
    pub fn forget_own_network(&mut self) {
        if let Some(own) = self.own_network.take() {
            own.remove();
        }
    }

    /// Keeps the network of a lease on the card, with any bridges, and its servers as long as a
    /// bridge is in their way.
    fn keep_own_network(&mut self, lease: &Lease) {
        let network = lease.network();
        let mut bridges = self.around.bridges.iter();
        let overlap = bridges.any(|(_, other)| other.overlaps(&network));
        // A server with the address of a container, such as a router that a rogue names, would take its packets.
        let is_free = |server: &Ipv4Addr| self.around.holder(*server).is_none();
        let servers = lease.servers().filter(|s| overlap && network.contains(*s));
        let servers = servers.filter(is_free);
        let mut servers: Vec<Ipv4Addr> = servers.collect();
        sys::sort::sort(&mut servers);
        servers.dedup();
        let own = (lease.prefix < 32).then_some(OwnNetwork {
            index: self.index,
            addr: lease.addr,
            network,
            servers,
        });
        if let Some(old) = self
            .own_network
            .take()
            .filter(|old| own.as_ref() != Some(old))
        {
            old.remove();
        }
        if let Some(own) = &own {
            own.add();
        }
        self.own_network = own;
    }

    /// Logs a part of an answer that is not used, once.
    pub(super) fn refuse(&mut self, why: &str) {
        if self.refused.len() < MAX_REFUSED && self.refused.insert(why.to_owned()) {
            warn!("{}: DHCP: {why}", self.name);
        }
    }

    /// Sets a lease on the card; returns true if more than its times changed.
    pub(super) fn apply(&mut self, lease: Lease) -> bool {
        self.renewal = None;
        let same = |a: &Lease| {
            Lease {
                times: lease.times,
                ..a.clone()
            } == lease
        };
        if self.applied.as_ref().is_some_and(same) {
            self.renew(lease);
            return false;
        }
        let Lease { addr, prefix, .. } = lease;
        if self.applied.is_none() {
            self.remove_former(&lease);
        }
        self.remove_routes();
        let other = |l: &&Lease| (l.addr, l.prefix) != (addr, prefix);
        if let Some(old) = self.applied.as_ref().filter(other) {
            // Before the new one is added: in one network, further addresses depend on the
            // first.
            self.remove_address(old);
        }
        if !self.add_address(&lease) {
            return self.applied.take().is_some();
        }
        self.set_mtu(lease.mtu.map(i32::from));
        self.add_routes(&lease);
        self.keep_own_network(&lease);
        let via = lease
            .routes
            .first()
            .map_or_else(String::new, |r| format!(" via {}", r.gateway));
        info!("{}: {addr}/{prefix}{via}", self.name);
        self.applied = Some(lease);
        true
    }

    /// Sets a lease of which only the times are new. The routes are set again, because the kernel removes them when
    /// the link is set down.
    fn renew(&mut self, lease: Lease) {
        self.add_address(&lease);
        self.add_routes(&lease);
        self.keep_own_network(&lease);
        self.applied = Some(lease);
    }

    /// Removes the addresses that an earlier process of the service has set by a lease, before another one, or
    /// a static one, is set: the kernel would send from the former. With the last address of a card go its
    /// routes (net/ipv4/fib_frontend.c, `fib_disable_ip`).
    fn remove_former(&self, lease: &Lease) {
        let former = netlink::limited(self.index).unwrap_or_else(|e| {
            error!("{}: addresses: {e}", self.name);
            Vec::new()
        });
        let stays = |address| self.client.is_some() && address == (lease.addr, lease.prefix);
        for (addr, prefix) in former.into_iter().filter(|address| !stays(*address)) {
            info!(
                "{}: {addr}/{prefix} of an earlier lease is removed",
                self.name
            );
            let own = OwnNetwork {
                index: self.index,
                addr,
                network: Network::new(addr, prefix),
                servers: Vec::new(),
            };
            own.remove();
            self.remove_address(&Lease {
                addr,
                prefix,
                ..lease.clone()
            });
        }
    }

    fn add_address(&self, lease: &Lease) -> bool {
        let address = self.address(lease);
        let added = netlink::add(&address);
        if let Err(e) = &added {
            error!(
                "{}: address {}/{}: {e}",
                self.name, lease.addr, lease.prefix
            );
        }
        added.is_ok()
    }

    fn remove_address(&self, lease: &Lease) {
        let removed = netlink::remove(&self.address(lease));
        removed.unwrap_or_else(|e| error!("{}: address {}: {e}", self.name, lease.addr));
    }

    fn address(&self, lease: &Lease) -> Address {
        // A lease that is set again keeps its end.
        let since = now().saturating_sub(self.granted_at) / 1000;
        let seconds = match lease.times.expire {
            u32::MAX => u32::MAX,
            expire => expire
                .saturating_sub(u32::try_from(since).unwrap_or(u32::MAX))
                .max(1),
        };
        Address {
            index: self.index,
            addr: lease.addr,
            prefix: lease.prefix,
            seconds,
            metric: u32::try_from(self.metric()).unwrap_or(0),
        }
    }

    /// Sets the MTU of a lease, or without one the MTU that the card had.
    fn set_mtu(&mut self, leased: Option<i32>) {
        let Some(mtu) = leased.or(self.original_mtu) else {
            return;
        };
        let current = carrier::mtu(&self.name);
        if current != Some(mtu) {
            self.original_mtu = self.original_mtu.or(current);
            if let Err(e) = ioctls::set_mtu(&self.name, mtu) {
                self.refuse(&format!("the card takes no MTU of {mtu} bytes: {e}"));
            }
        }
    }

    fn add_routes(&self, lease: &Lease) {
        for route in all_routes(lease) {
            let added = ioctls::add_route(&self.name, &route, self.metric());
            added.unwrap_or_else(|e| error!("{}: route via {}: {e}", self.name, route.gateway));
        }
    }

    fn remove_routes(&self) {
        for route in self.applied.iter().flat_map(all_routes) {
            let _ = ioctls::remove_route(&self.name, &route, self.metric());
        }
    }

    /// Ends the lease.
    pub(super) fn remove_lease(&mut self) {
        self.renewal = None;
        self.granted = None;
        info!("{}: the lease has ended", self.name);
        self.unset();
    }

    /// Removes everything that the lease has set; returns true if there was anything.
    fn unset(&mut self) -> bool {
        self.remove_routes();
        self.forget_own_network();
        let lease = self.applied.take();
        if let Some(lease) = &lease {
            self.remove_address(lease);
        }
        self.set_mtu(None);
        lease.is_some()
    }

    /// Returns the metric of the card's routes: the first card takes precedence.
    fn metric(&self) -> i16 {
        i16::try_from(self.index.min(1000)).unwrap_or(1000) + 100
    }
}

/// Returns the routes of a lease. Before a router outside of its network, as with clouds that
/// grant a /32, there is a route to the router itself.
fn all_routes(lease: &Lease) -> Vec<Route> {
    let mut routes = Vec::new();
    for route in &lease.routes {
        let by = route.gateway;
        if !by.is_unspecified() && !lease.network().contains(by) {
            routes.push(Route {
                network: by,
                prefix: 32,
                gateway: Ipv4Addr::UNSPECIFIED,
            });
        }
        routes.push(*route);
    }
    routes
}
