// SPDX-License-Identifier: Apache-2.0
//! The sockets of the DHCP client (packet(7), udp(7)).
#![expect(
    unsafe_code,
    reason = "packet sockets and filters have no safe wrapper"
)]

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Filter (classic BPF, socket(7)) that passes the first fragments of UDP packets to port 68:
/// a busy network does not wake the client.
static FILTER: [libc::sock_filter; 9] = [
    op(0x30, 0, 0, 9),      // ldb  [9]           protocol
    op(0x15, 0, 5, 17),     // jeq  #17           UDP, else drop
    op(0x28, 0, 0, 6),      // ldh  [6]           fragment offset
    op(0x45, 3, 0, 0x1fff), // jset #0x1fff       a later fragment: drop
    op(0xb1, 0, 0, 0),      // ldxb 4*([0]&0xf)   header length
    op(0x48, 0, 0, 2),      // ldh  [x + 2]       destination port
    op(0x15, 1, 0, 68),     // jeq  #68           the client's: accept
    op(0x06, 0, 0, 0),      // ret  #0            drop
    op(0x06, 0, 0, 0xffff), // ret  #65535        accept
];

/// All routers on the link, ff02::2.
const ALL_ROUTERS: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
/// Router solicitation (type 133) without options; the kernel fills in the checksum.
static SOLICITATION: [u8; 8] = [133, 0, 0, 0, 0, 0, 0, 0];

const fn op(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Opens a socket below IP on one card that receives DHCP answers only.
///
/// # Errors
/// The errno of socket(2), setsockopt(2) or bind(2).
pub fn listen(index: u32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: integers only; the result is checked before it is owned.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    check(fd)?;
    // SAFETY: a new descriptor, which has no other owner.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    filter(&fd)?;
    let addr = address(index, libc::ETH_P_IP);
    let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: `addr` is a valid sockaddr_ll of that size.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const addr).cast(), size) })?;
    Ok(fd)
}

fn filter(fd: &OwnedFd) -> io::Result<()> {
    let fprog = libc::sock_fprog {
        len: FILTER.len() as u16,
        filter: FILTER.as_ptr().cast_mut(),
    };
    let size = size_of::<libc::sock_fprog>() as libc::socklen_t;
    // SAFETY: the kernel copies the program and does not write to the original.
    check(unsafe {
        let value = (&raw const fprog).cast();
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            value,
            size,
        )
    })
}

/// Sends an IP packet to all stations on the link.
///
/// # Errors
/// The errno of sendto(2).
pub fn broadcast(fd: &OwnedFd, index: u32, packet: &[u8]) -> io::Result<()> {
    let addr = address(index, libc::ETH_P_IP);
    let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: buffer and address are valid for their lengths.
    let sent = unsafe {
        let bytes = packet.as_ptr().cast();
        libc::sendto(
            fd.as_raw_fd(),
            bytes,
            packet.len(),
            0,
            (&raw const addr).cast(),
            size,
        )
    };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn address(index: u32, protocol: i32) -> libc::sockaddr_ll {
    // SAFETY: plain data; zero is valid.
    let mut addr: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    addr.sll_family = libc::AF_PACKET as u16;
    addr.sll_protocol = (protocol as u16).to_be();
    addr.sll_ifindex = index as i32;
    addr.sll_halen = 6;
    addr.sll_addr[..6].fill(0xff);
    addr
}

/// Opens a UDP socket from the card's address, for renewals.
///
/// # Errors
/// The errno of bind(2) or setsockopt(2).
pub fn bind_client(device: &str, from: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddrV4::new(from, 68))?;
    socket.set_nonblocking(true)?;
    socket.set_broadcast(true)?;
    // SAFETY: name and length of a live string.
    check(unsafe {
        let (name, size) = (device.as_ptr().cast(), device.len() as libc::socklen_t);
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            name,
            size,
        )
    })?;
    Ok(socket)
}

/// Asks the routers on a link to advertise themselves (RFC 4861, 6.3.7). The kernel does so when a
/// link becomes up, which may be before this service starts.
///
/// # Errors
/// The errno of socket(2), setsockopt(2) or sendto(2).
pub fn solicit(index: u32) -> io::Result<()> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: integers only; the result is checked before it is owned.
    let fd = unsafe { libc::socket(libc::AF_INET6, kind, libc::IPPROTO_ICMPV6) };
    check(fd)?;
    // SAFETY: a new descriptor, which has no other owner.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let hops: libc::c_int = 255; // with less, routers assume another link
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: a live integer of that size.
    check(unsafe {
        let (level, name) = (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS);
        libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const hops).cast(), size)
    })?;
    // SAFETY: plain data; zero is valid.
    let mut to: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    to.sin6_family = libc::AF_INET6 as u16;
    to.sin6_addr.s6_addr = ALL_ROUTERS;
    to.sin6_scope_id = index;
    let size = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    let bytes = SOLICITATION.as_ptr().cast();
    // SAFETY: buffer and address are valid for their lengths.
    let sent = unsafe {
        let to = (&raw const to).cast();
        libc::sendto(fd.as_raw_fd(), bytes, SOLICITATION.len(), 0, to, size)
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
