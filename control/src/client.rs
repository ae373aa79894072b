//! The end that a client holds: one request, one answer, and no longer than asked
//! for. PID 1 may be busy, in rescue, or not ours at all.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket,
};

use crate::{LONGEST_ANSWER, Request, outcome};

/// How long is waited where PID 1's queue is full, before the next try.
const AGAIN: Duration = Duration::from_millis(10);

/// Why there is no answer, or what a `no` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// PID 1 said no, and why.
    Refused(String),
    /// The caller is not root.
    NotRoot,
    /// Nobody listens.
    Absent,
    /// No answer came in time, or not a whole one.
    Silent,
    /// What the system said.
    System(Errno),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(why) => f.write_str(why),
            Failure::NotRoot => f.write_str("only root may"),
            Failure::Absent => f.write_str("PID 1 does not listen here: is this boot2podman?"),
            Failure::Silent => f.write_str("PID 1 does not answer"),
            Failure::System(errno) => f.write_str(errno.desc()),
        }
    }
}

/// Asks at `path`, and waits for the answer `patience` at the most. What it gives
/// is the text after the `ok`.
///
/// # Errors
/// A refusal, or why there is no answer.
pub fn ask(path: &Path, request: &Request, patience: Duration) -> Result<String, Failure> {
    let end = Instant::now() + patience;
    let socket = connected(path, end)?;
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    match send(socket.as_raw_fd(), request.to_string().as_bytes(), flags) {
        // Turned away before we spoke: why is there to be read.
        Ok(_) | Err(Errno::EPIPE) => {}
        Err(errno) => return Err(failure(errno)),
    }
    let answer = answer(&socket, end)?;
    match outcome(&answer) {
        Ok(rest) => Ok(rest.to_owned()),
        Err("only root may") => Err(Failure::NotRoot),
        Err(why) => Err(Failure::Refused(why.to_owned())),
    }
}

fn connected(path: &Path, end: Instant) -> Result<OwnedFd, Failure> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).map_err(failure)?;
    let address = UnixAddr::new(path).map_err(failure)?;
    loop {
        match connect(fd.as_raw_fd(), &address) {
            Ok(()) => return Ok(fd),
            // Its queue is full; no poll(2) tells when it is not (connect(2)).
            Err(Errno::EAGAIN | Errno::EINTR) if Instant::now() < end => {
                std::thread::sleep(AGAIN);
            }
            Err(errno) => return Err(failure(errno)),
        }
    }
}

fn answer(socket: &OwnedFd, end: Instant) -> Result<String, Failure> {
    let mut buffer = vec![0; LONGEST_ANSWER];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(0) if left.is_zero() => return Err(Failure::Silent),
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(failure(errno)),
        }
        match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(failure(errno)),
            Ok(0) => return Err(Failure::Silent),
            Ok(len) => {
                buffer.truncate(len);
                return String::from_utf8(buffer).map_err(|_| Failure::Silent);
            }
        }
    }
}

fn failure(errno: Errno) -> Failure {
    match errno {
        Errno::EACCES | Errno::EPERM => Failure::NotRoot,
        Errno::ENOENT | Errno::ECONNREFUSED => Failure::Absent,
        Errno::EAGAIN | Errno::ECONNRESET | Errno::EPIPE => Failure::Silent,
        other => Failure::System(other),
    }
}
