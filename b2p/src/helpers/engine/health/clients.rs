// SPDX-License-Identifier: Apache-2.0
//! Clients of the socket: hooks, each of which sends the id of a container that has started. Any
//! user may connect, so each has a share: a client that is silent costs a descriptor of its user's
//! share for a second, and nobody waits for it.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt};

/// Number of connections that are accepted in one turn.
const MAX_ACCEPTS: usize = 16;
/// Number of clients of one user that are heard at once; further ones are refused. A hook writes at
/// once, and podman goes on when it fails.
const MAX_OF_USER: usize = 8;
/// Number of clients of all users together.
const MAX_CLIENTS: usize = 64;
/// Time for a hook to send the id after it has connected.
const LIMIT: Duration = Duration::from_secs(1);
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
pub struct Clients(Vec<Client>);

impl Clients {
    /// Accepts those that wait; the kernel knows whose they are.
    pub fn accept(&mut self, socket: &UnixListener, now: Instant) {
        for _ in 0..MAX_ACCEPTS {
            let Ok((stream, _)) = socket.accept() else {
                return;
            };
            if let Ok(peer) = getsockopt(&stream, sockopt::PeerCredentials) {
                self.add(stream, peer.uid(), now);
            }
        }
    }

    fn add(&mut self, stream: UnixStream, uid: u32, now: Instant) {
        let of_user = self.0.iter().filter(|client| client.uid == uid).count();
        let has_room = of_user < MAX_OF_USER && self.0.len() < MAX_CLIENTS;
        if has_room && stream.set_nonblocking(true).is_ok() {
            self.0.push(Client {
                stream,
                uid,
                sent: Vec::with_capacity(ID_BYTES),
                until: now + LIMIT,
            });
        }
    }

    /// Reads what was sent; removes and returns the users and ids that are complete, and removes
    /// clients that have had their time.
    pub fn take_complete(&mut self, now: Instant) -> Vec<(u32, String)> {
        let mut complete = Vec::new();
        self.0.retain_mut(|client| {
            let is_open = client.read();
            if client.sent.len() == ID_BYTES {
                let id = String::from_utf8_lossy(&client.sent).into_owned();
                complete.push((client.uid, id));
                return false;
            }
            is_open && now < client.until
        });
        complete
    }

    /// Returns when the first client has had its time.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.iter().map(|client| client.until).min()
    }

    /// Descriptors that poll(2) is to watch for input.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|client| client.stream.as_fd())
    }
}

impl Client {
    /// Reads once, without waiting. Returns false at the end of what the client sends.
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
        assert_eq!(clients.deadline(), Some(now + LIMIT));
        // One that drips has no more time than another.
        for n in 1..20 {
            silent[0].write_all(b"a").unwrap();
            let at = now + Duration::from_millis(50 * n);
            assert_eq!(clients.take_complete(at), []);
        }
        assert_eq!(clients.take_complete(now + LIMIT), []);
        assert_eq!((clients.fds().count(), clients.deadline()), (0, None));
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
        assert_eq!(clients.fds().count(), MAX_OF_USER);
        assert!(now.elapsed() < LIMIT);
        let mut left = 0;
        while socket.accept().is_ok() {
            left += 1;
        }
        assert_eq!(left, 40 - MAX_ACCEPTS);
        drop(flood);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn half_an_id_and_too_much_are_no_trouble() {
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
