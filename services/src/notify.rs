//! The `NOTIFY_SOCKET` that services say `READY=1` on (`sd_notify(3)`).

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, bind, recvmsg,
    setsockopt, socket, sockopt,
};

use crate::Pid;

/// Where it is bound; children find it in `NOTIFY_SOCKET`.
pub const PATH: &str = "/run/boot2podman/notify";

/// One datagram that was understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// Who sent it, as the kernel says (`SCM_CREDENTIALS`).
    pub pid: Pid,
    /// It holds `READY=1`.
    pub ready: bool,
    /// The text of `STATUS=`, if any.
    pub status: Option<String>,
}

/// The receiving end, held by PID 1.
#[derive(Debug)]
pub struct Notify(OwnedFd);

impl Notify {
    /// Binds at `path`. Services of any user may send: what comes is believed by the
    /// pid that the kernel puts to it, and that of a service's first process alone.
    ///
    /// # Errors
    /// What the system said.
    pub fn bind(path: &Path) -> Result<Notify, io::Error> {
        let _ = std::fs::remove_file(path);
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        setsockopt(&fd, sockopt::PassCred, &true)?;
        bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
        Ok(Notify(fd))
    }

    /// The next datagram, or `None` when none is waiting.
    pub fn receive(&self) -> Option<Message> {
        let mut bytes = [0u8; 1024];
        let mut control = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
        let mut iov = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let got = loop {
            match recvmsg::<UnixAddr>(self.0.as_raw_fd(), &mut iov, Some(&mut control), flags) {
                Err(Errno::EINTR) => {}
                other => break other.ok()?,
            }
        };
        let pid = got.cmsgs().ok()?.find_map(|c| match c {
            ControlMessageOwned::ScmCredentials(c) => Some(c.pid()),
            _ => None,
        });
        let length = got.bytes;
        Some(parse(pid.unwrap_or(0), bytes.get(..length).unwrap_or(&[])))
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Reads the `NAME=value` lines of a datagram; unknown ones are none of ours.
#[must_use]
pub fn parse(pid: Pid, bytes: &[u8]) -> Message {
    let mut message = Message {
        pid,
        ready: false,
        status: None,
    };
    for line in bytes.split(|&b| b == b'\n') {
        if line == b"READY=1" {
            message.ready = true;
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
        let m = parse(7, b"MAINPID=9\nSTATUS=hello\nREADY=1\n");
        assert_eq!(
            m,
            Message {
                pid: 7,
                ready: true,
                status: Some("hello".into())
            }
        );
        assert!(!parse(7, b"READY=10\nXREADY=1\n\xff\xfe").ready);
    }
}
