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
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, bind, setsockopt, socket, sockopt,
};

use nix::unistd::pipe2;
use sys::error::{Doing, Result};
use sys::syscall::{Child, in_child_with};

use crate::{Millis, Pid, sooner};

/// Path of the socket, which services find in `NOTIFY_SOCKET`.
pub const PATH: &str = "/run/boot2podman/notify";

/// Part of a datagram that PID 1 uses.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// The sender's process, from the kernel (`SCM_CREDENTIALS`, unix(7)).
    pub pid: Pid,
    /// The datagram contains `READY=1`.
    pub ready: bool,
    /// The datagram contains `X_DEGRADED=1`: the sender has written its file of degraded lines.
    pub degraded_written: bool,
    /// Value of `STATUS=`.
    pub status: Option<String>,
}

/// Maximum number of children that hold descriptors of senders at the same time. Beyond this number the socket is not
/// read: the close of a file of FUSE takes as long as its server chooses.
const MAX_DISCARDS: usize = 16;
/// Time limit in milliseconds for a child to receive a datagram; the socket is not read meanwhile.
const DISCARD_MS: Millis = 1_000;
/// Pause in milliseconds after an attempt that failed.
const PAUSE_MS: Millis = 1_000;

/// Receiving end of the socket.
#[derive(Debug)]
pub struct Notify {
    socket: OwnedFd,
    /// Children that hold descriptors of senders and close them by ending.
    discards: Vec<Child>,
    /// Datagram that a child is receiving.
    receiving: Option<Receiving>,
    /// End of the pause after a child could not be created or did not receive its datagram in time.
    paused_until: Option<Millis>,
}

impl Notify {
    /// Binds the socket at `path`. Any user may send: a datagram counts only if the kernel names
    /// the main process of a service as its sender.
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
        Ok(Notify {
            socket: fd,
            discards: Vec::new(),
            receiving: None,
            paused_until: None,
        })
    }

    /// Returns false while [`MAX_DISCARDS`] children that discard descriptors still run, and during a pause
    /// ([`Notify::deadline`]). The end of a child wakes PID 1 by SIGCHLD, after which the socket is polled again.
    #[must_use]
    pub fn can_receive(&self) -> bool {
        let is_alive = |child: &&Child| !child.exited_within(0);
        self.paused_until.is_none() && self.discards.iter().filter(is_alive).count() < MAX_DISCARDS
    }

    /// Time at which [`Notify::tick`] is due, if the socket waits for a tick.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        sooner(self.paused_until, self.receiving.as_ref().map(|r| r.until))
    }

    /// Ends a pause that is over, and kills a child that has not received its datagram in time.
    pub fn tick(&mut self, now: Millis) {
        self.paused_until = self.paused_until.filter(|end| *end > now);
        if let Some(receiving) = self.receiving.take_if(|receiving| receiving.until <= now) {
            receiving.child.kill();
            self.discards.push(receiving.child);
            self.paused_until = Some(now.saturating_add(PAUSE_MS));
        }
    }

    /// Returns the next datagram, or `None` if none is waiting.
    ///
    /// Descriptors of a sender (`FDSTORE=1`, sd_notify(3)) are of no use to PID 1, and their close may wait for
    /// ever: for a peer that reads nothing (SO_LINGER, socket(7)), or for a server of FUSE. The kernel closes
    /// them as well if the receiver has no room for them (net/core/scm.c, scm_detach_fds). PID 1 first peeks at
    /// each datagram, which closes nothing, and makes a child receive one with descriptors. Until the child has done
    /// so, `as_fd` is the pipe on which the child reports it.
    pub fn receive(&mut self, now: Millis) -> Option<Message> {
        if self.receiving.is_some() {
            return self.received();
        }
        if !self.can_receive() {
            return None;
        }
        let mut bytes = [0u8; 1024];
        let socket = self.socket.as_fd();
        let peek = || receive_from(socket, &mut bytes, libc::MSG_PEEK);
        let seen = retry_on_eintr(peek).ok()?;
        let message = parse(seen.pid, bytes.get(..seen.length).unwrap_or(&[]));
        if !seen.has_descriptors {
            retry_on_eintr(|| receive_from(socket, &mut bytes, 0)).ok()?;
            return Some(message);
        }
        self.receiving = self.discard(message, now.saturating_add(DISCARD_MS));
        if self.receiving.is_none() {
            self.paused_until = Some(now.saturating_add(PAUSE_MS));
        }
        None
    }

    /// Returns the message that a child was receiving, if the child has received it.
    fn received(&mut self) -> Option<Message> {
        let is_done = |receiving: &mut Receiving| {
            let mut fds = [PollFd::new(receiving.done.as_fd(), PollFlags::POLLIN)];
            matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..))
        };
        let receiving = self.receiving.take_if(is_done)?;
        self.discards.push(receiving.child);
        Some(receiving.message)
    }

    /// Makes a child that receives the next datagram, which contains `message`, and ends with its descriptors;
    /// `None` if there can be no child.
    fn discard(&mut self, message: Message, until: Millis) -> Option<Receiving> {
        self.discards.retain(|child| !child.exited_within(0));
        let (done, report) = pipe2(OFlag::O_CLOEXEC).ok()?;
        let socket = self.socket.as_fd();
        let child = in_child_with(&[socket, report.as_fd()], || {
            let mut bytes = [0u8; 1];
            let _ = retry_on_eintr(|| receive_descriptors(socket, &mut bytes));
            let _ = nix::unistd::write(&report, &bytes);
        });
        Some(Receiving {
            message,
            child: child?,
            done,
            until,
        })
    }
}

