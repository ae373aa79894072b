// SPDX-License-Identifier: Apache-2.0
//! Answers of DHCP servers as leases (RFC 2131, 2132, 3397, 3442). Pure. A part that is malformed,
//! or that no honest server sends, is left out and named in the lease; the rest counts.

use std::net::Ipv4Addr;

use smoltcp::wire::{ArpHardware, DhcpOpCode, DhcpPacket};

use super::lease::{Lease, Network, Route, Times};
use super::names;
use super::options::Options;
use super::ranges;

/// Number of time servers, and of name servers, that are taken.
const MAX_SERVERS: usize = 4;
/// Minimum lease time in seconds: with a lease of 0 s the client would send requests without a pause.
const MIN_LEASE: u32 = 5;
/// Lease time in seconds if the server sends no option 51.
const DEFAULT_LEASE: u32 = 3600;
/// Smallest MTU in bytes, which IPv6 needs (RFC 8200, section 5), and the largest of jumbo frames.
const MTU: std::ops::RangeInclusive<u16> = 1280..=9216;
/// Magic cookie before the options (RFC 2131, section 3).
const MAGIC_COOKIE: u32 = 0x6382_5363;

// Codes of options (RFC 2132; RFC 3442 for the classless routes).
const SUBNET_MASK: u8 = 1;
const ROUTER: u8 = 3;
const NAME_SERVER: u8 = 6;
const INTERFACE_MTU: u8 = 26;
const STATIC_ROUTE: u8 = 33;
const TIME_SERVER: u8 = 42;
const LEASE_TIME: u8 = 51;
const MESSAGE_TYPE: u8 = 53;
const SERVER_IDENTIFIER: u8 = 54;
const RENEWAL_TIME: u8 = 58;
const REBINDING_TIME: u8 = 59;
const CLASSLESS_ROUTES: u8 = 121;

// Values of the message type (RFC 2132, section 9.6).
const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// A message of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// The server would grant this lease.
    Offer(Lease),
    /// The server grants this lease.
    Ack(Lease),
    /// The server of this address refuses; `None` if the message names none.
    Nak(Option<Ipv4Addr>),
    /// An offer or a grant of an address that no machine can have.
    Unusable(String),
}

/// Reads a message to `mac` in the transaction `xid`; any other is `None`.
#[must_use]
pub fn decode(message: &[u8], xid: u32, mac: [u8; 6]) -> Option<ServerMessage> {
    let packet = DhcpPacket::new_checked(message).ok()?;
    let ours = packet.opcode() == DhcpOpCode::Reply
        && packet.hardware_type() == ArpHardware::Ethernet
        && packet.hardware_len() == 6
        && packet.magic_number() == MAGIC_COOKIE
        && packet.transaction_id() == xid
        && packet.client_hardware_address().0 == mac;
    ours.then_some(())?;
    let mut options = Options::read(message);
    let kind = *options.get(MESSAGE_TYPE)?.first()?;
    let addr = packet.your_ip();
    match kind {
        OFFER | ACK if let Some(range) = ranges::reserved_for(addr) => {
            Some(ServerMessage::Unusable(format!("{addr} is in {range}")))
        }
        OFFER => Some(ServerMessage::Offer(lease(addr, &mut options))),
        ACK => Some(ServerMessage::Ack(lease(addr, &mut options))),
        NAK => Some(ServerMessage::Nak(
            options.fixed(SERVER_IDENTIFIER).map(Ipv4Addr::from),
        )),
        _ => None,
    }
}

fn lease(addr: Ipv4Addr, options: &mut Options) -> Lease {
    let prefix = prefix(addr, options);
    let network = Network::new(addr, prefix);
    let mut lease = Lease {
        addr,
        prefix,
        routes: routes(addr, network, options),
        dns: servers(NAME_SERVER, addr, network, options),
        ntp: servers(TIME_SERVER, addr, network, options),
        domains: names::domains(options),
        hostname: names::host_name(options),
        mtu: mtu(options),
        server: options
            .fixed(SERVER_IDENTIFIER)
            .map_or(Ipv4Addr::UNSPECIFIED, Ipv4Addr::from),
        times: times(options),
        refused: Vec::new(),
    };
    lease.refused = std::mem::take(&mut options.faults);
    lease
}

