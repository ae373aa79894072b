// SPDX-License-Identifier: Apache-2.0
//! System calls for connections that arrive: accept(2), and a look at the first bytes.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use super::super::admission::Source;
use super::super::hello::{self, Hello};
use super::super::{container, limit};

/// Result of accept(2).
pub enum Accepted {
    /// A connection, and its origin.
    Connection(TcpStream, Source),
    /// One connection has an error; the next may have none.
    Error,
    /// A connection from the machine's own address, as rootless containers have, is not admitted.
    Own,
    /// No connection waits.
    Nobody,
    /// Memory or descriptors are short.
    Shortage,
}

/// Accepts the next connection, without waiting.
pub fn accept(listener: &TcpListener, admits_containers: bool) -> Accepted {
    match listener.accept() {
        Ok((stream, peer))
            if !admits_containers
                && container::is_of_container(peer.ip(), stream.local_addr().ok()) =>
        {
            Accepted::Own
        }
        Ok((stream, address)) => Accepted::Connection(stream, address.ip().into()),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                Accepted::Shortage
            }
            Some(Errno::EAGAIN) => Accepted::Nobody,
            _ => Accepted::Error,
        },
    }
}

/// Classifies the data that has arrived; `None` if the client has closed the connection.
pub fn peek(stream: &TcpStream) -> Option<Hello> {
    let mut bytes = [0; hello::LONGEST];
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    match recv(stream.as_raw_fd(), &mut bytes, flags) {
        Ok(0) => None,
        Ok(count) => {
            let total = limit::unread(stream).unwrap_or(count);
            Some(hello::judge(&bytes[..count], total))
        }
        Err(Errno::EAGAIN | Errno::EINTR) => Some(Hello::Incomplete),
        Err(_) => None,
    }
}
