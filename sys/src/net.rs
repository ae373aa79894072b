//! What PID 1 itself needs of the network: which cards there are, and their
//! addresses. Everything else is the network service's, a process of its own.
#![expect(unsafe_code, reason = "ioctl(2) on ifreq")]

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;

use config::Net;
use nix::ifaddrs::InterfaceAddress;

/// Where network interfaces are listed.
pub const SYS_CLASS_NET: &str = "/sys/class/net";

/// ARPHRD_ETHER (if_arp.h).
const ETHERNET: &str = "1";

/// Name and index of every Ethernet card: hardware or a VM's idea of it, not a
/// bridge, a veth or what else containers bring.
#[must_use]
pub fn ethernet_interfaces(net: &Path) -> Vec<(String, u32)> {
    let Ok(read) = fs::read_dir(net) else {
        return Vec::new();
    };
    let is =
        |path: &Path, file: &str| fs::read_to_string(path.join(file)).map(|t| t.trim().to_owned());
    let mut all: Vec<(String, u32)> = read
        .flatten()
        .filter(|e| e.path().join("device").exists())
        .filter(|e| is(&e.path(), "type").is_ok_and(|t| t == ETHERNET))
        .filter_map(|e| {
            Some((
                e.file_name().into_string().ok()?,
                is(&e.path(), "ifindex").ok()?.parse().ok()?,
            ))
        })
        .collect();
    all.sort_unstable_by_key(|(_, index)| *index);
    all
}

/// The IPv4 address of every card that has one; where none has, the IPv6 addresses that
/// lead further than the link.
#[must_use]
pub fn interface_addresses() -> Vec<(String, IpAddr)> {
    let cards = ethernet_interfaces(Path::new(SYS_CLASS_NET));
    let Ok(all) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    let on_card = |a: &InterfaceAddress| cards.iter().any(|(name, _)| *name == a.interface_name);
    let all: Vec<(String, IpAddr)> = all
        .filter(on_card)
        .filter_map(|a| Some((a.interface_name.clone(), ip(&a)?)))
        .collect();
    let v4 = all.iter().any(|(_, addr)| addr.is_ipv4());
    all.into_iter().filter(|(_, a)| a.is_ipv4() == v4).collect()
}

fn ip(address: &InterfaceAddress) -> Option<IpAddr> {
    let address = address.address.as_ref()?;
    let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
    let v6 = || address.as_sockaddr_in6().map(|a| a.ip());
    v4.or_else(|| v6().filter(|a| !a.is_unicast_link_local()).map(IpAddr::V6))
}

/// The words that tell the network service of `net` (`b2p net …`); `None` where nothing is to run.
#[must_use]
pub fn arguments(net: &Net) -> Option<Vec<String>> {
    let device = |d: &Option<String>| d.clone().unwrap_or_else(|| "any".into());
    match net {
        Net::Off => None,
        Net::Dhcp { device: d } => Some(vec!["dhcp".into(), device(d)]),
        Net::Static {
            addr,
            prefix,
            gateway,
            dns,
            device: d,
        } => {
            let gateway = gateway.unwrap_or(Ipv4Addr::UNSPECIFIED);
            let mut words = vec![
                "static".into(),
                device(d),
                addr.to_string(),
                prefix.to_string(),
                gateway.to_string(),
            ];
            words.extend(dns.iter().map(ToString::to_string));
            Some(words)
        }
    }
}

/// Why no card can get what `net` asks for, if none can.
#[must_use]
pub fn missing(net: &Net) -> Option<String> {
    let device = match net {
        Net::Off => return None,
        Net::Dhcp { device } | Net::Static { device, .. } => device.as_deref(),
    };
    lacking(device, &ethernet_interfaces(Path::new(SYS_CLASS_NET)))
}

fn lacking(device: Option<&str>, cards: &[(String, u32)]) -> Option<String> {
    let names: Vec<&str> = cards.iter().map(|(name, _)| name.as_str()).collect();
    match device {
        _ if names.is_empty() => {
            Some("no network card that this kernel has a driver for".to_owned())
        }
        Some(device) if !names.contains(&device) => {
            Some(format!("no card {device}; there is {}", names.join(", ")))
        }
        _ => None,
    }
}

/// Brings an interface up, leaving its other flags as they are.
///
/// # Errors
/// What the system said.
pub fn set_up(device: &str) -> io::Result<()> {
    let mut ifr = ifreq(device);
    ioctl(libc::SIOCGIFFLAGS, &mut ifr)?;
    // SAFETY: SIOCGIFFLAGS filled in this member of the union.
    unsafe { ifr.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short };
    ioctl(libc::SIOCSIFFLAGS, &mut ifr)
}

/// Gives a card another name; since Linux 6.2 one that is up may have it, too.
///
/// # Errors
/// What the system said.
pub fn rename(device: &str, name: &str) -> io::Result<()> {
    let mut ifr = ifreq(device);
    ifr.ifr_ifru.ifru_newname = ifreq(name).ifr_name;
    ioctl(libc::SIOCSIFNAME, &mut ifr)
}

/// A structure that an interface ioctl of netdevice(7) reads or fills.
///
/// # Safety
/// The kernel may take it for an ifreq or an rtentry: it must be one of them.
pub unsafe trait IoctlArgument {}
// SAFETY: it is the one.
unsafe impl IoctlArgument for libc::ifreq {}
// SAFETY: it is the other.
unsafe impl IoctlArgument for libc::rtentry {}

/// An ioctl of netdevice(7), which any socket carries.
///
/// # Errors
/// What the system said.
pub fn ioctl<T: IoctlArgument>(request: libc::c_ulong, argument: &mut T) -> io::Result<()> {
    // An unbound port-0 socket: nothing is sent or received on it.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: a live structure of a type that such a request takes.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), request as _, argument as *mut T) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A zeroed ifreq for `device`.
#[must_use]
pub fn ifreq(device: &str) -> libc::ifreq {
    // SAFETY: plain data; zero is valid.
    let mut ifr: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = libc::IFNAMSIZ - 1;
    for (to, from) in ifr.ifr_name.iter_mut().zip(device.bytes().take(room)) {
        *to = from as libc::c_char;
    }
    ifr
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_that_is_not_there_is_named_with_those_that_are() {
        let there = [("eth0".to_owned(), 2)];
        assert_eq!(lacking(None, &there), None);
        assert_eq!(lacking(Some("eth0"), &there), None);
        let why = lacking(Some("eth1"), &there).unwrap_or_default();
        assert_eq!(why, "no card eth1; there is eth0");
        assert!(lacking(Some("eth1"), &[]).is_some() && lacking(None, &[]).is_some());
    }
}
