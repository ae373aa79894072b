// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::super::packet::tests::{MAC, client_message};
use super::super::packet::{ClientMessage, encode, udp_payload};
use super::*;

/// A server's message: the client's with a server's fields, and these options.
pub fn reply(xid: u32, kind: u8, options: &[&[u8]]) -> Vec<u8> {
    let mut m = encode(&ClientMessage {
        xid,
        ..client_message()
    });
    m.truncate(240);
    m[0] = 2;
    m[16..20].copy_from_slice(&[10, 0, 2, 15]);
    m.extend([53, 1, kind]);
    m.extend([54, 4, 10, 0, 2, 2]);
    for o in options {
        m.extend_from_slice(o);
    }
    m.push(255);
    m
}

#[test]
fn an_answer_is_read_whole() {
    let options: &[&[u8]] = &[
        &[1, 4, 255, 255, 255, 0],
        &[3, 4, 10, 0, 2, 2],
        &[6, 8, 10, 0, 2, 3, 0, 0, 0, 0],
        &[51, 4, 0, 0, 0x0e, 0x10],
        &[26, 2, 5, 0xdc],
        &[15, 4, b'l', b'a', b'n', 0],
        &[42, 9, 10, 0, 2, 9, 0, 0, 0, 0, 7],
        &[12, 5, b'b', b'o', b'x', b'-', b'1'],
    ];
    let Some(ServerMessage::Ack(l)) = decode(&reply(7, 5, options), 7, MAC) else {
        panic!()
    };
    assert_eq!((l.addr, l.prefix), (Ipv4Addr::new(10, 0, 2, 15), 24));
    assert_eq!(l.routes, [Route::default_by(Ipv4Addr::new(10, 0, 2, 2))]);
    assert_eq!(l.dns, [Ipv4Addr::new(10, 0, 2, 3)]);
    assert_eq!(
        (l.mtu, &l.domains[..]),
        (Some(1500), &["lan".to_owned()][..])
    );
    assert_eq!(
        l.times,
        Times {
            renew: 1800,
            rebind: 3150,
            expire: 3600
        }
    );
    assert_eq!(l.server, Ipv4Addr::new(10, 0, 2, 2));
    assert_eq!(l.ntp, [Ipv4Addr::new(10, 0, 2, 9)]);
    assert_eq!(l.hostname.as_deref(), Some("box-1"));
}

#[test]
fn messages_to_others_and_malformed_messages_are_ignored() {
    assert_eq!(decode(&reply(8, 5, &[]), 7, MAC), None);
    assert_eq!(decode(&reply(7, 5, &[]), 7, [1; 6]), None);
    assert_eq!(decode(&[], 7, MAC), None);
    assert_eq!(
        decode(&reply(7, 6, &[]), 7, MAC),
        Some(ServerMessage::Nak(Some(Ipv4Addr::new(10, 0, 2, 2))))
    );
    for addr in [
        [0; 4],
        [127, 0, 0, 5],
        [169, 254, 1, 2],
        [224, 0, 0, 1],
        [255; 4],
        [240, 1, 1, 1],
    ] {
        let mut nobody = reply(7, 5, &[]);
        nobody[16..20].copy_from_slice(&addr);
        let said = decode(&nobody, 7, MAC);
        assert!(
            matches!(said, Some(ServerMessage::Unusable(_))),
            "{addr:?} {said:?}"
        );
    }
}

#[test]
fn any_truncation_or_flip_is_survived() {
    let whole = reply(
        7,
        5,
        &[&[121, 8, 24, 10, 1, 2, 10, 0, 2, 9], &[6, 4, 1, 1, 1, 1]],
    );
    for n in 0..whole.len() {
        let _ = decode(&whole[..n], 7, MAC);
        for flip in [1, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[n] ^= flip;
            let _ = decode(&bytes, 7, MAC);
            let _ = udp_payload(&bytes);
        }
    }
}

#[test]
fn times_are_bounded() {
    let options: &[&[u8]] = &[&[51, 4, 0, 0, 0, 1], &[58, 4, 0xff, 0xff, 0xff, 0xff]];
    let Some(ServerMessage::Ack(l)) = decode(&reply(7, 5, options), 7, MAC) else {
        panic!()
    };
    assert_eq!(
        l.times,
        Times {
            renew: 5,
            rebind: 5,
            expire: 5
        }
    );
    let options: &[&[u8]] = &[&[58, 4, 0, 0, 0, 0], &[59, 4, 0, 0, 0, 0]];
    let Some(ServerMessage::Ack(l)) = decode(&reply(7, 5, options), 7, MAC) else {
        panic!()
    };
    assert_eq!((l.times.renew, l.times.rebind), (1, 1));
}

/// Returns the lease of an answer with these options.
fn granted(options: &[&[u8]]) -> Lease {
    let Some(ServerMessage::Ack(lease)) = decode(&reply(7, 5, options), 7, MAC) else {
        panic!()
    };
    lease
}

fn routes_of(lease: &Lease) -> Vec<String> {
    lease.routes.iter().map(ToString::to_string).collect()
}

