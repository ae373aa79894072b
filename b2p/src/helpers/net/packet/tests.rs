// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;

pub const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

/// A client's first message.
pub fn client_message() -> ClientMessage {
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
