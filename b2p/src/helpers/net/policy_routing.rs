// SPDX-License-Identifier: Apache-2.0
//! Tables of routes that are an interface's own, and rules that lead to them, by rtnetlink(7). A rule precedes
//! the main table, where the most specific route takes precedence, regardless of its origin.

use std::io;
use std::net::IpAddr;

use log::error;

use super::netlink::{attribute, finish, head, request};
use super::prefix::Prefix;

/// Number of the table of the interface with index 0; every interface has its own.
const TABLES: u32 = 178_000;
/// Types of attributes (linux/fib_rules.h).
pub const FRA_DST: u16 = 1;
pub const FRA_SRC: u16 = 2;
const FRA_PRIORITY: u16 = 6;
const FRA_TABLE: u16 = 15;
const FR_ACT_TO_TBL: u8 = 1;

/// Condition of a rule: [`FRA_DST`] or [`FRA_SRC`], and a network.
pub type Condition = (u16, Prefix);

fn table(index: u32) -> [u8; 4] {
    TABLES.saturating_add(index).to_ne_bytes()
}

fn family(prefix: &Prefix) -> u8 {
    match prefix.first {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

fn octets(prefix: &Prefix) -> Vec<u8> {
    match prefix.first {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    }
}

/// Returns the message that adds or removes the rule that leads to the table of the interface `index`:
/// nlmsghdr, fib_rule_hdr, attributes. All conditions are of one family.
pub fn rule(add: bool, priority: u32, index: u32, conditions: &[Condition]) -> Vec<u8> {
    let (kind, flags) = match add {
        true => (libc::RTM_NEWRULE, libc::NLM_F_CREATE | libc::NLM_F_EXCL),
        false => (libc::RTM_DELRULE, 0),
    };
    let length = |wanted| {
        let condition = conditions.iter().find(|(kind, _)| *kind == wanted);
        condition.map_or(0, |(_, network)| network.length)
    };
    let mut m = head(kind, flags as u16);
    let family = conditions.first().map_or(0, |(_, network)| family(network));
    m.extend([family, length(FRA_DST), length(FRA_SRC), 0, 0, 0, 0]);
    m.extend([FR_ACT_TO_TBL, 0, 0, 0, 0]);
    for (kind, network) in conditions {
        attribute(&mut m, *kind, &octets(network));
    }
    attribute(&mut m, FRA_PRIORITY, &priority.to_ne_bytes());
    attribute(&mut m, FRA_TABLE, &table(index));
    finish(m)
}

/// Returns the message that adds or removes the route to a network on the link of the interface `index`, in
/// the interface's table: nlmsghdr, rtmsg, attributes.
pub fn route(add: bool, index: u32, network: &Prefix) -> Vec<u8> {
    let (kind, flags) = match add {
        true => (libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE),
        false => (libc::RTM_DELROUTE, 0),
    };
    let mut m = head(kind, flags as u16);
    let (protocol, scope) = (libc::RTPROT_STATIC, libc::RT_SCOPE_LINK);
    m.extend([family(network), network.length, 0, 0, 0, protocol, scope]);
    m.extend([libc::RTN_UNICAST, 0, 0, 0, 0]);
    attribute(&mut m, libc::RTA_DST, &octets(network));
    attribute(&mut m, libc::RTA_OIF, &index.to_ne_bytes());
    attribute(&mut m, libc::RTA_TABLE, &table(index));
    finish(m)
}

/// Sends messages that add rules or routes; existing ones stay.
pub fn add(messages: &[Vec<u8>], what: &str) {
    for message in messages {
        let done = request(message);
        if done.as_ref().is_err_and(|e| !is_there(e)) {
            let why = done.err().map_or(String::new(), |e| e.to_string());
            error!("network: {what}: {why}");
        }
    }
}

/// Returns true if a rule exists already, or the kernel was started without IPv6 and has no rules for
/// IPv6.
fn is_there(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EEXIST | libc::EOPNOTSUPP))
}

/// Sends messages that remove; the kernel has removed a route with its link.
pub fn remove(messages: &[Vec<u8>]) {
    for message in messages {
        let _ = request(message);
    }
}

#[cfg(test)]
mod tests {
    use super::super::prefix::tests::prefix;
    use super::*;

    #[test]
    fn a_message_has_its_family_lengths_and_addresses() {
        let bridge = prefix("fd00:89::/64");
        let to = rule(true, 1, 7, &[(FRA_DST, bridge)]);
        assert_eq!(to[16..24], [10, 64, 0, 0, 0, 0, 0, 1]);
        assert_eq!(to[28..32], [20, 0, 1, 0]);
        assert_eq!(to[32..38], [0xfd, 0, 0, 0x89, 0, 0]);
        let way = route(true, 7, &bridge);
        assert_eq!(way[16..24], [10, 64, 0, 0, 0, 4, 253, 1]);
        assert_eq!(way[way.len() - 4..], 178_007_u32.to_ne_bytes());
        for message in [to, way] {
            let length = u32::try_from(message.len()).unwrap_or(0);
            assert_eq!(message[..4], length.to_ne_bytes());
        }
    }
}