/// Datagram with descriptors that a child is receiving.
#[derive(Debug)]
struct Receiving {
    /// Content of the datagram.
    message: Message,
    /// The child.
    child: Child,
    /// Pipe that is readable once the child has received the datagram.
    done: OwnedFd,
    /// Time at which the child is killed.
    until: Millis,
}

/// Repeats a call that fails with EINTR.
fn retry_on_eintr<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// A datagram, as described by the kernel.
struct Received {
    length: usize,
    /// The sender's process; 0 for an unknown sender.
    pid: Pid,
    /// The sender has passed descriptors, for which there was no room.
    has_descriptors: bool,
}

/// Receives a datagram with its descriptors, which the calling process then owns.
fn receive_descriptors(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> nix::Result<()> {
    // Credentials and SCM_MAX_FD (253) descriptors, each with its header.
    let mut control = [0u64; 160];
    receive_into(socket, bytes, &mut control, 0).map(drop)
}

/// Receives a datagram without its descriptors, or only reads it with `MSG_PEEK`.
fn receive_from(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    flags: libc::c_int,
) -> nix::Result<Received> {
    // Room for the credentials alone, which are the first message (scm_recv), aligned as its header.
    receive_into(socket, bytes, &mut [0u64; 4], flags)
}

fn receive_into(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    control: &mut [u64],
    flags: libc::c_int,
) -> nix::Result<Received> {
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: plain data, for which zero is valid; pointers and lengths of live buffers. The kernel
    // has written `msg_controllen` bytes of `control`, and CMSG_FIRSTHDR returns null if that is no
    // whole header.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(control) as _;
        let flags = flags | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        let length = Errno::result(libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags))?;
        Ok(Received {
            length: length.unsigned_abs(),
            pid: sender_of(&message).unwrap_or(0),
            has_descriptors: message.msg_flags & libc::MSG_CTRUNC != 0,
        })
    }
}

/// Returns the pid of the credentials (unix(7), `SCM_CREDENTIALS`) that are the first control message.
///
/// # Safety
/// recvmsg(2) has filled in the message, and its buffer is live.
unsafe fn sender_of(message: &libc::msghdr) -> Option<libc::pid_t> {
    // SAFETY: the requirement of this function; CMSG_FIRSTHDR returns null without a whole header.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const *message);
        let least = libc::CMSG_LEN(size_of::<libc::ucred>() as _) as usize;
        let is_credentials = !header.is_null()
            && (*header).cmsg_level == libc::SOL_SOCKET
            && (*header).cmsg_type == libc::SCM_CREDENTIALS
            && (*header).cmsg_len as usize >= least;
        let credentials = || {
            let data = libc::CMSG_DATA(header).cast::<libc::ucred>();
            data.read_unaligned()
        };
        is_credentials.then(|| credentials().pid)
    }
}

impl From<Notify> for OwnedFd {
    fn from(notify: Notify) -> OwnedFd {
        notify.socket
    }
}

impl AsFd for Notify {
    /// Readable once [`Notify::receive`] may return a datagram.
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.receiving {
            Some(receiving) => receiving.done.as_fd(),
            None => self.socket.as_fd(),
        }
    }
}

/// Parses the `NAME=value` lines of a datagram. Lines with other names are ignored.
#[must_use]
pub fn parse(pid: Pid, bytes: &[u8]) -> Message {
    let mut message = Message {
        pid,
        ready: false,
        degraded_written: false,
        status: None,
    };
    for line in bytes.split(|&b| b == b'\n') {
        if line == b"READY=1" {
            message.ready = true;
        } else if line == b"X_DEGRADED=1" {
            message.degraded_written = true;
        } else if let Some(text) = line.strip_prefix(b"STATUS=") {
            message.status = Some(String::from_utf8_lossy(text).into_owned());
        }
    }
    message
}

#[cfg(test)]
mod tests;
