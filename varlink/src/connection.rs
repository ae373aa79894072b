// SPDX-License-Identifier: Apache-2.0
//! Framing: messages on a stream, and the bytes after the last one.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, getsockopt, shutdown, sockopt};
use std::os::fd::AsRawFd;
use sys::error::{Doing, Error, Result};

/// Number of bytes that one read(2) asks for.
const CHUNK: usize = 8192;

/// Stream of messages in both directions: a socket, or two pipes.
#[derive(Debug)]
pub struct Connection {
    input: File,
    output: File,
    /// Bytes that were read and not returned yet.
    buffer: Vec<u8>,
    /// Longest message that is accepted, in bytes.
    limit: usize,
}

/// Stream after an upgrade, which carries bytes of another protocol.
#[derive(Debug)]
pub struct Raw {
    /// Bytes that were read together with the last message.
    pub early: Vec<u8>,
    /// Source of bytes.
    pub input: File,
    /// Destination of bytes; for a socket, a duplicate of the same descriptor.
    pub output: File,
    /// Longest message that is accepted where messages follow again, in bytes.
    limit: usize,
}

impl From<Raw> for Connection {
    /// Starts the framing again.
    fn from(raw: Raw) -> Connection {
        Connection {
            input: raw.input,
            output: raw.output,
            buffer: raw.early,
            limit: raw.limit,
        }
    }
}

impl Connection {
    /// Returns the connection of a socket.
    ///
    /// # Errors
    /// The errno of fcntl(2), `F_DUPFD_CLOEXEC`.
    pub fn new(socket: impl Into<OwnedFd>, limit: usize) -> Result<Connection> {
        let input: OwnedFd = socket.into();
        let output = input.try_clone().doing("duplicate a socket")?;
        Ok(Connection::of_two(input, output, limit))
    }

    /// Returns the connection of two descriptors, such as standard input and output.
    #[must_use]
    pub fn of_two(input: OwnedFd, output: OwnedFd, limit: usize) -> Connection {
        Connection {
            input: input.into(),
            output: output.into(),
            buffer: Vec::new(),
            limit,
        }
    }

    /// Receives the next message, without its NUL byte, or `None` if the peer has closed the
    /// stream between two messages.
    ///
    /// # Errors
    /// The errno of read(2); the stream ends within a message; the message is too long.
    pub fn receive(&mut self) -> Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            let end = self.buffer[searched..].iter().position(|byte| *byte == 0);
            if let Some(end) = end.map(|end| searched + end) {
                let rest = self.buffer.split_off(end + 1);
                let mut message = std::mem::replace(&mut self.buffer, rest);
                message.pop();
                return Ok(Some(message));
            }
            searched = self.buffer.len();
            if searched > self.limit {
                let why = format!("a message is longer than {} bytes", self.limit);
                return Err(Error::invalid(why));
            }
            match self.read()? {
                0 if searched == 0 => return Ok(None),
                0 => return Err(Error::invalid("the stream ends within a message")),
                _ => {}
            }
        }
    }

    /// Appends the bytes of one read(2) to the buffer.
    fn read(&mut self) -> Result<usize> {
        let held = self.buffer.len();
        self.buffer.resize(held + CHUNK, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[held..]) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(held + *read.as_ref().unwrap_or(&0));
        // A peer that has closed its end with data unread resets the connection: for a service
        // that is an end like any other.
        match read {
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => Ok(0),
            read => read.doing("read a message"),
        }
    }

    /// Sends a message that ends with a NUL byte. A slow peer blocks the caller.
    ///
    /// # Errors
    /// The errno of write(2).
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        self.output.write_all(message).doing("send a message")
    }

    /// Sends the end of the stream. A pipe has no end until its close.
    pub fn end_output(&self) {
        let _ = shutdown(self.output.as_raw_fd(), Shutdown::Write);
    }

    /// Returns true if the peer can receive nothing any more. A peer that has only ended its own
    /// direction still waits for replies.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(self.output.as_fd(), PollFlags::empty())];
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
        poll(&mut fds, PollTimeout::ZERO).is_ok()
            && fds[0]
                .revents()
                .is_some_and(|events| events.intersects(gone))
    }

    /// Descriptor of the direction to the peer; poll(2) reports `POLLHUP` or `POLLERR` when the
    /// peer is gone.
    #[must_use]
    pub fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// Returns the number of the peer's user, or `None` if the stream is not a unix socket.
    #[must_use]
    pub fn peer_uid(&self) -> Option<u32> {
        let peer = getsockopt(&self.input, sockopt::PeerCredentials).ok()?;
        Some(peer.uid())
    }

    /// Returns the process, user and group of the peer (unix(7), `SO_PEERCRED`).
    #[must_use]
    pub fn peer(&self) -> Option<nix::sys::socket::UnixCredentials> {
        getsockopt(&self.input, sockopt::PeerCredentials).ok()
    }

    /// Ends the framing, for a protocol that follows.
    #[must_use]
    pub fn into_raw(self) -> Raw {
        Raw {
            early: self.buffer,
            input: self.input,
            output: self.output,
            limit: self.limit,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::net::UnixStream;

    fn pair(limit: usize) -> (UnixStream, Connection) {
        let (peer, own) = UnixStream::pair().unwrap();
        (peer, Connection::new(own, limit).unwrap())
    }

    #[test]
    fn messages_may_come_in_any_pieces() {
        let (mut peer, mut own) = pair(100);
        let sender = std::thread::spawn(move || {
            for piece in [&b"on"[..], b"e\0", b"two\0three\0\0fo", b"ur", b"\0rest"] {
                peer.write_all(piece).unwrap();
                std::thread::yield_now();
            }
            peer
        });
        for message in ["one", "two", "three", "", "four"] {
            assert_eq!(own.receive().unwrap().unwrap(), message.as_bytes());
        }
        drop(sender.join().unwrap());
        assert!(own.receive().unwrap_err().to_string().contains("within"));
    }

    #[test]
    fn a_message_has_a_limit() {
        for (length, fits) in [(100, true), (100 + CHUNK * 2, false)] {
            let (mut peer, mut own) = pair(100);
            let sender = std::thread::spawn(move || {
                let _ = peer.write_all(&[&vec![b'a'; length][..], b"\0"].concat());
            });
            assert_eq!(own.receive().is_ok(), fits, "{length}");
            drop(own);
            sender.join().unwrap();
        }
    }

    #[test]
    fn the_end_between_messages_is_no_error() {
        let (mut peer, mut own) = pair(100);
        peer.write_all(b"{}\0").unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(own.receive().unwrap().unwrap(), b"{}");
        assert_eq!(own.receive().unwrap(), None);
        assert!(!own.is_gone());
        drop(peer);
        assert!(own.is_gone());
    }

    #[test]
    fn bytes_behind_the_last_message_stay() {
        let (mut peer, mut own) = pair(100);
        peer.write_all(b"{}\0\0raw").unwrap();
        own.receive().unwrap();
        assert_eq!(own.into_raw().early, b"\0raw");
    }
}
