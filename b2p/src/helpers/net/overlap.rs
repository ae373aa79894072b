// SPDX-License-Identifier: Apache-2.0
//! Networks of containers that overlap a card's, of IPv4 and of IPv6. Pure.
//!
//! A bridge's route to its network takes precedence over the card's, and neighbours in the common
//! part are then out of reach. podman's default network is moved before podman makes the bridge. For
//! any other, a degraded line names the overlap, and the machine itself stays reachable
//! (`rules::OwnNetwork`).

use std::net::Ipv4Addr;

use super::lease::Network;
use super::prefix::Prefix;
use crate::common::podman_defaults;

/// podman's default network without `default_subnet` (containers.conf(5)), and the replacements
/// where that network overlaps a card's. None is in the ranges of `podman network create`.
const CANDIDATES: &[Network] = &[
    Network::new(Ipv4Addr::new(10, 88, 0, 0), 16),
    Network::new(Ipv4Addr::new(10, 87, 0, 0), 16),
    Network::new(Ipv4Addr::new(10, 86, 0, 0), 16),
    Network::new(Ipv4Addr::new(172, 30, 0, 0), 16),
    Network::new(Ipv4Addr::new(172, 29, 0, 0), 16),
    Network::new(Ipv4Addr::new(192, 168, 88, 0), 24),
    Network::new(Ipv4Addr::new(192, 168, 188, 0), 24),
];
/// podman's own default.
pub const DEFAULT: Network = CANDIDATES[0];
/// Bridge of podman's default network.
pub const DEFAULT_BRIDGE: &str = "podman0";

/// A network that an interface leads to.
pub type Reached = (String, Prefix);

/// Returns podman's default network: the current one unless a network overlaps it.
#[must_use]
pub fn choose(current: Network, taken: &[Reached]) -> Network {
    let overlaps = |net: &Network, other: &Prefix| other.overlaps(&Prefix::from(*net));
    let is_free = |net: &&Network| !taken.iter().any(|(_, other)| overlaps(net, other));
    let mut all = [current]
        .iter()
        .chain(CANDIDATES)
        .copied()
        .collect::<Vec<_>>();
    all.dedup();
    all.iter().find(is_free).copied().unwrap_or(current)
}

/// Returns a line for every bridge whose network overlaps one that a card leads to; `next` is the
/// default network of the next container.
#[must_use]
pub fn lines(bridges: &[Reached], cards: &[Reached], next: Network) -> Vec<String> {
    let mut lines = Vec::new();
    for (bridge, network) in bridges {
        let overlapping = cards.iter().find(|(_, other)| other.overlaps(network));
        let Some((card, other)) = overlapping else {
            continue;
        };
        let remedy = match bridge.as_str() {
            DEFAULT_BRIDGE if network.first.is_ipv4() && !other.overlaps(&next.into()) => format!(
                "stop all containers on podman's default network and start them again: it is then {next}"
            ),
            _ => "remove this network and create it again with another --subnet".to_owned(),
        };
        lines.push(format!(
            "the network {network} of the bridge {bridge} overlaps {other} of {card}: \
             what both have in common is not reached by {card}; {remedy}"
        ));
    }
    lines
}

/// Returns the `default_subnet` of containers.conf(5) if this service has set that value, else
/// podman's own default.
#[must_use]
pub fn subnet_of(text: &str) -> Network {
    let set = |net: &&Network| text.contains(&format!("\ndefault_subnet = \"{net}\"\n"));
    CANDIDATES.iter().find(set).copied().unwrap_or(DEFAULT)
}

