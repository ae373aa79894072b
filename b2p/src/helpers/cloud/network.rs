//! network-config, version 2, as far as it is supported: Ethernet cards by their name or
//! MAC address, their new names, DHCP or an IPv4 address. Pure: what cards there are is
//! an argument; what comes of it are names, and words as `b2p net` takes them.

use std::net::Ipv4Addr;

use super::diagnostics::Notes;
use super::yaml::{Node, parse};

/// A card that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its name now.
    pub name: String,
    /// As sysfs has it, in small letters.
    pub mac: String,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Names now, and names to be.
    pub renames: Vec<(String, String)>,
    /// A line for each card; none where every card has DHCP, as without any of this.
    pub plans: Vec<String>,
}

/// What is known of a card, and what there is nothing to do for.
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

/// Reads it.
///
/// # Errors
/// What is wrong with it as a whole; then every card has DHCP.
pub fn read(text: &str, cards: &[Card]) -> Result<(Network, Notes), String> {
    let (mut network, mut notes) = (Network::default(), Notes::default());
    let tree = parse(text)?;
    let tree = tree.get("network").unwrap_or(&tree);
    match tree.word("version") {
        Some("2") => {}
        None if *tree == Node::Null => return Ok((network, notes)),
        Some(other) => return Err(format!("version {other} is not supported: version 2 is")),
        None => return Err("it has no version: version: 2".to_owned()),
    }
    let Node::Map(all) = tree else {
        return Ok((network, notes));
    };
    for (name, _) in all {
        if !["version", "ethernets", "renderer"].contains(&name.as_str()) {
            notes.left(format!("network-config: {name} is not supported"));
        }
    }
    let mut plain = true;
    if let Some(Node::Map(all)) = tree.get("ethernets") {
        for (id, node) in all {
            let Some(card) = matching(id, node, cards) else {
                notes.left(format!("network-config: {id}: no card here is meant"));
                continue;
            };
            let name = new_name(id, node, &card.name, &mut notes);
            if name != card.name && !network.renames.iter().any(|(n, _)| *n == card.name) {
                network.renames.push((card.name.clone(), name.clone()));
            }
            let plan = plan(id, &name, node, &mut notes);
            plain &= plan.as_deref().is_some_and(|p| p.starts_with("dhcp"));
            network.plans.extend(plan);
        }
    }
    if plain {
        network.plans.clear();
    }
    Ok((network, notes))
}

fn matching<'a>(id: &str, node: &Node, cards: &'a [Card]) -> Option<&'a Card> {
    let Some(by) = node.get("match") else {
        return cards.iter().find(|c| c.name == id);
    };
    let mac = by.word("macaddress").map(str::to_ascii_lowercase);
    let name = by.word("name");
    let fits = |c: &&Card| {
        mac.as_ref().is_none_or(|m| *m == c.mac)
            && name.is_none_or(|n| sys::modules::glob_match(n.as_bytes(), c.name.as_bytes()))
    };
    (mac.is_some() || name.is_some())
        .then(|| cards.iter().find(fits))
        .flatten()
}

/// `set-name`, if the kernel can have it (dev_valid_name).
fn new_name(id: &str, node: &Node, now: &str, notes: &mut Notes) -> String {
    let Some(name) = node.word("set-name") else {
        return now.to_owned();
    };
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.is_empty()
        || name.len() > 15
        || !name.bytes().all(good)
        || matches!(name, "." | ".." | "lo")
    {
        notes.wrong(format!(
            "network-config: {id}: set-name {name:?}: 15 letters and digits"
        ));
        return now.to_owned();
    }
    name.to_owned()
}

/// The words of `b2p net` for this card; `None` where it gets no address.
fn plan(id: &str, name: &str, node: &Node, notes: &mut Notes) -> Option<String> {
    for key in keys(node).filter(|k| !KNOWN.contains(k)) {
        notes.left(format!("network-config: {id}: {key} is not supported"));
    }
    let addresses = node.texts("addresses");
    let (v4, others): (Vec<_>, Vec<_>) = addresses.iter().partition(|a| !a.contains(':'));
    if !others.is_empty() {
        notes.left(format!(
            "network-config: {id}: IPv6 addresses are not supported; routers advertise them"
        ));
    }
    let servers = servers(id, node, notes);
    if node.is_on("dhcp4") {
        if !v4.is_empty() {
            notes.left(format!(
                "network-config: {id}: addresses beside dhcp4 are not supported"
            ));
        }
        return Some(format!("dhcp {name}"));
    }
    let mut v4 = v4.into_iter();
    let address = v4.next()?;
    if v4.next().is_some() {
        notes.left(format!(
            "network-config: {id}: more than one IPv4 address is not supported"
        ));
    }
    let Some((addr, prefix)) = prefixed(address) else {
        notes.wrong(format!(
            "network-config: {id}: addresses: {address}: such as 10.0.0.5/24"
        ));
        return None;
    };
    let gateway = gateway(id, node, notes).unwrap_or(Ipv4Addr::UNSPECIFIED);
    let mut words = format!("static {name} {addr} {prefix} {gateway}");
    servers
        .iter()
        .for_each(|s| words.push_str(&format!(" {s}")));
    Some(words)
}

