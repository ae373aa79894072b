// SPDX-License-Identifier: Apache-2.0
//! The `NOTIFY_SOCKET` on which services report `READY=1`, `STATUS=` and, of their own,
//! `X_DEGRADED=1` (sd_notify(3)).
#![expect(
    unsafe_code,
    reason = "recvmsg(2) through libc: nix refuses a message whose descriptors were left out"
)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, bind, setsockopt, socket, sockopt,
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
        let (length, pid) = loop {
            match receive_with_sender(self.0.as_fd(), &mut bytes) {
                Err(Errno::EINTR) => {}
                other => break other.ok()?,
            }
        };
        Some(parse(pid, bytes.get(..length).unwrap_or(&[])))
    }
}

/// Receives a datagram, and returns its length and the sender's process; 0 if that is unknown.
///
/// Descriptors of the sender (`FDSTORE=1`, sd_notify(3)) find no room, so that the kernel installs
/// none (net/core/scm.c, scm_detach_fds): PID 1 has no use for them, and close(2) may wait for a
/// server.
fn receive_with_sender(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> nix::Result<(usize, Pid)> {
    // Room for the credentials alone, which are the first message (scm_recv), aligned as its header.
    let mut control = [0u64; 4];
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: plain data, for which zero is valid; pointers and lengths of live buffers. The kernel
    // has written as much of `control` as `msg_controllen` says then, and CMSG_FIRSTHDR returns
    // null if that is no whole header.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        let length = Errno::result(libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags))?;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        let is_credentials = !header.is_null()
            && (*header).cmsg_level == libc::SOL_SOCKET
            && (*header).cmsg_type == libc::SCM_CREDENTIALS
            && (*header).cmsg_len as usize
                >= libc::CMSG_LEN(size_of::<libc::ucred>() as _) as usize;
        let pid = match is_credentials {
            true => {
                libc::CMSG_DATA(header)
                    .cast::<libc::ucred>()
                    .read_unaligned()
                    .pid
            }
            false => 0,
        };
        Ok((length.unsigned_abs(), pid))
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
    use std::io::IoSlice;
    use std::os::unix::net::UnixDatagram;

    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

    use super::*;

    #[test]
    fn descriptors_of_the_sender_cost_neither_a_message_nor_a_descriptor() {
        let path = std::env::temp_dir().join(format!("b2p-notify-{}", std::process::id()));
        let notify = Notify::bind(&path).expect("a socket");
        let client = UnixDatagram::unbound().expect("a socket");
        client.connect(&path).expect("connected");
        // An end of a pair that only the message holds: its peer sees the end when it is closed.
        let (peer, passed) = UnixDatagram::pair().expect("a pair");
        for count in [0, 1, 253] {
            let descriptors = vec![passed.as_raw_fd(); count];
            let rights = [ControlMessage::ScmRights(&descriptors)];
            let rights = if count == 0 { &[][..] } else { &rights };
            let text = [IoSlice::new(b"READY=1")];
            sendmsg::<()>(client.as_raw_fd(), &text, rights, MsgFlags::empty(), None)
                .expect("sent");
        }
        drop(passed);
        let own = Pid::try_from(std::process::id()).expect("a pid");
        for _ in 0..3 {
            let message = notify.receive().expect("a message");
            assert_eq!((message.pid, message.ready), (own, true));
        }
        assert_eq!(notify.receive(), None);
        assert!(peer.send(b"x").is_err(), "nobody has the other end");
        std::fs::remove_file(path).expect("it is there");
    }

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
