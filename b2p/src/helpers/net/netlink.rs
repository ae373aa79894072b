// SPDX-License-Identifier: Apache-2.0
//! Addresses, by rtnetlink(7): a message names the address that is meant, while the ioctls
//! of netdevice(7) always mean the first one of a card. So addresses that the machine's user
//! has added are left alone. The kernel is also given the lifetime of an address: if this
//! program is gone by then, the address is still removed with the lease.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    socket,
};

use super::lease::netmask;
use super::router;

/// Groups of messages about links, addresses, and prefixes and options of router advertisements
/// (`RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR`, `RTNLGRP_IPV6_PREFIX`,
/// `RTNLGRP_ND_USEROPT`).
const GROUPS: u32 = 1 | 0x10 | 0x100 | 1 << (18 - 1) | 1 << (20 - 1);
/// Group of messages about routes of IPv6 (`RTMGRP_IPV6_ROUTE`).
const IPV6_ROUTES: u32 = 0x400;
/// Types of attributes (linux/if_addr.h).
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_CACHEINFO: u16 = 6;
const IFA_RT_PRIORITY: u16 = 9;

/// An address of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Index of the card.
    pub index: u32,
    /// The address.
    pub addr: Ipv4Addr,
    /// Length of the network part.
    pub prefix: u8,
    /// Lifetime in seconds; `u32::MAX` is for ever.
    pub seconds: u32,
    /// Metric of the route to its network, which orders two cards in one network.
    pub metric: u32,
}

/// Opens a socket that receives the messages of [`GROUPS`].
///
/// # Errors
/// The errno of socket(2) or bind(2).
pub fn subscribe() -> io::Result<OwnedFd> {
    open(SockFlag::SOCK_NONBLOCK, GROUPS)
}

/// Opens a socket that is readable when routes of IPv6 have changed.
///
/// # Errors
/// The errno of socket(2) or bind(2).
pub fn subscribe_to_routes() -> io::Result<OwnedFd> {
    open(SockFlag::SOCK_NONBLOCK, IPV6_ROUTES)
}

fn open(flags: SockFlag, groups: u32) -> io::Result<OwnedFd> {
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    let protocol = SockProtocol::NetlinkRoute;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(fd)
}

/// Adds an address, or sets the lifetime of one that the card has.
///
/// # Errors
/// The errno that the kernel answers with.
pub fn add(address: &Address) -> io::Result<()> {
    let create = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
    request(&message(libc::RTM_NEWADDR, create, address))
}

/// Removes an address; one that the card does not have is not an error.
///
/// # Errors
/// The errno that the kernel answers with.
pub fn remove(address: &Address) -> io::Result<()> {
    match request(&message(libc::RTM_DELADDR, 0, address)) {
        Err(e) if e.raw_os_error() == Some(libc::EADDRNOTAVAIL) => Ok(()),
        other => other,
    }
}

/// Returns address and prefix of each address of IPv4 that a card has for a limited time, as those of leases.
///
/// # Errors
/// The errno of the calls.
pub fn limited(index: u32) -> io::Result<Vec<(Ipv4Addr, u8)>> {
    let fd = open(SockFlag::empty(), 0)?;
    let mut m = head(libc::RTM_GETADDR, libc::NLM_F_DUMP as u16);
    m.extend([libc::AF_INET as u8, 0, 0, 0, 0, 0, 0, 0]);
    send(fd.as_raw_fd(), &finish(m), MsgFlags::empty())?;
    let mut found = Vec::new();
    let mut bytes = [0; 32 << 10];
    loop {
        // The kernel has written each part before it is read.
        let n = recv(fd.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT)?;
        let mut rest = bytes.get(..n).unwrap_or(&[]);
        while let Some((payload, kind, others)) = router::message(rest) {
            if kind != libc::RTM_NEWADDR {
                return Ok(found); // the end, or an error
            }
            found.extend(limited_of(payload, index));
            rest = others;
        }
    }
}

