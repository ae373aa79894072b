// SPDX-License-Identifier: Apache-2.0
//! Parses network-config, version 2, as far as it is supported: network cards by their name
//! or MAC address, their new names, DHCP or an IPv4 address. The result are new names, and plans
//! in the format of `b2p net`.

use std::net::Ipv4Addr;

use sys::error::{Error, Result};

use super::diagnostics::Diagnostics;
use super::yaml::{Node, parse as parse_yaml};

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
    /// A plan for each card; empty if every card uses DHCP, as it does by default.
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
    "accept-ra",
    "critical",
    "renderer",
    "link-local",
    "ignore-carrier",
    "wakeonlan",
];

/// Longest name of a card (linux/if.h, IFNAMSIZ).
const MAX_NAME: usize = 15;

/// Parses the text for a machine with these cards.
///
/// # Errors
/// The text is not YAML, or of another version; every card uses DHCP then.
pub fn parse(text: &str, cards: &[Card]) -> Result<(Network, Diagnostics)> {
    let (mut network, mut diagnostics) = (Network::default(), Diagnostics::default());
    let tree = parse_yaml(text)?;
    let tree = tree.get("network").unwrap_or(&tree);
    let wrong_version = match tree.get_text("version") {
        Some("2") => None,
        None if *tree == Node::Null => return Ok((network, diagnostics)),
        Some(other) => Some(format!("version {other} is not supported: version 2 is")),
        None => Some("it has no version: version: 2".to_owned()),
    };
    if let Some(reason) = wrong_version {
        return Err(Error::invalid(reason));
    }
    for name in names(tree) {
        if !["version", "ethernets", "renderer"].contains(&name) {
            let line = format_args!("network-config: {name} is not supported");
            diagnostics.unsupported(line);
        }
    }
    let mut only_dhcp = true;
    for (id, node) in entries(tree.get("ethernets")) {
        let mut card = CardConfig {
            id,
            node,
            diagnostics: &mut diagnostics,
        };
        let Some(existing) = card.matching(cards) else {
            card.unsupported("no card here matches");
            continue;
        };
        let name = card.new_name(&existing.name);
        let is_renamed = network.renames.iter().any(|(n, _)| *n == existing.name);
        if name != existing.name && !is_renamed {
            let rename = (existing.name.clone(), name.clone());
            network.renames.push(rename);
        }
        let plan = card.plan(&name);
        only_dhcp &= plan.as_deref().is_some_and(|p| p.starts_with("dhcp"));
        network.plans.extend(plan);
    }
    if only_dhcp {
        network.plans.clear();
    }
    Ok((network, diagnostics))
}

fn entries(node: Option<&Node>) -> &[(String, Node)] {
    match node {
        Some(Node::Map(entries)) => entries,
        _ => &[],
    }
}

fn names(node: &Node) -> impl Iterator<Item = &str> {
    entries(Some(node)).iter().map(|(name, _)| name.as_str())
}

/// Settings of one card, by an id that need not be its name.
struct CardConfig<'a> {
    id: &'a str,
    node: &'a Node,
    diagnostics: &'a mut Diagnostics,
}

impl CardConfig<'_> {
    fn unsupported(&mut self, what: &str) {
        let line = format_args!("network-config: {}: {what}", self.id);
        self.diagnostics.unsupported(line);
    }

    fn failed(&mut self, why: &str) {
        let line = format_args!("network-config: {}: {why}", self.id);
        self.diagnostics.failed(line);
    }

    /// Returns the card that the settings are for.
    fn matching<'c>(&self, cards: &'c [Card]) -> Option<&'c Card> {
        let Some(criteria) = self.node.get("match") else {
            return cards.iter().find(|c| c.name == self.id);
        };
        let mac = criteria.get_text("macaddress").map(str::to_ascii_lowercase);
        let pattern = criteria.get_text("name");
        if mac.is_none() && pattern.is_none() {
            return None;
        }
        let has_mac = |c: &Card| mac.as_ref().is_none_or(|mac| *mac == c.mac);
        let has_name = |c: &Card| {
            let name = c.name.as_bytes();
            pattern.is_none_or(|p| sys::modules::glob_match(p.as_bytes(), name))
        };
        cards.iter().find(|c| has_mac(c) && has_name(c))
    }

    /// Returns the name in `set-name`, if the kernel takes it (dev_valid_name), else the current
    /// one.
    fn new_name(&mut self, current: &str) -> String {
        let Some(name) = self.node.get_text("set-name") else {
            return current.to_owned();
        };
        let is_valid = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let is_name = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_valid);
        if !is_name || matches!(name, "." | ".." | "lo") {
            self.failed(&format!("set-name {name:?}: 15 letters and digits"));
            return current.to_owned();
        }
        name.to_owned()
    }

    /// Returns the plan for `b2p net`, or `None` if the card gets no address.
    fn plan(&mut self, name: &str) -> Option<String> {
        for key in names(self.node).filter(|key| !KNOWN.contains(key)) {
            self.unsupported(&format!("{key} is not supported"));
        }
        let addresses = self.node.texts("addresses");
        let (v4, v6): (Vec<_>, Vec<_>) = addresses.iter().partition(|a| !a.contains(':'));
        if !v6.is_empty() {
            self.unsupported("IPv6 addresses are not supported; routers advertise them");
        }
        let servers = self.name_servers();
        if self.node.is_true("dhcp4") {
            if !v4.is_empty() {
                self.unsupported("addresses beside dhcp4 are not supported");
            }
            return Some(format!("dhcp {name}"));
        }
        let address = v4.first()?;
        if v4.len() > 1 {
            self.unsupported("more than one IPv4 address is not supported");
        }
        let Some((address, prefix)) = parse_prefixed(address) else {
            self.failed(&format!("addresses: {address}: such as 10.0.0.5/24"));
            return None;
        };
        let gateway = self.gateway().unwrap_or(Ipv4Addr::UNSPECIFIED);
        let mut plan = format!("static {name} {address} {prefix} {gateway}");
        for server in servers {
            plan.push_str(&format!(" {server}"));
        }
        Some(plan)
    }

    fn name_servers(&mut self) -> Vec<Ipv4Addr> {
        let node = self.node.get("nameservers");
        let addresses = node.map(|n| n.texts("addresses")).unwrap_or_default();
        let mut servers = Vec::new();
        for text in addresses.iter().filter(|a| !a.contains(':')) {
            match text.parse() {
                Ok(address) => servers.push(address),
                Err(_) => self.failed(&format!("nameservers: {text}: an address")),
            }
        }
        servers
    }

    /// Returns `gateway4`, or the gateway of the default route.
    fn gateway(&mut self) -> Option<Ipv4Addr> {
        let mut via = self.node.get_text("gateway4");
        let routes = self.node.get("routes");
        for route in routes.map(Node::items).unwrap_or_default() {
            match route.get_text("to") {
                Some("default" | "0.0.0.0/0") => via = route.get_text("via").or(via),
                _ => self.unsupported("routes other than the default one are not supported"),
            }
        }
        let via = via?;
        let gateway = via.parse().ok();
        if gateway.is_none() {
            self.failed(&format!("the gateway {via}: an IPv4 address"));
        }
        gateway
    }
}

