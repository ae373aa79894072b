// SPDX-License-Identifier: Apache-2.0
//! The `NOTIFY_SOCKET` on which services report `READY=1`, `STATUS=` and, of their own,
//! `X_DEGRADED=1` (sd_notify(3)).

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, bind, recvmsg,
    setsockopt, socket, sockopt,
};

use sys::error::{Doing, Result};

use crate::Pid;

/// Path of the socket, which services find in `NOTIFY_SOCKET`.
pub const PATH: &str = "/run/boot2podman/notify";

/// Content of one datagram, as far as PID 1 uses it.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// The sender's process, from the kernel (`SCM_CREDENTIALS`, unix(7)).
    pub pid: Pid,
    /// The datagram contains `READY=1`.
    pub ready: bool,
    /// The datagram contains `X_DEGRADED=1`: the sender has written another report.
    pub reported: bool,
    /// Value of `STATUS=`.
    pub status: Option<String>,
}

/// Receiving end of the socket.
#[derive(Debug)]
pub struct Notify(OwnedFd);

impl Notify {
    /// Binds the socket at `path`. Any user may send: a datagram counts only if the kernel names
    /// the first process of a service as its sender.
    ///
    /// # Errors
    /// A system call fails: /run is full, or too many files are open.
    pub fn bind(path: &Path) -> Result<Notify> {
        let _ = std::fs::remove_file(path);
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Unix, SockType::Datagram, flags, None).doing("socket")?;
        setsockopt(&fd, sockopt::PassCred, &true).doing("SO_PASSCRED")?;
        let address = UnixAddr::new(path).doing("address")?;
        bind(fd.as_raw_fd(), &address).doing("bind")?;
        let everyone = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(path, everyone).doing("mode")?;
        Ok(Notify(fd))
    }

    /// Returns the next datagram, or `None` if none is waiting.
    pub fn receive(&self) -> Option<Message> {
        let mut bytes = [0u8; 1024];
        let mut control = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
        let mut iov = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let received = loop {
            match recvmsg::<UnixAddr>(self.0.as_raw_fd(), &mut iov, Some(&mut control), flags) {
                Err(Errno::EINTR) => {}
                other => break other.ok()?,
            }
        };
        let pid = received.cmsgs().ok()?.find_map(|c| match c {
            ControlMessageOwned::ScmCredentials(c) => Some(c.pid()),
            _ => None,
        });
        let length = received.bytes;
        Some(parse(pid.unwrap_or(0), bytes.get(..length).unwrap_or(&[])))
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Parses the `NAME=value` lines of a datagram. Lines with other names are ignored.
#[must_use]
pub fn parse(pid: Pid, bytes: &[u8]) -> Message {
    let mut message = Message {
        pid,
        ready: false,
        reported: false,
        status: None,
    };
    for line in bytes.split(|&b| b == b'\n') {
        if line == b"READY=1" {
            message.ready = true;
        } else if line == b"X_DEGRADED=1" {
            message.reported = true;
        } else if let Some(text) = line.strip_prefix(b"STATUS=") {
            message.status = Some(String::from_utf8_lossy(text).into_owned());
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_ready_and_status_and_ignores_the_rest() {
        let m = parse(7, b"MAINPID=9\nSTATUS=hello\nREADY=1\nX_DEGRADED=1\n");
        assert_eq!(
            m,
            Message {
                pid: 7,
                ready: true,
                reported: true,
                status: Some("hello".into())
            }
        );
        assert!(!parse(7, b"READY=10\nXREADY=1\n\xff\xfe").ready);
    }
}
