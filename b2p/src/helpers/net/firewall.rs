// SPDX-License-Identifier: Apache-2.0
//! Rules that let other machines reach containers by published ports only, and that keep
//! containers from the ssh server of the machine.
//!
//! A machine that forwards for its containers is a router: a neighbour that sends it packets
//! for 10.88.0.2 reaches every port of that container, published or not, and the name server
//! on the bridge; netavark does not prevent this. Therefore packets that arrive by a card for the
//! private network of a bridge are dropped, before published ports are looked up: packets for
//! published ports, and answers to containers, have an address of the card as their destination by
//! then. The rules exist only while there are such bridges, so a machine without containers loads no
//! driver for them. `b2p.routed=on` turns them off.
//!
//! A container that is taken over would guess at the machine's ssh server, or keep it busy. New
//! packets for that server that arrive by a bridge are dropped at the delivery to the machine (hook
//! `input`): ssh to other hosts, and to containers, is forwarded and stays. The rule is set with the
//! first bridge and names no bridge, so that the rule holds for later bridges from the start.
//! `b2p.container_ssh=on` turns the rule off.

mod rules;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use log::{info, warn};
use nix::sys::socket::SockaddrStorage;
use services::Millis;

use super::lease;
use super::overlap::Reached;
use super::prefix::Prefix;
use rules::{rules, set, ssh_rule};
use sys::error::{Error, Result};
use sys::net::SYS_CLASS_NET;

/// Time between two attempts to set rules after a failure, in milliseconds; each time is twice the one before.
const RETRY: Millis = 30_000;
const LONGEST_RETRY: Millis = 3_600_000;

/// The rules that are set.
#[derive(Debug, Default)]
pub struct Firewall {
    routed: bool,
    container_ssh: bool,
    /// Networks that were there when one was new.
    networks: BTreeSet<Prefix>,
    /// True once there has been a bridge of containers.
    had_bridge: bool,
    /// Rules for them, in nft's language.
    rules: String,
    /// Reason why the rules are not set.
    failure: Option<String>,
    /// Time of the next attempt after a failure, and the wait before that attempt.
    retry: Option<(Millis, Millis)>,
}

impl Firewall {
    /// Returns one that lets other machines reach containers if `routed`, and containers the
    /// machine's ssh server if `container_ssh`.
    #[must_use]
    pub fn new(routed: bool, container_ssh: bool) -> Firewall {
        Firewall {
            routed,
            container_ssh,
            ..Firewall::default()
        }
    }

    /// Brings the rules up to date. netavark removes a bridge with its last container and makes a
    /// bridge again for the next one: rules for a removed network stay until there is a new
    /// network, so that not every container costs two runs of nft. Returns true if the line of
    /// [`Firewall::failure`] has changed.
    pub fn update(&mut self, cards: &[&str], now: Millis) -> bool {
        let current = match self.routed {
            true => BTreeSet::new(),
            false => private_networks(cards),
        };
        if !current.is_subset(&self.networks) {
            self.networks = current;
        }
        let (own, with_cards) = bridges(cards);
        self.had_bridge |= !own.is_empty();
        let mut rules = rules(cards, &card_addresses(cards), &self.networks);
        if self.had_bridge && !self.container_ssh {
            rules += &ssh_rule(&with_cards, &sys::ssh_ports::read());
        }
        self.bring(rules, now, set)
    }

    /// Sets rules that are new, or that could not be set when processes or memory were short. Returns true if the line
    /// of [`Firewall::failure`] has changed.
    fn bring(&mut self, rules: String, now: Millis, set: impl FnOnce(&str) -> Result<()>) -> bool {
        let is_due = self.retry.is_some_and(|(at, _)| at <= now);
        if rules == self.rules && !is_due {
            return false;
        }
        self.rules = rules;
        let outcome = set(&self.rules);
        match &outcome {
            Ok(()) if self.rules.is_empty() => info!("network: containers need no rules any more"),
            Ok(()) => info!("network: containers are reached by published ports alone"),
            Err(e) => warn!("network: {}", failure(e)),
        }
        self.note(outcome, now)
    }

