// SPDX-License-Identifier: Apache-2.0
//! Routes and MTU of an interface, by the ioctls of netdevice(7), which suffice here with a tenth
//! of the code that rtnetlink takes.
#![expect(unsafe_code, reason = "ioctl(2) on ifreq and rtentry")]

use std::io;
use std::net::Ipv4Addr;

use sys::net::{ifreq, ioctl};

use super::lease::{Route, netmask};

fn sockaddr(addr: Ipv4Addr) -> libc::sockaddr {
    let mut sa = libc::sockaddr {
        sa_family: libc::AF_INET as u16,
        sa_data: [0; 14],
    };
    // sockaddr_in: two bytes of port, then the address.
    for (to, from) in sa.sa_data.iter_mut().skip(2).zip(addr.octets()) {
        *to = from as libc::c_char;
    }
    sa
}

/// Sets the MTU, in bytes.
///
/// # Errors
/// The errno of the ioctl: EINVAL if the card cannot have this MTU.
pub fn set_mtu(device: &str, mtu: i32) -> io::Result<()> {
    let mut ifr = ifreq(device);
    ifr.ifr_ifru.ifru_mtu = mtu;
    ioctl(libc::SIOCSIFMTU, &mut ifr)
}

/// Adds a route through `device`; a route that exists is left. `metric` sets the order among
/// several default routes.
///
/// # Errors
/// The errno of the ioctl: ENETUNREACH if the gateway is not on the link.
pub fn add_route(device: &str, route: &Route, metric: i16) -> io::Result<()> {
    match change_route(libc::SIOCADDRT, device, route, metric) {
        Err(e) if e.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        other => other,
    }
}

/// Removes a route.
///
/// # Errors
/// The errno of the ioctl: ESRCH if there is no such route.
pub fn remove_route(device: &str, route: &Route, metric: i16) -> io::Result<()> {
    change_route(libc::SIOCDELRT, device, route, metric)
}

fn change_route(
    request: libc::c_ulong,
    device: &str,
    route: &Route,
    metric: i16,
) -> io::Result<()> {
    let mut name: Vec<u8> = device.bytes().chain([0]).collect();
    // SAFETY: plain data; zero is valid.
    let mut rt: libc::rtentry = unsafe { std::mem::zeroed() };
    let mask = netmask(route.prefix);
    rt.rt_dst = sockaddr(Ipv4Addr::from(u32::from(route.network) & u32::from(mask)));
    rt.rt_genmask = sockaddr(mask);
    rt.rt_flags = libc::RTF_UP;
    if !route.gateway.is_unspecified() {
        rt.rt_gateway = sockaddr(route.gateway);
        rt.rt_flags |= libc::RTF_GATEWAY;
    }
    if route.prefix == 32 {
        rt.rt_flags |= libc::RTF_HOST;
    }
    rt.rt_metric = metric + 1; // the kernel subtracts one (rtentry_to_fib_config)
    rt.rt_dev = name.as_mut_ptr().cast();
    ioctl(request, &mut rt)
}
