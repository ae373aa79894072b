// SPDX-License-Identifier: Apache-2.0
//! Sockets that the standard library does not offer.
#![expect(unsafe_code, reason = "socket options before bind(2), raw sockets")]

use std::ffi::CString;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        fine => Ok(fine),
    }
}

fn open(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: integers only; the result is checked before its use as an owned descriptor.
    let fd = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: the descriptor was just opened.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn option(fd: &OwnedFd, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let length = value.len() as libc::socklen_t;
    let value = value.as_ptr().cast();
    // SAFETY: a live buffer of that length.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value, length) }).map(drop)
}

/// Opens a UDP socket at this address and port, bound to one card.
pub(super) fn udp(card: &str, address: Ipv4Addr, port: u16) -> Result<UdpSocket> {
    let fd = open(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let one = 1i32.to_ne_bytes();
    option(
        &fd,
        libc::SOL_SOCKET,
        libc::SO_BINDTODEVICE,
        card.as_bytes(),
    )?;
    option(&fd, libc::SOL_SOCKET, libc::SO_BROADCAST, &one)?;
    let to = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(address).to_be(),
        },
        sin_zero: [0; 8],
    };
    let size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: a live sockaddr_in of that size.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const to).cast(), size) })
        .with_context(|| format!("{address}:{port} on {card}"))?;
    Ok(UdpSocket::from(fd))
}

/// Sends an ICMPv6 message to all nodes on a card's link (ff02::1), as routers do.
pub(super) fn to_all_nodes(card: &str, message: &[u8]) -> Result<()> {
    let fd = open(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6)?;
    option(
        &fd,
        libc::SOL_SOCKET,
        libc::SO_BINDTODEVICE,
        card.as_bytes(),
    )?;
    // RFC 4861, 6.1.2: a hop limit of 255 proves that the message is from this link.
    let hops = 255i32.to_ne_bytes();
    option(&fd, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS, &hops)?;
    let name = CString::new(card)?;
    // SAFETY: plain data; zero is valid.
    let mut to: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    to.sin6_family = libc::AF_INET6 as u16;
    to.sin6_addr.s6_addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).octets();
    // SAFETY: a live C string.
    to.sin6_scope_id = unsafe { libc::if_nametoindex(name.as_ptr()) };
    let size = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    let (bytes, length) = (message.as_ptr().cast(), message.len());
    // SAFETY: buffer and address are alive and have these lengths.
    let sent = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            bytes,
            length,
            0,
            (&raw const to).cast(),
            size,
        )
    };
    check(i32::try_from(sent)?)?;
    Ok(())
}

/// Opens a socket that receives ICMPv6 on a card, one message per packet without its IP header.
pub(super) fn icmpv6(card: &str) -> Result<UdpSocket> {
    let fd = open(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6)?;
    option(
        &fd,
        libc::SOL_SOCKET,
        libc::SO_BINDTODEVICE,
        card.as_bytes(),
    )?;
    // Only a forwarding node is a member of ff02::2.
    std::fs::write(format!("/proc/sys/net/ipv6/conf/{card}/forwarding"), "1")?;
    Ok(UdpSocket::from(fd)) // for its recv(2)
}

/// Sets the host name; only used in a namespace.
pub(super) fn hostname(name: &str) -> Result<()> {
    // SAFETY: a live buffer of that length.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })?;
    Ok(())
}
