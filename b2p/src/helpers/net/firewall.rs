//! Containers are reached by the ports that they publish, and by nothing else.
//!
//! A machine that forwards for its containers is a router: a neighbour that sends it what
//! is meant for 10.88.0.2 reaches every port of that container, published or not, and the
//! name server on the bridge; netavark leaves that open. So what comes in by a card and is
//! meant for the private network of a bridge is dropped, before published ports are looked
//! at: what is meant for these has an address of the card by then, as answers to
//! containers have. Rules are there only while there are such bridges: a machine without
//! containers loads no driver for them. `b2p.routed=on` does without.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use log::{info, warn};
use nix::sys::socket::SockaddrStorage;
use sys::net::SYS_CLASS_NET;

/// netavark needs it, too.
const NFT: &str = "/usr/sbin/nft";

/// The rules that hold, if any.
#[derive(Debug, Default)]
pub struct Guard {
    off: bool,
    known: BTreeSet<Net>,
    text: String,
}

impl Guard {
    /// One that does nothing, if `off`.
    #[must_use]
    pub fn new(off: bool) -> Guard {
        Guard {
            off,
            ..Guard::default()
        }
    }

    /// Brings the rules up to date. netavark takes a bridge away with its last container
    /// and makes it again for the next: rules for what is gone stay until there is a
    /// network that is new, so that not every container costs two runs of nft.
    pub fn follow(&mut self, cards: &[&str]) {
        let now = if self.off {
            Default::default()
        } else {
            networks(cards)
        };
        if !now.is_subset(&self.known) {
            self.known = now;
        }
        let own = own(cards);
        let known = self.known.iter().copied();
        let foreign = known.filter(|n| !own.iter().any(|addr| holds(n, addr)));
        let text = rules(cards, &foreign.collect());
        if text == self.text {
            return;
        }
        // Once in vain is enough: what is wrong is not made right by asking again.
        self.text = text;
        match set(&self.text) {
            Ok(()) if self.text.is_empty() => info!("network: containers need no guard any more"),
            Ok(()) => info!("network: containers are reached by published ports alone"),
            Err(e) => warn!("network: other machines may reach containers directly: {e}"),
        }
    }
}

/// A network, by an address in it and the length of its prefix.
type Net = (IpAddr, u32);

/// Name, address and prefix length of everything.
fn all() -> impl Iterator<Item = (String, Net)> {
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
    all.filter_map(|a| {
        let (addr, mask) = (a.address?, a.netmask?);
        let v4 = |s: &SockaddrStorage| s.as_sockaddr_in().map(|s| s.ip());
        let v6 = |s: &SockaddrStorage| s.as_sockaddr_in6().map(|s| s.ip());
        let net = match (v4(&addr), v4(&mask), v6(&addr), v6(&mask)) {
            (Some(a), Some(m), ..) => (IpAddr::V4(a), m.to_bits().leading_ones()),
            (_, _, Some(a), Some(m)) => (IpAddr::V6(a), m.to_bits().leading_ones()),
            _ => return None,
        };
        Some((a.interface_name, net))
    })
}

/// The private networks of bridges that have no card in them.
fn networks(cards: &[&str]) -> BTreeSet<Net> {
    let bridge = |name: &str| {
        let ports = Path::new(SYS_CLASS_NET).join(name).join("brif");
        ports.exists() && !cards.iter().any(|card| ports.join(card).exists())
    };
    let private = |net: &Net| private(&net.0);
    let all = all().filter(|(name, _)| bridge(name));
    all.map(|(_, net)| net).filter(private).collect()
}

/// The cards' own addresses.
fn own(cards: &[&str]) -> Vec<IpAddr> {
    let all = all().filter(|(name, _)| cards.contains(&name.as_str()));
    all.map(|(_, net)| net.0).collect()
}