/// Returns the prefix length: that of option 1, or 24 without the option. If the network overlaps a special-purpose
/// block (RFC 6890), the result is 32.
fn prefix(addr: Ipv4Addr, options: &mut Options) -> u8 {
    let mask = options
        .fixed(SUBNET_MASK)
        .map_or(0xffff_ff00, u32::from_be_bytes);
    let ones = mask.leading_ones();
    if mask.count_ones() != ones {
        let mask = Ipv4Addr::from(mask);
        options.fault(
            SUBNET_MASK,
            &format!("is {mask}, no netmask; its first {ones} bits count"),
        );
    }
    let prefix = u8::try_from(ones).unwrap_or(32);
    let network = Network::new(addr, prefix);
    match ranges::overlapping(&network) {
        Some(range) => {
            let what = format!("makes a network {network} with {range}; the address alone is used");
            options.fault(SUBNET_MASK, &what);
            32
        }
        None => prefix,
    }
}

/// Returns the routes of option 121 (RFC 3442), or without the option those of options 33 and 3. If option 121 is
/// malformed, its complete routes count, and the router of option 3 if none of them is a default route.
fn routes(addr: Ipv4Addr, network: Network, options: &mut Options) -> Vec<Route> {
    let classless = options.get(CLASSLESS_ROUTES).map(classless_routes);
    let is_complete = matches!(classless, Some((_, true)));
    let mut routes = match classless {
        Some((routes, true)) => routes,
        Some((routes, false)) => {
            let what = format!("is malformed after {} routes", routes.len());
            options.fault(CLASSLESS_ROUTES, &what);
            routes
        }
        None => static_routes(options),
    };
    if !is_complete && !routes.iter().any(|route| route.prefix == 0) {
        let routers = options.get(ROUTER).unwrap_or_default();
        routes.extend(addresses(routers).next().map(Route::default_by));
        if !routers.len().is_multiple_of(4) || options.get(ROUTER).is_some_and(<[u8]>::is_empty) {
            options.fault(ROUTER, "is no list of addresses");
        }
    }
    let mut kept = Vec::new();
    for route in routes {
        match refusal(&route, addr, network) {
            None => kept.push(route),
            Some(why) => options.faults.push(format!("{route} is not set: {why}")),
        }
    }
    kept
}

/// Returns the reason why a lease may not have this route, whatever other networks the machine has.
fn refusal(route: &Route, own: Ipv4Addr, network: Network) -> Option<String> {
    if route.prefix > 0
        && !is_to_link_service(route, network)
        && let Some(range) = ranges::overlapping(&route.to())
    {
        return Some(format!("it overlaps {range}"));
    }
    let by = route.gateway;
    if by.is_unspecified() {
        return (route.prefix == 0).then(|| "it has no router".to_owned());
    }
    if by == own {
        return Some("its router is the machine itself".to_owned());
    }
    // Some clouds have a router with a link-local address (RFC 3927).
    let range = ranges::reserved_for(by).filter(|_| !by.is_link_local())?;
    Some(format!("its router is in {range}"))
}

/// Returns true for a route to one link-local address by a router in the lease's own network. In a network without a
/// router, the DHCP agent of OpenStack serves the metadata of 169.254.169.254 and names itself as the way there.
fn is_to_link_service(route: &Route, network: Network) -> bool {
    route.prefix == 32 && route.network.is_link_local() && network.contains(route.gateway)
}

/// Reads routes (RFC 3442): prefix length, the bytes of the network that it covers, gateway.
/// Returns the routes before the first malformed route, and true if the option has routes and none is malformed.
fn classless_routes(mut data: &[u8]) -> (Vec<Route>, bool) {
    let mut routes = Vec::new();
    while !data.is_empty() {
        let Some((route, rest)) = classless_route(data) else {
            return (routes, false);
        };
        routes.push(route);
        data = rest;
    }
    let is_complete = !routes.is_empty();
    (routes, is_complete)
}

