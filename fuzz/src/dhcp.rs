//! What a DHCP server answers: the one thing here that comes from a network. The
//! reader is part of a program, so its files are taken as they are.

use std::net::Ipv4Addr;

use lease::Lease;
use packet::{ClientMessage, ServerMessage, decode, encode, ip_packet, udp_payload};

pub use b2p::helpers::net::lease;
pub use b2p::helpers::net::packet;

pub(crate) const WORDS: &[&str] = &[
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
];

const XID: u32 = 0x1234_5678;
const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

/// Where the message begins in an IP packet without options.
const HEADERS: usize = 28;

/// The input is the message; put into headers that fit, and as a packet of its own.
///
/// - What is unwrapped is a part of the packet.
/// - Only an answer to our question from our card is one.
/// - A lease has an address that a machine can have, and all of it can be written
///   to resolv.conf and to the routes; its times are in order and not zero.
/// - What we ask is understood by the same codec.
pub fn dhcp(data: &[u8]) {
    if let Some(message) = udp_payload(data) {
        assert!(message.len() + HEADERS <= data.len());
        let _ = decode(message, XID, MAC);
    }
    match decode(data, XID, MAC) {
        Some(ServerMessage::Offer(lease) | ServerMessage::Ack(lease)) => sound(&lease, data),
        Some(ServerMessage::Nak) => assert!(ours(data)),
        None => {}
    }
    asked(data);
}

/// Transaction and hardware address stand at fixed places (RFC 2131, figure 1).
fn ours(data: &[u8]) -> bool {
    data.get(4..8) == Some(&XID.to_be_bytes()) && data.get(28..34) == Some(&MAC)
}

fn sound(lease: &Lease, data: &[u8]) {
    assert!(ours(data));
    let machine = |a: &Ipv4Addr| !a.is_unspecified() && !a.is_multicast() && !a.is_broadcast();
    assert!(machine(&lease.addr) && !lease.addr.is_loopback());
    assert!(lease.prefix <= 32);
    assert!(lease.dns.iter().all(machine), "{:?}", lease.dns);
    assert!(lease.routes.iter().all(|r| r.prefix <= 32));
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    let name = |d: &String| !d.is_empty() && d.len() <= 253 && d.bytes().all(plain);
    assert!(lease.domain.as_ref().is_none_or(name));
    assert!(lease.mtu.is_none_or(|m| (576..=9216).contains(&m)));
    let times = lease.times;
    let order = [1, times.renew, times.rebind, times.expire];
    assert!(order.is_sorted(), "{times:?}");
}

fn asked(data: &[u8]) {
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
    assert!(message.is_empty() || ours(&message));
    if !message.is_empty() {
        assert_eq!(decode(&message, XID, MAC), None, "a question is no answer");
        let mut packet = ip_packet(&message);
        assert_eq!(udp_payload(&packet), None, "it is not for us");
        // The port of the client, and no checksum: then it is.
        packet[22..24].copy_from_slice(&68u16.to_be_bytes());
        packet[26..28].copy_from_slice(&[0, 0]);
        assert_eq!(udp_payload(&packet), Some(&message[..]));
    }
}
