// SPDX-License-Identifier: Apache-2.0
//! Removes what routers have brought to a card: the routes that carry the kernel's mark of a router advertisement, and
//! the addresses with a lifetime. Addresses and routes of IPv6 that the machine's owner has added stay.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};

use log::debug;

use super::netlink;
use super::prefix::Prefix;
use super::router_prefixes::{BY_ROUTER, Line, Route, parse, remove, routes_table};

/// Addresses of IPv6 with their flags (proc_pid_net(5); net/ipv6/addrconf.c, `if6_seq_show`).
const ADDRESSES: &str = "/proc/net/if_inet6";
/// `IFA_F_PERMANENT` (linux/if_addr.h): without a lifetime.
const PERMANENT: u32 = 0x80;
/// Types of attributes (linux/if_addr.h).
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// Number of rounds: a round removes one route of each line, and sees a part of a large table.
const MAX_ROUNDS: usize = 64;

/// Address of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Address {
    addr: Ipv6Addr,
    prefix: u8,
    is_permanent: bool,
}

/// Removes the routes and addresses of routers from the card with this name and index. No further ones arrive, because
/// the card hears no router any more.
pub fn flush(card: &str, index: u32) {
    let addresses = fs::read_to_string(ADDRESSES).unwrap_or_default();
    let addresses = of_card(&addresses, card);
    for address in addresses.iter().filter(|a| !a.is_permanent) {
        let removed = netlink::request(&message(address, index));
        removed.unwrap_or_else(|e| debug!("{card}: {}: {e}", address.addr));
    }
    for _ in 0..MAX_ROUNDS {
        let table = routes_table();
        let routes = advertised(&table, card, index, &addresses);
        let removed = routes.iter().filter(|route| remove(route).is_ok());
        if removed.count() == 0 {
            break;
        }
    }
}

/// Returns the addresses of a card.
fn of_card(text: &str, card: &str) -> Vec<Address> {
    let parse = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| u32::from_str_radix(words.get(at)?, 16).ok();
        let addr = u128::from_str_radix(words.first()?, 16).ok()?.into();
        (words.get(5) == Some(&card)).then_some(Address {
            addr,
            prefix: u8::try_from(number(2)?).ok()?,
            is_permanent: number(4)? & PERMANENT != 0,
        })
    };
    text.lines().filter_map(parse).collect()
}

/// Returns the routes of a card that are by routers. The route to the network of an address that stays has the mark
/// as well if a router advertises the network, and stays too.
fn advertised(table: &str, card: &str, index: u32, addresses: &[Address]) -> Vec<Route> {
    let is_own = |prefix: &Prefix| {
        let mut stay = addresses.iter().filter(|a| a.is_permanent);
        stay.any(|a| Prefix::new(IpAddr::V6(a.addr), a.prefix) == *prefix)
    };
    let is_by_router =
        |line: &Line<'_>| line.card == card && line.flags & BY_ROUTER != 0 && !is_own(&line.prefix);
    let lines = table.lines().filter_map(parse).filter(is_by_router);
    lines.map(|line| line.route(index)).collect()
}

/// Returns the message that removes an address (rtnetlink(7)): nlmsghdr, ifaddrmsg, attributes.
fn message(address: &Address, index: u32) -> Vec<u8> {
    let mut m = netlink::head(libc::RTM_DELADDR, 0);
    m.extend([libc::AF_INET6 as u8, address.prefix, 0, 0]);
    m.extend(index.to_ne_bytes());
    netlink::attribute(&mut m, IFA_LOCAL, &address.addr.octets());
    netlink::attribute(&mut m, IFA_ADDRESS, &address.addr.octets());
    netlink::finish(m)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
        20010db8000100000000000000000053 02 40 00 80     eth0\n\
        20010db8000200000000000000000001 02 40 00 00     eth0\n\
        20010db8000300000000000000000001 03 40 00 00     eth1\n\
        fe800000000000000000000000000001 02 40 20 80     eth0\n\
        cut 02\n";

    #[test]
    fn what_the_owner_added_stays() {
        let addresses = of_card(TEXT, "eth0");
        let kept: Vec<bool> = addresses.iter().map(|a| a.is_permanent).collect();
        assert_eq!(kept, [true, false, true]);
        let (zero, by_router, by_owner) = ("0".repeat(32), "00040001", "00000001");
        let line = |to: &str, length: &str, flags: &str, card: &str| {
            format!(
                "{to:0<32} {length} {zero} 00 {zero} 00000400 00000001 00000000 {flags}     {card}\n"
            )
        };
        let table = [
            line("20010db80001", "40", by_router, "eth0"),
            line("20010db80002", "40", by_router, "eth0"),
            line("20010db80002", "40", by_router, "eth1"),
            line("20010db80009", "40", by_owner, "eth0"),
            line("", "00", "00450003", "eth0"),
        ]
        .concat();
        let routes = advertised(&table, "eth0", 2, &addresses);
        let lengths: Vec<u8> = routes.iter().map(|route| route.prefix.length).collect();
        assert_eq!(lengths, [64, 0]);
        assert!(routes[0].prefix.contains(&IpAddr::V6(addresses[1].addr)));
    }

    #[test]
    fn a_message_names_the_address() {
        let m = message(&of_card(TEXT, "eth0")[1], 2);
        assert_eq!((m.len(), &m[16..24]), (64, &[10, 64, 0, 0, 2, 0, 0, 0][..]));
        assert_eq!(m[28..32], [0x20, 1, 0x0d, 0xb8]);
    }
}
