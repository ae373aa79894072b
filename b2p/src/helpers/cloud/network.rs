// SPDX-License-Identifier: Apache-2.0
//! Parses the supported part of network-config: network cards by their name or MAC address, their new names, DHCP or an
//! IPv4 address. The result are new names, and plans in the format of `b2p net`.

mod version_1;

use std::fmt;
use std::net::Ipv4Addr;

use sys::error::{Error, Result};

use super::diagnostics::Diagnostics;
use super::yaml::{self, Node};

/// A network card of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Current name.
    pub name: String,
    /// MAC address as in sysfs, in lower case.
    pub mac: String,
}

/// Parsed network-config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Current and new names.
    pub renames: Vec<(String, String)>,
    /// A plan for each card; empty if every card uses DHCP, the default.
    pub plans: Vec<String>,
}

/// Settings of a card that are applied, or need no action.
const KNOWN: &[&str] = &[
    "match",
    "set-name",
    "dhcp4",
    "addresses",
    "gateway4",
    "routes",
    "nameservers",
    "dhcp6",
    "optional",
    "dhcp-identifier",
    "dhcp4-overrides",
    "dhcp6-overrides",
    "critical",
    "renderer",
    "ignore-carrier",
    "wakeonlan",
];

/// Settings without which a card can be left to DHCP.
const ASKS: &[&str] = &["addresses", "gateway4", "routes", "nameservers"];
impl Network {
    /// Adds the new name of a card, unless the card keeps its name.
    fn rename(&mut self, from: &str, to: String) {
        if from != to {
            self.renames.push((from.to_owned(), to));
        }
    }
}

/// Settings of a route; those of Linux' own choice need no action.
const ROUTE: &[&str] = &["to", "via", "metric", "on-link"];

/// Longest name of a card (linux/if.h, IFNAMSIZ).
const MAX_NAME: usize = 15;

/// Parses the text for a machine with these cards.
///
/// # Errors
/// The text is not YAML, or of another version; every card uses DHCP then.
pub fn parse(text: &str, cards: &[Card]) -> Result<(Network, Diagnostics)> {
    let (mut network, mut diagnostics) = (Network::default(), Diagnostics::default());
    let tree = yaml::parse("network-config", text, &mut diagnostics)?;
    let tree = tree.get("network").unwrap_or(&tree);
    let Some(ethernets) = ethernets(tree, &mut diagnostics)? else {
        return Ok((network, diagnostics));
    };
    let (mut planned, mut without) = (Vec::new(), Vec::new());
    for (id, node) in ethernets.map("network-config: ethernets", &mut diagnostics) {
        let mut card = CardConfig {
            place: format!("network-config: {id}"),
            node,
            diagnostics: &mut diagnostics,
        };
        let mut matching = card.matching(id, cards);
        // netplan: the first that matches.
        matching.retain(|card| !planned.contains(&card.name));
        for (nth, existing) in matching.into_iter().enumerate() {
            planned.push(existing.name.clone());
            let name = match nth {
                0 => card.new_name(&existing.name),
                _ => existing.name.clone(),
            };
            match card.plan(&name) {
                Some(plan) => network.plans.push(plan),
                None => without.push((card.place.clone(), card.refuses_dhcp())),
            }
            network.rename(&existing.name, name);
        }
    }
    let mut plans = network.plans.iter();
    if without.is_empty() && plans.all(|plan| plan.starts_with("dhcp")) {
        network.plans.clear();
    }
    if network.plans.is_empty() {
        diagnose_dhcp(&without, &mut diagnostics);
    }
    Ok((network, diagnostics))
}

/// Names the cards that use DHCP although their settings request no IPv4 address: the places, and true if the
/// settings refuse DHCP.
fn diagnose_dhcp(without: &[(String, bool)], diagnostics: &mut Diagnostics) {
    for (place, refuses_dhcp) in without {
        let line = format!("{place}: it asks for no IPv4 address, and uses DHCP");
        match refuses_dhcp {
            true => diagnostics.failed(format_args!("{line}; b2p.net=off ends that")),
            false => diagnostics.unsupported(line),
        }
    }
}

