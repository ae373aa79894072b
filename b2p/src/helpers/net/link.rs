//! What sysfs says of a card's link.

use std::fs;
use std::io;

/// A link at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Somebody is at the other end.
    pub up: bool,
    /// How often it has gone (`carrier_down_count`, sysfs-class-net).
    downs: String,
}

impl Link {
    /// Whether it was lost since, and whether it came (back). One that went and came
    /// between two looks did both.
    #[must_use]
    pub fn to(&self, now: &Link) -> (bool, bool) {
        let lost = self.up && (!now.up || self.downs != now.downs);
        (lost, now.up && (lost || !self.up))
    }
}

/// The link of a card as it is.
#[must_use]
pub fn look(name: &str) -> Link {
    // Of a card that is down it cannot be read.
    let carrier = read(name, "carrier").unwrap_or_default();
    Link {
        up: carrier.trim() == "1",
        downs: read(name, "carrier_down_count").unwrap_or_default(),
    }
}

/// The MTU of a card.
#[must_use]
pub fn mtu(name: &str) -> Option<i32> {
    read(name, "mtu").ok()?.trim().parse().ok()
}

fn read(name: &str, file: &str) -> io::Result<String> {
    fs::read_to_string(format!("{}/{name}/{file}", sys::net::SYS_CLASS_NET))
}

/// Its hardware address.
///
/// # Errors
/// What the system said, or what it is instead.
pub fn mac(name: &str) -> io::Result<[u8; 6]> {
    let text = read(name, "address")?;
    let bad = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("hardware address {text:?}"),
        )
    };
    let mut mac = [0; 6];
    let mut parts = text.trim().split(':');
    for byte in &mut mac {
        let part = parts.next().ok_or_else(bad)?;
        *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
    }
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_went_and_came_between_two_looks_did_both() {
        let link = |up, downs: &str| Link {
            up,
            downs: downs.to_owned(),
        };
        let (never, up, gone) = (Link::default(), link(true, "1"), link(false, "2"));
        assert_eq!(never.to(&up), (false, true));
        assert_eq!(up.to(&up), (false, false));
        assert_eq!(up.to(&gone), (true, false));
        assert_eq!(gone.to(&link(true, "2")), (false, true));
        assert_eq!(up.to(&link(true, "2")), (true, true));
    }
}
