// SPDX-License-Identifier: Apache-2.0
//! The reach of a DHCP server: its own card.

use anyhow::{Result, ensure};
use tests::eventually;
use tests::lan::dhcp::{Policy, Server};
use tests::lan::{self, Client, LIMIT, RESOLV, holds};

/// Routes of option 121: prefix, network, router.
fn routes(all: &[(u8, [u8; 4], [u8; 4])]) -> Vec<u8> {
    let route = |(prefix, network, by): &(u8, [u8; 4], [u8; 4])| {
        let length = usize::from(prefix.div_ceil(8));
        [&[*prefix], &network[..length], by].concat()
    };
    all.iter().flat_map(route).collect()
}

/// Waits until the log has all these lines.
fn says(client: &Client, lines: &[&str]) -> Result<()> {
    eventually(LIMIT, || {
        let log = client.log();
        let missing: Vec<_> = lines.iter().filter(|line| !log.contains(**line)).collect();
        ensure!(missing.is_empty(), "{missing:?} in\n{log}");
        Ok(())
    })
}

const ROGUE: [u8; 4] = [198, 51, 100, 1];

/// A server on the second card, which would like to be more than that.
fn rogue() -> Result<Server> {
    let to = routes(&[
        (0, [0; 4], ROGUE),
        (24, [203, 0, 113, 0], ROGUE),
        (32, [192, 0, 2, 101], ROGUE),
        (25, [192, 0, 2, 0], ROGUE),
        (17, [10, 88, 0, 0], ROGUE),
        (9, [127, 0, 0, 0], ROGUE),
        (32, [169, 254, 169, 254], ROGUE),
        (1, [0; 4], ROGUE),
        (1, [128, 0, 0, 0], ROGUE),
        (32, [9, 9, 9, 9], ROGUE),
        (24, [203, 0, 112, 0], [169, 254, 169, 254]),
    ]);
    let policy = Policy {
        address: [198, 51, 100, 50],
        options: vec![
            (121, to),
            (
                6,
                vec![127, 0, 0, 1, 10, 88, 0, 1, 198, 51, 100, 53, 10, 50, 1, 1],
            ),
            (42, vec![224, 0, 1, 1]),
            (26, vec![2, 0x40]),
            (
                12,
                [
                    &[b'a'; 40][..],
                    b".europe-west4-b.c.project-0123456789.internal",
                ]
                .concat(),
            ),
        ],
        ..Policy::default()
    };
    Server::on("eth2", ROGUE, policy)
}

