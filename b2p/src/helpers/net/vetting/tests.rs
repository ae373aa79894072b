// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::helpers::net::lease::Times;

fn addr(text: &str) -> Ipv4Addr {
    text.parse().expect(text)
}

fn net(text: &str) -> Network {
    let (first, prefix) = text.split_once('/').unwrap_or((text, "32"));
    Network::new(addr(first), prefix.parse().expect(text))
}

/// A lease with this address and this network, by the server `server`.
fn lease(own: &str, routes: &[(&str, &str)], dns: &[&str], server: &str) -> Lease {
    let (first, prefix) = own.split_once('/').unwrap_or((own, "24"));
    let route = |(to, by): &(&str, &str)| Route {
        network: net(to).first,
        prefix: net(to).prefix,
        gateway: addr(by),
    };
    Lease {
        addr: addr(first),
        prefix: prefix.parse().expect(own),
        routes: routes.iter().map(route).collect(),
        dns: dns.iter().map(|server| addr(server)).collect(),
        ntp: Vec::new(),
        domains: Vec::new(),
        mtu: None,
        hostname: None,
        server: addr(server),
        times: Times {
            renew: 1,
            rebind: 2,
            expire: 3,
        },
        refused: Vec::new(),
    }
}

/// Card 2, eth0, is in QEMU's network and uses a name server outside of that network; the bridge podman0 exists. A
/// lease for card 1 precedes eth0, a lease for card 3 follows it.
fn around() -> Surroundings {
    let routes = [("0.0.0.0/0", "10.0.2.2")];
    Surroundings {
        cards: vec![OtherCard {
            name: "eth0".to_owned(),
            index: 2,
            lease: lease(
                "10.0.2.15/24",
                &routes,
                &["10.0.2.3", "9.9.9.9"],
                "10.0.2.2",
            ),
        }],
        bridges: vec![("podman0".to_owned(), net("10.88.0.0/16"))],
        addresses: vec![("podman0".to_owned(), addr("10.88.0.1"))],
        containers: vec![("podman0".to_owned(), addr("10.88.0.7"))],
    }
}

const BY: &str = "192.168.66.1";

#[test]
fn a_lease_gets_no_route_into_a_network_of_another_card() {
    for (to, by, refused) in [
        ("0.0.0.0/0", BY, ""),
        ("192.0.2.0/24", BY, ""),
        ("10.0.0.0/8", BY, ""),
        ("10.89.0.0/16", BY, ""),
        ("172.16.0.0/12", "0.0.0.0", ""),
        ("10.0.2.3/32", BY, "in the network of eth0"),
        ("10.0.2.0/25", BY, "in the network of eth0"),
        ("10.0.2.0/24", BY, "in the network of eth0"),
        ("9.9.9.9/32", BY, "9.9.9.9 is a server of eth0"),
        ("9.0.0.0/8", BY, "9.9.9.9 is a server of eth0"),
        ("10.88.0.0/16", BY, "in the network of podman0"),
        ("10.88.128.0/17", BY, "in the network of podman0"),
        // A router outside of the network has a route of its own.
        (
            "0.0.0.0/0",
            "10.0.2.3",
            "the way to its router: it is in the network of eth0",
        ),
        ("192.0.2.0/24", "9.9.9.9", "the way to its router: 9.9.9.9"),
        (
            "0.0.0.0/0",
            "10.88.0.5",
            "the way to its router: it is in the network of podman0",
        ),
        ("0.0.0.0/0", "172.31.1.1", ""),
    ] {
        let granted = lease("192.168.66.50/24", &[(to, by)], &[], BY);
        let set = vet(&granted, 3, &around());
        assert_eq!(
            set.routes.is_empty(),
            !refused.is_empty(),
            "{to} {:?}",
            set.refused
        );
        assert_eq!(set.refused.is_empty(), refused.is_empty(), "{to}");
        assert!(
            set.refused.iter().all(|why| why.contains(refused)),
            "{:?}",
            set.refused
        );
        assert_eq!((set.addr, set.prefix), (granted.addr, 24));
    }
}

#[test]
fn a_card_has_precedence_over_later_ones() {
    for (to, by, later, first) in [
        // The link-local service of clouds is that of the first card.
        ("192.0.2.0/24", "169.254.169.254", false, true),
        ("0.0.0.0/0", "169.254.169.254", false, true),
        ("169.254.169.254/32", BY, false, true),
        // A server far away, or a broad network, takes no route from an earlier card.
        ("9.9.9.0/24", BY, false, true),
        ("10.0.0.0/8", BY, true, true),
        ("10.0.2.128/25", BY, false, true),
        // A card keeps its routes to servers in its own network, before and after other cards.
        ("10.0.2.3/32", BY, false, false),
        ("10.0.2.0/24", BY, false, false),
    ] {
        let granted = lease("192.168.66.50/24", &[(to, by)], &[], BY);
        let is_set = |index| !vet(&granted, index, &around()).routes.is_empty();
        assert_eq!((is_set(3), is_set(1)), (later, first), "{to} by {by}");
    }
    let mut broad = around();
    broad.cards[0].lease = lease("10.50.9.9/8", &[], &["10.50.1.1"], "10.50.1.1");
    let granted = lease("192.168.66.50/24", &[("10.50.0.0/16", BY)], &[], BY);
    assert_eq!(vet(&granted, 1, &broad), granted);
}

