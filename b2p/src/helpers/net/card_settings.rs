// SPDX-License-Identifier: Apache-2.0
//! Kernel settings of a network card (ip-sysctl.rst). The service sets these on each new card and
//! on no other interface: `init/src/sysctl.rs` has the settings of other interfaces, such as a
//! bridge or a veth of containers.

use std::fs;
use std::path::Path;

use log::debug;

/// Directory of the network's settings.
const SYS_NET: &str = "/proc/sys/net";

/// Protocol, name, value, reason.
#[rustfmt::skip]
const SETTINGS: &[(&str, &str, &str, &str)] = &[
    ("ipv6", "accept_ra", "2", "a machine that forwards takes router advertisements only with 2"),
    ("ipv6", "accept_ra_min_hop_limit", "32", "a router that advertises less would keep the machine's packets from their end"),
    ("ipv6", "accept_redirects", "0", "the machine's routes are those of its leases and routers"),
    ("ipv4", "accept_redirects", "0", "the same"),
    ("ipv4", "send_redirects", "0", "the machine is the router of its containers, and of no neighbour"),
    ("ipv4", "accept_source_route", "0", "no sender chooses the way of its packets"),
    ("ipv4", "rp_filter", "2", "loose (RFC 3704, 2.4): a sender that no route leads to is forged; an answer may leave by another card"),
    ("ipv4", "arp_ignore", "1", "a neighbour that has the address of a bridge keeps it: a card answers for its own addresses alone"),
    ("ipv4", "arp_announce", "2", "the other half: a card asks with its own address, not with one of a bridge or another card"),
    ("ipv4", "promote_secondaries", "1", "addresses that a person has added stay when the lease's address is removed"),
];

/// Metric of default routes of the first card's routers (`IP6_RT_PRIO_USER`, the kernel's own). A router
/// chooses its preference (RFC 4191), which counts among routes of one metric alone.
const ROUTER_METRIC: u32 = 1024;

/// Writes all settings of the card `name`, which has this index: the lower one takes precedence, as with
/// leases. A kernel without IPv6 lacks some of them.
pub fn apply(name: &str, index: u32) {
    for (protocol, setting, value, why) in SETTINGS {
        write(protocol, name, setting, value, why);
    }
    let metric = ROUTER_METRIC.saturating_add(index).to_string();
    let why = "a router of one card does not stand in for those of a card before it";
    write("ipv6", name, "ra_defrtr_metric", &metric, why);
}

/// Permits or ignores advertisements of routers on the card `name`.
pub fn hear_routers(name: &str, hears: bool) {
    let value = if hears { "2" } else { "0" };
    write(
        "ipv6",
        name,
        "accept_ra",
        value,
        "routers advertise too much",
    );
}

fn write(protocol: &str, name: &str, setting: &str, value: &str, why: &str) {
    let path = path(protocol, name, setting);
    if let Err(e) = fs::write(&path, value) {
        debug!("{path} = {value} ({why}): {e}");
    }
}

fn path(protocol: &str, name: &str, setting: &str) -> String {
    let dir = Path::new(SYS_NET).join(protocol).join("conf").join(name);
    dir.join(setting).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_unique_and_has_a_reason() {
        for (at, (protocol, setting, value, why)) in SETTINGS.iter().enumerate() {
            assert!(["ipv4", "ipv6"].contains(protocol), "{protocol}");
            assert!(!value.is_empty() && !why.is_empty(), "{setting}");
            let same = |row: &&(&str, &str, &str, &str)| (row.0, row.1) == (*protocol, *setting);
            assert!(!SETTINGS[..at].iter().any(|row| same(&row)), "{setting}");
        }
        let dotted = "/proc/sys/net/ipv6/conf/eth0.7/accept_ra";
        assert_eq!(path("ipv6", "eth0.7", "accept_ra"), dotted);
    }
}
