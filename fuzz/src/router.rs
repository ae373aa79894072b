// SPDX-License-Identifier: Apache-2.0
//! Target `router`: router advertisements as the kernel passes them on.

use b2p::helpers::net::router::{Servers, parse};

pub(crate) const DICTIONARY: &[&str] = &[
    "\x44\0",
    "\x0a\0\x18\0",
    "\x0a\0\x28\0",
    "\x19\x03\0\0",
    "\x19\x05\0\0",
    "\0\0\x02\x58",
    "\x20\x01\x0d\x38",
];

/// The input is a message from the netlink socket.
///
/// - Every server has a unicast address.
/// - The number of servers is bounded, and each expires at its time.
pub fn router(data: &[u8]) {
    let mut servers = Servers::default();
    for advertisement in parse(data) {
        let usable = |a: &std::net::Ipv6Addr| !a.is_unspecified() && !a.is_multicast();
        assert!(
            advertisement.servers.iter().all(usable),
            "{advertisement:?}"
        );
        let before = servers.list();
        let changed = servers.update(&advertisement, 1_000);
        assert_eq!(changed, servers.list() != before);
    }
    assert!(servers.list().len() <= 4);
    while let Some(at) = servers.deadline() {
        assert!(at > 1_000, "it would never sleep");
        assert!(servers.expire(at));
    }
}
