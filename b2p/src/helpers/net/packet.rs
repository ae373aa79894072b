// SPDX-License-Identifier: Apache-2.0
//! DHCP messages as bytes (RFC 2131, 2132, 3442), by smoltcp's codec.

use std::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress, IpAddress, IpProtocol,
    Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

use super::lease::{Lease, Route, Times};

/// Options that the client asks for: mask, router, DNS, name, domain, MTU, NTP, times, routes.
const PARAMETERS: &[u8] = &[1, 3, 6, 12, 15, 26, 42, 51, 54, 58, 59, 121];

/// Largest message that the client takes, in bytes: one Ethernet frame.
const MAX_SIZE: u16 = 1500;
/// Smallest message, in bytes: BOOTP's, for old relays (RFC 1542, section 2.1).
const MIN_SIZE: usize = 300;
/// Number of time servers that are taken.
const MAX_NTP_SERVERS: usize = 4;
/// Shortest lease, in seconds: one of none must not make the client ask without end.
const MIN_LEASE: u32 = 5;

/// A message of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientMessage {
    /// Transaction that it belongs to.
    pub xid: u32,
    /// Hardware address of the card.
    pub mac: [u8; 6],
    /// True for DISCOVER, false for REQUEST.
    pub discover: bool,
    /// Address that the card has (renewing), else 0.0.0.0 (`ciaddr`).
    pub client_addr: Ipv4Addr,
    /// Address that the client asks for (option 50).
    pub requested_addr: Option<Ipv4Addr>,
    /// Server whose offer is taken (option 54).
    pub server: Option<Ipv4Addr>,
    /// Name of the machine, for servers that put it into the DNS (option 12).
    pub hostname: String,
}

/// A message of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// The server would grant this lease.
    Offer(Lease),
    /// The server grants this lease.
    Ack(Lease),
    /// The server refuses.
    Nak,
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

/// Returns the DHCP message in an IP packet. The UDP checksum is not verified: between two
/// ends on one machine it is left to hardware, and there is none.
#[must_use]
pub fn udp_payload(bytes: &[u8]) -> Option<&[u8]> {
    let ip = Ipv4Packet::new_checked(bytes).ok()?;
    (ip.next_header() == IpProtocol::Udp).then_some(())?;
    let payload = bytes.get(usize::from(ip.header_len())..usize::from(ip.total_len()))?;
    let udp = UdpPacket::new_checked(payload).ok()?;
    (udp.dst_port() == 68).then_some(())?;
    payload.get(8..usize::from(udp.len()))
}

/// Reads a message to `mac` in the transaction `xid`; any other is `None`.
#[must_use]
pub fn decode(message: &[u8], xid: u32, mac: [u8; 6]) -> Option<ServerMessage> {
    let packet = DhcpPacket::new_checked(message).ok()?;
    let repr = DhcpRepr::parse(&packet).ok()?;
    let ours = repr.transaction_id == xid && repr.client_hardware_address.0 == mac;
    match repr.message_type {
        _ if !ours => None,
        DhcpMessageType::Offer => lease(&repr, &packet).map(ServerMessage::Offer),
        DhcpMessageType::Ack => lease(&repr, &packet).map(ServerMessage::Ack),
        DhcpMessageType::Nak => Some(ServerMessage::Nak),
        _ => None,
    }
}