#[test]
fn a_server_is_trusted_with_its_own_card() -> Result<()> {
    if !lan::inside("reach::a_server_is_trusted_with_its_own_card")? {
        return Ok(());
    }
    let mut client = Client::new()?;
    client.card("eth1", "192.0.2.1/24")?;
    client.card("eth2", "198.51.100.1/24")?;
    // The second card has its lease first: forbidden parts are then removed.
    let _rogue = rogue()?;
    client.start(&["dhcp", "any"])?;
    client.ready()?;
    client.shows("route", &["default via 198.51.100.1 dev eth2"], &[])?;
    let policy = Policy {
        options: vec![
            (
                121,
                routes(&[
                    (0, [0; 4], [192, 0, 2, 1]),
                    (16, [10, 50, 0, 0], [192, 0, 2, 1]),
                ]),
            ),
            (6, vec![192, 0, 2, 101, 9, 9, 9, 9]),
        ],
        ..Policy::default()
    };
    let _server = Server::on("eth1", [192, 0, 2, 1], policy)?;
    let right = [
        "default via 192.0.2.1 dev eth1",
        "10.50.0.0/16 via 192.0.2.1 dev eth1",
        "203.0.113.0/24 via 198.51.100.1 dev eth2",
    ];
    let wrong = [
        "192.0.2.101",
        "192.0.2.0/25",
        "10.88.",
        "127.",
        "169.254.",
        "/1 ",
        "9.9.9.9",
    ];
    client.shows("route", &right, &wrong)?;
    for server in ["192.0.2.101", "9.9.9.9", "169.254.169.254", "10.50.1.1"] {
        client.shows(&format!("route get {server}"), &["dev eth1"], &[])?;
    }
    holds(
        RESOLV,
        "nameserver 192.0.2.101\nnameserver 9.9.9.9\nnameserver 198.51.100.53\n",
    )?;
    client.shows("link show eth2", &["mtu 1500"], &[])?;
    // A full table of neighbours does not lose the router and the servers on the link.
    let kept = ["192.0.2.101 dev eth1 extern_learn", "192.0.2.1 dev eth1"];
    client.shows("-d neigh show", &kept, &["9.9.9.9 "])?;
    holds("/etc/hostname", &format!("{}\n", "a".repeat(40)))?;
    let via = "via 198.51.100.1 is not set: it";
    says(
        &client,
        &[
            &format!("eth2: DHCP: the route 192.0.2.101/32 {via} is in the network of eth1"),
            &format!("eth2: DHCP: the route 192.0.2.0/25 {via} is in the network of eth1"),
            &format!("eth2: DHCP: the route 10.88.0.0/17 {via} is in the network of podman0"),
            &format!("eth2: DHCP: the route 127.0.0.0/9 {via} overlaps 127.0.0.0/8 (loopback)"),
            "eth2: DHCP: the route 9.9.9.9/32 via 198.51.100.1 is not set: 9.9.9.9 is a server of eth1",
            "eth2: DHCP: the route 203.0.112.0/24 via 169.254.169.254 is not set: the way to its router: \
             link-local addresses are those of eth1",
            "eth2: DHCP: the route 169.254.169.254/32 via 198.51.100.1 is not set: link-local addresses are those of eth1",
            "eth2: DHCP: option 6 names 127.0.0.1",
            "eth2: DHCP: the name server 10.88.0.1 is not used",
            "eth2: DHCP: option 42 names 224.0.1.1",
            "eth2: DHCP: option 26 is an MTU of 576 bytes",
            "is cut to aaaa",
        ],
    )
}

/// Waits until the file of degraded lines has this line, or none.
fn degraded(line: &str, wanted: bool) -> Result<()> {
    eventually(LIMIT, || {
        let lines = std::fs::read_to_string("/run/boot2podman/net.degraded").unwrap_or_default();
        ensure!(lines.contains(line) == wanted, "{lines}");
        Ok(())
    })
}

/// The second server grants addresses that others have, and a part of a bridge's network.
#[test]
fn an_address_in_use_is_not_set() -> Result<()> {
    if !lan::inside("reach::an_address_in_use_is_not_set")? {
        return Ok(());
    }
    let mut client = Client::new()?;
    client.card("eth1", "192.0.2.1/24")?;
    client.card("eth2", "198.51.100.1/24")?;
    client.bridge("br0", "10.90.0.1/16")?;
    client.ip("neigh add 10.90.0.7 lladdr 02:00:00:00:00:07 dev br0")?;
    // A container's ARP request with a sender of another network; the card keeps its name server.
    client.ip("neigh add 192.0.2.101 lladdr 02:00:00:00:00:07 dev br0")?;
    let policy = Policy {
        address: [192, 0, 2, 50],
        options: vec![(6, vec![192, 0, 2, 101, 192, 0, 2, 50])],
        ..Policy::default()
    };
    let _server = Server::on("eth1", [192, 0, 2, 1], policy)?;
    let policy = Policy {
        times: [1, 2, 4],
        options: vec![],
        ..Policy::default()
    };
    let rogue = Server::on("eth2", ROGUE, policy)?;
    rogue.now(|p| p.address = [198, 51, 100, 50]);
    client.start(&["dhcp", "any"])?;
    client.ready()?;
    client.shows("address show eth1", &["192.0.2.50/24"], &[])?;
    holds(RESOLV, "nameserver 192.0.2.101\n")?;
    for (address, why) in [
        ([192, 0, 2, 101], "192.0.2.101 is a server of eth1"),
        ([192, 0, 2, 50], "192.0.2.50 is the address of eth1"),
        ([10, 90, 0, 1], "10.90.0.1 is the address of br0"),
        ([10, 90, 0, 7], "a container on br0 has 10.90.0.7"),
    ] {
        rogue.now(|p| p.address = address);
        let line = format!("degraded net: eth2: no address of DHCP is set: {why}\n");
        degraded(&line, true)?;
        client.shows("address show eth2", &["eth2"], &["inet 1"])?;
    }
    // In a bridge's network, an address of its own: what the bridge has is no server of the card.
    rogue.now(|p| {
        p.address = [10, 90, 0, 9];
        p.options = vec![
            (3, vec![10, 90, 0, 7]),
            (6, vec![10, 90, 0, 7, 10, 90, 0, 1]),
        ];
    });
    client.shows("-4 address show eth2", &["10.90.0.9/24"], &[])?;
    client.shows("route get 10.90.0.7", &["dev br0"], &[])?;
    client.shows("rule", &["from 10.90.0.9"], &["to 10.90.0.7 "])?;
    holds(RESOLV, "nameserver 192.0.2.101\n")?;
    rogue.now(|p| {
        p.address = [198, 51, 100, 50];
        p.options = vec![];
    });
    client.shows("-4 address show eth2", &["198.51.100.50/24"], &[])?;
    degraded("no address", false)
}