/// Reads ifaddrmsg (family, prefix, flags, scope, card) and the attributes that follow.
fn limited_of(payload: &[u8], index: u32) -> Option<(Ipv4Addr, u8)> {
    let (head, mut attributes) = payload.split_first_chunk::<8>()?;
    let of_card = u32::from_ne_bytes([head[4], head[5], head[6], head[7]]) == index;
    let is_limited = u32::from(head[2]) & libc::IFA_F_PERMANENT == 0;
    (of_card && is_limited).then_some(())?;
    while let [a, b, c, d, ..] = *attributes {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = attributes.get(4..length)?;
        if u16::from_ne_bytes([c, d]) == IFA_LOCAL {
            return Some((Ipv4Addr::from(*value.first_chunk::<4>()?), head[1]));
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// Returns a message: nlmsghdr, ifaddrmsg, attributes.
fn message(kind: u16, flags: u16, a: &Address) -> Vec<u8> {
    let mut m = head(kind, flags);
    m.extend([libc::AF_INET as u8, a.prefix, 0, 0]);
    m.extend(a.index.to_ne_bytes());
    let broadcast = Ipv4Addr::from(u32::from(a.addr) | !u32::from(netmask(a.prefix)));
    let seconds = a.seconds.to_ne_bytes();
    let times: Vec<u8> = [seconds, seconds, [0; 4], [0; 4]].concat();
    attribute(&mut m, IFA_ADDRESS, &a.addr.octets());
    attribute(&mut m, IFA_LOCAL, &a.addr.octets());
    if kind == libc::RTM_NEWADDR {
        // Networks of one or two addresses have no broadcast address (RFC 3021).
        if a.prefix < 31 {
            attribute(&mut m, IFA_BROADCAST, &broadcast.octets());
        }
        attribute(&mut m, IFA_CACHEINFO, &times);
        attribute(&mut m, IFA_RT_PRIORITY, &a.metric.to_ne_bytes());
    }
    finish(m)
}

/// Returns the nlmsghdr of a request; [`finish`] fills in the length.
pub fn head(kind: u16, flags: u16) -> Vec<u8> {
    let flags = flags | (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
    let mut m = vec![0; 4];
    m.extend(kind.to_ne_bytes());
    m.extend(flags.to_ne_bytes());
    m.extend([0; 8]); // sequence, sender
    m
}

/// Fills in the length of a message.
pub fn finish(mut message: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(0).to_ne_bytes();
    message.splice(..4, length);
    message
}

/// Appends an attribute; the length of `value` is a multiple of four bytes.
pub fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(4);
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
}

/// Sends a message and reads the answer, which the kernel gives before send(2) returns.
///
/// # Errors
/// The errno that the kernel answers with.
pub fn request(message: &[u8]) -> io::Result<()> {
    let fd = open(SockFlag::empty(), 0)?;
    send(fd.as_raw_fd(), message, MsgFlags::empty())?;
    let mut bytes = [0; 256];
    let n = recv(fd.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT)?;
    match ack_errno(bytes.get(..n).unwrap_or(&[])) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Returns the content of a message of type `NLMSG_ERROR`: zero, or a negative errno.
fn ack_errno(bytes: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let code = i32::from_ne_bytes(*bytes.get(16..)?.first_chunk()?);
    (i32::from(kind) == libc::NLMSG_ERROR).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Address = Address {
        index: 3,
        addr: Ipv4Addr::new(10, 0, 2, 15),
        prefix: 24,
        seconds: 60,
        metric: 103,
    };

    #[test]
    fn a_message_says_its_length_and_which_address() {
        for (kind, length) in [(libc::RTM_NEWADDR, 76), (libc::RTM_DELADDR, 40)] {
            let m = message(kind, 0, &ADDRESS);
            assert_eq!(m.len(), length);
            assert_eq!(m[..4], u32::try_from(length).unwrap_or(0).to_ne_bytes());
            assert_eq!(m[16..24], [2, 24, 0, 0, 3, 0, 0, 0]);
            assert_eq!(m[28..32], [10, 0, 2, 15]);
        }
        let broadcast = [10, 0, 2, 255];
        let has = |m: &[u8]| m.windows(4).any(|w| w == broadcast);
        assert!(has(&message(libc::RTM_NEWADDR, 0, &ADDRESS)));
        let pair = Address {
            prefix: 31,
            ..ADDRESS
        };
        assert_eq!(message(libc::RTM_NEWADDR, 0, &pair).len(), 68);
    }

    #[test]
    fn addresses_for_a_limited_time() {
        let flagged = |flags: u8| {
            let mut m = message(libc::RTM_NEWADDR, 0, &ADDRESS);
            m[18] = flags;
            m[16..].to_vec()
        };
        let leased = (ADDRESS.addr, 24);
        assert_eq!(limited_of(&flagged(0), 3), Some(leased));
        // IFA_F_SECONDARY, too.
        assert_eq!(limited_of(&flagged(1), 3), Some(leased));
        assert_eq!(limited_of(&flagged(0x80), 3), None);
        assert_eq!(limited_of(&flagged(0), 4), None);
        let whole = flagged(0);
        assert!((0..whole.len()).all(|end| {
            let found = limited_of(&whole[..end], 3);
            found.is_none() || found == Some(leased)
        }));
        assert!(limited_of(&[0, 24, 0, 0, 3, 0, 0, 0, 0, 0, 2, 0], 3).is_none());
        // The kernel answers; 127.0.0.1 is for ever.
        assert_eq!(limited(1).ok(), Some(Vec::new()));
    }

    #[test]
    fn only_an_nlmsgerr_is_an_acknowledgement() {
        let mut bytes = [0; 36];
        assert_eq!(ack_errno(&bytes), None);
        bytes[4] = 2;
        assert_eq!(ack_errno(&bytes), Some(0));
        bytes[16..20].copy_from_slice(&(-17i32).to_ne_bytes());
        assert_eq!(ack_errno(&bytes), Some(-17));
        assert_eq!(ack_errno(&bytes[..19]), None);
    }

    #[test]
    fn an_error_of_the_kernel_is_returned() {
        // No card has this index.
        let nowhere = Address {
            index: 0x7fff_ffff,
            ..ADDRESS
        };
        assert!(add(&nowhere).is_err());
    }
}
