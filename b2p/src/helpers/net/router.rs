// SPDX-License-Identifier: Apache-2.0
//! Name servers that routers advertise (RFC 8106, RDNSS). The kernel reads router
//! advertisements, checks their origin, makes addresses and routes of them, and passes on the
//! options that are not its own as `RTM_NEWNDUSEROPT` (net/ipv6/ndisc.c). So no raw socket is
//! needed here, nor a second reader of packets. Pure.

use std::net::Ipv6Addr;

use services::Millis;

/// `RTM_NEWNDUSEROPT` (linux/rtnetlink.h).
const NEW_OPTION: u16 = 68;
/// linux/socket.h.
const AF_INET6: u8 = 10;
/// Type of a router advertisement (`ND_ROUTER_ADVERT`), and of the option (RFC 8106, 5.1).
const ROUTER_ADVERTISEMENT: u8 = 134;
const RDNSS: u8 = 25;
/// Number of servers that are kept for one card; no program uses more than three.
const MAX_SERVERS: usize = 4;

/// Name servers that a router advertised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// Index of the card that received the advertisement.
    pub index: u32,
    /// The servers, in the router's order.
    pub servers: Vec<Ipv6Addr>,
    /// Lifetime in seconds: 0 withdraws them, `u32::MAX` is for ever.
    pub seconds: u32,
}

/// Returns the advertisements in messages of the kernel (netlink(7)).
#[must_use]
pub fn parse(mut bytes: &[u8]) -> Vec<Advertisement> {
    let mut advertisements = Vec::new();
    while let Some((message, kind, rest)) = message(bytes) {
        if kind == NEW_OPTION {
            advertisements.extend(options(message));
        }
        bytes = rest;
    }
    advertisements
}

/// Returns payload and type of the first message, and the bytes after the message.
pub fn message(bytes: &[u8]) -> Option<(&[u8], u16, &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?);
    let length = usize::try_from(length).ok()?;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let payload = bytes.get(16..length)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    Some((payload, kind, rest))
}

/// Reads struct nduseroptmsg: family, padding, length of the options, card, ICMP type and
/// code, padding; then the options.
fn options(message: &[u8]) -> Option<Advertisement> {
    let head: &[u8; 16] = message.first_chunk()?;
    let length = usize::from(u16::from_ne_bytes([head[2], head[3]]));
    let index = u32::from_ne_bytes([head[4], head[5], head[6], head[7]]);
    (head[0] == AF_INET6 && head[8] == ROUTER_ADVERTISEMENT).then_some(())?;
    let mut options = message.get(16..16 + length)?;
    while let [kind, eights, ..] = *options {
        let length = usize::from(eights) * 8;
        let option = options.get(..length).filter(|_| length > 0)?;
        if let Some((servers, seconds)) = (kind == RDNSS).then(|| rdnss(option)).flatten() {
            return Some(Advertisement {
                index,
                servers,
                seconds,
            });
        }
        options = options.get(length..)?;
    }
    None
}

fn rdnss(option: &[u8]) -> Option<(Vec<Ipv6Addr>, u32)> {
    let seconds = u32::from_be_bytes(*option.get(4..)?.first_chunk()?);
    let (all, _) = option.get(8..)?.as_chunks::<16>();
    let all = all.iter().map(|address| Ipv6Addr::from(*address));
    // An address of IPv4 in one of IPv6 would circumvent the rules for servers of DHCP; ::1 is such
    // an address.
    let usable = |a: &Ipv6Addr| a.to_ipv4().is_none() && !a.is_multicast();
    Some((all.filter(usable).collect(), seconds))
}

/// Servers that are advertised to one card, each with the time of its expiry.
#[derive(Debug, Default)]
pub struct Servers(Vec<(Ipv6Addr, Option<Millis>)>);

impl Servers {
    /// Takes an advertisement; returns true if the list of servers changed.
    pub fn update(&mut self, advertisement: &Advertisement, now: Millis) -> bool {
        let before = self.list();
        let until = (advertisement.seconds != u32::MAX)
            .then(|| now + Millis::from(advertisement.seconds) * 1000);
        for server in &advertisement.servers {
            let known = self.0.iter_mut().find(|(known, _)| known == server);
            if let Some(known) = known {
                known.1 = until;
            } else if self.0.len() < MAX_SERVERS {
                self.0.push((*server, until));
            }
        }
        self.expire(now);
        self.list() != before
    }

    /// Removes servers that have expired; returns true if there were any.
    pub fn expire(&mut self, now: Millis) -> bool {
        let before = self.0.len();
        self.0.retain(|(_, until)| until.is_none_or(|at| at > now));
        self.0.len() != before
    }

    /// Removes all servers; returns true if there were any.
    pub fn clear(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }

    /// Returns when the next server expires.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        self.0.iter().filter_map(|(_, until)| *until).min()
    }

    /// Returns the servers in the order of their first advertisement.
    #[must_use]
    pub fn list(&self) -> Vec<Ipv6Addr> {
        self.0.iter().map(|(server, _)| *server).collect()
    }
}

#[cfg(test)]
mod tests;
