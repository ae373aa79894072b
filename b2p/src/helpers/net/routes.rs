// SPDX-License-Identifier: Apache-2.0
//! Networks that the machine's interfaces lead to, from the kernel's tables of routes: those of
//! leases, of router advertisements and of the machine's user (proc_pid_net(5);
//! net/ipv6/route.c, `rt6_info_route`).

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::overlap::Reached;
use super::prefix::Prefix;

/// Flags of routes that lead to no network of an interface: refusals, cached ones, anycast and local
/// addresses (linux/route.h, linux/ipv6_route.h).
const NOT_A_NETWORK: u32 = 0x0200 | 0x0100_0000 | 0x0010_0000 | 0x8000_0000;

/// Part of a table that is read, in bytes: 7,000 lines.
const MAX_TABLE: u64 = 1 << 20;

/// Returns the networks of these interfaces, without default routes.
pub fn of(interfaces: &[&str]) -> Vec<Reached> {
    let read = |name: &str| {
        let mut bytes = Vec::new();
        let table = File::open(format!("/proc/net/{name}"));
        let _ = table.and_then(|table| table.take(MAX_TABLE).read_to_end(&mut bytes)); // no IPv6
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (v4, v6) = (read("route"), read("ipv6_route"));
    let all = v4
        .lines()
        .filter_map(ipv4)
        .chain(v6.lines().filter_map(ipv6));
    all.filter(|(name, prefix)| prefix.length > 0 && interfaces.contains(&name.as_str()))
        .collect()
}

/// Parses a line of /proc/net/route: interface, destination, gateway, flags, three numbers, mask.
/// Addresses are in the byte order of the machine.
fn ipv4(line: &str) -> Option<Reached> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let hex = |at: usize| u32::from_str_radix(words.get(at)?, 16).ok();
    let (to, flags, mask) = (hex(1)?, hex(3)?, hex(7)?);
    let length = u8::try_from(mask.count_ones()).ok()?;
    let to = Ipv4Addr::from(to.to_ne_bytes());
    let prefix = Prefix::new(IpAddr::V4(to), length);
    (flags & NOT_A_NETWORK == 0).then(|| (words[0].to_owned(), prefix))
}

/// Parses a line of /proc/net/ipv6_route: destination and length, source and length, next hop, three
/// numbers, flags, interface.
fn ipv6(line: &str) -> Option<Reached> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let to: Ipv6Addr = u128::from_str_radix(words.first()?, 16).ok()?.into();
    let length = u8::from_str_radix(words.get(1)?, 16).ok()?;
    let flags = u32::from_str_radix(words.get(8)?, 16).ok()?;
    let everywhere = to.is_unicast_link_local() || to.is_multicast();
    let prefix = Prefix::new(IpAddr::V6(to), length);
    let is_network = flags & NOT_A_NETWORK == 0 && !everywhere;
    is_network.then_some((words.get(9)?.to_string(), prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_the_kernels_tables() {
        let v4 = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                  eth0\t00000000\t0202000A\t0003\t0\t0\t102\t00000000\t0\t0\t0\n\
                  eth0\t0002000A\t00000000\t0001\t0\t0\t102\t00FFFFFF\t0\t0\t0\n\
                  eth1\t0000590A\t0102000A\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                  *\t00005A0A\t00000000\t0200\t0\t0\t0\t0000FFFF\t0\t0\t0\nnoise\n";
        let found: Vec<_> = v4.lines().filter_map(ipv4).collect();
        let shown: Vec<_> = found.iter().map(|(n, p)| format!("{n} {p}")).collect();
        let wanted = ["eth0 0.0.0.0/0", "eth0 10.0.2.0/24", "eth1 10.89.0.0/16"];
        assert_eq!(shown, wanted);

        let zero = "0".repeat(32);
        let line = |to: &str, length: &str, flags: &str| {
            format!(
                "{to:0<32} {length} {zero} 00 {zero} 00000100 00000001 00000000 {flags}     eth0"
            )
        };
        for (to, length, flags, wanted) in [
            ("fd000001", "40", "00040001", Some("fd00:1::/64")),
            ("fd000001", "30", "00000003", Some("fd00:1::/48")),
            ("20010db8", "20", "00000001", Some("2001:db8::/32")),
            ("", "00", "00000003", Some("::/0")),
            ("fe80", "40", "00000001", None),
            ("ff00", "08", "00000001", None),
            ("fd000001", "80", "80200001", None),
            ("fd000001", "80", "00300001", None),
            ("fd000001", "40", "00200200", None),
        ] {
            let found = ipv6(&line(to, length, flags)).map(|(_, prefix)| prefix.to_string());
            assert_eq!(found.as_deref(), wanted, "{to} {length} {flags}");
        }
        for noise in ["", "x", &line("zz", "40", "0"), &zero] {
            assert_eq!(ipv6(noise), None, "{noise}");
        }
    }
}