    fn note(&mut self, outcome: Result<()>, now: Millis) -> bool {
        let failure = outcome.err().map(|e| failure(&e));
        let wait = self
            .retry
            .map_or(RETRY, |(_, wait)| (wait * 2).min(LONGEST_RETRY));
        self.retry = failure.is_some().then_some((now + wait, wait));
        let is_new = failure != self.failure;
        self.failure = failure;
        is_new
    }

    /// Returns when [`Firewall::update`] is to be called without an event.
    pub fn deadline(&self) -> Option<Millis> {
        self.retry.map(|(at, _)| at)
    }

    /// Reason of a degraded line.
    pub fn failure(&self) -> Option<String> {
        self.failure.clone()
    }
}

fn failure(why: &Error) -> String {
    format!("containers are not kept apart from other machines and ssh: {why}")
}

/// Interface, address, and prefix length.
type Assigned = (String, IpAddr, u8);

/// Returns every address of the machine.
pub fn addresses() -> impl Iterator<Item = Assigned> {
    let addresses = nix::ifaddrs::getifaddrs().into_iter().flatten();
    addresses.filter_map(|interface| {
        let (addr, mask) = (interface.address?, interface.netmask?);
        let v4 = |s: &SockaddrStorage| s.as_sockaddr_in().map(|s| s.ip());
        let v6 = |s: &SockaddrStorage| s.as_sockaddr_in6().map(|s| s.ip());
        let (addr, length) = match (v4(&addr), v4(&mask), v6(&addr), v6(&mask)) {
            (Some(a), Some(m), ..) => (IpAddr::V4(a), m.to_bits().leading_ones()),
            (_, _, Some(a), Some(m)) => (IpAddr::V6(a), m.to_bits().leading_ones()),
            _ => return None,
        };
        Some((interface.interface_name, addr, u8::try_from(length).ok()?))
    })
}

/// Returns true for a bridge without a card, such as those of container networks; false for a
/// bridge with a card, `None` for other interfaces.
fn has_no_card(name: &str, cards: &[&str]) -> Option<bool> {
    let ports = Path::new(SYS_CLASS_NET).join(name).join("brif");
    let has_card = || cards.iter().any(|card| ports.join(card).exists());
    ports.exists().then(|| !has_card())
}

/// Returns the private networks of bridges that have no card in them.
fn private_networks(cards: &[&str]) -> BTreeSet<Prefix> {
    let networks = bridge_networks(addresses(), cards).into_iter();
    let networks = networks.map(|(_, network)| network);
    sys::sort::inserted(networks.filter(|network| is_private(&network.first)))
}

/// Returns name and network of every bridge that has an address and no card. The link-local
/// network, which every interface has, is left out.
pub fn bridge_networks(all: impl Iterator<Item = Assigned>, cards: &[&str]) -> Vec<Reached> {
    let is_link_local = |addr: &IpAddr| match addr {
        IpAddr::V4(_) => false,
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    };
    all.filter(|(name, addr, _)| !is_link_local(addr) && has_no_card(name, cards) == Some(true))
        .map(|(name, addr, length)| (name, Prefix::new(addr, length)))
        .collect()
}

/// Returns name and IPv4 address of every interface but these.
pub fn ipv4_addresses_but(
    cards: &[&str],
    all: impl Iterator<Item = Assigned>,
) -> Vec<(String, Ipv4Addr)> {
    let others = all.filter(|(name, ..)| !cards.contains(&name.as_str()));
    let of_ipv4 = others.filter_map(|(name, addr, _)| match addr {
        IpAddr::V4(addr) => Some((name, addr)),
        IpAddr::V6(_) => None,
    });
    of_ipv4.collect()
}

