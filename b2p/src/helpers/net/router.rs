//! What routers say of name servers (RFC 8106, RDNSS). The kernel reads router
//! advertisements, checks where they come from, makes addresses and routes of them,
//! and hands on what is not its own as `RTM_NEWNDUSEROPT` (net/ipv6/ndisc.c): so no raw
//! socket listens here, and there is no second reader of packets. Pure.

use std::net::Ipv6Addr;

use services::Millis;

/// `RTM_NEWNDUSEROPT` (linux/rtnetlink.h).
const NEW_OPTION: u16 = 68;
/// linux/socket.h.
const AF_INET6: u8 = 10;
/// ND_ROUTER_ADVERT, and the option (RFC 8106, 5.1).
const ADVERTISEMENT: u8 = 134;
const RDNSS: u8 = 25;
/// So many are kept of one card: nobody uses more than three.
const MOST: usize = 4;

/// Name servers that a router told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The card that it was heard on.
    pub index: u32,
    /// The servers, in its order.
    pub servers: Vec<Ipv6Addr>,
    /// Seconds that they hold: none, or `u32::MAX` for ever.
    pub seconds: u32,
}

/// All that is told in these messages of the kernel (netlink(7)).
#[must_use]
pub fn told(mut bytes: &[u8]) -> Vec<Told> {
    let mut all = Vec::new();
    while let Some((message, kind, rest)) = message(bytes) {
        if kind == NEW_OPTION {
            all.extend(options(message));
        }
        bytes = rest;
    }
    all
}

/// The first message's payload and type, and what comes after it.
fn message(bytes: &[u8]) -> Option<(&[u8], u16, &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?);
    let length = usize::try_from(length).ok()?;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let payload = bytes.get(16..length)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    Some((payload, kind, rest))
}

/// struct nduseroptmsg: family, padding, length of the options, card, ICMP type and
/// code, padding; then the options.
fn options(message: &[u8]) -> Option<Told> {
    let head: &[u8; 16] = message.first_chunk()?;
    let length = usize::from(u16::from_ne_bytes([head[2], head[3]]));
    let index = u32::from_ne_bytes([head[4], head[5], head[6], head[7]]);
    (head[0] == AF_INET6 && head[8] == ADVERTISEMENT).then_some(())?;
    let mut options = message.get(16..16 + length)?;
    while let [kind, eights, ..] = *options {
        let length = usize::from(eights) * 8;
        let option = options.get(..length).filter(|_| length > 0)?;
        if let Some((servers, seconds)) = (kind == RDNSS).then(|| rdnss(option)).flatten() {
            return Some(Told {
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
    let all = option.get(8..)?.chunks_exact(16);
    let all = all.filter_map(|c| c.first_chunk::<16>().copied().map(Ipv6Addr::from));
    let usable = |a: &Ipv6Addr| !a.is_unspecified() && !a.is_multicast() && !a.is_loopback();
    Some((all.filter(usable).collect(), seconds))
}

/// The servers of one card, and until when each holds.
#[derive(Debug, Default)]
pub struct Servers(Vec<(Ipv6Addr, Option<Millis>)>);

impl Servers {
    /// Takes what was told. `true` if that is another list now.
    pub fn hear(&mut self, told: &Told, now: Millis) -> bool {
        let before = self.list();
        let until = (told.seconds != u32::MAX).then(|| now + Millis::from(told.seconds) * 1000);
        for server in &told.servers {
            let known = self.0.iter_mut().find(|(known, _)| known == server);
            if let Some(known) = known {
                known.1 = until;
            } else if self.0.len() < MOST {
                self.0.push((*server, until));
            }
        }
        self.expire(now);
        self.list() != before
    }

    /// Forgets those that hold no longer. `true` if there were some.
    pub fn expire(&mut self, now: Millis) -> bool {
        let before = self.0.len();
        self.0.retain(|(_, until)| until.is_none_or(|at| at > now));
        self.0.len() != before
    }

    /// Forgets all. `true` if there were some.
    pub fn clear(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }

    /// When the next ends.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        self.0.iter().filter_map(|(_, until)| *until).min()
    }

    /// The servers, those told of first first.
    #[must_use]
    pub fn list(&self) -> Vec<Ipv6Addr> {
        self.0.iter().map(|(server, _)| *server).collect()
    }
}

#[cfg(test)]
mod tests;
