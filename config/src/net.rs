//! Network settings: `b2p.net=`, and `ip=` as the kernel reads it
//! (Documentation/admin-guide/nfs/nfsroot.rst, net/ipv4/ipconfig.c).

use std::net::Ipv4Addr;

use crate::diagnostic::Problem;
use crate::settings::Net;
use crate::suggest::suggest;
use crate::values::number;

/// resolv.conf(5), `MAXNS`.
const MAX_DNS: usize = 3;
/// Linux `IFNAMSIZ`, less the NUL.
const MAX_DEVICE: usize = 15;
/// `<client>:<server>:<gateway>:<netmask>:<hostname>:<device>:<autoconf>:<dns0>:<dns1>:<ntp0>`
const IP_FIELDS: usize = 10;

const NOT_UNICAST: Problem = Problem::bad("not an IPv4 address of a machine");
const NOT_AUTOCONF: Problem = Problem::bad("no such way; only dhcp is spoken here");

/// What `ip=` can say. The hostname and the NTP server count where no flag of
/// their own names them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ip<'a> {
    pub net: Net,
    pub hostname: Option<&'a str>,
    pub ntpserver: Option<&'a str>,
}

/// `dhcp`, `off`, or `<addr>/<prefix>[,<gateway>[,<dns>...]]`; the gateway may
/// be left empty.
pub(crate) fn net(text: &str) -> Result<Net, Problem> {
    match text {
        "dhcp" => Ok(Net::Dhcp { device: None }),
        "off" => Ok(Net::Off),
        _ if text.starts_with(|first: char| first.is_ascii_digit()) => by_hand(text),
        _ if text.contains(':') => Err(Problem::bad(
            "only IPv4 is set by hand; IPv6 comes by router advertisement",
        )),
        _ => {
            let nearest = suggest(text, &mut ["dhcp", "off"].into_iter());
            Err(Problem::Bad {
                why: "no such value",
                nearest,
            })
        }
    }
}

fn by_hand(text: &str) -> Result<Net, Problem> {
    let mut parts = text.split(',');
    let own = parts.next().unwrap_or_default();
    let Some((addr, prefix)) = own.split_once('/') else {
        return Err(Problem::bad("the address lacks its prefix, as /24"));
    };
    let addr = unicast(addr)?;
    let prefix = number(prefix, 32).and_then(|prefix| u8::try_from(prefix).ok());
    let prefix = prefix.filter(|prefix| *prefix > 0);
    let prefix = prefix.ok_or(Problem::bad("the prefix is not 1 to 32"))?;
    let gateway = maybe(parts.next().unwrap_or_default())?;
    let mut dns = Vec::new();
    for part in parts {
        dns.push(unicast(part)?);
    }
    if dns.len() > MAX_DNS {
        return Err(Problem::bad("more than three name servers"));
    }
    Ok(Net::Static {
        addr,
        prefix,
        gateway,
        dns,
        device: None,
    })
}

/// The kernel's `ip=`. As there, an address makes it static whatever the
/// `<autoconf>` says, and a field that is empty or 0.0.0.0 is one not given.
pub(crate) fn ip(text: &str) -> Result<Ip<'_>, Problem> {
    if !text.contains(':') && !text.contains('.') {
        let net = autoconf(text, None)?;
        return Ok(Ip {
            net,
            hostname: None,
            ntpserver: None,
        });
    }
    let mut fields = [""; IP_FIELDS];
    let mut given = text.split(':');
    for (field, part) in fields.iter_mut().zip(given.by_ref()) {
        *field = part;
    }
    if given.next().is_some() {
        return Err(Problem::bad(
            "more than ten fields (IPv6 comes by router advertisement)",
        ));
    }
    let [
        client,
        _server,
        gateway,
        netmask,
        hostname,
        device,
        method,
        dns0,
        dns1,
        ntp,
    ] = fields;
    let device = card(device)?;
    let net = match maybe(client)? {
        None => autoconf(method, device)?,
        Some(addr) => Net::Static {
            addr,
            prefix: prefix(addr, netmask)?,
            gateway: maybe(gateway)?,
            dns: [maybe(dns0)?, maybe(dns1)?].into_iter().flatten().collect(),
            device,
        },
    };
    // The kernel takes what follows the first dot for an NIS domain.
    let name = hostname.split('.').next().filter(|name| !name.is_empty());
    let ntpserver = maybe(ntp)?.map(|_| ntp);
    Ok(Ip {
        net,
        hostname: name,
        ntpserver,
    })
}

fn autoconf(method: &str, device: Option<String>) -> Result<Net, Problem> {
    match method {
        "" | "dhcp" | "on" | "any" => Ok(Net::Dhcp { device }),
        "off" | "none" => Ok(Net::Off),
        _ => match suggest(method, &mut ["dhcp", "off", "none"].into_iter()) {
            None => Err(NOT_AUTOCONF),
            nearest => Err(Problem::Bad {
                why: "no such way",
                nearest,
            }),
        },
    }
}

/// The netmask as a prefix length; without one, that of the address's class
/// (RFC 791), as the kernel does it.
fn prefix(addr: Ipv4Addr, netmask: &str) -> Result<u8, Problem> {
    let Some(mask) = dotted(netmask)? else {
        return Ok(match addr.octets() {
            [0..=127, ..] => 8,
            [128..=191, ..] => 16,
            _ => 24,
        });
    };
    let ones = mask.to_bits().leading_ones();
    if ones != mask.to_bits().count_ones() {
        return Err(Problem::bad("the netmask has holes"));
    }
    u8::try_from(ones).map_err(|_| NOT_UNICAST)
}

fn card(text: &str) -> Result<Option<String>, Problem> {
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    if text.len() > MAX_DEVICE || !text.bytes().all(fits) || matches!(text, "." | "..") {
        return Err(Problem::bad("not the name of a network card"));
    }
    Ok(Some(text.to_owned()).filter(|name| !name.is_empty()))
}

/// An address that one machine can have and others reach.
fn unicast(text: &str) -> Result<Ipv4Addr, Problem> {
    maybe(text)?.ok_or(NOT_UNICAST)
}

/// As [`unicast`], or none where the text is empty or 0.0.0.0.
fn maybe(text: &str) -> Result<Option<Ipv4Addr>, Problem> {
    match dotted(text)?.map(|addr| (addr, addr.octets())) {
        // 127/8 is this machine, 224/4 many, 240/4 reserved (RFC 6890).
        Some((_, [0 | 127 | 224.., ..])) => Err(NOT_UNICAST),
        Some((addr, _)) => Ok(Some(addr)),
        None => Ok(None),
    }
}

fn dotted(text: &str) -> Result<Option<Ipv4Addr>, Problem> {
    if text.is_empty() || text == "0.0.0.0" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| NOT_UNICAST)
}