/// Returns the IPv4 networks.
pub fn ipv4(networks: Vec<Reached>) -> Vec<(String, lease::Network)> {
    let networks = networks.into_iter();
    let of_ipv4 = networks.filter_map(|(name, network)| match network.first {
        IpAddr::V4(first) => Some((name, lease::Network::new(first, network.length))),
        IpAddr::V6(_) => None,
    });
    of_ipv4.collect()
}

/// Returns the names of bridges without a card in them, and of those with one, with an address or
/// without.
fn bridges(cards: &[&str]) -> (BTreeSet<String>, BTreeSet<String>) {
    let interfaces = std::fs::read_dir(SYS_CLASS_NET).into_iter().flatten();
    let names = interfaces.filter_map(|one| one.ok()?.file_name().into_string().ok());
    let bridges = names.filter_map(|name| Some((has_no_card(&name, cards)?, name)));
    let (own, with_cards): (Vec<_>, Vec<_>) = bridges.partition(|(is_own, _)| *is_own);
    let names =
        |all: Vec<(bool, String)>| sys::sort::inserted(all.into_iter().map(|(_, name)| name));
    (names(own), names(with_cards))
}

/// Returns the addresses of the cards.
fn card_addresses(cards: &[&str]) -> Vec<IpAddr> {
    addresses()
        .filter(|(name, ..)| cards.contains(&name.as_str()))
        .map(|(_, addr, _)| addr)
        .collect()
}

/// Returns true for RFC 1918 and RFC 4193: containers with other addresses are meant to be
/// reached.
pub fn is_private(addr: &IpAddr) -> bool {
    match addr {
        IpAddr::V4(a) => a.is_private(),
        IpAddr::V6(a) => a.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::prefix::tests::prefix;
    use super::*;

    #[test]
    fn rules_that_are_refused_are_said_until_others_are_set() {
        let mut firewall = Firewall::new(false, false);
        let refused = |why: &str| Err(Error::invalid(why.to_owned()));
        for (outcome, is_new, line) in [
            (Ok(()), false, None),
            (refused("no driver"), true, Some("no driver")),
            (refused("no driver"), false, Some("no driver")),
            (refused("syntax"), true, Some("syntax")),
            (Ok(()), true, None),
        ] {
            assert_eq!(firewall.note(outcome, 0), is_new, "{line:?}");
            let shown = firewall.failure();
            assert_eq!(shown.is_some(), line.is_some(), "{line:?}");
            assert!(shown.is_none_or(|shown| shown.ends_with(line.unwrap_or("?"))));
        }
    }

    #[test]
    fn rules_that_could_not_be_set_are_set_later() {
        let mut firewall = Firewall::new(false, false);
        let refused = |_: &str| Err(Error::invalid("no memory".to_owned()));
        let rules = || "rules".to_owned();
        assert!(firewall.bring(rules(), 1_000, refused));
        assert_eq!(firewall.deadline(), Some(31_000));
        assert!(!firewall.bring(rules(), 30_999, |_| unreachable!("too early")));
        assert!(!firewall.bring(rules(), 31_000, refused));
        assert_eq!(firewall.deadline(), Some(91_000));
        assert!(firewall.bring(rules(), 91_000, |_| Ok(())));
        assert_eq!((firewall.deadline(), firewall.failure()), (None, None));
        assert!(!firewall.bring(rules(), 500_000, |_| unreachable!("set already")));
    }

    #[test]
    fn only_private_networks_are_guarded() {
        for (addr, is) in [
            ("10.88.0.1", true),
            ("172.16.0.1", true),
            ("192.168.5.1", true),
            ("fd12::1", true),
            ("8.8.8.8", false),
            ("2001:db8::1", false),
            ("fe80::1", false),
        ] {
            assert_eq!(is_private(&prefix(addr).first), is, "{addr}");
        }
    }
}
