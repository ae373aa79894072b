// SPDX-License-Identifier: Apache-2.0
//! Server end of the channel, for PID 1: the server never waits, and no client costs more than one
//! descriptor.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, bind, getsockopt, listen, recv,
    send, socket, sockopt,
};

use crate::{
    CHANGED, CUT, InvalidRequest, MAX_ANSWER_BYTES, MAX_REQUEST_BYTES, OK, Request, refusal,
};

/// Maximum number of clients that are connected and have sent nothing. A further client replaces
/// the oldest of them.
const MAX_CLIENTS: usize = 8;
/// Maximum number of clients that follow the report. A further one is refused.
pub const MAX_FOLLOWERS: usize = 32;
/// Maximum number of clients that one call accepts, before PID 1 turns to other events.
const MAX_ACCEPTS: usize = 16;
/// Pause after accept(2) failed for lack of descriptors or memory, in milliseconds. Without a
/// pause, poll(2) would report the same waiting clients at once.
const ACCEPT_PAUSE_MS: u64 = 1_000;

/// Client whose request was received. Dropping the value closes the connection without an answer.
#[derive(Debug)]
pub struct PendingClient(OwnedFd);

/// Listening socket and its connected clients.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    /// Connected clients, the oldest first.
    clients: Vec<OwnedFd>,
    /// Clients that follow the report.
    followers: Vec<OwnedFd>,
    /// Report at the last notice. Empty after a client has begun to follow, so that the first notice is sent
    /// at once.
    noticed: String,
    /// Returns true for the user ids that may send requests.
    is_allowed: fn(u32) -> bool,
    /// Time before which no client is accepted.
    paused_until: u64,
}

impl Server {
    /// Listens at `path` for requests of root.
    ///
    /// # Errors
    /// The socket cannot be created at `path`.
    pub fn bind(path: &Path) -> io::Result<Server> {
        Server::bind_for(path, |uid| uid == 0)
    }

    /// Listens at `path` for requests of the users whose ids `is_allowed` accepts.
    ///
    /// # Errors
    /// The socket cannot be created at `path`.
    pub fn bind_for(path: &Path, is_allowed: fn(u32) -> bool) -> io::Result<Server> {
        Ok(Server {
            listener: listener(path)?,
            clients: Vec::with_capacity(MAX_CLIENTS),
            followers: Vec::new(),
            noticed: String::new(),
            is_allowed,
            paused_until: 0,
        })
    }

    /// Returns the descriptors to poll for input at `now` (any clock in milliseconds).
    pub fn fds(&self, now: u64) -> impl Iterator<Item = BorrowedFd<'_>> {
        let accepts = now >= self.paused_until;
        let listener = accepts.then(|| self.listener.as_fd());
        listener
            .into_iter()
            .chain(self.clients.iter().map(AsFd::as_fd))
            .chain(self.followers.iter().map(AsFd::as_fd))
    }

    /// Returns the time of the next call that is due without input; `None` outside of a pause.
    #[must_use]
    pub fn deadline(&self, now: u64) -> Option<u64> {
        (now < self.paused_until).then_some(self.paused_until)
    }

    /// Accepts the clients that have connected.
    pub fn accept(&mut self, now: u64) {
        for _ in 0..MAX_ACCEPTS {
            if now < self.paused_until {
                return;
            }
            match self.listener.accept() {
                Ok((stream, _)) => self.admit(stream.into()),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                // accept(2) also reports errors of a connection that is already gone.
                Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.drop_oldest();
                    self.paused_until = now.saturating_add(ACCEPT_PAUSE_MS);
                }
            }
        }
    }

    fn admit(&mut self, client: OwnedFd) {
        // The mode of the socket keeps other users out, but not a descriptor that was passed on.
        let credentials = getsockopt(&client, sockopt::PeerCredentials);
        if !credentials.is_ok_and(|peer| (self.is_allowed)(peer.uid())) {
            // Closing a socket with unread data discards the answer (net/unix/af_unix.c,
            // unix_release_sock(): ECONNRESET).
            let _ = receive(&client);
            return answer(PendingClient(client), &refusal("only root may"));
        }
        if self.clients.len() >= MAX_CLIENTS {
            self.make_room();
        }
        self.clients.push(client);
    }

    /// Drops the oldest silent client. A client that has sent its request is answered after this
    /// call and leaves by itself.
    fn make_room(&mut self) {
        match self.clients.iter().position(|client| !has_packet(client)) {
            Some(silent) => drop(self.clients.remove(silent)),
            None if self.clients.len() >= MAX_CLIENTS + MAX_ACCEPTS => self.drop_oldest(),
            None => {}
        }
    }

    fn drop_oldest(&mut self) {
        if !self.clients.is_empty() {
            self.clients.remove(0);
        }
    }

    /// Receives from every client. Returns the clients that have sent a packet, with their
    /// requests; drops the clients that have closed; keeps the silent ones.
    pub fn requests(&mut self) -> Vec<(PendingClient, Result<Request, InvalidRequest>)> {
        // A follower sends nothing more: a packet ends its connection, as a close does.
        self.followers.retain(|client| !has_packet(client));
        let mut requests = Vec::new();
        let mut index = 0;
        while let Some(client) = self.clients.get(index) {
            match receive(client) {
                Received::Nothing => index += 1,
                Received::Closed => drop(self.clients.remove(index)),
                Received::Packet(request) => {
                    requests.push((PendingClient(self.clients.remove(index)), request));
                }
            }
        }
        requests
    }
}

