// SPDX-License-Identifier: Apache-2.0
//! Clients of the socket: hooks, each of which sends the id of a container that has started. Any
//! user may connect, so each has a share: a silent client costs a descriptor of its user's share
//! for a second, and delays no other client.

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use log::warn;
use nix::sys::socket::{getsockopt, sockopt};

use crate::helpers::engine::PodmanUser;

/// Number of connections that are accepted in one turn.
const MAX_ACCEPTS: usize = 16;
/// Number of clients of one user that are served at once; further ones are refused. A hook writes
/// at once, and podman continues after a failed hook.
const MAX_OF_USER: usize = 8;
/// Number of clients of root, and of all other users together: no user takes the places of root.
const MAX_OF_ROOT: usize = 16;
const MAX_OF_OTHERS: usize = 48;
/// Time for a hook to send the id after the connection.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Time for which no client is accepted after descriptors or memory were short: the kernel would report the
/// connections that wait again and again.
const SHORTAGE_PAUSE: Duration = Duration::from_secs(1);
/// Length of an id.
const ID_BYTES: usize = 64;

/// A client that has not sent all yet.
struct Client {
    stream: UnixStream,
    uid: u32,
    sent: Vec<u8>,
    until: Instant,
}

/// Clients that have connected.
#[derive(Default)]
pub struct Clients {
    open: Vec<Client>,
    /// Users and ids of clients that have sent all.
    complete: Vec<(u32, String)>,
    /// Time until which no client is accepted.
    paused_until: Option<Instant>,
}

impl Clients {
    /// Accepts the waiting clients; the kernel knows their users. The hooks of a user's containers have the
    /// number of that user, and only processes in the containers have others.
    pub fn accept(&mut self, socket: &UnixListener, now: Instant) {
        if self.paused_until.is_some_and(|until| now < until) {
            return;
        }
        self.paused_until = None;
        for _ in 0..MAX_ACCEPTS {
            let stream = match socket.accept() {
                Ok((stream, _)) => stream,
                Err(why) => return self.note_error(&why, now),
            };
            if let Ok(peer) = getsockopt(&stream, sockopt::PeerCredentials)
                && PodmanUser::is_known(peer.uid())
            {
                self.add(stream, peer.uid(), now);
            }
        }
    }

    /// Notes an error of accept(2): no client waits, the client has disconnected, or there is a
    /// shortage.
    fn note_error(&mut self, why: &io::Error, now: Instant) {
        use ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
        if !matches!(why.kind(), WouldBlock | ConnectionAborted | Interrupted) {
            warn!("health: no container is accepted for a second: {why}");
            self.paused_until = Some(now + SHORTAGE_PAUSE);
        }
    }

    /// Returns the socket for poll(2), unless accepting is paused.
    pub fn watched<'a>(&self, socket: &'a UnixListener) -> Option<BorrowedFd<'a>> {
        self.paused_until.is_none().then(|| socket.as_fd())
    }

    /// Adds a client. If there is no room, the clients that have sent everything make room: the hooks of a
    /// user that starts many containers at once all wait in the socket's queue, with their ids.
    fn add(&mut self, stream: UnixStream, uid: u32, now: Instant) {
        if !self.has_room(uid) {
            self.collect(now);
        }
        if self.has_room(uid) && stream.set_nonblocking(true).is_ok() {
            self.open.push(Client {
                stream,
                uid,
                sent: Vec::with_capacity(ID_BYTES),
                until: now + TIMEOUT,
            });
        }
    }

    fn has_room(&self, uid: u32) -> bool {
        let of_user = self.open.iter().filter(|client| client.uid == uid).count();
        let of_others = self.open.iter().filter(|client| client.uid != 0).count();
        match uid {
            0 => of_user < MAX_OF_ROOT,
            _ => of_user < MAX_OF_USER && of_others < MAX_OF_OTHERS,
        }
    }

    /// Reads from the clients; removes and returns the users and ids that are complete, and removes
    /// clients whose time is over.
    pub fn take_complete(&mut self, now: Instant) -> Vec<(u32, String)> {
        self.collect(now);
        std::mem::take(&mut self.complete)
    }

    fn collect(&mut self, now: Instant) {
        let complete = &mut self.complete;
        self.open.retain_mut(|client| {
            let is_open = client.read();
            if client.sent.len() == ID_BYTES {
                let id = String::from_utf8_lossy(&client.sent).into_owned();
                complete.push((client.uid, id));
                return false;
            }
            is_open && now < client.until
        });
    }

    /// Returns when the first client has had its time, or a pause ends.
    pub fn deadline(&self) -> Option<Instant> {
        let clients = self.open.iter().map(|client| client.until);
        clients.chain(self.paused_until).min()
    }

    /// Descriptors that poll(2) is to watch for input.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.open.iter().map(|client| client.stream.as_fd())
    }
}

