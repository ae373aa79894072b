// SPDX-License-Identifier: Apache-2.0
//! Network-config of version 1, in the form of Proxmox VE, in the terms of version 2: cards by their MAC addresses,
//! with DHCP or an address, and name servers of the machine.

use std::net::Ipv4Addr;

use super::super::diagnostics::Diagnostics;
use super::super::yaml::Node;

/// Start of diagnostics.
const PLACE: &str = "network-config: config";

/// Returns `ethernets` of version 2 for `config` of version 1, and names settings without a counterpart.
pub fn ethernets(config: &Node, diagnostics: &mut Diagnostics) -> Node {
    let (mut cards, mut servers) = (Vec::new(), Vec::new());
    for item in config.list(PLACE, diagnostics) {
        match item.get_text("type").unwrap_or_default() {
            "physical" => cards.push(physical(item, diagnostics)),
            "nameserver" => {
                let texts = item.get("address").map(Node::all_texts);
                servers.extend(texts.unwrap_or_default().into_iter().map(text));
            }
            other => diagnostics.unsupported(format_args!("{PLACE}: {other:?} is not supported")),
        }
    }
    let servers = map("addresses", Node::List(servers));
    let card = |(name, mut entries): (String, Vec<_>)| {
        entries.push(("nameservers".to_owned(), servers.clone()));
        (name, Node::Map(entries))
    };
    Node::Map(cards.into_iter().map(card).collect())
}

/// Returns name and settings of a card.
fn physical(item: &Node, diagnostics: &mut Diagnostics) -> (String, Vec<(String, Node)>) {
    let name = item.get_text("name").unwrap_or_default();
    let mut entries = Vec::new();
    let mut add = |name: &str, value: Node| entries.push((name.to_owned(), value));
    if let Some(mac) = item.get_text("mac_address") {
        add("match", map("macaddress", text(mac)));
        add("set-name", text(name));
    }
    let mut addresses = Vec::new();
    let place = format!("{PLACE}: {name}: subnets");
    let subnets = item.get("subnets").unwrap_or(&Node::Null);
    for subnet in subnets.list(&place, diagnostics) {
        let gateway = subnet.get_text("gateway");
        match subnet.get_text("type").unwrap_or_default() {
            "dhcp" | "dhcp4" => add("dhcp4", text("true")),
            "static" | "static6" => {
                addresses.push(text(&address(subnet)));
                if let Some(gateway) = gateway.filter(|gateway| !gateway.contains(':')) {
                    add("gateway4", text(gateway));
                }
            }
            other => diagnostics.unsupported(format_args!("{place}: {other:?} is not supported")),
        }
        for (name, _) in subnet.map(&place, diagnostics) {
            if !["type", "address", "netmask", "gateway"].contains(&name.as_str()) {
                diagnostics.unsupported(format_args!("{place}: {name} is not supported"));
            }
        }
    }
    if !addresses.is_empty() {
        add("addresses", Node::List(addresses));
    }
    (name.to_owned(), entries)
}

/// Returns an address with the length of its prefix, which `netmask` may have.
fn address(subnet: &Node) -> String {
    let address = subnet.get_text("address").unwrap_or_default();
    let mask = subnet.get_text("netmask").map(str::parse::<Ipv4Addr>);
    match mask {
        Some(Ok(mask)) if !address.contains('/') => {
            format!("{address}/{}", u32::from(mask).leading_ones())
        }
        _ => address.to_owned(),
    }
}

fn text(text: &str) -> Node {
    Node::Text(text.to_owned())
}

fn map(name: &str, value: Node) -> Node {
    Node::Map(vec![(name.to_owned(), value)])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::cards;
    use super::super::{Diagnostics, Network, parse};

    /// Proxmox VE (`PVE/QemuServer/Cloudinit.pm`, `nocloud_network`): one card with an address of each family, one
    /// with DHCP.
    const PROXMOX: &str = "\
version: 1
config:
    - type: physical
      name: eth0
      mac_address: '52:55:55:00:00:01'
      subnets:
      - type: static
        address: '10.0.0.5'
        netmask: '255.255.255.0'
        gateway: '10.0.0.1'
      - type: static6
        address: '2001:db8::5/64'
        gateway: '2001:db8::1'
    - type: physical
      name: eth1
      mac_address: '52:55:55:00:00:02'
      subnets:
      - type: dhcp4
    - type: nameserver
      address:
      - '10.0.0.53'
      search:
      - 'example.org'
";

    fn parsed(text: &str) -> (Network, Diagnostics) {
        parse(text, &cards()).unwrap()
    }

    #[test]
    fn network_config_of_proxmox_is_read() {
        let (network, diagnostics) = parsed(PROXMOX);
        let plans = ["static eth0 10.0.0.5 24 10.0.0.1 10.0.0.53", "dhcp eth1"];
        assert_eq!(network.plans, plans);
        assert!(network.renames.is_empty());
        assert!(diagnostics.failed.is_empty(), "{diagnostics:?}");
        // As without `ipconfig`.
        let text =
            "version: 1\nconfig:\n    - type: nameserver\n      address:\n      - '10.0.0.53'\n";
        assert_eq!(parsed(text), (Network::default(), Diagnostics::default()));
    }

    #[test]
    fn settings_of_version_1_without_a_counterpart_are_named() {
        for (text, word) in [
            ("[{type: bond, name: bond0}]", "\"bond\""),
            (
                "[{type: physical, name: eth0, subnets: [{type: ipv6_slaac}]}]",
                "\"ipv6_slaac\"",
            ),
            (
                "[{type: physical, name: eth0, subnets: [{type: dhcp, routes: []}]}]",
                "routes",
            ),
        ] {
            let (_, diagnostics) = parsed(&format!("version: 1\nconfig: {text}\n"));
            let said = diagnostics.unsupported.join("\n");
            assert!(said.contains(word), "{text}: {diagnostics:?}");
        }
        let (_, diagnostics) = parsed("version: 1\nconfig: {a: b}\n");
        assert_eq!(
            diagnostics.failed,
            ["network-config: config: must be a list"]
        );
        let (_, diagnostics) = parsed(&PROXMOX.replace("00:01'", "00:0a'"));
        assert!(
            diagnostics.failed[0].contains("no card matches"),
            "{diagnostics:?}"
        );
    }
}
