// SPDX-License-Identifier: Apache-2.0
//! Transport of messages: a datagram each (RFC 5426), or a connection on which each is
//! preceded by its length (RFC 6587, section 3.4.1). No call here waits but [`connect`].

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use config::{LogReceiver, Transport};
use nix::sys::socket::{setsockopt, sockopt};
use sys::clock::{Millis, now};
use sys::error::{Doing, Error, Result};

/// Longest time that a TCP connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time that a TCP receiver may leave data unacknowledged, in milliseconds (tcp(7),
/// `TCP_USER_TIMEOUT`).
const ACK_TIMEOUT: u32 = 30_000;
/// Time of silence after which a TCP receiver is probed, in seconds (tcp(7)).
const KEEPALIVE: u32 = 60;
/// Memory for messages that the kernel has not sent yet, in bytes (socket(7), `SO_SNDBUF`).
const SEND_BUFFER: usize = 64 << 10;
/// Number of reads after which a receiver that sends is left for the next round.
const MAX_READS: usize = 16;
/// Number of addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;

/// A way to the receiver.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    /// Address of the receiver.
    pub address: SocketAddr,
    /// Time at which the connection was made.
    pub since: Millis,
    /// Frame of which TCP has taken only a part, and the length of that part.
    frame: Vec<u8>,
    written: usize,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// Resolves the receiver's name and connects to the first address that can be had.
///
/// # Errors
/// The name has no address, or the error of the last address.
pub fn connect(receiver: &LogReceiver) -> Result<Connection> {
    let found = (receiver.host.as_str(), receiver.port).to_socket_addrs();
    let addresses = found.doing(format!("name {}", receiver.host))?;
    let mut result = Err(Error::invalid(format!("{} has no address", receiver.host)));
    for address in addresses.take(MAX_ADDRESSES) {
        let opened = match receiver.transport {
            Transport::Udp => udp(address).map(Socket::Udp),
            Transport::Tcp => tcp(address).map(Socket::Tcp),
        };
        result = opened.doing(address.to_string()).map(|socket| Connection {
            socket,
            address,
            since: now(),
            frame: Vec::new(),
            written: 0,
        });
        if result.is_ok() {
            break;
        }
    }
    result
}

fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    stream.set_nonblocking(true)?;
    setsockopt(&stream, sockopt::SndBuf, &SEND_BUFFER)?;
    setsockopt(&stream, sockopt::TcpUserTimeout, &ACK_TIMEOUT)?;
    setsockopt(&stream, sockopt::KeepAlive, &true)?;
    setsockopt(&stream, sockopt::TcpKeepIdle, &KEEPALIVE)?;
    Ok(stream)
}

impl Connection {
    /// Sends a message; returns false if the kernel does not take the whole message now. The caller
    /// then has to offer the same message again.
    ///
    /// # Errors
    /// The errno of send(2): the connection is of no further use.
    pub fn send(&mut self, message: &[u8]) -> io::Result<bool> {
        loop {
            let sent = match &mut self.socket {
                Socket::Udp(socket) => socket.send(message).map(|_| true),
                Socket::Tcp(stream) => {
                    if self.frame.is_empty() {
                        self.frame = frame(message);
                        self.written = 0;
                    }
                    let rest = self.frame.get(self.written..).unwrap_or(&[]);
                    stream.write(rest).map(|count| {
                        self.written += count;
                        count == rest.len()
                    })
                }
            };
            match sent {
                Ok(true) => {
                    self.frame.clear();
                    return Ok(true);
                }
                Ok(false) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
    }

    /// Reads and drops data of the receiver, which usually sends none.
    ///
    /// # Errors
    /// The receiver has closed the connection, or refuses datagrams (ECONNREFUSED).
    pub fn drain(&mut self) -> io::Result<()> {
        let mut bytes = [0; 256];
        for _ in 0..MAX_READS {
            let read = match &mut self.socket {
                Socket::Udp(socket) => socket.recv(&mut bytes).map(|_| 1),
                Socket::Tcp(stream) => stream.read(&mut bytes),
            };
            match read {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Udp(socket) => socket.as_fd(),
            Socket::Tcp(stream) => stream.as_fd(),
        }
    }
}

/// Returns `LENGTH MESSAGE`.
fn frame(message: &[u8]) -> Vec<u8> {
    let length = format!("{} ", message.len());
    [length.as_bytes(), message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_begins_with_the_length_of_the_message() {
        assert_eq!(frame("é".as_bytes()), "2 é".as_bytes());
        assert_eq!(frame(&[b'x'; 1180])[..6], *b"1180 x");
    }
}
