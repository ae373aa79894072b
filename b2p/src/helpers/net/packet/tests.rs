// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

fn client_message() -> ClientMessage {
    ClientMessage {
        xid: 7,
        mac: MAC,
        discover: true,
        client_addr: Ipv4Addr::UNSPECIFIED,
        requested_addr: None,
        server: None,
        hostname: "box".into(),
    }
}

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
fn a_message_is_found_in_its_packet() {
    let m = encode(&client_message());
    let packet = ip_packet(&m);
    assert_eq!(packet[9], 17);
    assert_eq!(&packet[16..20], &[255; 4]);
    // With the ports exchanged (68 is the client's), the message is found again.
    let mut back = packet.clone();
    back.swap(21, 23);
    assert_eq!(udp_payload(&back), Some(&m[..]));
    assert_eq!(
        udp_payload(&packet),
        None,
        "not addressed to the client's port"
    );
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
    assert_eq!((l.mtu, l.domain.as_deref()), (Some(1500), Some("lan")));
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
fn others_and_nonsense_are_not_answers() {
    assert_eq!(decode(&reply(8, 5, &[]), 7, MAC), None);
    assert_eq!(decode(&reply(7, 5, &[]), 7, [1; 6]), None);
    assert_eq!(decode(&[], 7, MAC), None);
    assert_eq!(decode(&reply(7, 6, &[]), 7, MAC), Some(ServerMessage::Nak));
    let mut nobody = reply(7, 5, &[]);
    nobody[16..20].fill(0);
    assert_eq!(decode(&nobody, 7, MAC), None);
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
fn routes_of_a_lease() {
    let two = classless_routes(&[0, 10, 0, 2, 2, 24, 10, 1, 2, 0, 0, 0, 0]).unwrap();
    assert_eq!(two[0], Route::default_by(Ipv4Addr::new(10, 0, 2, 2)));
    assert_eq!(
        two[1],
        Route {
            network: Ipv4Addr::new(10, 1, 2, 0),
            prefix: 24,
            gateway: Ipv4Addr::UNSPECIFIED
        }
    );
    for bad in [
        &[33, 1, 2, 3, 4, 5, 6, 7, 8, 9][..],
        &[24, 10, 1],
        &[0],
        &[],
    ] {
        assert_eq!(classless_routes(bad), None, "{bad:?}");
    }
}

#[test]
fn a_domain_is_a_name_and_nothing_more() {
    assert_eq!(domain_name(b"lan\0").as_deref(), Some("lan"));
    assert_eq!(domain_name(b"lan\nnameserver 6.6.6.6"), None);
    assert_eq!(domain_name(b""), None);
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

#[test]
fn a_host_name_that_is_none_is_not_taken() {
    for bad in [&b"-x"[..], b"x_y", b"a..b", b"", b"a b", &[b'a'; 65]] {
        assert_eq!(host_name(bad), None, "{bad:?}");
    }
    assert_eq!(host_name(b"web.example\0").as_deref(), Some("web.example"));
}