#[test]
fn long_options_in_pieces_are_joined() {
    // 41 routes, the default route last, as RFC 3396 splits them.
    let mut value: Vec<u8> = (0..40)
        .flat_map(|n| [24, 172, 20, n, 10, 0, 2, 9])
        .collect();
    value.extend([0, 10, 0, 2, 2]);
    let pieces: Vec<Vec<u8>> = value
        .chunks(255)
        .map(|piece| [&[121, u8::try_from(piece.len()).unwrap()], piece].concat())
        .collect();
    let lease = granted(&[&pieces[0], &[3, 4, 10, 0, 2, 7], &pieces[1]]);
    assert_eq!((lease.routes.len(), &lease.refused[..]), (41, &[][..]));
    assert_eq!(lease.routes[40], Route::default_by([10, 0, 2, 2].into()));
    // Lists of servers and names, too.
    let lease = granted(&[
        &[6, 2, 10, 0],
        &[15, 2, b'l', b'a'],
        &[6, 2, 2, 3],
        &[15, 1, b'n'],
    ]);
    assert_eq!(lease.dns, [Ipv4Addr::new(10, 0, 2, 3)]);
    assert_eq!(lease.domains, ["lan"]);
}

#[test]
fn routes_of_a_lease() {
    let by = "the route 0.0.0.0/0 via 10.0.2.7";
    let router: &[u8] = &[3, 4, 10, 0, 2, 7];
    let cases: &[(&[u8], &[&str], &str)] = &[
        (
            &[121, 13, 0, 10, 0, 2, 2, 24, 10, 1, 2, 0, 0, 0, 0],
            &[
                "the route 0.0.0.0/0 via 10.0.2.2",
                "the route 10.1.2.0/24 via 0.0.0.0",
            ],
            "",
        ),
        (
            &[121, 8, 24, 10, 1, 2, 10, 0, 2, 9],
            &["the route 10.1.2.0/24 via 10.0.2.9"],
            "",
        ),
        (
            &[121, 11, 24, 10, 1, 2, 10, 0, 2, 9, 24, 10, 1],
            &["the route 10.1.2.0/24 via 10.0.2.9", by],
            "option 121 is malformed after 1 routes",
        ),
        (
            &[121, 10, 33, 1, 2, 3, 4, 5, 6, 7, 8, 9],
            &[by],
            "option 121 is malformed after 0 routes",
        ),
        (&[121, 0], &[by], "option 121 is malformed after 0 routes"),
        (&[121, 6, 9, 127, 0, 10, 0, 2], &[by], "malformed"),
        (
            &[121, 7, 9, 127, 0, 10, 0, 2, 9],
            &[],
            "127.0.0.0/9 via 10.0.2.9 is not set: it overlaps 127.0.0.0/8",
        ),
        (
            &[121, 6, 1, 0, 10, 0, 2, 9],
            &[],
            "0.0.0.0/1 via 10.0.2.9 is not set: it overlaps 0.0.0.0/8",
        ),
        (
            &[121, 6, 1, 128, 10, 0, 2, 9],
            &[],
            "it overlaps 169.254.0.0/16",
        ),
        (
            &[121, 9, 32, 169, 254, 169, 254, 10, 0, 2, 9],
            &["the route 169.254.169.254/32 via 10.0.2.9"],
            "",
        ),
        (
            &[121, 9, 32, 169, 254, 169, 254, 10, 9, 9, 9],
            &[],
            "it overlaps 169.254.0.0/16",
        ),
        (
            &[121, 9, 32, 169, 254, 169, 254, 169, 254, 1, 1],
            &[],
            "it overlaps 169.254.0.0/16",
        ),
        (
            &[121, 9, 31, 169, 254, 169, 254, 10, 0, 2, 9],
            &[],
            "it overlaps 169.254.0.0/16",
        ),
        (
            &[121, 6, 4, 224, 10, 0, 2, 9],
            &[],
            "it overlaps 224.0.0.0/4",
        ),
        (
            &[121, 8, 24, 10, 1, 2, 10, 0, 2, 15],
            &[],
            "its router is the machine itself",
        ),
        (
            &[121, 8, 24, 10, 1, 2, 127, 0, 0, 1],
            &[],
            "its router is in 127.0.0.0/8",
        ),
        (&[121, 5, 0, 0, 0, 0, 0], &[], "it has no router"),
        (
            &[
                33, 16, 192, 168, 7, 0, 10, 0, 2, 9, 172, 20, 1, 1, 10, 0, 2, 9,
            ],
            &[
                "the route 192.168.7.0/24 via 10.0.2.9",
                "the route 172.20.1.1/32 via 10.0.2.9",
                by,
            ],
            "",
        ),
        (
            &[33, 8, 127, 0, 0, 0, 10, 0, 2, 9],
            &[by],
            "it overlaps 127.0.0.0/8",
        ),
        (
            &[33, 9, 192, 168, 7, 0, 10, 0, 2, 9, 1],
            &["the route 192.168.7.0/24 via 10.0.2.9", by],
            "option 33 is no list of routes",
        ),
    ];
    for (option, routes, refused) in cases {
        let lease = granted(&[option, router]);
        assert_eq!(routes_of(&lease), *routes, "{option:?} {:?}", lease.refused);
        let said = lease.refused.concat();
        assert!(
            said.contains(refused) && said.is_empty() == refused.is_empty(),
            "{option:?} {said}"
        );
    }
}

