// SPDX-License-Identifier: Apache-2.0
//! Several cards, static addresses, routers.

use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use tests::lan::dhcp::{Policy, REQUEST, Say, Server};
use tests::lan::router::{Advertisement, Solicitations, advertise};
use tests::lan::{self, Client, RESOLV, holds};

/// Starts a server at 192.0.2.`n`, which is also the router and the name server.
fn server(card: &str, n: u8) -> Result<Server> {
    let policy = Policy {
        address: [192, 0, 2, 50 + n],
        options: vec![(3, vec![192, 0, 2, n]), (6, vec![192, 0, 2, 100 + n])],
        ..Policy::default()
    };
    Server::on(card, [192, 0, 2, n], policy)
}

#[test]
fn two_cards_in_one_network_one_unplugged_and_one_plugged_in() -> Result<()> {
    if !lan::inside("cards::two_cards_in_one_network_one_unplugged_and_one_plugged_in")? {
        return Ok(());
    }
    let mut client = Client::new()?;
    for n in 1..3 {
        client.card(&format!("eth{n}"), &format!("192.0.2.{n}/24"))?;
    }
    let (first, _second) = (server("eth1", 1)?, server("eth2", 2)?);
    // The first card gets its lease last.
    first.now(|p| p.say = Say::Nothing);
    client.start(&["dhcp", "any"])?;
    client.ready()?;
    client.shows("route", &["default via 192.0.2.2 dev eth2"], &["eth1"])?;
    first.now(|p| p.say = Say::Yes);
    client.shows("route", &["default via 192.0.2.1 dev eth1"], &[])?;
    // The first card's routes take precedence, also the route to the common network.
    for to in ["198.51.100.1", "192.0.2.200"] {
        client.shows(
            &format!("route get {to}"),
            &["dev eth1", "src 192.0.2.51"],
            &[],
        )?;
    }
    holds(RESOLV, "nameserver 192.0.2.101\nnameserver 192.0.2.102\n")?;
    client.ip("link delete eth1")?;
    holds(RESOLV, "nameserver 192.0.2.102\n")?;
    for to in ["198.51.100.1", "192.0.2.200"] {
        client.shows(
            &format!("route get {to}"),
            &["dev eth2", "src 192.0.2.52"],
            &[],
        )?;
    }
    client.card("eth3", "192.0.2.3/24")?;
    let _third = server("eth3", 3)?;
    client.shows("address show eth3", &["192.0.2.53/24"], &[])?;
    holds(RESOLV, "nameserver 192.0.2.102\nnameserver 192.0.2.103\n")?;
    // The first card again, under its old name.
    client.card("eth1", "192.0.2.1/24")?;
    let _again = server("eth1", 1)?;
    client.shows("address show eth1", &["192.0.2.51/24"], &[])
}

/// `ip=:::::eth1:dhcp`, for a card that appears later.
#[test]
fn dhcp_runs_on_the_named_card_only() -> Result<()> {
    if !lan::inside("cards::dhcp_runs_on_the_named_card_only")? {
        return Ok(());
    }
    let mut client = Client::new()?;
    client.card("eth0", "192.0.2.1/24")?;
    let other = server("eth0", 1)?;
    // udev's name of a card by its hardware address, which has the maximum length.
    let name = "enx525400123456";
    client.start(&["dhcp", name])?;
    let calls = other.during(Duration::from_secs(1))?;
    ensure!(calls.is_empty(), "{calls:?}");
    client.ip("link set eth0 up")?;
    client.card("slow", "192.0.2.2/24")?;
    client.ip("link set slow down")?;
    std::fs::rename("/run/cards/slow", format!("/run/cards/{name}"))?;
    for file in "type ifindex carrier carrier_down_count address mtu netdev_group".split(' ') {
        let path = format!("/run/cards/{name}/{file}");
        std::fs::remove_file(&path)?;
        std::os::unix::fs::symlink(format!("/run/real/class/net/{name}/{file}"), path)?;
    }
    let server = server("slow", 2)?;
    client.ip(&format!("link set slow name {name}"))?;
    client.ready()?;
    server.until(|c| c.kind == REQUEST)?;
    client.shows("address", &["192.0.2.52/24"], &["192.0.2.51"])
}

#[test]
fn a_static_address_is_set_on_its_card_only() -> Result<()> {
    if !lan::inside("cards::a_static_address_is_set_on_its_card_only")? {
        return Ok(());
    }
    let mut client = Client::new()?;
    client.card("eth0", "192.0.2.1/24")?;
    client.card("eth1", "192.0.2.2/24")?;
    let servers = (server("eth0", 1)?, server("eth1", 2)?);
    client.start(&[
        "static",
        "eth1",
        "192.0.2.9",
        "24",
        "192.0.2.2",
        "192.0.2.53",
        "192.0.2.54",
    ])?;
    client.ready()?;
    client.shows(
        "address show eth1",
        &["192.0.2.9/24", "valid_lft forever"],
        &[],
    )?;
    client.shows("route", &["default via 192.0.2.2 dev eth1"], &["eth0"])?;
    holds(RESOLV, "nameserver 192.0.2.53\nnameserver 192.0.2.54\n")?;
    // The kernel drops the routes of a link that is set down.
    client.ip("link set eth1 down")?;
    client.shows("route", &[], &["default"])?;
    client.ip("link set eth1 up")?;
    client.shows("route", &["default via 192.0.2.2 dev eth1"], &[])?;
    let (a, b) = servers;
    let asked = [a, b].map(|s| s.during(Duration::ZERO).map_or(1, |c| c.len()));
    ensure!(asked == [0, 0], "DHCP was asked");
    Ok(())
}