/// Followers of the report.
impl Server {
    /// Answers a client, and keeps the client as a follower.
    pub fn follow(&mut self, client: PendingClient) {
        if self.followers.len() >= MAX_FOLLOWERS {
            let why = format!("{MAX_FOLLOWERS} clients follow already");
            return answer(client, &refusal(&why));
        }
        if send_now(&client.0, OK).is_ok() {
            self.noticed.clear();
            self.followers.push(client.0);
        }
    }

    /// Returns true if a client follows the report.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        !self.followers.is_empty()
    }

    /// Sends each follower a notice if the report, without the time of its creation, differs from that of
    /// the last call. A follower whose buffer is full has unread notices, and needs no further one; no
    /// follower costs PID 1 a wait or memory.
    pub fn notice(&mut self, report: String) {
        if report == self.noticed {
            return;
        }
        self.noticed = report;
        self.followers.retain(|client| {
            !matches!(
                send_now(client, CHANGED),
                Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN)
            )
        });
    }
}

/// Sends a packet without waiting.
fn send_now(client: &OwnedFd, packet: &str) -> nix::Result<usize> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    send(client.as_raw_fd(), packet.as_bytes(), flags)
}

/// Outcome of receiving from a client.
enum Received {
    Nothing,
    Closed,
    Packet(Result<Request, InvalidRequest>),
}

/// Returns true if [`receive`] would return a packet, or that the client has closed.
fn has_packet(client: &OwnedFd) -> bool {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
    recv(client.as_raw_fd(), &mut [0], flags) != Err(Errno::EAGAIN)
}

fn receive(client: &OwnedFd) -> Received {
    let mut packet = [0; MAX_REQUEST_BYTES];
    // MSG_TRUNC gives the length of the whole packet, even if the packet does not fit (recv(2)).
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
    match recv(client.as_raw_fd(), &mut packet, flags) {
        Err(Errno::EAGAIN | Errno::EINTR) => Received::Nothing,
        Err(_) | Ok(0) => Received::Closed,
        Ok(len) => Received::Packet(match packet.get(..len) {
            Some(whole) => Request::parse(whole),
            None => Err(InvalidRequest::TooLong),
        }),
    }
}

/// Sends the answer and closes the connection. A text that does not fit is cut at the end of a
/// line and ends in [`CUT`]; if nothing fits, the client only sees the close.
pub fn answer(client: PendingClient, text: &str) {
    let mut max_bytes = MAX_ANSWER_BYTES;
    // The buffer of the socket may be smaller (socket(7), wmem_default): EMSGSIZE.
    while max_bytes >= CUT.len() {
        let kept = whole_lines(text, max_bytes);
        let packet = if kept.len() < text.len() {
            [kept, CUT].concat()
        } else {
            kept.to_owned()
        };
        match send_now(&client.0, &packet) {
            Err(Errno::EMSGSIZE | Errno::ENOBUFS | Errno::ENOMEM) => max_bytes /= 2,
            _ => return,
        }
    }
}

/// Returns `text` if its length is within `max_bytes`, or else its first lines that leave room for
/// [`CUT`].
fn whole_lines(text: &str, max_bytes: usize) -> &str {
    if text.len() <= max_bytes {
        return text;
    }
    let room = max_bytes.saturating_sub(CUT.len());
    let bytes = text.as_bytes().get(..room).unwrap_or_default();
    let end = bytes
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |newline| newline + 1);
    text.get(..end).unwrap_or_default()
}

/// Creates the listening socket. Its mode is set before listen(2), so before anyone can connect.
fn listener(path: &Path) -> io::Result<UnixListener> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listen(&fd, Backlog::new(MAX_ACCEPTS as i32)?)?;
    // accept(2) of std works on a Unix socket of any type.
    Ok(UnixListener::from(fd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_the_end_of_a_line() {
        assert_eq!(whole_lines("ok\nabc\ndef\n", 11), "ok\nabc\ndef\n");
        assert_eq!(whole_lines("ok\nabc\ndefgh\n", 11), "ok\nabc\n");
        assert_eq!(whole_lines("ok\nabcdefghijkl\n", 11), "ok\n");
        assert_eq!(whole_lines("abcdefghijkl\n", 11), "");
        assert_eq!(whole_lines("ok\néééééé\n", 8), "ok\n");
    }
}