#[test]
fn impossible_addresses_of_options_are_left_out_and_reported() {
    let cases: &[(&[u8], &str)] = &[
        (
            &[6, 4, 127, 0, 0, 1],
            "option 6 names 127.0.0.1, in 127.0.0.0/8",
        ),
        (&[6, 4, 0, 0, 0, 0], "option 6 names 0.0.0.0"),
        (&[6, 4, 224, 0, 0, 251], "option 6 names 224.0.0.251"),
        (
            &[6, 4, 255, 255, 255, 255],
            "option 6 names 255.255.255.255",
        ),
        (
            &[6, 4, 10, 0, 2, 255],
            "option 6 names 10.0.2.255, the broadcast address",
        ),
        (&[6, 3, 10, 0, 2], "option 6 is no list of addresses"),
        (&[42, 4, 127, 0, 0, 1], "option 42 names 127.0.0.1"),
        (&[42, 4, 239, 1, 1, 1], "option 42 names 239.1.1.1"),
        (
            &[26, 2, 2, 0x40],
            "option 26 is an MTU of 576 bytes; 1280 to 9216 are possible",
        ),
        (&[26, 2, 4, 0xff], "an MTU of 1279 bytes"),
        (&[26, 2, 0xff, 0xff], "an MTU of 65535 bytes"),
        (&[26, 1, 5], "option 26 has 1 bytes, and must have 2"),
        (
            &[1, 4, 255, 0, 255, 0],
            "option 1 is 255.0.255.0, no netmask; its first 8 bits count",
        ),
        (
            &[1, 4, 128, 0, 0, 0],
            "option 1 makes a network 0.0.0.0/1 with 0.0.0.0/8",
        ),
        (&[51, 2, 0, 9], "option 51 has 2 bytes, and must have 4"),
        (&[3, 2, 10, 0], "option 3 is no list of addresses"),
        (
            &[15, 4, b'a', b'\n', b'b', b'c'],
            "option 15 \"a\\nbc\" is no domain name",
        ),
        (&[119, 2, b'a', b'b'], "option 119 is no list of domains"),
        (
            &[12, 3, b'a', b'\x1b', b'c'],
            "option 12 \"a\\u{1b}c\" is no host name",
        ),
        (&[52, 1, 9], "option 52 is neither 1, 2 nor 3"),
        (&[43, 200, 1], "option 43 is cut"),
    ];
    for (option, refused) in cases {
        let lease = granted(&[option]);
        assert!(
            lease.refused.concat().contains(refused),
            "{option:?} {:?}",
            lease.refused
        );
        assert_eq!(lease.addr, Ipv4Addr::new(10, 0, 2, 15));
        assert!(lease.ntp.is_empty() && lease.mtu.is_none() && lease.routes.is_empty());
    }
    assert_eq!(granted(&[&[26, 2, 5, 0]]).mtu, Some(1280));
    assert_eq!(
        granted(&[&[6, 4, 169, 254, 169, 254]]).dns.len(),
        1,
        "a cloud's"
    );
    assert_eq!(granted(&[&[1, 4, 128, 0, 0, 0]]).prefix, 32);
}

#[test]
fn names_of_a_lease() {
    let long = format!(
        "{}.europe-west4-b.c.project-0123456789.internal",
        "a".repeat(40)
    );
    let option = [&[12, u8::try_from(long.len()).unwrap()], long.as_bytes()].concat();
    let lease = granted(&[&option]);
    assert_eq!(lease.hostname, Some("a".repeat(40)));
    assert!(
        lease.refused[0].contains("is cut to aaa"),
        "{:?}",
        lease.refused
    );
    let lease = granted(&[
        b"\x0c\x05box.\0",
        b"\x0f\x04lan.",
        b"\x77\x09\x01a\0\x03lan\0\0",
    ]);
    assert_eq!(lease.hostname.as_deref(), Some("box"));
    let lease = granted(&[b"\x77\x08\x01a\0\x03lan\0", b"\x0f\x04lan."]);
    assert_eq!(lease.domains, ["a", "lan"]);
}

#[test]
fn options_in_the_fields_for_files_and_names() {
    let mut m = reply(7, 5, &[&[52, 1, 3], &[121, 3, 24, 10, 1]]);
    m[108..116].copy_from_slice(&[121, 3, 2, 10, 0, 255, 0, 0]);
    m[44..50].copy_from_slice(&[121, 2, 2, 9, 255, 0]);
    let Some(ServerMessage::Ack(lease)) = decode(&m, 7, MAC) else {
        panic!()
    };
    assert_eq!(routes_of(&lease), ["the route 10.1.2.0/24 via 10.0.2.9"]);
    assert_eq!(lease.refused, [] as [String; 0]);
}