/// Returns the settings of the cards; `None` if the file is empty.
fn ethernets(tree: &Node, diagnostics: &mut Diagnostics) -> Result<Option<Node>> {
    let list = match tree.get_text("version") {
        Some("2") => "ethernets",
        Some("1") => "config",
        None if *tree == Node::Null => return Ok(None),
        found => {
            let found = found.unwrap_or("none");
            let why = format!("network-config: version {found}: must be 2");
            return Err(Error::invalid(why));
        }
    };
    for (name, _) in tree.map("network-config", diagnostics) {
        if !["version", "renderer", list].contains(&name.as_str()) {
            let line = format_args!("network-config: {name} is not supported");
            diagnostics.unsupported(line);
        }
    }
    let settings = tree.get(list);
    Ok(settings.map(|settings| match list {
        "config" => version_1::ethernets(settings, diagnostics),
        _ => settings.clone(),
    }))
}

/// Settings of one card, by an id that need not be its name.
struct CardConfig<'a> {
    /// Start of diagnostics.
    place: String,
    node: &'a Node,
    diagnostics: &'a mut Diagnostics,
}

impl<'n> CardConfig<'n> {
    fn unsupported(&mut self, what: fmt::Arguments<'_>) {
        let line = format_args!("{}: {what}", self.place);
        self.diagnostics.unsupported(line);
    }

    fn failed(&mut self, why: fmt::Arguments<'_>) {
        let line = format_args!("{}: {why}", self.place);
        self.diagnostics.failed(line);
    }

