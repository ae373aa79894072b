// SPDX-License-Identifier: Apache-2.0
//! Carrier, MTU and hardware address of a card, from sysfs (sysfs-class-net).

use std::fs;
use std::io;

use sys::error::{Doing, Error, Result};

/// Carrier of a card at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carrier {
    /// True if the link has a peer.
    pub up: bool,
    /// Number of times that the carrier was lost (`carrier_down_count`), as text.
    down_count: String,
}

impl Carrier {
    /// Returns two values: true if the carrier was lost since, and true if the carrier is up again
    /// since. Both are true after a loss and a return between the two readings.
    #[must_use]
    pub fn changes_to(&self, later: &Carrier) -> (bool, bool) {
        let lost = self.up && (!later.up || self.down_count != later.down_count);
        (lost, later.up && (lost || !self.up))
    }
}

/// Reads the carrier of a card.
#[must_use]
pub fn carrier(name: &str) -> Carrier {
    // The file cannot be read while the card is down (EINVAL).
    let carrier = read(name, "carrier").unwrap_or_default();
    Carrier {
        up: carrier.trim() == "1",
        down_count: read(name, "carrier_down_count").unwrap_or_default(),
    }
}

/// Reads the MTU of a card, in bytes.
#[must_use]
pub fn mtu(name: &str) -> Option<i32> {
    read(name, "mtu").ok()?.trim().parse().ok()
}

fn read(name: &str, file: &str) -> io::Result<String> {
    fs::read_to_string(format!("{}/{name}/{file}", sys::net::SYS_CLASS_NET))
}

/// Reads the hardware address of a card.
///
/// # Errors
/// The card is gone, or its address is not one of Ethernet.
pub fn mac(name: &str) -> Result<[u8; 6]> {
    let text = read(name, "address").doing("hardware address")?;
    parse_mac(text.trim()).ok_or(Error::invalid(format!("hardware address {text:?}")))
}

/// Reads `52:54:00:12:34:56`.
fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_and_return_of_the_carrier_between_two_reads_is_noticed() {
        let carrier = |up, down_count: &str| Carrier {
            up,
            down_count: down_count.to_owned(),
        };
        let (never, up, gone) = (Carrier::default(), carrier(true, "1"), carrier(false, "2"));
        assert_eq!(never.changes_to(&up), (false, true));
        assert_eq!(up.changes_to(&up), (false, false));
        assert_eq!(up.changes_to(&gone), (true, false));
        assert_eq!(gone.changes_to(&carrier(true, "2")), (false, true));
        assert_eq!(up.changes_to(&carrier(true, "2")), (true, true));
    }
}
