// SPDX-License-Identifier: Apache-2.0
//! The rules in nft's language (nft(8)), and the program that sets them.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use sys::error::{Doing, Error, Result};

use super::super::prefix::Prefix;

/// Path of nft(8), which netavark needs, too.
const NFT: &str = "/usr/sbin/nft";

/// Returns the rules in nft's language; none without a card or a network. Where a network overlaps a
/// card's, the card's own addresses in that network are the machine's.
pub fn rules(cards: &[&str], own: &[IpAddr], networks: &BTreeSet<Prefix>) -> String {
    if cards.is_empty() || networks.is_empty() {
        return String::new();
    }
    let cards = quoted(cards.iter());
    let rule = |network: &Prefix| {
        let family = if network.first.is_ipv4() { "ip" } else { "ip6" };
        format!("iifname {{ {cards} }} {family} daddr {network} counter drop\n")
    };
    let accept = |addr: &IpAddr| {
        let family = if addr.is_ipv4() { "ip" } else { "ip6" };
        format!("iifname {{ {cards} }} {family} daddr {addr} accept\n")
    };
    let within = |addr: &&IpAddr| networks.iter().any(|network| network.contains(addr));
    let accepts = own.iter().filter(within).map(accept);
    let rules: String = accepts.chain(networks.iter().map(rule)).collect();
    format!(
        "chain ways-in {{\ntype filter hook prerouting priority raw; policy accept;\n{rules}}}\n"
    )
}

/// Returns the rule that keeps all bridges but those with a card from the machine's ssh server, in
/// nft's language. `iifkind` is the kind of the interface (nft(8)).
pub fn ssh_rule(with_cards: &BTreeSet<String>, ports: &[u16]) -> String {
    let but = match with_cards.is_empty() {
        true => String::new(),
        false => format!("iifname != {{ {} }} ", quoted(with_cards.iter())),
    };
    let all: Vec<String> = ports.iter().map(u16::to_string).collect();
    let ports = match all.as_slice() {
        [port] => port.clone(),
        all => format!("{{ {} }}", all.join(", ")),
    };
    format!(
        "chain ssh {{\ntype filter hook input priority filter; policy accept;\n\
         meta iifkind \"bridge\" {but}tcp dport {ports} counter drop\n}}\n"
    )
}

/// Returns the names of interfaces as the elements of a set.
fn quoted(names: impl Iterator<Item = impl std::fmt::Display>) -> String {
    let names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
    names.join(", ")
}

/// Replaces the table of this service in one transaction (nft(8)).
pub fn set(rules: &str) -> Result<()> {
    let table = "table inet boot2podman";
    let new = match rules {
        "" => String::new(),
        rules => format!("{table} {{\n{rules}}}\n"),
    };
    let mut nft = Command::new(NFT)
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .on(NFT)?;
    if let Some(mut stdin) = nft.stdin.take() {
        let script = format!("add {table}\ndelete {table}\n{new}");
        stdin.write_all(script.as_bytes()).on(NFT)?;
    }
    let output = nft.wait_with_output().on(NFT)?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    let first_line = message.lines().next().unwrap_or_default().to_owned();
    Err(Error::invalid(first_line))
}

#[cfg(test)]
mod tests {
    use super::super::super::prefix::tests::prefix;
    use super::*;

    #[test]
    fn each_network_has_its_rule_and_none_has_none() {
        let all = BTreeSet::from(["10.88.0.1/16", "fd00::1/64"].map(prefix));
        let own = ["10.88.0.15", "192.168.1.2"].map(|addr| prefix(addr).first);
        let text = rules(&["eth0", "eth1"], &own, &all);
        let accept = "iifname { \"eth0\", \"eth1\" } ip daddr 10.88.0.15 accept\niifname";
        assert!(
            text.contains(accept) && !text.contains("192.168.1.2"),
            "{text}"
        );
        let v4 = "iifname { \"eth0\", \"eth1\" } ip daddr 10.88.0.0/16 counter drop\n";
        assert!(text.contains(v4), "{text}");
        assert!(
            text.contains("ip6 daddr fd00::/64 counter drop\n"),
            "{text}"
        );
        assert_eq!(rules(&[], &own, &all), "");
        assert_eq!(rules(&["eth0"], &own, &BTreeSet::new()), "");
    }

    #[test]
    fn bridges_are_kept_from_ssh_and_cards_are_not() {
        let lan = BTreeSet::from(["br-lan", "br1"].map(str::to_owned));
        for (with_cards, but) in [
            (BTreeSet::new(), ""),
            (lan, "iifname != { \"br-lan\", \"br1\" } "),
        ] {
            let text = ssh_rule(&with_cards, &[22, 2222]);
            let rule =
                format!("meta iifkind \"bridge\" {but}tcp dport {{ 22, 2222 }} counter drop\n");
            assert!(
                text.contains(&rule) && text.contains("hook input"),
                "{text}"
            );
        }
    }
}
