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
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, bind, setsockopt, socket, sockopt,
};

use nix::unistd::pipe2;
use sys::error::{Doing, Result};
use sys::syscall::{Child, in_child_with};

use crate::{Millis, Pid};

/// Path of the socket, which services find in `NOTIFY_SOCKET`.
pub const PATH: &str = "/run/boot2podman/notify";

/// Part of a datagram that PID 1 uses.
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

/// Most children that end with descriptors of senders at the same time. Beyond this number the socket
/// waits: the close of a file of a user's own server takes as long as that server chooses.
const MAX_DISCARDS: usize = 16;
/// Time in which a child receives a datagram, in milliseconds.
const DISCARD_MS: u16 = 1_000;
/// Time until the next attempt after one that failed, in milliseconds.
const PAUSE_MS: Millis = 1_000;

/// Receiving end of the socket.
#[derive(Debug)]
pub struct Notify {
    socket: OwnedFd,
    /// Children that have received descriptors, which end with them.
    discards: Vec<Child>,
    /// Time at which the next child is tried, after one that could not be.
    paused_until: Option<Millis>,
}

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
        Ok(Notify {
            socket: fd,
            discards: Vec::new(),
            paused_until: None,
        })
    }

    /// Returns true unless too many children have not ended that discard descriptors, whose ends are signals to
    /// PID 1, or [`Notify::deadline`] is awaited.
    #[must_use]
    pub fn can_receive(&self) -> bool {
        let is_alive = |child: &&Child| !child.exited_within(0);
        self.paused_until.is_none() && self.discards.iter().filter(is_alive).count() < MAX_DISCARDS
    }

    /// Time at which [`Notify::tick`] is due, if the socket waits for a tick.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        self.paused_until
    }

    /// Ends a pause that is over.
    pub fn tick(&mut self, now: Millis) {
        self.paused_until = self.paused_until.filter(|end| *end > now);
    }

    /// Returns the next datagram, or `None` if none is waiting.
    ///
    /// Descriptors of a sender (`FDSTORE=1`, sd_notify(3)) are of no use to PID 1, and their close may wait for
    /// ever: for a peer that reads nothing (SO_LINGER, socket(7)), or for a server of FUSE. The kernel closes
    /// them as well if the receiver has no room for them (net/core/scm.c, scm_detach_fds). PID 1 first peeks at
    /// each datagram, which closes nothing, and makes a child receive one with descriptors.
    pub fn receive(&mut self, now: Millis) -> Option<Message> {
        if !self.can_receive() {
            return None;
        }
        let mut bytes = [0u8; 1024];
        let mut receive = |flags| again(|| receive_from(self.socket.as_fd(), &mut bytes, flags));
        let seen = receive(libc::MSG_PEEK).ok()?;
        if !seen.has_descriptors {
            receive(0).ok()?;
        } else if self.discard().is_none() {
            self.paused_until = Some(now.saturating_add(PAUSE_MS));
            return None;
        }
        Some(parse(seen.pid, bytes.get(..seen.length).unwrap_or(&[])))
    }

    /// Makes a child that receives the next datagram, and ends with its descriptors; `None` if the
    /// child failed.
    fn discard(&mut self) -> Option<()> {
        self.discards.retain(|child| !child.exited_within(0));
        let (done, report) = pipe2(OFlag::O_CLOEXEC).ok()?;
        let socket = self.socket.as_fd();
        let child = in_child_with(&[socket, report.as_fd()], || {
            let mut bytes = [0u8; 1];
            let _ = again(|| receive_descriptors(socket, &mut bytes));
            let _ = nix::unistd::write(&report, &bytes);
        });
        drop(report);
        let child = child?;
        let mut fds = [PollFd::new(done.as_fd(), PollFlags::POLLIN)];
        let is_done = matches!(poll(&mut fds, DISCARD_MS), Ok(1..));
        if !is_done {
            child.kill();
        }
        self.discards.push(child);
        is_done.then_some(())
    }
}

/// Calls again while a signal interrupts the call.
fn again<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
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

/// Receives a datagram with its descriptors, which the process has then.
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
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
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
    use std::time::{Duration, Instant};

    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

    use super::*;

    #[test]
    fn descriptors_of_the_sender_cost_neither_a_message_nor_a_descriptor() {
        let path = std::env::temp_dir().join(format!("b2p-notify-{}", std::process::id()));
        let mut notify = Notify::bind(&path).expect("a socket");
        let client = UnixDatagram::unbound().expect("a socket");
        client.connect(&path).expect("connected");
        // An end of a pair that only the message holds: its peer sees the end when the message is
        // dropped.
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
            let message = notify.receive(0).expect("a message");
            assert_eq!((message.pid, message.ready), (own, true));
        }
        assert_eq!(notify.receive(0), None);
        let is_closed = || peer.send(b"x").is_err();
        let end = Instant::now() + Duration::from_secs(10);
        while !is_closed() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(is_closed(), "nobody has the other end");
        std::fs::remove_file(path).expect("it is there");
    }

    /// A connection whose close waits: its peer reads nothing, and its buffers are full (SO_LINGER, socket(7)).
    fn lingering() -> (std::net::TcpListener, std::net::TcpStream) {
        use std::io::Write;
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = server.local_addr().expect("an address");
        let mut stream = std::net::TcpStream::connect(address).expect("connected");
        let linger = nix::libc::linger {
            l_onoff: 1,
            l_linger: 20,
        };
        setsockopt(&stream, sockopt::Linger, &linger).expect("set");
        stream.set_nonblocking(true).expect("set");
        while stream.write(&[0; 1 << 16]).is_ok() {}
        (server, stream)
    }

    /// Binds a socket, and sends to the socket a connection that lingers.
    fn with_lingering(name: &str) -> (Notify, UnixDatagram, std::net::TcpListener) {
        let path = std::env::temp_dir().join(format!("b2p-{name}-{}", std::process::id()));
        let notify = Notify::bind(&path).expect("a socket");
        let client = UnixDatagram::unbound().expect("a socket");
        client.connect(&path).expect("connected");
        std::fs::remove_file(path).expect("it is there");
        let (server, stream) = lingering();
        let descriptors = [stream.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let text = [IoSlice::new(b"x")];
        sendmsg::<()>(client.as_raw_fd(), &text, &rights, MsgFlags::empty(), None).expect("sent");
        drop(stream); // The message has the stream as well.
        (notify, client, server)
    }

    #[test]
    fn a_close_that_waits_holds_nobody_up() {
        let (mut notify, client, _server) = with_lingering("linger");
        client.send(b"READY=1").expect("sent");
        let start = Instant::now();
        assert!(notify.receive(0).is_some_and(|message| !message.ready));
        assert!(notify.receive(0).is_some_and(|message| message.ready));
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_socket_that_nobody_has_read_is_closed_at_once() {
        let (notify, client, _server) = with_lingering("unread");
        let start = Instant::now();
        sys::syscall::close_in_child(vec![notify.into()]);
        while client.send(b"READY=1").is_ok() {}
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_pause_ends() {
        let (mut notify, _client, _server) = with_lingering("pause");
        notify.paused_until = Some(1_000);
        notify.tick(999);
        assert_eq!(
            (notify.deadline(), notify.receive(999)),
            (Some(1_000), None)
        );
        notify.tick(1_000);
        assert!(notify.deadline().is_none() && notify.receive(1_000).is_some());
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
