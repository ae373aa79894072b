// SPDX-License-Identifier: Apache-2.0
//! Connections of rootless containers. Pure.

use std::net::{IpAddr, SocketAddr};

/// Returns true for a connection from an address of the machine to the same one, as pasta(1) makes it for a rootless
/// container that connects to the machine. The loopback addresses are left to the machine itself.
#[must_use]
pub fn is_of_container(peer: IpAddr, local: Option<SocketAddr>) -> bool {
    let peer = peer.to_canonical();
    let is_same = local.is_some_and(|local| local.ip().to_canonical() == peer);
    is_same && !peer.is_loopback()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_machine_connects_to_itself_by_loopback() {
        for (peer, local, refused) in [
            ("192.0.2.50", "192.0.2.50:22", true),
            ("::ffff:192.0.2.50", "[::ffff:192.0.2.50]:22", true),
            ("2001:db8::5", "[2001:db8::5]:22", true),
            ("fe80::5", "[fe80::5%2]:22", true),
            ("192.0.2.1", "192.0.2.50:22", false),
            ("127.0.0.1", "127.0.0.1:22", false),
            ("::ffff:127.0.0.1", "[::ffff:127.0.0.1]:22", false),
            ("::1", "[::1]:22", false),
        ] {
            let (from, to) = (peer.parse().unwrap(), local.parse().unwrap());
            assert_eq!(is_of_container(from, Some(to)), refused, "{peer} {local}");
        }
    }
}