#[test]
fn a_link_local_router_is_that_of_the_first_card_with_one() {
    for (routers, is_set) in [
        (&[][..], true),
        (&[("0.0.0.0/0", "10.0.2.2")], true),
        (&[("0.0.0.0/0", "169.254.1.1")], false),
        (&[("192.0.2.0/24", "169.254.9.9")], false),
    ] {
        let mut around = around();
        around.cards[0].lease = lease("10.0.2.15/24", routers, &[], "10.0.2.2");
        let granted = lease("192.168.66.50/32", &[("0.0.0.0/0", "169.254.1.1")], &[], BY);
        let set = vet(&granted, 3, &around);
        assert_eq!(!set.routes.is_empty(), is_set, "{:?}", set.refused);
        assert!(!vet(&granted, 1, &around).routes.is_empty());
    }
}

#[test]
fn a_container_is_no_server_of_an_overlapping_network() {
    let dns = ["10.88.0.7", "10.88.0.1", "10.88.0.3"];
    let granted = lease("10.88.250.9/16", &[], &dns, "10.88.0.7");
    let set = vet(&granted, 3, &around());
    assert_eq!(set.dns, [addr("10.88.0.3")]);
    let why = [
        "the name server 10.88.0.7 is not used: a container on podman0 has 10.88.0.7",
        "the name server 10.88.0.1 is not used: 10.88.0.1 is the address of podman0",
    ];
    assert_eq!(set.refused, why);
}

#[test]
fn an_address_that_is_anothers_is_not_set() {
    for (own, index, refused) in [
        ("192.168.66.50/24", 3, ""),
        ("10.0.2.16/24", 3, ""),
        ("10.0.2.15/24", 3, "10.0.2.15 is the address of eth0"),
        ("10.0.2.3/32", 3, "10.0.2.3 is a server of eth0"),
        ("10.0.2.2/24", 3, "10.0.2.2 is a server of eth0"),
        ("9.9.9.9/8", 3, "9.9.9.9 is a server of eth0"),
        ("10.88.0.1/16", 3, "10.88.0.1 is the address of podman0"),
        ("10.88.0.7/24", 3, "a container on podman0 has 10.88.0.7"),
        ("10.88.0.8/24", 3, ""),
        // The first card keeps the lease of its server.
        ("10.0.2.3/32", 1, ""),
        ("10.88.0.7/16", 1, "a container on podman0 has 10.88.0.7"),
        ("10.88.0.1/16", 1, "10.88.0.1 is the address of podman0"),
    ] {
        let why = address_refusal(&lease(own, &[], &[], BY), index, &around());
        assert_eq!(why.unwrap_or_default(), refused, "{own} {index}");
    }
}

#[test]
fn a_network_takes_no_server_of_a_card_before_it() {
    for (own, index, prefix) in [
        // Two cards in one network: the metric decides.
        ("10.0.2.50/24", 3, 24),
        ("10.0.2.50/8", 3, 8),
        ("10.0.2.4/28", 3, 32),
        ("9.9.9.50/24", 3, 32),
        ("10.0.2.100/28", 3, 28),
        ("10.0.2.4/28", 1, 28),
    ] {
        let set = vet(&lease(own, &[], &[], BY), index, &around());
        assert_eq!(set.prefix, prefix, "{own}: {:?}", set.refused);
        assert_eq!(set.refused.is_empty(), prefix < 32, "{own}");
    }
}

#[test]
fn a_container_is_no_server_of_a_network() {
    let granted = lease(
        "192.168.66.50/24",
        &[],
        &["10.88.0.5", "192.168.66.1", "9.9.9.9"],
        BY,
    );
    let set = vet(&granted, 3, &around());
    assert_eq!(set.dns, [addr("192.168.66.1"), addr("9.9.9.9")]);
    let why = "the name server 10.88.0.5 is not used: it is in the network of podman0";
    assert_eq!(set.refused, [why]);
    // Where the card's network is the bridge's, the servers are the card's.
    let granted = lease("10.88.0.15/16", &[], &["10.88.0.3"], "10.88.0.2");
    assert_eq!(vet(&granted, 3, &around()), granted);
}
