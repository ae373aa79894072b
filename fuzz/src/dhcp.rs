// SPDX-License-Identifier: Apache-2.0
//! Target `dhcp`: answers of a DHCP server.

use std::net::Ipv4Addr;

use b2p::helpers::net::answer::{ServerMessage, decode};
use b2p::helpers::net::lease::Lease;
use b2p::helpers::net::packet::{ClientMessage, encode, ip_packet, udp_payload};

pub(crate) const DICTIONARY: &[&str] = &[
    "\x63\x00",
    "\x35\x01\x02",
    "\x35\x01\x05",
    "\x35\x01\x06",
    "\x0f\x07example",
    "\x1a\x02\x05\x00",
    "\x33\x04\0\0\0\x3c",
    "\x3a\x04\0\0\0\0",
    "\x3b\x04\0\0\0\0",
    "\x79\x05\0\x0a\0\x02\x02",
    "\x79\x03\x18\x0a\x01",
    "\x34\x01\x03",
    "\x21\x08\x0a\0\0\0\x0a\0\x02\x02",
    "\x77\x05\x03lan\0",
    "\x0c\x04box.",
];

const XID: u32 = 0x1234_5678;
const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

/// Length of the headers before the message, in an IP packet without options.
const HEADERS: usize = 28;

/// The input is a message, and also a packet.
///
/// - The payload of a packet is a part of the packet.
/// - An answer has the transaction and the hardware address of the question.
/// - A lease has a unicast address, and every field is valid in resolv.conf and in routes; no route
///   or server is in loopback or multicast; its times are in order and not zero.
/// - The codec reads its own questions.
pub fn dhcp(data: &[u8]) {
    if let Some(message) = udp_payload(data) {
        assert!(message.len() + HEADERS <= data.len());
        let _ = decode(message, XID, MAC);
    }
    match decode(data, XID, MAC) {
        Some(ServerMessage::Offer(lease) | ServerMessage::Ack(lease)) => check_lease(&lease, data),
        Some(ServerMessage::Nak(_) | ServerMessage::Unusable(_)) => assert!(is_answer_to_us(data)),
        None => {}
    }
    check_question(data);
}

/// Returns true for our transaction and hardware address at their fixed offsets (RFC 2131,
/// figure 1).
fn is_answer_to_us(data: &[u8]) -> bool {
    data.get(4..8) == Some(&XID.to_be_bytes()) && data.get(28..34) == Some(&MAC)
}

fn check_lease(lease: &Lease, data: &[u8]) {
    assert!(is_answer_to_us(data));
    let is_unicast = |a: &Ipv4Addr| !a.is_unspecified() && !a.is_multicast() && !a.is_broadcast();
    assert!(is_unicast(&lease.addr) && !lease.addr.is_loopback());
    assert!(lease.prefix <= 32);
    assert!(lease.dns.iter().all(is_unicast), "{:?}", lease.dns);
    assert!(lease.routes.iter().all(|r| r.prefix <= 32));
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    let name = |d: &String| !d.is_empty() && d.len() <= 253 && d.bytes().all(plain);
    assert!(lease.domains.len() <= 6 && lease.domains.iter().all(name));
    assert!(lease.hostname.iter().all(|n| name(n) && n.len() <= 64));
    assert!(lease.mtu.is_none_or(|m| (1280..=9216).contains(&m)));
    let is_ours = |a: &Ipv4Addr| a.is_loopback() || a.is_multicast() || a.octets()[0] == 0;
    let specific = lease.routes.iter().filter(|r| r.prefix > 0);
    assert!(
        !specific.into_iter().any(|r| is_ours(&r.network)),
        "{lease:?}"
    );
    assert!(!lease.ntp.iter().any(is_ours) && !lease.dns.iter().any(is_ours));
    let times = lease.times;
    let in_order = [1, times.renew, times.rebind, times.expire];
    assert!(in_order.is_sorted(), "{times:?}");
}

fn check_question(data: &[u8]) {
    let name: String = String::from_utf8_lossy(data).chars().take(64).collect();
    let request = ClientMessage {
        xid: XID,
        mac: MAC,
        discover: data.len().is_multiple_of(2),
        client_addr: Ipv4Addr::UNSPECIFIED,
        requested_addr: Some(Ipv4Addr::new(10, 0, 2, 15)),
        server: None,
        hostname: name,
    };
    let message = encode(&request);
    assert!(message.is_empty() || is_answer_to_us(&message));
    if !message.is_empty() {
        assert_eq!(decode(&message, XID, MAC), None, "a question is no answer");
        let mut packet = ip_packet(&message);
        assert_eq!(udp_payload(&packet), None, "it is for the server");
        // With the port of the client and no checksum, the packet is accepted.
        packet[22..24].copy_from_slice(&68u16.to_be_bytes());
        packet[26..28].copy_from_slice(&[0, 0]);
        assert_eq!(udp_payload(&packet), Some(&message[..]));
    }
}