/// Whether an address is of a network.
fn holds((net, prefix): &Net, addr: &IpAddr) -> bool {
    let same = |a: u128, b: u128, bits: u32| {
        (a ^ b)
            .checked_shr(bits.saturating_sub(*prefix))
            .unwrap_or(0)
            == 0
    };
    match (net, addr) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

/// RFC 1918, RFC 4193: who has others has them to be reached.
fn private(addr: &IpAddr) -> bool {
    match addr {
        IpAddr::V4(a) => a.is_private(),
        IpAddr::V6(a) => a.is_unique_local(),
    }
}

/// The rules, or none where there is nothing to guard.
fn rules(cards: &[&str], networks: &BTreeSet<Net>) -> String {
    if cards.is_empty() || networks.is_empty() {
        return String::new();
    }
    let cards: Vec<String> = cards.iter().map(|card| format!("\"{card}\"")).collect();
    let line = |(addr, prefix): &Net| {
        let family = if addr.is_ipv4() { "ip" } else { "ip6" };
        let cards = cards.join(", ");
        format!("iifname {{ {cards} }} {family} daddr {addr}/{prefix} counter drop\n")
    };
    let lines: String = networks.iter().map(line).collect();
    format!(
        "chain ways-in {{\ntype filter hook prerouting priority raw; policy accept;\n{lines}}}\n"
    )
}

/// In one transaction (nft(8)): the table before, if any, is replaced.
fn set(rules: &str) -> io::Result<()> {
    let table = "table inet boot2podman";
    let new = match rules {
        "" => String::new(),
        rules => format!("{table} {{\n{rules}}}\n"),
    };
    let mut nft = Command::new(NFT)
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| io::Error::other(format!("{NFT}: {e}")))?;
    if let Some(mut stdin) = nft.stdin.take() {
        stdin.write_all(format!("add {table}\ndelete {table}\n{new}").as_bytes())?;
    }
    let out = nft.wait_with_output()?;
    if out.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&out.stderr);
    Err(io::Error::other(
        said.lines().next().unwrap_or_default().to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(addr: &str, prefix: u32) -> Net {
        (addr.parse().unwrap_or(IpAddr::from([0; 4])), prefix)
    }

    #[test]
    fn each_network_has_its_rule_and_none_is_none() {
        let all = BTreeSet::from([network("10.88.0.1", 16), network("fd00::1", 64)]);
        let text = rules(&["eth0", "eth1"], &all);
        let v4 = "iifname { \"eth0\", \"eth1\" } ip daddr 10.88.0.1/16 counter drop\n";
        assert!(text.contains(v4), "{text}");
        assert!(
            text.contains("ip6 daddr fd00::1/64 counter drop\n"),
            "{text}"
        );
        assert_eq!(rules(&[], &all), "");
        assert_eq!(rules(&["eth0"], &BTreeSet::new()), "");
    }

    #[test]
    fn a_network_holds_its_own_addresses() {
        let net = network("10.89.0.1", 24);
        for (addr, is) in [
            ("10.89.0.77", true),
            ("10.89.1.1", false),
            ("fd00::1", false),
        ] {
            assert_eq!(holds(&net, &network(addr, 0).0), is, "{addr}");
        }
        let net = network("fd00::1", 64);
        assert!(holds(&net, &network("fd00::ffff:1", 0).0));
        assert!(!holds(&net, &network("fd00:0:0:1::1", 0).0));
        assert!(holds(&network("10.0.0.1", 0), &network("1.1.1.1", 0).0));
        assert!(holds(&network("::1", 0), &network("fd00::1", 0).0));
    }

    #[test]
    fn only_private_networks_are_guarded() {
        for (addr, is) in [
            ("10.88.0.1", true),
            ("172.16.0.1", true),
            ("192.168.5.1", true),
            ("fd12::1", true),
            ("8.8.8.8", false),
            ("2001:db8::1", false),
            ("fe80::1", false),
        ] {
            assert_eq!(private(&network(addr, 24).0), is, "{addr}");
        }
    }
}