fn classless_route(data: &[u8]) -> Option<(Route, &[u8])> {
    let (&prefix, rest) = data.split_first().filter(|(prefix, _)| **prefix <= 32)?;
    let length = usize::from(prefix.div_ceil(8));
    let (significant, rest) = rest.split_at_checked(length)?;
    let (gateway, rest) = rest.split_first_chunk::<4>()?;
    let mut network = [0; 4];
    network.get_mut(..length)?.copy_from_slice(significant);
    let route = Route {
        network: network.into(),
        prefix,
        gateway: (*gateway).into(),
    };
    Some((route, rest))
}

/// Reads the option of static routes (RFC 2132, 5.8): destination and router. The class of a destination gives its
/// prefix, unless the destination is a single address.
fn static_routes(options: &mut Options) -> Vec<Route> {
    let data = options.get(STATIC_ROUTE).unwrap_or_default().to_vec();
    if !data.len().is_multiple_of(8) {
        options.fault(STATIC_ROUTE, "is no list of routes");
    }
    let pairs = data.as_chunks::<8>().0.iter().filter_map(|pair| {
        let mut both = addresses(pair);
        Some((both.next()?, both.next()?))
    });
    let route = |(network, gateway): (Ipv4Addr, Ipv4Addr)| {
        let class = match network.octets()[0] {
            0..=127 => 8,
            128..=191 => 16,
            _ => 24,
        };
        let is_network = Network::new(network, class).first == network;
        Route {
            network,
            prefix: if is_network { class } else { 32 },
            gateway,
        }
    };
    pairs.map(route).collect()
}

fn addresses(data: &[u8]) -> impl Iterator<Item = Ipv4Addr> + '_ {
    let (addresses, _) = data.as_chunks::<4>();
    addresses.iter().map(|address| Ipv4Addr::from(*address))
}

/// Reads a list of servers; an address that no server has is left out.
fn servers(code: u8, own: Ipv4Addr, network: Network, options: &mut Options) -> Vec<Ipv4Addr> {
    let Some(data) = options.get(code).map(<[u8]>::to_vec) else {
        return Vec::new();
    };
    if data.is_empty() || !data.len().is_multiple_of(4) {
        options.fault(code, "is no list of addresses");
    }
    let mut servers = Vec::new();
    for addr in addresses(&data) {
        // Clouds have servers with link-local addresses, such as 169.254.169.254.
        let range = ranges::reserved_for(addr).filter(|_| !addr.is_link_local());
        let last = Ipv4Addr::from(
            u32::from(network.first) | !u32::from(super::lease::netmask(network.prefix)),
        );
        let broadcast = network.prefix < 31 && addr == last;
        match range {
            Some(range) => options.fault(code, &format!("names {addr}, in {range}; not used")),
            None if broadcast => {
                options.fault(
                    code,
                    &format!("names {addr}, the broadcast address; not used"),
                );
            }
            None if addr == own => {
                options.fault(code, &format!("names {addr}, this machine; not used"));
            }
            None if servers.contains(&addr) => {}
            None => servers.push(addr),
        }
    }
    servers.truncate(MAX_SERVERS);
    servers
}

/// Reads an MTU in bytes.
fn mtu(options: &mut Options) -> Option<u16> {
    let mtu = u16::from_be_bytes(options.fixed(INTERFACE_MTU)?);
    if !MTU.contains(&mtu) {
        let (min, max) = MTU.into_inner();
        options.fault(
            INTERFACE_MTU,
            &format!("is an MTU of {mtu} bytes; {min} to {max} are possible"),
        );
        return None;
    }
    Some(mtu)
}

/// Returns the times of a lease; where the server sends none, renewal is due after half of the time
/// and rebinding after seven eighths (RFC 2131, 4.4.5).
fn times(options: &mut Options) -> Times {
    let mut seconds = |code| options.fixed(code).map(u32::from_be_bytes);
    let expire = seconds(LEASE_TIME).unwrap_or(DEFAULT_LEASE).max(MIN_LEASE);
    let rebind = seconds(REBINDING_TIME)
        .unwrap_or(expire - expire / 8)
        .clamp(1, expire);
    let renew = seconds(RENEWAL_TIME).unwrap_or(expire / 2).clamp(1, rebind);
    Times {
        renew,
        rebind,
        expire,
    }
}

#[cfg(test)]
pub(crate) mod tests;
