// SPDX-License-Identifier: Apache-2.0
//! The kernel's ping socket. The kernel fills in identifier and checksum, and delivers the replies
//! to this socket alone (net/ipv4/ping.c).

use std::ffi::OsString;
use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType,
    SockaddrStorage, bind, connect, recvmsg, send, setsockopt, socket, sockopt,
};
use sys::error::{Doing, Error, Result};

use super::options::Options;

/// Length of the header of an echo message (RFC 792).
const HEADER: usize = 8;
/// Types of an echo request of IPv4 and of IPv6 (RFC 792, RFC 4443).
const REQUEST: [u8; 2] = [8, 128];
/// Types of their replies.
const REPLY: [u8; 2] = [0, 129];
/// Longest message.
const MAX_MESSAGE: usize = 65_535;

/// An echo reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Length of the message.
    pub bytes: usize,
    /// Number of the packet, modulo 65,536.
    pub number: u16,
    /// Remaining hops of the reply.
    pub ttl: Option<i32>,
    /// Time at which the request was sent, since the begin of the run.
    pub sent: Option<Duration>,
}

/// Ping socket that is connected to a host.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    peer: IpAddr,
    size: usize,
}

impl Socket {
    /// Opens a socket to `to`.
    ///
    /// # Errors
    /// The system call that failed; [`Errno::EACCES`] without ping sockets.
    pub fn open(to: SocketAddr, options: &Options<'_>) -> Result<Socket> {
        let (family, protocol) = match to.is_ipv6() {
            true => (AddressFamily::Inet6, SockProtocol::IcmpV6),
            false => (AddressFamily::Inet, SockProtocol::Icmp),
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(family, SockType::Datagram, flags, protocol).doing("socket")?;
        match to.is_ipv6() {
            true => setsockopt(&fd, sockopt::Ipv6RecvHopLimit, &true),
            false => setsockopt(&fd, sockopt::Ipv4RecvTtl, &true),
        }
        .doing("hop limit of replies")?;
        if let Some(ttl) = options.ttl.map(i32::from) {
            match to.is_ipv6() {
                true => setsockopt(&fd, sockopt::Ipv6Ttl, &ttl),
                false => setsockopt(&fd, sockopt::Ipv4Ttl, &ttl),
            }
            .doing("-t")?;
        }
        if let Some(from) = options.from {
            send_from(&fd, from).doing(format!("-I {from}"))?;
        }
        let address = SockaddrStorage::from(to);
        connect(fd.as_raw_fd(), &address).doing(to.ip().to_string())?;
        Ok(Socket {
            fd,
            peer: to.ip(),
            size: options.size,
        })
    }

    /// Returns the address of the host.
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Sends packet `number`, with the time since the begin if the packet has room.
    ///
    /// # Errors
    /// The errno of send(2).
    pub fn send(&self, number: u64, since_begin: Duration) -> Result<()> {
        let message = request(self.peer.is_ipv6(), number, since_begin, self.size);
        let sent = send(self.fd.as_raw_fd(), &message, MsgFlags::empty());
        sent.map(drop).doing("send")
    }

    /// Returns the next reply that has arrived.
    pub fn receive(&self) -> Option<Reply> {
        let mut bytes = vec![0; MAX_MESSAGE];
        let mut control = nix::cmsg_space!(i32);
        loop {
            let mut iov = [IoSliceMut::new(&mut bytes)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let fd = self.fd.as_raw_fd();
            let received = match recvmsg::<()>(fd, &mut iov, Some(&mut control), flags) {
                Ok(received) => received,
                Err(Errno::EINTR) => continue,
                // A host on the way reports an error of an earlier packet.
                Err(Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::ECONNREFUSED) => continue,
                Err(_) => return None,
            };
            let mut messages = received.cmsgs().ok()?;
            let ttl = messages.find_map(|message| match message {
                ControlMessageOwned::Ipv4Ttl(ttl) => Some(ttl),
                ControlMessageOwned::Ipv6HopLimit(ttl) => Some(ttl),
                _ => None,
            });
            let length = received.bytes;
            if let Some(reply) = reply(bytes.get(..length)?, ttl) {
                return Some(reply);
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn send_from(fd: &OwnedFd, from: &str) -> Result<()> {
    match from.parse::<IpAddr>() {
        Ok(address) => {
            let address = SockaddrStorage::from(SocketAddr::new(address, 0));
            bind(fd.as_raw_fd(), &address).map_err(Error::from)
        }
        Err(_) => {
            let name = OsString::from(from);
            setsockopt(fd, sockopt::BindToDevice, &name).map_err(Error::from)
        }
    }
}

/// Returns an echo request. Identifier and checksum are the kernel's.
fn request(ipv6: bool, number: u64, since_begin: Duration, size: usize) -> Vec<u8> {
    let number = (number & 0xffff) as u16;
    let mut message = vec![REQUEST[usize::from(ipv6)], 0, 0, 0, 0, 0];
    message.extend(number.to_be_bytes());
    if size >= 8 {
        let nanoseconds = u64::try_from(since_begin.as_nanos()).unwrap_or(u64::MAX);
        message.extend(nanoseconds.to_be_bytes());
    }
    message.resize(HEADER + size, 0);
    message
}

/// Reads an echo reply.
fn reply(message: &[u8], ttl: Option<i32>) -> Option<Reply> {
    let (header, data) = message.split_at_checked(HEADER)?;
    let number = u16::from_be_bytes([header[6], header[7]]);
    let sent = data
        .first_chunk()
        .map(|n| Duration::from_nanos(u64::from_be_bytes(*n)));
    REPLY.contains(&header[0]).then_some(Reply {
        bytes: message.len(),
        number,
        ttl,
        sent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_has_the_number_and_the_time_of_the_request() {
        for (ipv6, size) in [(false, 56), (true, 56), (false, 8), (true, 0), (false, 7)] {
            let time = Duration::from_micros(1234);
            let mut message = request(ipv6, 65_538, time, size);
            assert_eq!(message.len(), HEADER + size);
            assert_eq!(reply(&message, None), None, "a request is no reply");
            message[0] = REPLY[usize::from(ipv6)];
            let got = reply(&message, Some(64)).expect("a reply");
            assert_eq!(
                (got.number, got.ttl, got.bytes),
                (2, Some(64), HEADER + size)
            );
            assert_eq!(got.sent, (size >= 8).then_some(time));
        }
    }

    #[test]
    fn a_short_message_is_no_reply() {
        for length in 0..HEADER {
            assert_eq!(reply(&vec![0; length], None), None);
        }
    }
}
