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

/// Sends the advertisement once, on this end of the card's pair.
pub fn advertise(card: &str, say: &Advertisement) -> Result<()> {
    let hour = 3600u32.to_be_bytes();
    // Type, code, checksum (filled in by the kernel), hop limit, flags, lifetime, two timers.
    let mut m = vec![134, 0, 0, 0, 64, 0, 0x0e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0];
    m.extend([3, 4, 64, 0xc0]); // prefix: on the link, and for addresses
    m.extend(hour);
    m.extend(hour);
    m.extend([0; 4]);
    m.extend(say.prefix.octets());
    m.extend([5, 1, 0, 0]);
    m.extend(say.mtu.to_be_bytes());
    if !say.servers.is_empty() {
        m.extend([25, u8::try_from(1 + 2 * say.servers.len())?, 0, 0]);
        m.extend(say.lifetime.to_be_bytes());
        m.extend(say.servers.iter().flat_map(|s| s.octets()));
    }
    socket::to_all_nodes(&format!("to-{card}"), &m)
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