    /// Returns the cards that the settings are for; reports that there is none.
    fn matching<'c>(&mut self, id: &str, cards: &'c [Card]) -> Vec<&'c Card> {
        self.node.map(&self.place, self.diagnostics);
        let criteria = self.node.get("match");
        let text = |name: &str| criteria.and_then(|c| c.get_text(name));
        let mac = text("macaddress").map(str::to_ascii_lowercase);
        let pattern = text("name");
        let is_by_id = criteria.is_none();
        let matches = |c: &&Card| match (&mac, pattern) {
            (None, None) => is_by_id && c.name == id,
            (mac, pattern) => {
                let has_name = |p: &str| sys::modules::glob_match(p.as_bytes(), c.name.as_bytes());
                mac.as_ref().is_none_or(|mac| *mac == c.mac) && pattern.is_none_or(has_name)
            }
        };
        let found: Vec<&Card> = cards.iter().filter(matches).collect();
        if found.is_empty() {
            self.matches_none(cards);
        }
        found
    }

    fn refuses_dhcp(&self) -> bool {
        self.node.get("dhcp4").and_then(Node::as_bool) == Some(false)
    }

    /// Reports settings that no card gets.
    fn matches_none(&mut self, cards: &[Card]) {
        let here = cards
            .iter()
            .map(|card| format!("{} {}", card.name, card.mac));
        let here = here.collect::<Vec<_>>().join(", ");
        let why = format!("no card matches; here: {here}");
        let asks = ASKS.iter().any(|name| self.node.get(name).is_some());
        match asks || self.refuses_dhcp() {
            true => self.failed(format_args!("{why}")),
            false => self.unsupported(format_args!("{why}")),
        }
    }

    /// Returns the name in `set-name`, if the kernel accepts that name (dev_valid_name), else the
    /// current one.
    fn new_name(&mut self, current: &str) -> String {
        let Some(name) = self.node.get_text("set-name") else {
            return current.to_owned();
        };
        let is_valid = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let is_name = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_valid);
        if !is_name || matches!(name, "." | ".." | "lo") {
            self.failed(format_args!("set-name {name:?}: 15 letters and digits"));
            return current.to_owned();
        }
        name.to_owned()
    }

    /// Returns the plan for `b2p net`, or `None` if the card gets no address.
    fn plan(&mut self, name: &str) -> Option<String> {
        for (key, _) in self.node.map("", self.diagnostics) {
            if !KNOWN.contains(&key.as_str()) {
                self.unsupported(format_args!("{key} is not supported"));
            }
        }
        let address = self.address();
        let servers = self.name_servers();
        let gateway = self.gateway();
        if self.node.get_bool("dhcp4", &self.place, self.diagnostics) == Some(true) {
            self.overrides();
            for (is_given, what) in [
                (address.is_some(), "addresses"),
                (gateway.is_some(), "a gateway"),
                (!servers.is_empty(), "nameservers"),
            ] {
                if is_given {
                    self.unsupported(format_args!("{what} beside dhcp4 are not supported"));
                }
            }
            return Some(format!("dhcp {name}"));
        }
        let address = address?;
        let Some((address, prefix)) = parse_prefixed(address) else {
            self.failed(format_args!("addresses: {address}: such as 10.0.0.5/24"));
            return None;
        };
        let gateway = gateway.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let mut plan = format!("static {name} {address} {prefix} {gateway}");
        for server in servers {
            plan.push_str(&format!(" {server}"));
        }
        Some(plan)
    }

    /// Returns the items of a list.
    fn list(&mut self, name: &str, node: Option<&'n Node>) -> &'n [Node] {
        let place = format!("{}: {name}", self.place);
        node.map(|node| node.list(&place, self.diagnostics))
            .unwrap_or_default()
    }

    /// Returns the first IPv4 address.
    fn address(&mut self) -> Option<&'n str> {
        let mut found = None;
        for item in self.list("addresses", self.node.get("addresses")) {
            // With settings of the address, of which none is known here.
            let text = match item {
                Node::Map(entries) => entries.first().map(|(address, _)| address.as_str()),
                item => item.expect_text(&format!("{}: addresses", self.place), self.diagnostics),
            };
            match text {
                None => {}
                Some(text) if text.contains(':') => {
                    self.unsupported(format_args!(
                        "IPv6 addresses are not supported; routers advertise them"
                    ));
                }
                Some(_) if found.is_some() => {
                    self.unsupported(format_args!("more than one IPv4 address is not supported"));
                }
                text => found = text,
            }
        }
        found
    }

    fn name_servers(&mut self) -> Vec<Ipv4Addr> {
        let mut servers = Vec::new();
        let place = format!("{}: nameservers", self.place);
        let Some(node) = self.node.get("nameservers") else {
            return servers;
        };
        for (name, _) in node.map(&place, self.diagnostics) {
            if name != "addresses" {
                self.unsupported(format_args!("nameservers: {name} is not supported"));
            }
        }
        for item in self.list("nameservers: addresses", node.get("addresses")) {
            match item.text().unwrap_or_default() {
                text if text.contains(':') => {
                    self.unsupported(format_args!(
                        "nameservers: IPv6 is not supported; routers advertise them"
                    ));
                }
                text => match text.parse() {
                    Ok(address) => servers.push(address),
                    Err(_) => self.failed(format_args!("nameservers: {text}: an address")),
                },
            }
        }
        servers
    }

    /// Returns `gateway4`, or the gateway of the first default route of IPv4.
    fn gateway(&mut self) -> Option<Ipv4Addr> {
        let of_family = self.node.get_text("gateway4").map(|via| ("gateway4", via));
        let mut all: Vec<(&str, &str)> = of_family.into_iter().collect();
        for route in self.list("routes", self.node.get("routes")) {
            let place = format!("{}: routes", self.place);
            if !route.has_only(ROUTE, &place, self.diagnostics) {
                continue;
            }
            let via = route.get_text("via").unwrap_or_default();
            match route.get_text("to") {
                Some("::/0") => self.unsupported(format_args!("routes of IPv6 are not supported")),
                Some("default") if via.contains(':') => {
                    self.unsupported(format_args!("routes of IPv6 are not supported"));
                }
                Some("default" | "0.0.0.0/0") => all.push(("routes: via", via)),
                _ => self.unsupported(format_args!(
                    "routes other than the default one are not supported"
                )),
            }
        }
        let mut found = None;
        for (name, via) in all {
            match via.parse() {
                Ok(_) if found.is_some() => {
                    self.failed(format_args!("{name} {via}: a second gateway"))
                }
                Ok(gateway) => found = Some(gateway),
                Err(_) => self.failed(format_args!("{name} {via}: an IPv4 address")),
            }
        }
        found
    }

    /// Names settings that would have parts of a lease left out.
    fn overrides(&mut self) {
        let Some(node) = self.node.get("dhcp4-overrides") else {
            return;
        };
        let place = format!("{}: dhcp4-overrides", self.place);
        for (name, value) in node.map(&place, self.diagnostics) {
            let line = format!("dhcp4-overrides: {name} is not supported");
            match (name.as_str(), value.as_bool()) {
                ("route-metric", _) | (_, Some(true)) => {}
                ("use-dns" | "use-routes", Some(false)) => self.failed(format_args!("{line}")),
                _ => self.unsupported(format_args!("{line}")),
            }
        }
    }
}

/// Parses an address with the length of its network's prefix.
fn parse_prefixed(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let prefix = prefix.parse().ok().filter(|p| *p <= 32)?;
    Some((address.parse().ok()?, prefix))
}

#[cfg(test)]
mod tests;