const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0);
const FIRST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0x53);
const LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x53);

#[test]
fn a_router_advertises_addresses_mtu_and_name_servers() -> Result<()> {
    if !lan::inside("cards::a_router_advertises_addresses_mtu_and_name_servers")? {
        return Ok(());
    }
    let mut client = Client::new()?;
    client.card("eth0", "192.0.2.1/24")?;
    let server = server("eth0", 1)?;
    client.start(&["dhcp", "any"])?;
    client.ready()?;
    let say = Advertisement {
        prefix: PREFIX,
        mtu: 1420,
        servers: vec![FIRST, LOCAL],
        lifetime: 600,
    };
    // A link-local address is needed first, and takes a moment.
    client.shows("-6 address show eth0", &["fe80::"], &["tentative"])?;
    advertise("eth0", &say)?;
    client.shows("-6 address show eth0", &["2001:db8:0:1:"], &[])?;
    client.shows("-6 route", &["default via fe80::", "mtu 1420"], &[])?;
    let v4 = "nameserver 192.0.2.101\n";
    let v6 = format!("nameserver {FIRST}\nnameserver {LOCAL}%eth0\n");
    holds(RESOLV, &format!("{v4}{v6}"))?;
    // The advertisement holds for a second, and is withdrawn.
    advertise(
        "eth0",
        &Advertisement {
            servers: vec![FIRST],
            lifetime: 1,
            ..say.clone()
        },
    )?;
    holds(RESOLV, &format!("{v4}nameserver {LOCAL}%eth0\n"))?;
    advertise(
        "eth0",
        &Advertisement {
            servers: vec![LOCAL],
            lifetime: 0,
            ..say.clone()
        },
    )?;
    holds(RESOLV, v4)?;
    // The other end of the next link may be another network.
    advertise("eth0", &say)?;
    holds(RESOLV, &format!("{v4}{v6}"))?;
    server.now(|p| p.say = Say::Nothing);
    lan::run("ip", &["link", "set", "to-eth0", "down"])?;
    holds(RESOLV, v4)
}

/// Without a DHCP server, an IPv6 address is enough to be ready.
#[test]
fn a_network_of_ipv6_alone() -> Result<()> {
    if !lan::inside("cards::a_network_of_ipv6_alone")? {
        return Ok(());
    }
    let mut client = Client::new()?;
    client.card("eth0", "192.0.2.1/24")?;
    client.start(&["dhcp", "any"])?;
    client.shows("-6 address show eth0", &["fe80::"], &["tentative"])?;
    ensure!(!client.is_ready()?, "for an address of the link");
    advertise(
        "eth0",
        &Advertisement {
            prefix: PREFIX,
            mtu: 1500,
            servers: vec![FIRST],
            lifetime: 600,
        },
    )?;
    client.ready()?;
    holds(RESOLV, &format!("nameserver {FIRST}\n"))
}

/// The kernel solicits routers when a link becomes up; a service that starts later solicits by
/// itself.
#[test]
fn after_a_crash_b2p_net_solicits_again_and_restores_name_servers() -> Result<()> {
    if !lan::inside("cards::after_a_crash_b2p_net_solicits_again_and_restores_name_servers")? {
        return Ok(());
    }
    let mut client = Client::new()?;
    client.card("eth0", "192.0.2.1/24")?;
    let server = server("eth0", 1)?;
    client.start(&["dhcp", "any"])?;
    client.ready()?;
    // The kernel's own three solicitations have ended, or were answered (RFC 4861, 10).
    client.shows("-6 address show eth0", &["fe80::"], &["tentative"])?;
    let say = Advertisement {
        prefix: PREFIX,
        mtu: 1500,
        servers: vec![FIRST],
        lifetime: 600,
    };
    advertise("eth0", &say)?;
    let both = format!("nameserver 192.0.2.101\nnameserver {FIRST}\n");
    holds(RESOLV, &both)?;
    client.crash()?;
    let ears = Solicitations::on("eth0")?;
    server.during(Duration::ZERO)?;
    client.start(&["dhcp", "any"])?;
    ears.asked()?;
    advertise("eth0", &say)?;
    server.until(|c| c.kind == REQUEST)?;
    client.ready()?;
    holds(RESOLV, &both)?;
    client.shows("route", &["default via 192.0.2.1 dev eth0"], &[])
}