fn lease(repr: &DhcpRepr<'_>, packet: &DhcpPacket<&[u8]>) -> Option<Lease> {
    let addr = repr.your_ip;
    let usable = !addr.is_unspecified()
        && !addr.is_multicast()
        && !addr.is_broadcast()
        && !addr.is_loopback();
    usable.then_some(())?;
    let mask = repr.subnet_mask.unwrap_or(Ipv4Addr::new(255, 255, 255, 0));
    let prefix = u8::try_from(u32::from(mask).leading_ones()).ok()?;
    let option = |kind| packet.options().find(|o| o.kind == kind).map(|o| o.data);
    let routes = option(121)
        .and_then(classless_routes)
        .unwrap_or_else(|| repr.router.map(Route::default_by).into_iter().collect());
    let usable = |a: &Ipv4Addr| !a.is_unspecified() && !a.is_multicast() && !a.is_broadcast();
    Some(Lease {
        addr,
        prefix,
        routes,
        dns: repr
            .dns_servers
            .iter()
            .flatten()
            .copied()
            .filter(usable)
            .collect(),
        ntp: option(42).map_or_else(Vec::new, ntp_servers),
        domain: option(15).and_then(domain_name),
        hostname: option(12).and_then(host_name),
        mtu: option(26).and_then(mtu),
        server: repr.server_identifier.unwrap_or(Ipv4Addr::UNSPECIFIED),
        times: lease_times(repr),
    })
}

/// Returns the times of a lease; where the server sends none, renewal is due after half of it
/// and rebinding after seven eighths (RFC 2131, 4.4.5).
fn lease_times(repr: &DhcpRepr<'_>) -> Times {
    let expire = repr.lease_duration.unwrap_or(3600).max(MIN_LEASE);
    let rebind = repr
        .rebind_duration
        .unwrap_or(expire - expire / 8)
        .clamp(1, expire);
    let renew = repr.renew_duration.unwrap_or(expire / 2).clamp(1, rebind);
    Times {
        renew,
        rebind,
        expire,
    }
}

/// Reads routes (RFC 3442): prefix length, the bytes of the network that it covers, gateway.
/// Returns `None` if anything is malformed; then the router option counts.
fn classless_routes(mut data: &[u8]) -> Option<Vec<Route>> {
    let mut routes = Vec::new();
    while let Some((&prefix, rest)) = data.split_first() {
        let length = usize::from(prefix.div_ceil(8));
        let (significant, rest) = rest.split_at_checked(length).filter(|_| prefix <= 32)?;
        let (gateway, rest) = rest.split_first_chunk::<4>()?;
        let mut network = [0; 4];
        network.get_mut(..length)?.copy_from_slice(significant);
        routes.push(Route {
            network: network.into(),
            prefix,
            gateway: (*gateway).into(),
        });
        data = rest;
    }
    (!routes.is_empty()).then_some(routes)
}

/// Reads a name that may stand in resolv.conf as it is: the server is not trusted to write
/// further lines there.
fn domain_name(data: &[u8]) -> Option<String> {
    let text = data.strip_suffix(b"\0").unwrap_or(data);
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let good = !text.is_empty() && text.len() <= 253 && text.iter().all(plain);
    good.then(|| String::from_utf8_lossy(text).into_owned())
}

/// Reads the first addresses of a list that a server can have.
fn ntp_servers(data: &[u8]) -> Vec<Ipv4Addr> {
    let chunks = data.chunks_exact(4).filter_map(|c| c.first_chunk::<4>());
    let addresses = chunks.map(|c| Ipv4Addr::from(*c));
    let usable = |a: &Ipv4Addr| {
        !a.is_unspecified() && !a.is_multicast() && !a.is_broadcast() && !a.is_loopback()
    };
    addresses.filter(usable).take(MAX_NTP_SERVERS).collect()
}

/// Reads a host name (RFC 1123, 2.1; Linux HOST_NAME_MAX).
fn host_name(data: &[u8]) -> Option<String> {
    let name = domain_name(data)?;
    let label = |l: &str| {
        (1..=63).contains(&l.len()) && !l.contains('_') && !l.starts_with('-') && !l.ends_with('-')
    };
    (name.len() <= 64 && name.split('.').all(label)).then_some(name)
}

/// Reads an MTU in bytes, from RFC 791's minimum for hosts up to jumbo frames.
fn mtu(data: &[u8]) -> Option<u16> {
    let mtu = u16::from_be_bytes(data.try_into().ok()?);
    (576..=9216).contains(&mtu).then_some(mtu)
}

#[cfg(test)]
pub(crate) mod tests;
