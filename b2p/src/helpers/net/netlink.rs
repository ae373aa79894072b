//! Addresses, by rtnetlink(7): unlike the ioctls of netdevice(7), which take the first
//! address of a card for the one that is meant, it says which, and leaves alone what
//! the machine's owner has added. The kernel is told how long it holds, too: should
//! this program be gone by then, the address goes with the lease.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    socket,
};

use super::lease::netmask;

/// Links, addresses, and options of router advertisements (`RTMGRP_LINK`,
/// `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR`, `RTNLGRP_ND_USEROPT`).
const NEWS: u32 = 1 | 0x10 | 0x100 | 1 << (20 - 1);
/// `IFA_ADDRESS`, `IFA_LOCAL`, `IFA_BROADCAST`, `IFA_CACHEINFO`, `IFA_RT_PRIORITY`
/// (linux/if_addr.h).
const IFA: [u16; 5] = [1, 2, 4, 6, 9];

/// An address of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Which card.
    pub index: u32,
    /// The address.
    pub addr: Ipv4Addr,
    /// Length of the network part.
    pub prefix: u8,
    /// Seconds that it holds; `u32::MAX` is for ever.
    pub seconds: u32,
    /// Of the route to its network: with two cards in one network, the first one's.
    pub metric: u32,
}

/// A socket that hears of links and routers.
///
/// # Errors
/// What the system said.
pub fn news() -> io::Result<OwnedFd> {
    open(SockFlag::SOCK_NONBLOCK, NEWS)
}

fn open(flags: SockFlag, groups: u32) -> io::Result<OwnedFd> {
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    let protocol = SockProtocol::NetlinkRoute;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(fd)
}

/// Sets an address; if the card has it, for how long.
///
/// # Errors
/// What the system said.
pub fn add(address: &Address) -> io::Result<()> {
    let create = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
    ask(&message(libc::RTM_NEWADDR, create, address))
}

/// Takes an address away; that it is not there is as good.
///
/// # Errors
/// What the system said.
pub fn remove(address: &Address) -> io::Result<()> {
    match ask(&message(libc::RTM_DELADDR, 0, address)) {
        Err(e) if e.raw_os_error() == Some(libc::EADDRNOTAVAIL) => Ok(()),
        other => other,
    }
}

/// nlmsghdr, ifaddrmsg, attributes.
fn message(kind: u16, flags: u16, a: &Address) -> Vec<u8> {
    let flags = flags | (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
    let mut m = vec![0; 4]; // its length
    m.extend(kind.to_ne_bytes());
    m.extend(flags.to_ne_bytes());
    m.extend([0; 8]); // sequence, sender
    m.extend([libc::AF_INET as u8, a.prefix, 0, 0]);
    m.extend(a.index.to_ne_bytes());
    let broadcast = Ipv4Addr::from(u32::from(a.addr) | !u32::from(netmask(a.prefix)));
    let seconds = a.seconds.to_ne_bytes();
    let times: Vec<u8> = [seconds, seconds, [0; 4], [0; 4]].concat();
    let [address, local, all, cache, priority] = IFA;
    attribute(&mut m, address, &a.addr.octets());
    attribute(&mut m, local, &a.addr.octets());
    if kind == libc::RTM_NEWADDR {
        // Networks of one or two have none (RFC 3021).
        if a.prefix < 31 {
            attribute(&mut m, all, &broadcast.octets());
        }
        attribute(&mut m, cache, &times);
        attribute(&mut m, priority, &a.metric.to_ne_bytes());
    }
    let length = u32::try_from(m.len()).unwrap_or(0).to_ne_bytes();
    m.splice(..4, length);
    m
}

/// A multiple of four bytes, each.
fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(4);
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
}

/// Sends a message and waits for the kernel's answer, which it gives before send(2)
/// returns.
fn ask(message: &[u8]) -> io::Result<()> {
    let fd = open(SockFlag::empty(), 0)?;
    send(fd.as_raw_fd(), message, MsgFlags::empty())?;
    let mut bytes = [0; 256];
    let n = recv(fd.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT)?;
    match error(bytes.get(..n).unwrap_or(&[])) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// What a message of type `NLMSG_ERROR` says: zero, or a negative errno.
fn error(bytes: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let code = i32::from_ne_bytes(*bytes.get(16..)?.first_chunk()?);
    (i32::from(kind) == libc::NLMSG_ERROR).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Address = Address {
        index: 3,
        addr: Ipv4Addr::new(10, 0, 2, 15),
        prefix: 24,
        seconds: 60,
        metric: 103,
    };

    #[test]
    fn a_message_says_its_length_and_which_address() {
        for (kind, length) in [(libc::RTM_NEWADDR, 76), (libc::RTM_DELADDR, 40)] {
            let m = message(kind, 0, &ONE);
            assert_eq!(m.len(), length);
            assert_eq!(m[..4], u32::try_from(length).unwrap_or(0).to_ne_bytes());
            assert_eq!(m[16..24], [2, 24, 0, 0, 3, 0, 0, 0]);
            assert_eq!(m[28..32], [10, 0, 2, 15]);
        }
        let broadcast = [10, 0, 2, 255];
        let has = |m: &[u8]| m.windows(4).any(|w| w == broadcast);
        assert!(has(&message(libc::RTM_NEWADDR, 0, &ONE)));
        let pair = Address { prefix: 31, ..ONE };
        assert_eq!(message(libc::RTM_NEWADDR, 0, &pair).len(), 68);
    }

    #[test]
    fn only_an_answer_is_one() {
        let mut bytes = [0; 36];
        assert_eq!(error(&bytes), None);
        bytes[4] = 2;
        assert_eq!(error(&bytes), Some(0));
        bytes[16..20].copy_from_slice(&(-17i32).to_ne_bytes());
        assert_eq!(error(&bytes), Some(-17));
        assert_eq!(error(&bytes[..19]), None);
    }

    #[test]
    fn the_kernel_is_asked_and_its_no_is_heard() {
        // No card has this index.
        let nowhere = Address {
            index: 0x7fff_ffff,
            ..ONE
        };
        assert!(add(&nowhere).is_err());
    }
}
