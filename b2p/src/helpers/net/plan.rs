//! What is to be done with the cards, as words on a command line: written by
//! PID 1 from its configuration, read by the network service.

use std::net::Ipv4Addr;

use super::lease::{Lease, Route, Times};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// DHCP, on every card or on this one.
    Dhcp(Option<String>),
    /// This, on the first card or on this one.
    Static(Lease, Option<String>),
}

impl Plan {
    /// Reads the words back.
    ///
    /// # Errors
    /// What is wrong with them; only a person could have typed those.
    pub fn parse(words: &[String]) -> Result<Plan, String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let device = |d: &str| (d != "any").then(|| d.to_owned());
        let usage = || {
            "usage: b2p net dhcp <device|any> | static <device|any> <addr> <prefix> <gateway> [<dns>…]".to_owned()
        };
        match words.as_slice() {
            ["dhcp", d] => Ok(Plan::Dhcp(device(d))),
            ["static", d, addr, prefix, gateway, dns @ ..] => {
                let ip = |s: &str| s.parse::<Ipv4Addr>().map_err(|_| usage());
                let gateway = ip(gateway)?;
                let route = (!gateway.is_unspecified()).then(|| Route::default_by(gateway));
                let lease = Lease {
                    addr: ip(addr)?,
                    prefix: prefix.parse().map_err(|_| usage())?,
                    routes: route.into_iter().collect(),
                    dns: dns.iter().map(|d| ip(d)).collect::<Result<_, _>>()?,
                    ntp: Vec::new(),
                    domain: None,
                    hostname: None,
                    mtu: None,
                    server: Ipv4Addr::UNSPECIFIED,
                    times: Times {
                        renew: u32::MAX,
                        rebind: u32::MAX,
                        expire: u32::MAX,
                    },
                };
                Ok(Plan::Static(lease, device(d)))
            }
            _ => Err(usage()),
        }
    }

    /// Whether this card is part of the plan, when `others` already are: an
    /// address given by hand goes to one card only.
    #[must_use]
    pub fn covers(&self, name: &str, others: usize) -> bool {
        match self {
            Plan::Dhcp(device) => device.as_deref().is_none_or(|d| d == name),
            Plan::Static(_, Some(device)) => device == name,
            Plan::Static(_, None) => others == 0,
        }
    }
}

/// Plans for single cards, a line each; lines that are none are left out.
#[must_use]
pub fn lines(text: &str) -> Vec<Plan> {
    let words = |l: &str| l.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    text.lines()
        .filter_map(|l| Plan::parse(&words(l)).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use config::Net;

    #[test]
    fn what_is_written_is_read() {
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
        let all = lines("static eth1 10.0.0.5 24 10.0.0.1 1.1.1.1\n\nnonsense\ndhcp eth0\n");
        assert_eq!(all.len(), 2);
        assert!(all[0].covers("eth1", 0) && !all[0].covers("eth0", 0));
        assert_eq!(all[1], Plan::Dhcp(Some("eth0".into())));
    }

    #[test]
    fn nonsense_is_refused() {
        for words in [
            &["static", "any", "x", "24", "0.0.0.0"][..],
            &["dhcp"],
            &[],
            &["off"],
        ] {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            assert!(Plan::parse(&words).is_err(), "{words:?}");
        }
    }
}
