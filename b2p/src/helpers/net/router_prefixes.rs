// SPDX-License-Identifier: Apache-2.0
//! Prefixes that routers advertise as on the link of a card that is not the first. Such a prefix is a route,
//! and the more specific route takes precedence, with any metric: a prefix of another length than that of a link
//! (RFC 4291, 2.5.4) could be half of all addresses or a single host of another card, and a prefix around a server
//! of an earlier card would take that server. The kernel has no setting that refuses such prefixes, so this
//! service removes them as soon as the table has changed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv6Addr};

use log::{debug, warn};

use super::netlink;
use super::prefix::Prefix;

/// Flags of routes (linux/route.h, linux/ipv6_route.h): `RTF_GATEWAY`, and by a router advertisement
/// (`RTF_ADDRCONF`).
const BY_GATEWAY: u32 = 0x0002;
pub const BY_ROUTER: u32 = 0x0004_0000;
/// Length of the prefix of a link.
const LINK: u8 = 64;
/// Number of prefixes that are logged, each once: a neighbour may advertise any number.
const MAX_LOGGED: usize = 32;

/// Part of the kernel's table that is read, in bytes: 7,000 lines.
const MAX_TABLE: u64 = 1 << 20;

/// A card with the servers of IPv6 that its routers advertise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Name of the card.
    pub name: String,
    /// Index of the card: the lower one takes precedence.
    pub index: u32,
    /// Name servers.
    pub servers: Vec<Ipv6Addr>,
}

/// A route that is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination.
    pub prefix: Prefix,
    index: u32,
    metric: u32,
}

/// Line of /proc/net/ipv6_route.
pub struct Line<'a> {
    /// Destination.
    pub prefix: Prefix,
    gateway: Ipv6Addr,
    metric: u32,
    /// Flags, such as [`BY_ROUTER`].
    pub flags: u32,
    /// Name of the card.
    pub card: &'a str,
}

impl Line<'_> {
    /// Returns the route, whose card has this index.
    pub fn route(&self, index: u32) -> Route {
        Route {
            prefix: self.prefix,
            index,
            metric: self.metric,
        }
    }
}

/// Prefixes that were removed, so that each is logged once.
#[derive(Debug, Default)]
pub struct RouterPrefixes(BTreeSet<String>);

impl RouterPrefixes {
    /// Removes the excess routes of a later card from the kernel's table of routes.
    pub fn remove(&mut self, table: &str, links: &[Link]) {
        for excess in excess(table, links) {
            let card = links.iter().find(|link| link.index == excess.index);
            let line = format!("{}: {}", card.map_or("", |link| &link.name), excess.prefix);
            if let Err(e) = remove(&excess) {
                debug!("{line} is not removed: {e}"); // the route is gone
            } else if self.0.len() < MAX_LOGGED && self.0.insert(line.clone()) {
                warn!(
                    "{line}, which a router advertises, is not on the link: it would take what another card has"
                );
            }
        }
    }
}

/// Returns the routes to on-link prefixes of a card that are no link's, or that cover a server or a gateway of
/// an earlier card; on the first card, of those that are a part of a link around a later card's server.
fn excess(table: &str, links: &[Link]) -> Vec<Route> {
    let lines: Vec<Line<'_>> = table.lines().filter_map(parse).collect();
    let refused = |line: &Line<'_>| {
        let own = links.iter().find(|link| link.name == line.card)?;
        let has_before = links.iter().any(|link| link.index < own.index);
        // The servers and gateways of the cards of which `counts` is true.
        let takes_of = |counts: &dyn Fn(&Link) -> bool| {
            let of = links.iter().filter(|link| counts(link));
            let mut servers = of.clone().flat_map(|link| link.servers.iter().copied());
            let is_of = |name: &str| of.clone().any(|link| link.name == name);
            let mut routes = lines.iter().filter(|l| l.flags & BY_GATEWAY != 0);
            let is_in = |addr: Ipv6Addr| line.prefix.contains(&IpAddr::V6(addr));
            servers.any(is_in) || routes.any(|l| is_of(l.card) && is_in(l.gateway))
        };
        let is_on_link = line.flags & (BY_ROUTER | BY_GATEWAY) == BY_ROUTER;
        let takes_from_earlier = || takes_of(&|link| link.index < own.index);
        // A part of a link, around another card's server, is no link also on the first card.
        let takes_from_any = || line.prefix.length > LINK && takes_of(&|l| l.index != own.index);
        let is_wrong = has_before && (line.prefix.length != LINK || takes_from_earlier());
        let is_excess = is_on_link && (is_wrong || takes_from_any());
        is_excess.then(|| line.route(own.index))
    };
    lines.iter().filter_map(refused).collect()
}

