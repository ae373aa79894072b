// SPDX-License-Identifier: Apache-2.0
//! Parsers of `b2p.net=`, and of `ip=` in the kernel's syntax
//! (Documentation/admin-guide/nfs/nfsroot.rst, net/ipv4/ipconfig.c).

use std::net::Ipv4Addr;

use crate::diagnostic::Problem;
use crate::settings::Net;
use crate::suggest::suggest;
use crate::values::{no_such_value, number};

/// Maximum number of name servers (resolv.conf(5), `MAXNS`).
const MAX_DNS: usize = 3;
/// Maximum length of an interface's name in bytes (Linux `IFNAMSIZ` without the NUL).
const MAX_DEVICE: usize = 15;
/// Number of fields of `<client>:<server>:<gateway>:<netmask>:<hostname>:<device>:<autoconf>:
/// <dns0>:<dns1>:<ntp0>`.
const IP_FIELDS: usize = 10;

const NOT_UNICAST: Problem = Problem::invalid("not an IPv4 unicast address");
const NOT_AUTOCONF: Problem = Problem::invalid("no such method; only dhcp is supported");

/// Settings in `ip=`. Host name and time server are used if no flag for them is given.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ip<'a> {
    pub net: Net,
    pub hostname: Option<&'a str>,
    pub ntpserver: Option<&'a str>,
}

/// Parses `dhcp`, `off`, or `<addr>/<prefix>[,<gateway>[,<dns>...]]`; the gateway may be empty.
pub(crate) fn net(text: &str) -> Result<Net, Problem> {
    match text {
        "dhcp" => Ok(Net::Dhcp { device: None }),
        "off" => Ok(Net::Off),
        _ if text.starts_with(|first: char| first.is_ascii_digit()) => static_address(text),
        _ if text.contains(':') => Err(Problem::invalid(
            "a static address is IPv4; IPv6 is configured by router advertisement",
        )),
        _ => Err(no_such_value(text, &mut ["dhcp", "off"].into_iter())),
    }
}

fn static_address(text: &str) -> Result<Net, Problem> {
    let mut parts = text.split(',');
    let address = parts.next().unwrap_or_default();
    let Some((addr, prefix)) = address.split_once('/') else {
        return Err(Problem::invalid("the address lacks its prefix, as in /24"));
    };
    let addr = unicast(addr)?;
    let prefix = number(prefix, 32).and_then(|prefix| u8::try_from(prefix).ok());
    let prefix = prefix.filter(|prefix| *prefix > 0);
    let prefix = prefix.ok_or(Problem::invalid("the prefix is not 1 to 32"))?;
    let gateway = optional_unicast(parts.next().unwrap_or_default())?;
    let mut dns = Vec::new();
    for part in parts {
        dns.push(unicast(part)?);
    }
    if dns.len() > MAX_DNS {
        return Err(Problem::invalid("more than three name servers"));
    }
    Ok(Net::Static {
        addr,
        prefix,
        gateway,
        dns,
        device: None,
    })
}

/// Parses the kernel's `ip=`. An address makes the configuration static for any `<autoconf>`, and
/// an empty field or 0.0.0.0 is an absent one, as in the kernel.
pub(crate) fn ip(text: &str) -> Result<Ip<'_>, Problem> {
    if !text.contains(':') && !text.contains('.') {
        let net = autoconf(text, None)?;
        return Ok(Ip {
            net,
            hostname: None,
            ntpserver: None,
        });
    }
    let fields = ip_fields(text)?;
    let [client, _server, gateway, netmask, ..] = fields;
    let [.., hostname, device, method, dns0, dns1, ntp] = fields;
    let device = interface(device)?;
    let net = match optional_unicast(client)? {
        None => autoconf(method, device)?,
        Some(addr) => Net::Static {
            addr,
            prefix: prefix_length(addr, netmask)?,
            gateway: optional_unicast(gateway)?,
            dns: [optional_unicast(dns0)?, optional_unicast(dns1)?]
                .into_iter()
                .flatten()
                .collect(),
            device,
        },
    };
    // The part after the first dot is an NIS domain for the kernel.
    let name = hostname.split('.').next().filter(|name| !name.is_empty());
    let ntpserver = optional_unicast(ntp)?.map(|_| ntp);
    Ok(Ip {
        net,
        hostname: name,
        ntpserver,
    })
}

/// Returns the fields of `ip=`; those that are left out at the end are empty.
fn ip_fields(text: &str) -> Result<[&str; IP_FIELDS], Problem> {
    let mut fields = [""; IP_FIELDS];
    let mut parts = text.split(':');
    for (field, part) in fields.iter_mut().zip(parts.by_ref()) {
        *field = part;
    }
    match parts.next() {
        Some(_) => Err(Problem::invalid(
            "more than ten fields (IPv6 is configured by router advertisement)",
        )),
        None => Ok(fields),
    }
}

fn autoconf(method: &str, device: Option<String>) -> Result<Net, Problem> {
    match method {
        "" | "dhcp" | "on" | "any" => Ok(Net::Dhcp { device }),
        "off" | "none" => Ok(Net::Off),
        _ => match suggest(method, &mut ["dhcp", "off", "none"].into_iter()) {
            None => Err(NOT_AUTOCONF),
            suggestion => Err(Problem::InvalidValue {
                why: "no such method",
                suggestion,
            }),
        },
    }
}

/// Converts a netmask to a prefix length. Without a netmask, the length is that of the address's
/// class (RFC 791), as in the kernel.
fn prefix_length(addr: Ipv4Addr, netmask: &str) -> Result<u8, Problem> {
    let Some(mask) = ipv4(netmask)? else {
        return Ok(match addr.octets() {
            [0..=127, ..] => 8,
            [128..=191, ..] => 16,
            _ => 24,
        });
    };
    let ones = mask.to_bits().leading_ones();
    if ones != mask.to_bits().count_ones() {
        return Err(Problem::invalid("the netmask has holes"));
    }
    u8::try_from(ones).map_err(|_| NOT_UNICAST)
}

fn interface(text: &str) -> Result<Option<String>, Problem> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    if text.len() > MAX_DEVICE || !text.bytes().all(allowed) || matches!(text, "." | "..") {
        return Err(Problem::invalid("not the name of a network interface"));
    }
    Ok(Some(text.to_owned()).filter(|name| !name.is_empty()))
}

/// Parses an address that one machine can have and other machines can reach.
fn unicast(text: &str) -> Result<Ipv4Addr, Problem> {
    optional_unicast(text)?.ok_or(NOT_UNICAST)
}

/// Parses an address as [`unicast`] does; an empty text or 0.0.0.0 is no address.
fn optional_unicast(text: &str) -> Result<Option<Ipv4Addr>, Problem> {
    match ipv4(text)?.map(|addr| (addr, addr.octets())) {
        // 127/8 is loopback, 224/4 multicast, 240/4 reserved (RFC 6890).
        Some((_, [0 | 127 | 224.., ..])) => Err(NOT_UNICAST),
        Some((addr, _)) => Ok(Some(addr)),
        None => Ok(None),
    }
}

fn ipv4(text: &str) -> Result<Option<Ipv4Addr>, Problem> {
    if text.is_empty() || text == "0.0.0.0" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| NOT_UNICAST)
}