/// Parses an address with the length of its network's prefix.
fn parse_prefixed(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let prefix = prefix.parse().ok().filter(|p| *p <= 32)?;
    Some((address.parse().ok()?, prefix))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::why;

    fn cards() -> Vec<Card> {
        let card = |name: &str, mac: &str| Card {
            name: name.into(),
            mac: mac.into(),
        };
        vec![
            card("eth0", "52:55:55:00:00:01"),
            card("eth1", "52:55:55:00:00:02"),
        ]
    }

    const LIMA: &str = "\
version: 2
ethernets:
  eth0:
    match:
      macaddress: '52:55:55:00:00:01'
    dhcp4: true
    set-name: eth0
    dhcp4-overrides:
      route-metric: 200
    dhcp-identifier: mac
    nameservers:
      addresses:
      - 192.168.5.3
  lima0:
    match:
      macaddress: '52:55:55:00:00:02'
    dhcp4: true
    set-name: lima0
";

    #[test]
    fn limas_way_is_dhcp_and_names() {
        let (network, diagnostics) = parse(LIMA, &cards()).unwrap();
        assert_eq!(network.renames, [("eth1".to_owned(), "lima0".to_owned())]);
        assert!(network.plans.is_empty());
        assert_eq!(diagnostics, Diagnostics::default());
    }

    const STATIC: &str = "\
network:
  version: 2
  ethernets:
    a:
      match: {macaddress: 52:55:55:00:00:02}
      set-name: lan
      addresses: [10.0.0.5/24, 'fd00::5/64']
      routes: [{to: default, via: 10.0.0.1}, {to: 10.9.0.0/16, via: 10.0.0.2}]
      nameservers: {addresses: [1.1.1.1, '::1']}
    eth0: {dhcp4: yes}
    wan: {dhcp4: true}
  bonds: {}
";

    #[test]
    fn an_address_of_its_own() {
        let (network, diagnostics) = parse(STATIC, &cards()).unwrap();
        let lan = "static lan 10.0.0.5 24 10.0.0.1 1.1.1.1";
        assert_eq!(network.plans, [lan, "dhcp eth0"]);
        assert!(diagnostics.failed.is_empty(), "{diagnostics:?}");
        for part in ["bonds", "wan: no card", "IPv6", "routes other"] {
            let mut lines = diagnostics.unsupported.iter();
            assert!(lines.any(|l| l.contains(part)), "{part} {diagnostics:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_what_is_older_refused() {
        let text = "version: 2\nethernets: {eth0: {addresses: [10.0.0.5], set-name: a/b}}";
        let (network, diagnostics) = parse(text, &cards()).unwrap();
        assert!(network.renames.is_empty() && network.plans.is_empty());
        let failed = &diagnostics.failed;
        assert!(
            failed.len() == 2 && failed[1].contains("10.0.0.5/24"),
            "{failed:?}"
        );
        let old = parse("version: 1\nconfig: []\n", &cards());
        assert!(why(old).contains("version 2"));
        assert!(parse("ethernets: {}\n", &cards()).is_err());
        assert_eq!(parse("", &cards()).unwrap().0, Network::default());
    }
}
