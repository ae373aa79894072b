// SPDX-License-Identifier: Apache-2.0
//! Routing rules (ip-rule(8)), by rtnetlink(7).
//!
//! A machine that forwards for its containers forwards between its cards as well: without a rule, a
//! neighbour on one card reaches every network behind the other one. Every card is in one interface
//! group. A packet that arrives by a card and is not for the machine itself is routed by the main
//! table, but not into this group, and else is dropped. Such a packet reaches containers, and
//! tunnels of the user, but no card, in IPv4 and IPv6. The rules need no program and no driver, and stay without this
//! service; nft(8) would need a program and drivers from the start. `b2p.routed=on` removes the rules.

use std::fs;
use std::path::Path;

use super::netlink::{attribute, finish, head, request};
use sys::error::{Doing, Result};
use sys::net::SYS_CLASS_NET;

/// Interface group of all cards; the kernel's default group is 0.
const CARDS: u32 = 178;
/// Priorities of the two rules of a card: after the table of local addresses (0), before the main
/// table (32766). A rule that a user adds without a priority precedes both.
const PRIORITIES: [u32; 2] = [30_000, 30_001];
/// Types of attributes, and an action (linux/fib_rules.h).
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_SUPPRESS_IFGROUP: u16 = 13;
const FR_ACT_TO_TBL: u8 = 1;
const FR_ACT_BLACKHOLE: u8 = 6;

/// Forbids that a packet of one card leaves by a card, or with `routed` permits this.
///
/// # Errors
/// The kernel refuses the group or a rule.
pub fn confine(card: &str, routed: bool) -> Result<()> {
    let group = Path::new(SYS_CLASS_NET).join(card).join("netdev_group");
    let number = if routed { 0 } else { CARDS };
    fs::write(&group, number.to_string()).on(&group)?;
    for message in messages(card, routed) {
        // EEXIST: the rule to add exists. ENOENT: the rule to remove does not exist.
        match request(&message) {
            Err(e) if matches!(e.raw_os_error(), Some(libc::EEXIST | libc::ENOENT)) => {}
            // A kernel that was started without IPv6 has no rules for IPv6.
            Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) && is_ipv6(&message) => {}
            done => done.doing("routing rules")?,
        }
    }
    Ok(())
}

fn is_ipv6(message: &[u8]) -> bool {
    message.get(16).copied() == Some(libc::AF_INET6 as u8)
}

/// Returns the messages that add the rules of a card, or with `remove` remove them.
fn messages(card: &str, remove: bool) -> Vec<Vec<u8>> {
    let families = [libc::AF_INET as u8, libc::AF_INET6 as u8];
    let both = |family| {
        let [first, second] = PRIORITIES;
        [
            rule(remove, family, first, card, Some(CARDS)),
            rule(remove, family, second, card, None),
        ]
    };
    families.into_iter().flat_map(both).collect()
}

/// Returns a message: nlmsghdr, fib_rule_hdr, attributes. The rule applies to packets that arrive by `card`. With a
/// group `except`, they take a route of the main table that does not lead into this group; without a group, they are
/// dropped.
fn rule(remove: bool, family: u8, priority: u32, card: &str, except: Option<u32>) -> Vec<u8> {
    let (kind, flags) = match remove {
        true => (libc::RTM_DELRULE, 0),
        false => (libc::RTM_NEWRULE, libc::NLM_F_CREATE | libc::NLM_F_EXCL),
    };
    let (table, action) = match except {
        Some(_) => (libc::RT_TABLE_MAIN, FR_ACT_TO_TBL),
        None => (libc::RT_TABLE_UNSPEC, FR_ACT_BLACKHOLE),
    };
    let mut m = head(kind, flags as u16);
    m.extend([family, 0, 0, 0, table, 0, 0, action, 0, 0, 0, 0]);
    let mut name = card.as_bytes().to_vec();
    name.resize((name.len() + 1).next_multiple_of(4), 0);
    attribute(&mut m, FRA_IIFNAME, &name);
    attribute(&mut m, FRA_PRIORITY, &priority.to_ne_bytes());
    if let Some(group) = except {
        attribute(&mut m, FRA_SUPPRESS_IFGROUP, &group.to_ne_bytes());
    }
    finish(m)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_has_two_rules_in_each_family() {
        let add = messages("eth0", false);
        let heads: Vec<_> = add.iter().map(|m| (m[16], m[20], m[23])).collect();
        assert_eq!(heads, [(2, 254, 1), (2, 0, 6), (10, 254, 1), (10, 0, 6)]);
        assert_eq!(add[0].len(), 16 + 12 + 12 + 8 + 8);
        assert_eq!(add[1].len(), 16 + 12 + 12 + 8);
        for message in &add {
            assert_eq!(
                message[..4],
                u32::try_from(message.len()).unwrap_or(0).to_ne_bytes()
            );
            assert_eq!(message[32..40], *b"eth0\0\0\0\0");
        }
        for (add, remove) in add.iter().zip(messages("eth0", true)) {
            assert_eq!(add[16..], remove[16..], "the same rule");
        }
    }

    #[test]
    fn a_name_of_any_length_ends_with_a_zero() {
        for (name, length) in [("a", 8), ("lan", 8), ("eth0", 12), ("enx525400123456", 20)] {
            let m = rule(false, 2, 1, name, None);
            assert_eq!(m[28..30], u16::to_ne_bytes(length), "{name}");
        }
    }
}
