// SPDX-License-Identifier: Apache-2.0
//! Network interfaces: which there are, their addresses, and the ioctls of netdevice(7).
#![expect(unsafe_code, reason = "ioctl(2) on ifreq")]

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::ifaddrs::InterfaceAddress;

/// Directory of sysfs that lists network interfaces.
pub const SYS_CLASS_NET: &str = "/sys/class/net";

/// `ARPHRD_ETHER` (if_arp.h), in the form of the file `type`.
const ETHERNET: &str = "1";

/// Returns name and index of every Ethernet interface with a device behind it, by index:
/// hardware or a VM's device, not a bridge, a veth or another interface of containers.
#[must_use]
pub fn ethernet_interfaces(class_net: &Path) -> Vec<(String, u32)> {
    let Ok(entries) = fs::read_dir(class_net) else {
        return Vec::new();
    };
    let attribute = |dir: &Path, name: &str| {
        let text = fs::read_to_string(dir.join(name)).ok()?;
        Some(text.trim().to_owned())
    };
    let mut found: Vec<(String, u32)> = entries
        .flatten()
        .filter(|e| e.path().join("device").exists())
        .filter(|e| attribute(&e.path(), "type").is_some_and(|t| t == ETHERNET))
        .filter_map(|e| {
            let index = attribute(&e.path(), "ifindex")?.parse().ok()?;
            Some((e.file_name().into_string().ok()?, index))
        })
        .collect();
    crate::sort::sort_by(&mut found, |a, b| a.1.cmp(&b.1));
    found
}

/// Returns the IPv4 address of every Ethernet interface that has one; where none has, the IPv6
/// addresses that are not link-local.
#[must_use]
pub fn interface_addresses() -> Vec<(String, IpAddr)> {
    let ethernet = ethernet_interfaces(Path::new(SYS_CLASS_NET));
    let Ok(addresses) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    let is_ethernet =
        |a: &InterfaceAddress| ethernet.iter().any(|(name, _)| *name == a.interface_name);
    let usable: Vec<(String, IpAddr)> = addresses
        .filter(is_ethernet)
        .filter_map(|a| Some((a.interface_name.clone(), usable_ip(&a)?)))
        .collect();
    let has_v4 = usable.iter().any(|(_, ip)| ip.is_ipv4());
    let same_version = |(_, ip): &(String, IpAddr)| ip.is_ipv4() == has_v4;
    usable.into_iter().filter(same_version).collect()
}

fn usable_ip(address: &InterfaceAddress) -> Option<IpAddr> {
    let address = address.address.as_ref()?;
    let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
    let v6 = || address.as_sockaddr_in6().map(|a| a.ip());
    v4.or_else(|| v6().filter(|a| !a.is_unicast_link_local()).map(IpAddr::V6))
}

/// Brings an interface up, without a change of its other flags.
///
/// # Errors
/// No interface has this name, or the caller may not configure the interface.
pub fn set_up(device: &str) -> io::Result<()> {
    let mut ifr = ifreq(device);
    ioctl(libc::SIOCGIFFLAGS, &mut ifr)?;
    // SAFETY: SIOCGIFFLAGS filled in this member of the union.
    unsafe { ifr.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short };
    ioctl(libc::SIOCSIFFLAGS, &mut ifr)
}

/// Renames an interface; since Linux 6.2 the interface may be up.
///
/// # Errors
/// No interface has the old name, or another one has the new name.
pub fn rename(device: &str, name: &str) -> io::Result<()> {
    let mut ifr = ifreq(device);
    ifr.ifr_ifru.ifru_newname = ifreq(name).ifr_name;
    ioctl(libc::SIOCSIFNAME, &mut ifr)
}

/// A structure that an interface ioctl of netdevice(7) reads or fills.
///
/// # Safety
/// The kernel reads an ifreq or an rtentry at its address: the type must be one of them.
pub unsafe trait IoctlArgument {}
// SAFETY: the type is ifreq.
unsafe impl IoctlArgument for libc::ifreq {}
// SAFETY: the type is rtentry.
unsafe impl IoctlArgument for libc::rtentry {}

/// Runs an ioctl of netdevice(7), which any socket carries.
///
/// # Errors
/// The kernel refuses the request, or no socket can be opened.
pub fn ioctl<T: IoctlArgument>(request: libc::c_ulong, argument: &mut T) -> io::Result<()> {
    // A UDP socket on port 0, which neither sends nor receives.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: a live structure of a type that such a request takes.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), request as _, argument as *mut T) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Returns a zeroed ifreq for `device`.
#[must_use]
pub fn ifreq(device: &str) -> libc::ifreq {
    // SAFETY: plain data; zero is valid.
    let mut ifr: libc::ifreq = unsafe { std::mem::zeroed() };
    let max_name = libc::IFNAMSIZ - 1; // and a NUL
    for (to, from) in ifr.ifr_name.iter_mut().zip(device.bytes().take(max_name)) {
        *to = from as libc::c_char;
    }
    ifr
}
