// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;
use crate::common::testing::why;

pub fn cards() -> Vec<Card> {
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
fn network_config_of_lima_is_dhcp_with_names() {
    let (network, diagnostics) = parse(LIMA, &cards()).unwrap();
    assert_eq!(network.renames, [("eth1".to_owned(), "lima0".to_owned())]);
    assert!(network.plans.is_empty());
    let line = "network-config: eth0: nameservers beside dhcp4 are not supported";
    assert_eq!(diagnostics.unsupported, [line]);
    assert!(diagnostics.failed.is_empty(), "{diagnostics:?}");
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
fn a_static_address_is_planned_for_its_card() {
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
fn faults_are_reported_and_unknown_versions_refused() {
    let text = "version: 2\nethernets: {eth0: {addresses: [10.0.0.5], set-name: a/b}}";
    let (network, diagnostics) = parse(text, &cards()).unwrap();
    assert!(network.renames.is_empty() && network.plans.is_empty());
    let failed = &diagnostics.failed;
    assert!(
        failed.len() == 2 && failed[1].contains("10.0.0.5/24"),
        "{failed:?}"
    );
    let other = parse("version: 3\n", &cards());
    assert!(why(other).contains("must be 2"));
    assert!(parse("ethernets: {}\n", &cards()).is_err());
    assert_eq!(parse("", &cards()).unwrap().0, Network::default());
}

fn found(settings: &str) -> (Vec<String>, Diagnostics) {
    let text = format!("version: 2\nethernets: {settings}\n");
    let (network, diagnostics) = parse(&text, &cards()).unwrap();
    (network.plans, diagnostics)
}

#[test]
fn a_default_route_of_each_family() {
    let both = "{eth0: {addresses: [10.0.0.5/24, '2001:db8::5/64'], \
        routes: [{to: default, via: 10.0.0.1}, {to: default, via: '2001:db8::1'}]}}";
    let (plans, diagnostics) = found(both);
    assert_eq!(plans, ["static eth0 10.0.0.5 24 10.0.0.1"]);
    assert!(diagnostics.failed.is_empty(), "{diagnostics:?}");
    let (plans, diagnostics) = found(
        "{eth0: {addresses: [10.0.0.5/24], gateway4: 10.0.0.1, \
         routes: [{to: 0.0.0.0/0, via: 10.0.0.2}, {to: '::/0', via: '::1'}]}}",
    );
    assert_eq!(plans, ["static eth0 10.0.0.5 24 10.0.0.1"]);
    assert!(
        diagnostics.failed[0].contains("10.0.0.2"),
        "{diagnostics:?}"
    );
    let (plans, diagnostics) = found("{eth0: {addresses: [10.0.0.5/24], gateway4: x}}");
    assert_eq!(plans, ["static eth0 10.0.0.5 24 0.0.0.0"]);
    assert!(
        diagnostics.failed[0].contains("gateway4"),
        "{diagnostics:?}"
    );
}

#[test]
fn an_address_that_no_card_gets_is_missed() {
    for settings in [
        "{enp1s0: {addresses: [10.0.0.5/24]}}",
        "{x: {match: {driver: virtio_net}, addresses: [10.0.0.5/24]}}",
        "{x: {match: {macaddress: '52:55:55:00:00:0a'}, dhcp4: false}}",
    ] {
        let (plans, diagnostics) = found(settings);
        assert!(plans.is_empty());
        let said = diagnostics.failed.join("\n");
        assert!(
            said.contains("here: eth0 52:55:55:00:00:01, eth1"),
            "{settings}: {said}"
        );
    }
    let (plans, _) = found("{eth0: {addresses: [{10.0.0.5/24: {label: x}}]}}");
    assert_eq!(plans, ["static eth0 10.0.0.5 24 0.0.0.0"]);
    let (plans, _) =
        found("{eth0: {addresses: [10.0.0.5/24]}, rest: {match: {name: 'e*'}, dhcp4: true}}");
    assert_eq!(plans, ["static eth0 10.0.0.5 24 0.0.0.0", "dhcp eth1"]);
}

#[test]
fn settings_beside_dhcp_are_named() {
    for (settings, word) in [
        ("dhcp4: true, dhcp4-overrides: {use-dns: false}", "use-dns"),
        (
            "dhcp4: true, dhcp4-overrides: {use-routes: no}",
            "use-routes",
        ),
        ("dhcp4: false", "b2p.net=off"),
        (
            "dhcp4: true, nameservers: [10.0.0.53]",
            "nameservers: must be a map",
        ),
        (
            "addresses: [10.0.0.5/24], nameservers: {addresses: {a: b}}",
            "nameservers: addresses: must be a list",
        ),
        ("addresses: [[10.0.0.5/24]]", "addresses: must be a text"),
        ("dhcp4: perhaps", "dhcp4: must be true or false"),
        (
            "addresses: [10.0.0.5/24], routes: {to: default}",
            "routes: must be a list",
        ),
    ] {
        let (_, diagnostics) = found(&format!("{{eth0: {{{settings}}}}}"));
        let said = diagnostics.failed.join("\n");
        assert!(
            said.contains("network-config: eth0: ") && said.contains(word),
            "{settings}: {diagnostics:?}"
        );
    }
    for (settings, word) in [
        (
            "dhcp4: true, routes: [{to: 10.9.0.0/16, via: 10.0.0.2}]",
            "routes",
        ),
        (
            "dhcp4: true, routes: [{to: default, via: 10.0.0.2}]",
            "beside dhcp4",
        ),
        ("dhcp4: true, gateway4: 10.0.0.2", "beside dhcp4"),
        (
            "dhcp4: true, nameservers: {addresses: [10.0.0.53]}",
            "nameservers",
        ),
        ("dhcp4: true, dhcp4-overrides: {use-ntp: false}", "use-ntp"),
        (
            "addresses: [10.0.0.5/24], nameservers: {search: [x]}",
            "search",
        ),
        (
            "addresses: [10.0.0.5/24], nameservers: {addresses: ['::1']}",
            "IPv6",
        ),
        ("dhcp4: true, accept-ra: false", "accept-ra"),
    ] {
        let (_, diagnostics) = found(&format!("{{eth0: {{{settings}}}}}"));
        let said = diagnostics.unsupported.join("\n");
        assert!(
            said.contains(word) && diagnostics.failed.is_empty(),
            "{settings}: {diagnostics:?}"
        );
    }
    let (_, diagnostics) = found("[eth0]");
    assert!(
        diagnostics.failed[0].contains("ethernets: must be a map"),
        "{diagnostics:?}"
    );
    let (_, diagnostics) = found("{eth0: dhcp}");
    assert!(
        diagnostics.failed[0].contains("eth0: must be a map"),
        "{diagnostics:?}"
    );
}