impl Client {
    /// Reads once, without waiting. Returns false at the end of the client's data.
    fn read(&mut self) -> bool {
        let mut bytes = [0; ID_BYTES];
        let room = ID_BYTES - self.sent.len();
        match self.stream.read(bytes.get_mut(..room).unwrap_or_default()) {
            Ok(count) => {
                self.sent.extend(bytes.iter().take(count));
                count > 0
            }
            Err(e) => matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    fn id() -> String {
        "5a".repeat(32)
    }

    #[test]
    fn a_flood_of_one_user_takes_that_users_share() {
        let (mut clients, now) = (Clients::default(), Instant::now());
        let mut silent = Vec::new();
        for _ in 0..302 {
            let (ours, theirs) = UnixStream::pair().unwrap();
            clients.add(ours, 1000, now);
            silent.push(theirs);
        }
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        clients.add(ours, 0, now);
        theirs.write_all(id().as_bytes()).unwrap();
        assert_eq!(clients.take_complete(now), [(0, id())]);
        assert_eq!(clients.fds().count(), MAX_OF_USER);
        assert_eq!(clients.deadline(), Some(now + TIMEOUT));
        // A client that sends single bytes has no more time than another.
        for n in 1..20 {
            silent[0].write_all(b"a").unwrap();
            let at = now + Duration::from_millis(50 * n);
            assert_eq!(clients.take_complete(at), []);
        }
        assert_eq!(clients.take_complete(now + TIMEOUT), []);
        assert_eq!((clients.fds().count(), clients.deadline()), (0, None));
    }

    #[test]
    fn no_users_take_the_places_of_root() {
        let (mut clients, now) = (Clients::default(), Instant::now());
        let mut silent = Vec::new();
        for uid in (1_000..1_100).chain([0; 40]) {
            let (ours, theirs) = UnixStream::pair().unwrap();
            clients.add(ours, uid, now);
            silent.push(theirs);
        }
        let of_root = clients.open.iter().filter(|client| client.uid == 0);
        assert_eq!(of_root.count(), MAX_OF_ROOT);
        assert_eq!(clients.fds().count(), MAX_OF_ROOT + MAX_OF_OTHERS);
    }

    #[test]
    fn a_turn_is_bounded_and_never_waits() {
        let path = std::env::temp_dir().join(format!("b2p-clients-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let socket = UnixListener::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let flood: Vec<_> = (0..40).map(|_| UnixStream::connect(&path)).collect();
        let (mut clients, now) = (Clients::default(), Instant::now());
        clients.accept(&socket, now);
        let is_root = nix::unistd::getuid().is_root();
        let most = if is_root { MAX_OF_ROOT } else { MAX_OF_USER };
        assert_eq!(clients.fds().count(), most);
        assert!(now.elapsed() < TIMEOUT);
        let mut left = 0;
        while socket.accept().is_ok() {
            left += 1;
        }
        assert_eq!(left, 40 - MAX_ACCEPTS);
        drop(flood);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn only_a_shortage_of_descriptors_pauses_the_server() {
        let path = std::env::temp_dir().join(format!("b2p-shortage-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let socket = UnixListener::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let now = Instant::now();
        for (errno, is_paused) in [
            (libc::EMFILE, true),
            (libc::ENFILE, true),
            (libc::ENOMEM, true),
            (libc::ENOBUFS, true),
            (libc::EAGAIN, false),
            (libc::EINTR, false),
            (libc::ECONNABORTED, false),
        ] {
            let mut clients = Clients::default();
            clients.note_error(&io::Error::from_raw_os_error(errno), now);
            assert_eq!(clients.watched(&socket).is_none(), is_paused, "{errno}");
            let until = is_paused.then_some(now + SHORTAGE_PAUSE);
            assert_eq!(clients.deadline(), until, "{errno}");
            // A client that waits meanwhile is served after the pause.
            let client = UnixStream::connect(&path).unwrap();
            clients.accept(&socket, now);
            assert_eq!(clients.fds().count(), usize::from(!is_paused), "{errno}");
            clients.accept(&socket, now + SHORTAGE_PAUSE);
            assert_eq!(clients.fds().count(), 1, "{errno}");
            assert!(clients.watched(&socket).is_some(), "{errno}");
            drop(client);
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn notices_of_containers_that_start_at_once_are_all_received() {
        let (mut clients, now) = (Clients::default(), Instant::now());
        let count = 5 * MAX_OF_OTHERS;
        let mut hooks = Vec::new();
        for _ in 0..count {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(id().as_bytes()).unwrap();
            clients.add(ours, 1000, now);
            hooks.push(theirs);
        }
        assert_eq!(clients.take_complete(now), vec![(1000, id()); count]);
        assert!(clients.take_complete(now).is_empty() && clients.fds().count() == 0);
    }

    #[test]
    fn partial_ids_are_completed_and_surplus_bytes_ignored() {
        let (mut clients, now) = (Clients::default(), Instant::now());
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        clients.add(ours, 0, now);
        theirs.write_all(&id().as_bytes()[..20]).unwrap();
        assert_eq!(clients.take_complete(now), []);
        theirs.write_all(&id().as_bytes()[20..]).unwrap();
        theirs.write_all(b"more").unwrap();
        assert_eq!(clients.take_complete(now), [(0, id())]);
        let (ours, theirs) = UnixStream::pair().unwrap();
        clients.add(ours, 0, now);
        drop(theirs);
        assert_eq!(clients.take_complete(now), []);
        assert_eq!(clients.fds().count(), 0);
    }
}
