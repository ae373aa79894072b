// SPDX-License-Identifier: Apache-2.0
//! Questions to DHCP servers as bytes (RFC 2131, 2132), by smoltcp's codec, and the IP packets of
//! both directions.

use std::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress, IpAddress, IpProtocol,
    Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

/// Options that the client requests: mask, router, DNS, name, domain, MTU, old routes, NTP, times,
/// domains, routes.
const PARAMETERS: &[u8] = &[1, 3, 6, 12, 15, 26, 33, 42, 51, 54, 58, 59, 119, 121];

/// Largest message that the client takes, in bytes: one Ethernet frame.
const MAX_SIZE: u16 = 1500;
/// Smallest message, in bytes: BOOTP's, for old relays (RFC 1542, section 2.1).
const MIN_SIZE: usize = 300;

/// A message of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientMessage {
    /// Transaction that the message belongs to.
    pub xid: u32,
    /// Hardware address of the card.
    pub mac: [u8; 6],
    /// True for DISCOVER, false for REQUEST.
    pub discover: bool,
    /// Address that the card has (renewing), else 0.0.0.0 (`ciaddr`).
    pub client_addr: Ipv4Addr,
    /// Address that the client requests (option 50).
    pub requested_addr: Option<Ipv4Addr>,
    /// Server whose offer is taken (option 54).
    pub server: Option<Ipv4Addr>,
    /// Name of the machine, for servers that put the name into the DNS (option 12).
    pub hostname: String,
}

/// Returns the bytes of `message`; none if its host name is longer than an option can be.
#[must_use]
pub fn encode(message: &ClientMessage) -> Vec<u8> {
    let name = [DhcpOption {
        kind: 12,
        data: message.hostname.as_bytes(),
    }];
    let mac = EthernetAddress(message.mac);
    let repr = DhcpRepr {
        message_type: if message.discover {
            DhcpMessageType::Discover
        } else {
            DhcpMessageType::Request
        },
        transaction_id: message.xid,
        secs: 0,
        client_hardware_address: mac,
        client_ip: message.client_addr,
        your_ip: Ipv4Addr::UNSPECIFIED,
        server_ip: Ipv4Addr::UNSPECIFIED,
        router: None,
        subnet_mask: None,
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        // The client reads packets below IP: the answer may be unicast.
        broadcast: false,
        requested_ip: message.requested_addr,
        client_identifier: Some(mac),
        server_identifier: message.server,
        parameter_request_list: Some(PARAMETERS),
        dns_servers: None,
        max_size: Some(MAX_SIZE),
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        additional_options: if message.hostname.is_empty() {
            &[]
        } else {
            &name
        },
    };
    let mut bytes = vec![0; repr.buffer_len().max(MIN_SIZE)];
    let mut packet = DhcpPacket::new_unchecked(&mut bytes[..]);
    match repr.emit(&mut packet) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

/// Returns `message` in an IP packet from 0.0.0.0 to 255.255.255.255.
#[must_use]
pub fn ip_packet(message: &[u8]) -> Vec<u8> {
    let (from, to) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
    let udp = UdpRepr {
        src_port: 68,
        dst_port: 67,
    };
    let length = 8 + message.len();
    let ip = Ipv4Repr {
        src_addr: from,
        dst_addr: to,
        next_header: IpProtocol::Udp,
        payload_len: length,
        hop_limit: 64,
    };
    let sums = ChecksumCapabilities::default();
    let mut bytes = vec![0; ip.buffer_len() + length];
    let (head, body) = bytes.split_at_mut(ip.buffer_len());
    ip.emit(&mut Ipv4Packet::new_unchecked(head), &sums);
    let copy = |payload: &mut [u8]| payload.copy_from_slice(message);
    let mut packet = UdpPacket::new_unchecked(body);
    udp.emit(
        &mut packet,
        &IpAddress::Ipv4(from),
        &IpAddress::Ipv4(to),
        message.len(),
        copy,
        &sums,
    );
    bytes
}

/// Returns the DHCP message in an IP packet. The UDP checksum is not verified: between two ends on
/// one machine the checksum is left to hardware, which there is not.
#[must_use]
pub fn udp_payload(bytes: &[u8]) -> Option<&[u8]> {
    let ip = Ipv4Packet::new_checked(bytes).ok()?;
    (ip.next_header() == IpProtocol::Udp).then_some(())?;
    let payload = bytes.get(usize::from(ip.header_len())..usize::from(ip.total_len()))?;
    let udp = UdpPacket::new_checked(payload).ok()?;
    (udp.dst_port() == 68).then_some(())?;
    payload.get(8..usize::from(udp.len()))
}

#[cfg(test)]
pub(super) mod tests;
