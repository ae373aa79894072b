// SPDX-License-Identifier: Apache-2.0
//! A router that advertises itself (RFC 4861, 4.2).

use std::net::{Ipv6Addr, UdpSocket};

use anyhow::Result;

use super::{LIMIT, socket};

/// Content of a router advertisement.
#[derive(Clone, Debug)]
pub struct Advertisement {
    /// Network prefix of 64 bits.
    pub prefix: Ipv6Addr,
    /// MTU of the link.
    pub mtu: u32,
    /// Name servers (RDNSS).
    pub servers: Vec<Ipv6Addr>,
    /// Lifetime of the name servers in seconds.
    pub lifetime: u32,
}

/// Router preferences of the flags (RFC 4191, 2.2).
pub const MEDIUM: u8 = 0;
/// Precedence over other routers.
pub const HIGH: u8 = 1 << 3;

/// Option of a prefix (RFC 4861, 4.6.2): on the link, and with `autonomous` for addresses.
#[must_use]
pub fn prefix(prefix: Ipv6Addr, length: u8, autonomous: bool) -> Vec<u8> {
    let flags = if autonomous { 0xc0 } else { 0x80 };
    let mut option = vec![3, 4, length, flags];
    option.extend(3600u32.to_be_bytes());
    option.extend(3600u32.to_be_bytes());
    option.extend([0; 4]);
    option.extend(prefix.octets());
    option
}

/// Option of name servers (RFC 8106, 5.1).
#[must_use]
pub fn name_servers(servers: &[Ipv6Addr], lifetime: u32) -> Vec<u8> {
    let eights = u8::try_from(1 + 2 * servers.len()).unwrap_or(1);
    let mut option = vec![25, eights, 0, 0];
    option.extend(lifetime.to_be_bytes());
    option.extend(servers.iter().flat_map(|s| s.octets()));
    option
}

/// Sends an advertisement of a router with this hop limit and preference, and these options.
pub fn advertise_options(card: &str, hops: u8, preference: u8, options: &[Vec<u8>]) -> Result<()> {
    // Type, code, checksum (filled in by the kernel), hop limit, flags, lifetime, two timers.
    let head = [134, 0, 0, 0, hops, preference, 0x0e, 0x10];
    let mut m = [head, [0; 8]].concat();
    m.extend(options.concat());
    socket::to_all_nodes(&format!("to-{card}"), &m)
}

/// Sends the advertisement once, on this end of the card's pair.
pub fn advertise(card: &str, say: &Advertisement) -> Result<()> {
    let mut options = vec![prefix(say.prefix, 64, true)];
    options.push([&[5, 1, 0, 0][..], &say.mtu.to_be_bytes()].concat());
    if !say.servers.is_empty() {
        options.push(name_servers(&say.servers, say.lifetime));
    }
    advertise_options(card, 64, MEDIUM, &options)
}

/// Receives router solicitations (RFC 4861, 4.1) at this end of the card's pair.
pub struct Solicitations(UdpSocket);

impl Solicitations {
    /// Starts to receive.
    pub fn on(card: &str) -> Result<Solicitations> {
        let socket = socket::icmpv6(&format!("to-{card}"))?;
        socket.set_read_timeout(Some(LIMIT))?;
        Ok(Solicitations(socket))
    }

    /// Waits until a client solicits.
    pub fn asked(&self) -> Result<()> {
        let mut bytes = [0; 256];
        loop {
            if self.0.recv(&mut bytes)? > 0 && bytes[0] == 133 {
                return Ok(());
            }
        }
    }
}