/// Returns the routes of IPv6 as /proc/net/ipv6_route has them.
pub fn routes_table() -> String {
    let mut bytes = Vec::new();
    let opened = File::open("/proc/net/ipv6_route");
    let _ = opened.and_then(|file| file.take(MAX_TABLE).read_to_end(&mut bytes)); // without IPv6
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Parses a line (net/ipv6/route.c, `rt6_info_route`); `None` for link-local addresses and groups, which each card
/// has for itself.
pub fn parse(line: &str) -> Option<Line<'_>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let addr = |at: usize| -> Option<Ipv6Addr> {
        Some(u128::from_str_radix(words.get(at)?, 16).ok()?.into())
    };
    let number = |at: usize| u32::from_str_radix(words.get(at)?, 16).ok();
    let to = addr(0)?;
    let length = u8::try_from(number(1)?).ok()?;
    let is_of_card = length > 0 && (to.is_unicast_link_local() || to.is_multicast());
    (!is_of_card).then_some(Line {
        prefix: Prefix::new(IpAddr::V6(to), length),
        gateway: addr(4)?,
        metric: number(5)?,
        flags: number(8)?,
        card: words.get(9)?,
    })
}

/// Removes a route from the kernel's table.
///
/// # Errors
/// The errno that the kernel answers with.
pub fn remove(route: &Route) -> std::io::Result<()> {
    netlink::request(&message(route))
}

/// Returns the message that removes a route (rtnetlink(7)): nlmsghdr, rtmsg, attributes.
fn message(excess: &Route) -> Vec<u8> {
    let mut m = netlink::head(libc::RTM_DELROUTE, 0);
    let table = libc::RT_TABLE_MAIN;
    let family = libc::AF_INET6 as u8;
    m.extend([family, excess.prefix.length, 0, 0, table, 0, 0, 0]);
    m.extend([0; 4]); // flags
    if let IpAddr::V6(first) = excess.prefix.first {
        netlink::attribute(&mut m, libc::RTA_DST, &first.octets());
    }
    netlink::attribute(&mut m, libc::RTA_OIF, &excess.index.to_ne_bytes());
    netlink::attribute(&mut m, libc::RTA_PRIORITY, &excess.metric.to_ne_bytes());
    netlink::finish(m)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helpers::net::prefix::tests::prefix;

    fn line(to: &str, gateway: &str, flags: &str, card: &str) -> String {
        let hex = |addr: IpAddr| match addr {
            IpAddr::V6(addr) => format!("{:032x}", addr.to_bits()),
            IpAddr::V4(_) => String::new(),
        };
        let (to, zero) = (prefix(to), "0".repeat(32));
        let gateway = hex(prefix(gateway).first);
        format!(
            "{} {:02x} {zero} 00 {gateway} 00000100 00000001 00000000 {flags}     {card}\n",
            hex(to.first),
            to.length
        )
    }

    #[test]
    fn a_prefix_of_a_later_card_takes_no_server_of_an_earlier_card() {
        let link = |name: &str, index, server: &str| Link {
            name: name.to_owned(),
            index,
            servers: server.parse().into_iter().collect(),
        };
        let links = [
            link("eth0", 2, "2001:db8:9::53"),
            link("eth1", 3, "fd01::1"),
        ];
        let gateway = line("::/0", "fd00::1", "00450003", "eth0");
        for (to, flags, card, is_excess) in [
            // All, half of all, one host, a link.
            ("::/0", "00040001", "eth1", true),
            ("2000::/3", "00040001", "eth1", true),
            ("fd00::7/128", "00040001", "eth1", true),
            ("fd01::/64", "00040001", "eth1", false),
            // The links of a name server and of the router of eth0.
            ("2001:db8:9::/64", "00040001", "eth1", true),
            ("fd00::/64", "000c0001", "eth1", true),
            // Its own default route, the user's route, and the local routes of each card.
            ("::/0", "00450003", "eth1", false),
            ("2000::/3", "00000001", "eth1", false),
            ("fe80::/10", "00040001", "eth1", false),
            // The first card, and one that is no card.
            ("::/1", "00040001", "eth0", false),
            ("fd01::/64", "00040001", "eth0", false),
            ("fd01::1/128", "00040001", "eth0", true),
            ("fd02::1/128", "00040001", "eth0", false),
            ("::/1", "00040001", "podman0", false),
        ] {
            let table = [gateway.clone(), line(to, "::", flags, card)].concat();
            let found: Vec<String> = excess(&table, &links)
                .iter()
                .map(|e| e.prefix.to_string())
                .collect();
            let want: Vec<String> = is_excess
                .then(|| prefix(to).to_string())
                .into_iter()
                .collect();
            assert_eq!(found, want, "{to} {flags} {card}");
        }
        assert_eq!(excess("noise\n00 cut\n", &links), []);
    }

    #[test]
    fn the_message_names_the_route_of_the_card() {
        let excess = Route {
            prefix: prefix("2000::/3"),
            index: 3,
            metric: 256,
        };
        let m = message(&excess);
        // nlmsghdr 16, rtmsg 12, attributes of 20, 8 and 8 bytes.
        assert_eq!((m.len(), &m[..4]), (64, &64_u32.to_ne_bytes()[..]));
        assert_eq!(&m[16..24], &[10, 3, 0, 0, 254, 0, 0, 0]);
        assert_eq!((m[32], m[33]), (0x20, 0));
        assert_eq!(&m[52..56], &3_u32.to_ne_bytes());
        assert_eq!(&m[60..64], &256_u32.to_ne_bytes());
    }
}
