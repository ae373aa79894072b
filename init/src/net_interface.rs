// SPDX-License-Identifier: Apache-2.0
//! Check for the network interface that the configuration requests.

use std::path::Path;

use config::Net;
use sys::net::{SYS_CLASS_NET, ethernet_interfaces};

/// Returns the text of a degraded line if no interface of this machine can get the configuration of `net`; `None` if
/// one can, or if the network is off.
#[must_use]
pub fn missing_interface(net: &Net) -> Option<String> {
    if *net == Net::Off {
        return None;
    }
    let interfaces = ethernet_interfaces(Path::new(SYS_CLASS_NET));
    let names: Vec<&str> = interfaces.iter().map(|(name, _)| name.as_str()).collect();
    missing_among(net.device(), &names)
}

fn missing_among(device: Option<&str>, names: &[&str]) -> Option<String> {
    if names.is_empty() {
        return Some("no network card has been found; one that appears is used".to_owned());
    }
    let device = device.filter(|device| !names.contains(device))?;
    Some(format!("no card {device}; there is {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_card_is_named_with_the_existing_ones() {
        let names = ["eth0"];
        assert_eq!(missing_among(None, &names), None);
        assert_eq!(missing_among(Some("eth0"), &names), None);
        let why = missing_among(Some("eth1"), &names).unwrap_or_default();
        assert_eq!(why, "no card eth1; there is eth0");
        assert!(missing_among(Some("eth1"), &[]).is_some() && missing_among(None, &[]).is_some());
    }
}
