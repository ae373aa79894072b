// SPDX-License-Identifier: Apache-2.0
//! `b2p syslog`, the service that copies messages of programs from `/dev/log` to the kernel log
//! (docs/reference/log.md), and `b2p syslog journal`, which does the same for journald's socket.
//! The service has one thread and one poll(2), and no other wait.

pub mod journal;
pub mod message;
mod relay;

use std::fs;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockType, UnixAddr, getsockopt, recvmsg, setsockopt, sockopt,
};
use sys::clock::now;
use sys::error::{Doing, Error, Result};

use crate::common::listen_fds::inherited_socket;
use crate::common::log::ring;
use crate::common::stop::Stop;
use relay::{Protocol, Relay, Sender};

const POLLIN: PollFlags = PollFlags::POLLIN;

/// Number of datagrams that are read between two checks for SIGTERM.
const BATCH: usize = 256;
/// Number of batches that are read after SIGTERM.
const MAX_LAST_BATCHES: usize = 256;
/// Longest datagram that is read, in bytes; a longer one is cut. conmon sends lines of up to 16 KiB, with
/// fields (ctr_logging.c, `STDIO_BUF_SIZE`).
const MAX_DATAGRAM: usize = 24 << 10;

/// Runs `b2p syslog` and returns the exit status.
#[must_use]
pub fn main(arguments: &[String]) -> i32 {
    let protocol: Protocol = match arguments.first().map(String::as_str) {
        Some("journal") => journal::parse,
        _ => message::parse,
    };
    match serve(protocol) {
        Ok(()) => 0,
        Err(e) => {
            log::error!("syslog: {e}");
            1
        }
    }
}

fn serve(protocol: Protocol) -> Result<()> {
    // The handlers are installed first: a SIGTERM that arrives later ends the loop after the last datagrams.
    let stop = Stop::new().doing("signal handlers")?;
    let out = ring::writer().on(ring::PATH)?;
    let host = fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut service = Service {
        socket: socket()?,
        relay: Relay::new(out, protocol, &host),
    };
    service.run(&stop);
    Ok(())
}

fn socket() -> Result<OwnedFd> {
    let fd = inherited_socket().ok_or(Error::invalid(
        "there is no socket as descriptor 3 (LISTEN_FDS)",
    ))?;
    match getsockopt(&fd, sockopt::SockType) {
        Ok(SockType::Datagram) => Ok(fd),
        _ => Err(Error::invalid("descriptor 3 is no datagram socket")),
    }
}

/// Socket and the kernel log.
#[derive(Debug)]
struct Service {
    socket: OwnedFd,
    relay: Relay,
}

impl Service {
    /// Relays until SIGTERM; messages that were sent before are relayed as well.
    fn run(&mut self, stop: &Stop) {
        // If PID 1 has not set the option, the sender is known from the next datagram on.
        let _ = setsockopt(&self.socket, sockopt::PassCred, &true);
        while !stop.wait(&[(self.socket.as_fd(), POLLIN)], self.relay.deadline()) {
            self.batch();
            self.relay.tick(now());
        }
        for _ in 0..MAX_LAST_BATCHES {
            if !self.batch() {
                break;
            }
        }
        self.relay.report();
    }

    /// Relays at most [`BATCH`] datagrams; returns true if there may be more.
    fn batch(&mut self) -> bool {
        let mut bytes = [0; MAX_DATAGRAM];
        let mut control = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
        for _ in 0..BATCH {
            let Some((length, sender)) = receive(&self.socket, &mut bytes, &mut control) else {
                return false;
            };
            let datagram = bytes.get(..length).unwrap_or(&[]);
            self.relay.take(datagram, sender, now());
        }
        true
    }
}

/// Reads one datagram, cut if longer than `bytes`. The kernel closes descriptors of a datagram,
/// because `control` has no room for them.
fn receive(socket: &OwnedFd, bytes: &mut [u8], control: &mut [u8]) -> Option<(usize, Sender)> {
    let mut iov = [IoSliceMut::new(bytes)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let received = loop {
        match recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut iov, Some(control), flags) {
            Err(Errno::EINTR) => {}
            other => break other.ok()?,
        }
    };
    let sender = received.cmsgs().ok().and_then(|mut messages| {
        messages.find_map(|message| match message {
            ControlMessageOwned::ScmCredentials(credentials) => Some(Sender {
                pid: u32::try_from(credentials.pid()).unwrap_or(0),
                uid: Some(credentials.uid()),
            }),
            _ => None,
        })
    });
    Some((received.bytes, sender.unwrap_or_default()))
}

#[cfg(test)]
mod tests;
