// SPDX-License-Identifier: Apache-2.0
//! Bridges of containers beside the cards: the limits of a lease, the place of podman's default
//! network, and overlaps of networks.

use log::{error, info};

use super::card::Card;
use super::lease::Network;
use super::overlap::{self, DEFAULT_BRIDGE, Reached};
use super::prefix::Prefix;
use super::stale_api::{self, StaleApi};
use super::vetting::Surroundings;
use super::{Service, firewall, neighbours, podman_conf, router_prefixes, routes};

impl Service {
    /// Gives every card the networks and servers that its lease must not reach into.
    pub(super) fn confine_leases(&mut self) {
        let names: Vec<_> = self.cards.iter().map(Card::name).collect();
        let all: Vec<_> = firewall::addresses().collect();
        let bridges = firewall::bridge_networks(all.iter().cloned(), &names);
        let addresses = firewall::ipv4_addresses_but(&names, all.into_iter());
        self.bridge_networks.update(&bridges);
        self.watch_overlap(&bridges);
        let mut bridges = firewall::ipv4(bridges);
        let containers = neighbours::on(&bridges);
        if !bridges.iter().any(|(name, _)| name == DEFAULT_BRIDGE) {
            bridges.push((DEFAULT_BRIDGE.to_owned(), self.default_network));
        }
        let all: Vec<_> = self.cards.iter().filter_map(Card::as_other_card).collect();
        let mut changed = false;
        for card in &mut self.cards {
            let mut cards = all.clone();
            cards.retain(|other| other.name != card.name());
            changed |= card.surround(Surroundings {
                cards,
                bridges: bridges.clone(),
                addresses: addresses.clone(),
                containers: containers.clone(),
            });
        }
        if self.ready {
            let links: Vec<_> = self.cards.iter().map(Card::link).collect();
            let table = router_prefixes::routes_table();
            self.router_limit.look(&table, &links, sys::clock::now());
            self.held
                .update(self.cards.iter().flat_map(|card| card.hosts(&table)));
        }
        self.update_degraded();
        self.follow(changed);
    }

    /// Moves podman's default network out of the cards' way before podman makes the bridge.
    fn watch_overlap(&mut self, bridges: &[Reached]) {
        let taken = self.reached();
        let next = overlap::choose(self.default_network, &taken);
        let default_is_up = bridges.iter().any(|(name, _)| name == DEFAULT_BRIDGE);
        if next != self.default_network && !default_is_up {
            self.move_default_network(next);
        }
        self.stale_api.take_if(|api| api.is_gone());
        self.overlaps = overlap::lines(bridges, &taken, next);
        let stale = self.stale_api.as_ref().map(|_| stale_api::line(next));
        self.overlaps.extend(stale);
    }

    /// Lists networks that overlap, and rules that are not set.
    pub(super) fn update_degraded(&mut self) {
        let lines = self.overlaps.iter().cloned();
        let unconfined = self.unconfined.iter().map(|(_, why)| why.clone());
        let conflicts = self.cards.iter().filter_map(Card::conflict);
        let lines = lines.chain(unconfined).chain(conflicts);
        let lines = lines.chain(self.router_limit.lines());
        let lines = lines.chain(self.firewall.failure());
        let lines: Vec<_> = lines.map(|why| ("net", why)).collect();
        self.degraded.update(lines);
    }

    /// Returns the networks that the cards lead to: by their leases, and by the kernel's routes.
    fn reached(&self) -> Vec<Reached> {
        let of = |card: &Card| {
            let networks: Vec<Prefix> = card.networks().map(Prefix::from).collect();
            let name = card.name().to_owned();
            networks.into_iter().map(move |net| (name.clone(), net))
        };
        let names: Vec<_> = self.cards.iter().map(Card::name).collect();
        let leased = self.cards.iter().flat_map(of);
        leased.chain(routes::of(&names)).collect()
    }

    fn move_default_network(&mut self, next: Network) {
        match podman_conf::set_default_subnet(next) {
            Ok(()) => {
                info!(
                    "network: podman's default network is {next}: a card leads to the former one"
                );
                self.default_network = next;
                self.stale_api = StaleApi::detect();
            }
            Err(e) => error!("network: podman's default network: {e}"),
        }
    }
}