fn keys(node: &Node) -> impl Iterator<Item = &str> {
    let all = match node {
        Node::Map(all) => all.as_slice(),
        _ => &[],
    };
    all.iter().map(|(name, _)| name.as_str())
}

fn prefixed(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (addr, prefix) = text.split_once('/')?;
    Some((
        addr.parse().ok()?,
        prefix.parse().ok().filter(|p| *p <= 32)?,
    ))
}

fn servers(id: &str, node: &Node, notes: &mut Notes) -> Vec<Ipv4Addr> {
    let all = node
        .get("nameservers")
        .map(|n| n.texts("addresses"))
        .unwrap_or_default();
    let mut good = Vec::new();
    for text in all.iter().filter(|t| !t.contains(':')) {
        match text.parse() {
            Ok(addr) => good.push(addr),
            Err(_) => notes.wrong(format!(
                "network-config: {id}: nameservers: {text}: an address"
            )),
        }
    }
    good
}

/// `gateway4`, or the route to everywhere.
fn gateway(id: &str, node: &Node, notes: &mut Notes) -> Option<Ipv4Addr> {
    let mut via = node.word("gateway4");
    for route in node.get("routes").map(Node::list).unwrap_or_default() {
        match route.word("to") {
            Some("default" | "0.0.0.0/0") => via = route.word("via").or(via),
            _ => notes.left(format!(
                "network-config: {id}: routes other than the default one are not supported"
            )),
        }
    }
    let via = via?;
    let parsed = via.parse().ok();
    if parsed.is_none() {
        notes.wrong(format!(
            "network-config: {id}: the gateway {via}: an IPv4 address"
        ));
    }
    parsed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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

    #[test]
    fn limas_way_is_dhcp_and_names() {
        let text = "version: 2\nethernets:\n  eth0:\n    match:\n      macaddress: '52:55:55:00:00:01'\n    dhcp4: true\n    set-name: eth0\n    dhcp4-overrides:\n      route-metric: 200\n    dhcp-identifier: mac\n    nameservers:\n      addresses:\n      - 192.168.5.3\n  lima0:\n    match:\n      macaddress: '52:55:55:00:00:02'\n    dhcp4: true\n    set-name: lima0\n";
        let (network, notes) = read(text, &cards()).unwrap();
        assert_eq!(network.renames, [("eth1".to_owned(), "lima0".to_owned())]);
        assert!(
            network.plans.is_empty() && notes == Notes::default(),
            "{notes:?}"
        );
    }

    #[test]
    fn an_address_of_its_own() {
        let text = "network:\n  version: 2\n  ethernets:\n    a:\n      match: {macaddress: 52:55:55:00:00:02}\n      set-name: lan\n      addresses: [10.0.0.5/24, 'fd00::5/64']\n      routes: [{to: default, via: 10.0.0.1}, {to: 10.9.0.0/16, via: 10.0.0.2}]\n      nameservers: {addresses: [1.1.1.1, '::1']}\n    eth0: {dhcp4: yes}\n    wan: {dhcp4: true}\n  bonds: {}\n";
        let (network, notes) = read(text, &cards()).unwrap();
        assert_eq!(
            network.plans,
            ["static lan 10.0.0.5 24 10.0.0.1 1.1.1.1", "dhcp eth0"]
        );
        assert!(notes.wrong.is_empty(), "{notes:?}");
        for part in ["bonds", "wan: no card", "IPv6", "routes other"] {
            assert!(
                notes.left.iter().any(|n| n.contains(part)),
                "{part} {notes:?}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_what_is_older_refused() {
        let text = "version: 2\nethernets: {eth0: {addresses: [10.0.0.5], set-name: a/b}}";
        let (network, notes) = read(text, &cards()).unwrap();
        assert!(network.renames.is_empty() && network.plans.is_empty());
        assert!(
            notes.wrong.len() == 2 && notes.wrong[1].contains("10.0.0.5/24"),
            "{notes:?}"
        );
        assert!(
            read("version: 1\nconfig: []\n", &cards())
                .unwrap_err()
                .contains("version 2")
        );
        assert!(read("ethernets: {}\n", &cards()).is_err());
        assert_eq!(read("", &cards()).unwrap().0, Network::default());
    }
}
