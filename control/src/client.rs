// SPDX-License-Identifier: Apache-2.0
//! Client end of the channel: one request and one answer within a time limit. PID 1 may be busy,
//! in rescue mode, or a different program.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket,
};

use crate::{MAX_ANSWER_BYTES, Request, outcome};

/// Pause before the next attempt to connect.
const RETRY_PAUSE: Duration = Duration::from_millis(10);
/// Time for which a connection that is refused is tried again: after a crash, PID 1 listens again within
/// milliseconds.
const RESTART_LIMIT: Duration = Duration::from_secs(1);

/// Longest notice, in bytes. The rest of a longer one is dropped (recv(2)).
const MAX_NOTICE_BYTES: usize = 16;

/// Reason why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// PID 1 refused the request; the text is its reason.
    Refused(String),
    /// The caller is not root.
    NotRoot,
    /// No process listens on the socket.
    NotListening,
    /// No complete answer arrived in time.
    NoAnswer,
    /// A system call failed.
    System(Errno),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Refused(why) => f.write_str(why),
            RequestError::NotRoot => f.write_str("only root may"),
            RequestError::NotListening => {
                f.write_str("PID 1 does not listen here: is this boot2podman?")
            }
            RequestError::NoAnswer => f.write_str("PID 1 does not answer"),
            RequestError::System(errno) => f.write_str(errno.desc()),
        }
    }
}

impl std::error::Error for RequestError {}

impl From<Errno> for RequestError {
    fn from(errno: Errno) -> RequestError {
        match errno {
            Errno::EACCES | Errno::EPERM => RequestError::NotRoot,
            Errno::ENOENT | Errno::ECONNREFUSED => RequestError::NotListening,
            Errno::EAGAIN | Errno::ECONNRESET | Errno::EPIPE => RequestError::NoAnswer,
            other => RequestError::System(other),
        }
    }
}

/// Sends `request` to the socket at `path` and waits for the answer, for `timeout` at most.
/// Returns the text that follows the `ok` line.
///
/// # Errors
/// PID 1 refuses the request, or gives no answer.
pub fn ask(path: &Path, request: &Request, timeout: Duration) -> Result<String, RequestError> {
    exchange(path, request, timeout).map(|(_, rest)| rest)
}

/// Client that PID 1 notifies of changes of its report.
#[derive(Debug)]
pub struct Follower(OwnedFd);

impl Follower {
    /// Connects. PID 1 sends the first notice at once, so that a client that reads the report after each
    /// notice misses no change.
    ///
    /// # Errors
    /// Errors of [`ask`].
    pub fn connect(path: &Path, timeout: Duration) -> Result<Follower, RequestError> {
        exchange(path, &Request::Follow, timeout).map(|(socket, _)| Follower(socket))
    }

    /// Takes all notices that have arrived. Returns false if there was none.
    ///
    /// # Errors
    /// [`RequestError::NoAnswer`] if PID 1 has closed the connection: PID 1 shuts down, or was executed
    /// again.
    pub fn take_notices(&self) -> Result<bool, RequestError> {
        let mut taken = false;
        loop {
            let mut packet = [0; MAX_NOTICE_BYTES];
            match recv(self.0.as_raw_fd(), &mut packet, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(taken),
                Err(errno) => return Err(errno.into()),
                Ok(0) => return Err(RequestError::NoAnswer),
                Ok(_) => taken = true,
            }
        }
    }
}

/// Readable when there is a notice, or the connection has ended.
impl AsFd for Follower {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends a request and waits for the answer; returns the socket and the text that follows the `ok` line.
fn exchange(
    path: &Path,
    request: &Request,
    timeout: Duration,
) -> Result<(OwnedFd, String), RequestError> {
    let deadline = Instant::now() + timeout;
    let socket = connect_until(path, deadline)?;
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    match send(socket.as_raw_fd(), request.to_string().as_bytes(), flags) {
        // EPIPE: PID 1 refused this client before the request was sent; its answer is there.
        Ok(_) | Err(Errno::EPIPE) => {}
        Err(errno) => return Err(errno.into()),
    }
    let answer = receive_until(&socket, deadline)?;
    match outcome(&answer) {
        Ok(rest) => Ok((socket, rest.to_owned())),
        Err("only root may") => Err(RequestError::NotRoot),
        Err(why) => Err(RequestError::Refused(why.to_owned())),
    }
}

fn connect_until(path: &Path, deadline: Instant) -> Result<OwnedFd, RequestError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    let address = UnixAddr::new(path)?;
    let restarted = deadline.min(Instant::now() + RESTART_LIMIT);
    loop {
        let (errno, until) = match connect(fd.as_raw_fd(), &address) {
            Ok(()) => return Ok(fd),
            // The queue is full. poll(2) does not report the end of a full queue (connect(2)).
            Err(errno @ (Errno::EAGAIN | Errno::EINTR)) => (errno, deadline),
            // No process listens on the socket.
            Err(errno @ Errno::ECONNREFUSED) => (errno, restarted),
            Err(errno) => return Err(errno.into()),
        };
        if Instant::now() >= until {
            return Err(errno.into());
        }
        std::thread::sleep(RETRY_PAUSE);
    }
}

fn receive_until(socket: &OwnedFd, deadline: Instant) -> Result<String, RequestError> {
    let mut buffer = vec![0; MAX_ANSWER_BYTES];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(0) if left.is_zero() => return Err(RequestError::NoAnswer),
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(0) => return Err(RequestError::NoAnswer),
            Ok(len) => {
                buffer.truncate(len);
                return String::from_utf8(buffer).map_err(|_| RequestError::NoAnswer);
            }
        }
    }
}