/// The only server grants a part of a bridge's network: the machine is reached at its address, and its
/// packets to containers reach the containers.
#[test]
fn a_part_of_a_bridges_network_is_the_bridges() -> Result<()> {
    if !lan::inside("reach::a_part_of_a_bridges_network_is_the_bridges")? {
        return Ok(());
    }
    let mut client = Client::new()?;
    client.card("eth1", "10.90.3.1/24")?;
    client.bridge("br0", "10.90.0.1/16")?;
    let policy = Policy {
        address: [10, 90, 3, 50],
        options: vec![(3, vec![10, 90, 3, 1]), (6, vec![10, 90, 3, 53])],
        ..Policy::default()
    };
    let _server = Server::on("eth1", [10, 90, 3, 1], policy)?;
    client.start(&["dhcp", "any"])?;
    client.ready()?;
    client.shows("rule", &["to 10.90.0.0/16"], &[])?;
    for (to, dev) in [
        ("10.90.3.9", "br0"),
        ("10.90.3.9 from 10.90.3.50", "eth1"),
        ("10.90.3.53", "eth1"),
        ("203.0.113.1", "eth1"),
    ] {
        let way = format!("route get {to}");
        client.shows(&way, &[&format!("dev {dev}")], &[])?;
    }
    degraded("the network 10.90.0.0/16 of the bridge br0 overlaps", true)
}

/// 60 routes, the default route last, are more than one instance of an option holds (RFC 3396).
#[test]
fn a_long_option_in_pieces_is_joined() -> Result<()> {
    if !lan::inside("reach::a_long_option_in_pieces_is_joined")? {
        return Ok(());
    }
    let mut client = Client::new()?;
    client.card("eth0", "192.0.2.1/24")?;
    let by = [192, 0, 2, 1];
    let mut all: Vec<_> = (0..60).map(|n| (24, [172, 20, n, 0], by)).collect();
    all.push((0, [0; 4], by));
    let pieces = routes(&all);
    let mut options: Vec<_> = pieces
        .chunks(255)
        .map(|piece| (121, piece.to_vec()))
        .collect();
    ensure!(options.len() == 2, "{}", options.len());
    options.insert(1, (6, vec![192, 0]));
    options.push((6, vec![2, 53]));
    let policy = Policy {
        options,
        ..Policy::default()
    };
    let _server = Server::on("eth0", [192, 0, 2, 1], policy)?;
    client.start(&["dhcp", "any"])?;
    client.ready()?;
    let wanted = [
        "default via 192.0.2.1",
        "172.20.0.0/24 via",
        "172.20.59.0/24 via",
    ];
    client.shows("route", &wanted, &[])?;
    holds(RESOLV, "nameserver 192.0.2.53\n")?;
    ensure!(!client.log().contains("option"), "{}", client.log());
    Ok(())
}
