// SPDX-License-Identifier: Apache-2.0
//! Plans for the network cards, as arguments of a command: PID 1 writes the plans from its
//! configuration, and the network service reads them.

use std::net::Ipv4Addr;

use sys::error::{Error, Result};

use super::lease::{Lease, Route, Times};

/// Synopsis of `b2p net`.
const USAGE: &str =
    "usage: b2p net dhcp <device|any> | static <device|any> <addr> <prefix> <gateway> [<dns>…]";

/// Source of the addresses of cards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// By DHCP, on every card or on this one.
    Dhcp(Option<String>),
    /// With this address, on the first card or on this one.
    Static(Lease, Option<String>),
}

impl Plan {
    /// Reads arguments.
    ///
    /// # Errors
    /// The arguments are not those that PID 1 writes; the error has the synopsis.
    pub fn parse(args: &[String]) -> Result<Plan> {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Plan::read(&args).ok_or(Error::invalid(USAGE))
    }

    fn read(args: &[&str]) -> Option<Plan> {
        let device = |name: &str| (name != "any").then(|| name.to_owned());
        match args {
            ["dhcp", name] => Some(Plan::Dhcp(device(name))),
            ["static", name, addr, prefix, gateway, dns @ ..] => {
                let ip = |text: &str| text.parse::<Ipv4Addr>().ok();
                let gateway = ip(gateway)?;
                let route = (!gateway.is_unspecified()).then(|| Route::default_by(gateway));
                let lease = Lease {
                    addr: ip(addr)?,
                    prefix: prefix.parse().ok()?,
                    routes: route.into_iter().collect(),
                    dns: dns.iter().map(|server| ip(server)).collect::<Option<_>>()?,
                    ntp: Vec::new(),
                    domains: Vec::new(),
                    hostname: None,
                    mtu: None,
                    server: Ipv4Addr::UNSPECIFIED,
                    times: Times {
                        renew: u32::MAX,
                        rebind: u32::MAX,
                        expire: u32::MAX,
                    },
                    refused: Vec::new(),
                };
                Some(Plan::Static(lease, device(name)))
            }
            _ => None,
        }
    }

    /// Returns true if the plan applies to the card `name` while `open` cards are in use: a static address without a
    /// device is that of the first card only.
    #[must_use]
    pub fn covers(&self, name: &str, open: usize) -> bool {
        match self {
            Plan::Dhcp(device) => device.as_deref().is_none_or(|d| d == name),
            Plan::Static(_, Some(device)) => device == name,
            Plan::Static(_, None) => open == 0,
        }
    }
}

/// Reads plans for single cards, one on each line; lines that are no plan are left out.
#[must_use]
pub fn parse_lines(text: &str) -> Vec<Plan> {
    let plan = |line: &str| Plan::read(&line.split_whitespace().collect::<Vec<_>>());
    text.lines().filter_map(plan).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use config::Net;

    #[test]
    fn plan_round_trips() {
        let net = Net::Static {
            addr: Ipv4Addr::new(10, 0, 0, 5),
            prefix: 24,
            gateway: Some(Ipv4Addr::new(10, 0, 0, 1)),
            dns: vec![Ipv4Addr::new(1, 1, 1, 1)],
            device: Some("eth1".into()),
        };
        let plan = Plan::parse(&net.helper_args().unwrap()).unwrap();
        let Plan::Static(lease, device) = &plan else {
            panic!()
        };
        assert_eq!((lease.addr, lease.prefix), (Ipv4Addr::new(10, 0, 0, 5), 24));
        assert_eq!(
            lease.routes,
            [Route::default_by(Ipv4Addr::new(10, 0, 0, 1))]
        );
        assert_eq!(device.as_deref(), Some("eth1"));
        assert!(plan.covers("eth1", 0) && !plan.covers("eth0", 0));
        let dhcp = Plan::parse(&Net::Dhcp { device: None }.helper_args().unwrap()).unwrap();
        assert!(dhcp.covers("anything", 3));
        assert_eq!(Net::Off.helper_args(), None);
    }

    #[test]
    fn a_line_for_each_card() {
        let all = parse_lines("static eth1 10.0.0.5 24 10.0.0.1 1.1.1.1\n\nnonsense\ndhcp eth0\n");
        assert_eq!(all.len(), 2);
        assert!(all[0].covers("eth1", 0) && !all[0].covers("eth0", 0));
        assert_eq!(all[1], Plan::Dhcp(Some("eth0".into())));
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [
            &["static", "any", "x", "24", "0.0.0.0"][..],
            &["dhcp"],
            &[],
            &["off"],
        ] {
            let args: Vec<String> = args.iter().map(ToString::to_string).collect();
            assert!(Plan::parse(&args).is_err(), "{args:?}");
        }
    }
}