/// Returns containers.conf(5) with this `default_subnet`.
#[must_use]
pub fn with_subnet(text: &str, subnet: Network) -> String {
    let is_other = |line: &&str| !line.trim_start().starts_with("default_subnet ");
    let rest: Vec<&str> = text.lines().filter(is_other).collect();
    let rest = rest.join("\n") + "\n";
    match subnet == DEFAULT {
        true => rest,
        false => {
            let line = format!("default_subnet = \"{subnet}\"");
            podman_defaults::with_line(&rest, "[network]", &line)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::prefix::tests::prefix;
    use super::*;

    fn net(text: &str) -> Network {
        let (first, prefix) = text.split_once('/').unwrap_or((text, "32"));
        let first = first.parse().unwrap_or(Ipv4Addr::UNSPECIFIED);
        Network::new(first, prefix.parse().unwrap_or(32))
    }

    fn named(all: &[(&str, &str)]) -> Vec<Reached> {
        all.iter()
            .map(|(name, network)| ((*name).to_owned(), prefix(network)))
            .collect()
    }

    #[test]
    fn the_default_network_is_one_that_no_card_leads_to() {
        for (current, taken, chosen) in [
            ("10.88.0.0/16", &["10.0.2.0/24"][..], "10.88.0.0/16"),
            ("10.88.0.0/16", &["10.88.0.0/16"], "10.87.0.0/16"),
            ("10.88.0.0/16", &["10.88.7.0/24"], "10.87.0.0/16"),
            ("10.88.0.0/16", &["10.88.0.3/32"], "10.87.0.0/16"),
            ("10.88.0.0/16", &["fd00::/64", "::/1"], "10.88.0.0/16"),
            ("10.88.0.0/16", &["10.0.0.0/8"], "172.30.0.0/16"),
            (
                "10.88.0.0/16",
                &["10.0.0.0/8", "172.16.0.0/12"],
                "192.168.88.0/24",
            ),
            // A free network is kept: containers have addresses in it.
            ("10.87.0.0/16", &["10.0.2.0/24"], "10.87.0.0/16"),
            ("10.87.0.0/16", &["10.87.1.0/24"], "10.88.0.0/16"),
            ("10.88.0.0/16", &["0.0.0.0/0"], "10.88.0.0/16"),
        ] {
            let taken: Vec<_> = taken.iter().map(|t| ("eth0", *t)).collect();
            assert_eq!(
                choose(net(current), &named(&taken)),
                net(chosen),
                "{taken:?}"
            );
        }
    }

    #[test]
    fn the_degraded_line_names_both_networks_and_the_remedy() {
        let bridges = named(&[
            ("podman0", "10.88.0.0/16"),
            ("podman1", "10.89.0.0/24"),
            ("br0", "10.90.0.0/24"),
            ("podman1", "fd00:89::/64"),
            ("podman2", "fd00:90::/64"),
        ]);
        let cards = named(&[
            ("eth0", "10.88.0.0/16"),
            ("eth1", "10.89.0.0/16"),
            ("eth1", "fd00:89::/48"),
            ("eth1", "fd00:91::/64"),
        ]);
        let lines = lines(&bridges, &cards, net("10.87.0.0/16"));
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[2].contains("podman1 overlaps fd00:89::/48 of eth1"));
        assert!(lines[0].starts_with(
            "the network 10.88.0.0/16 of the bridge podman0 overlaps 10.88.0.0/16 of eth0: "
        ));
        assert!(
            lines[0].ends_with("it is then 10.87.0.0/16"),
            "{}",
            lines[0]
        );
        assert!(
            lines[1].contains("podman1 overlaps 10.89.0.0/16 of eth1")
                && lines[1].ends_with("--subnet")
        );
        assert!(super::lines(&bridges, &[], net("10.88.0.0/16")).is_empty());
    }

    #[test]
    fn with_subnet_changes_one_line_of_containers_conf() {
        let before = "# defaults\n\n[network]\nnetwork_backend = \"netavark\"\n\n[engine]\n";
        let moved = "# defaults\n\n[network]\ndefault_subnet = \"10.87.0.0/16\"\nnetwork_backend = \"netavark\"\n\n[engine]\n";
        for text in [before, moved] {
            assert_eq!(with_subnet(text, DEFAULT), before);
            assert_eq!(with_subnet(text, net("10.87.0.0/16")), moved);
        }
        assert_eq!(
            (subnet_of(before), subnet_of(moved)),
            (DEFAULT, net("10.87.0.0/16"))
        );
        let alone = "[network]\ndefault_subnet = \"10.87.0.0/16\"\n";
        assert_eq!(with_subnet("[network]", net("10.87.0.0/16")), alone);
    }
}
