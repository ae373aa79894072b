// SPDX-License-Identifier: Apache-2.0
//! Routers of IPv6 that take networks of others, or advertise without end.

use std::net::Ipv6Addr;

use anyhow::{Result, ensure};
use tests::eventually;
use tests::lan::dhcp::{Policy, Server};
use tests::lan::router::{HIGH, MEDIUM, advertise_options, name_servers, prefix};
use tests::lan::{self, Client, LIMIT, RESOLV, holds};

const FIRST: &str = "2001:db8:1::";
const SECOND: &str = "2001:db8:2::";

fn addr(text: &str) -> Result<Ipv6Addr> {
    Ok(text.parse()?)
}

/// Starts the service on two cards, the first with a router and a lease, beside a bridge of containers.
fn start() -> Result<(Client, Server)> {
    let mut client = Client::new()?;
    client.sh("echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")?;
    client.sh("echo 0 >/proc/sys/net/ipv6/conf/default/accept_ra")?;
    for n in 1..3 {
        client.card(&format!("eth{n}"), &format!("192.0.{n}.1/24"))?;
    }
    let policy = Policy {
        address: [192, 0, 1, 50],
        options: vec![],
        ..Policy::default()
    };
    let server = Server::on("eth1", [192, 0, 1, 1], policy)?;
    client.start(&["dhcp", "any"])?;
    client.ready()?;
    client.bridge("br0", "fd00:88::1/64")?;
    client.shows("-6 rule", &["to fd00:88::/64"], &[])?;
    for card in ["eth1", "eth2"] {
        // A link-local address is needed first, and takes a moment.
        let address = format!("-6 address show {card}");
        client.shows(&address, &["fe80::"], &["tentative"])?;
    }
    let options = [
        prefix(addr(FIRST)?, 64, true),
        name_servers(&[addr("2001:db8:1::53")?], 600),
    ];
    advertise_options("eth1", 64, MEDIUM, &options)?;
    client.shows("-6 address show eth1", &["2001:db8:1:"], &[])?;
    Ok((client, server))
}

#[test]
fn a_router_is_trusted_with_its_own_card() -> Result<()> {
    if !lan::inside("routers::a_router_is_trusted_with_its_own_card")? {
        return Ok(());
    }
    let (client, _server) = start()?;
    let servers = [
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "fd00:88::1",
        "2001:db8:2::53",
    ];
    let servers: Vec<Ipv6Addr> = servers.map(addr).into_iter().collect::<Result<_>>()?;
    let options = [
        prefix(addr(SECOND)?, 64, true),
        // Parts of the containers' network.
        prefix(addr("fd00:88::")?, 65, false),
        prefix(addr("fd00:88::5")?, 128, false),
        name_servers(&servers, 600),
    ];
    advertise_options("eth2", 1, HIGH, &options)?;
    client.shows("-6 address show eth2", &["2001:db8:2:"], &[])?;
    client.shows("-6 route", &["fd00:88::5 dev eth2"], &[])?;
    client.shows("-6 route get fd00:88::5", &["dev br0"], &["eth2"])?;
    // The first card's router, though the second one wants to be preferred.
    let way = "-6 route get 2001:4860:4860::8888";
    client.shows(way, &["dev eth1"], &["eth2"])?;
    holds(
        RESOLV,
        "nameserver 2001:db8:1::53\nnameserver 2001:db8:2::53\n",
    )?;
    let hops = client.sh("cat /proc/sys/net/ipv6/conf/eth2/hop_limit")?;
    ensure!(hops.trim() == "64", "{hops}");
    // The bridge's rules go with its address.
    client.ip("address flush dev br0")?;
    client.shows("-6 rule", &[], &["fd00:88::"])
}

#[test]
fn a_flood_of_prefixes_takes_no_memory() -> Result<()> {
    if !lan::inside("routers::a_flood_of_prefixes_takes_no_memory")? {
        return Ok(());
    }
    let (client, _server) = start()?;
    // The owner's own addresses, one in a network that a router advertises, and a route by the other.
    client.ip("-6 address add 2001:db8:77::7/64 dev eth2")?;
    client.ip("-6 route add 2001:db8:78::/48 via 2001:db8:77::1 dev eth2")?;
    client.ip("-6 address add 2001:db8:666::7/64 dev eth2")?;
    for n in 0..200_u16 {
        let network = |m: u16| Ipv6Addr::new(0x2001, 0xdb8, 0x666, n * 40 + m, 0, 0, 0, 0);
        let prefixes: Vec<_> = (0..40).map(|m| prefix(network(m), 64, m == 0)).collect();
        advertise_options("eth2", 64, MEDIUM, &prefixes)?;
    }
    eventually(LIMIT, || {
        let heard = client.sh("cat /proc/sys/net/ipv6/conf/eth2/accept_ra")?;
        ensure!(heard.trim() == "0", "{heard}");
        Ok(())
    })?;
    client.shows(
        "-6 route",
        &[
            "2001:db8:1::/64 dev eth1",
            "2001:db8:78::/48 via 2001:db8:77::1 dev eth2",
            "2001:db8:666::/64 dev eth2",
        ],
        &["2001:db8:666:1"],
    )?;
    client.shows(
        "-6 address show eth2",
        &["2001:db8:77::7/64", "2001:db8:666::7/64", "fe80::"],
        &["2001:db8:666:2", "2001:db8:666:4"],
    )?;
    client.shows("-6 address", &["2001:db8:1:"], &[])?;
    let line = "degraded net: eth2: routers advertise more than 128 routes of IPv6; none of them";
    let lines = std::fs::read_to_string("/run/boot2podman/net.degraded")?;
    ensure!(lines.contains(line), "{lines}");
    let heard = client.sh("cat /proc/sys/net/ipv6/conf/eth1/accept_ra")?;
    ensure!(heard.trim() == "2", "{heard}");
    Ok(())
}
