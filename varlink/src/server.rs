// SPDX-License-Identifier: Apache-2.0
//! Server: one thread for each connection, and an end after idle time.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Mutex;
use std::thread::Scope;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use sys::error::{Doing, Result};

use crate::connection::Connection;
use crate::service::Service;

/// Time without a connection after which a server ends.
pub const IDLE: Duration = Duration::from_secs(10);

/// Pause of a server that has no descriptor for the next client.
const SHORTAGE: Duration = Duration::from_millis(200);

/// Bounds of the resources that clients can make a server use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest call, in bytes.
    pub message: usize,
    /// Number of connections; further clients wait until one of them ends.
    pub connections: usize,
    /// Number of connections of one user other than root; further ones are closed.
    pub per_user: usize,
    /// Number of connections of all users other than root together; further ones are closed. The rest is
    /// for root, whom no user can shut out: a user with subordinate ids (subuid(5)) is thousands of
    /// users.
    pub others: usize,
    /// Time without a connection after which the server ends; `Duration::MAX` for a server without an end.
    pub idle: Duration,
}

impl Limits {
    /// Bounds for clients that are root.
    pub const PRIVILEGED: Limits = Limits {
        message: 16 << 20,
        connections: 64,
        per_user: 64,
        others: 64,
        idle: IDLE,
    };
    /// Bounds for clients that may be any user.
    pub const OPEN: Limits = Limits {
        message: 64 << 10,
        connections: 64,
        per_user: 16,
        others: 48,
        idle: IDLE,
    };
}

impl Limits {
    /// Returns true if a further connection of `user` is admitted beside those of `users`.
    fn admits(&self, users: &[Option<u32>], user: Option<u32>) -> bool {
        let root = Some(0);
        let own = users.iter().filter(|other| **other == user).count();
        let others = users.iter().filter(|other| **other != root).count();
        user == root || (own < self.per_user && others < self.others)
    }
}

/// Answers the clients of a socket. `socket` is listening, or connected, as in programs that
/// `varlinkctl` starts: then the server ends with that connection.
///
/// # Errors
/// The errno of poll(2) or accept(2).
pub fn serve(service: &Service<'_>, socket: OwnedFd, limits: Limits) -> Result<()> {
    if getsockopt(&socket, sockopt::AcceptConn) == Ok(false) {
        return service.run(Connection::new(socket, limits.message)?);
    }
    let listener = UnixListener::from(socket);
    // PID 1 and the server share the descriptor: a client that has disconnected again must not
    // block accept(2).
    listener.set_nonblocking(true).doing("socket")?;
    let (ended, end) = UnixStream::pair().doing("socket pair")?;
    let clients = Clients {
        users: Mutex::new(Vec::new()),
        end,
        limits,
    };
    let clients = &clients;
    std::thread::scope(|scope| {
        while clients.wait(&listener, &ended)? {
            clients.accept(scope, service, &listener)?;
        }
        Ok(())
    })
}

/// Starts a thread of a scope. Each type of function that is given to std is 2 kB of code.
///
/// # Errors
/// The errno of clone(2).
pub fn start_thread<'scope>(
    scope: &'scope Scope<'scope, '_>,
    run: Box<dyn FnOnce() + Send + 'scope>,
) -> io::Result<()> {
    let started = std::thread::Builder::new().spawn_scoped(scope, run);
    started.map(drop)
}

/// Connections that are open.
struct Clients {
    /// User of each connection.
    users: Mutex<Vec<Option<u32>>>,
    /// Receives a byte when a connection ends.
    end: UnixStream,
    limits: Limits,
}

impl Clients {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<u32>>> {
        self.users
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Sleeps until a client connects; returns false after the idle time.
    fn wait(&self, listener: &UnixListener, ended: &UnixStream) -> Result<bool> {
        loop {
            let open = self.lock().len();
            let timeout = match open {
                // A time that poll(2) cannot express is for ever.
                0 => PollTimeout::try_from(self.limits.idle).unwrap_or(PollTimeout::NONE),
                _ => PollTimeout::NONE,
            };
            let mut fds = [
                PollFd::new(ended.as_fd(), PollFlags::POLLIN),
                PollFd::new(listener.as_fd(), PollFlags::POLLIN),
            ];
            let count = if open < self.limits.connections { 2 } else { 1 };
            match poll(&mut fds[..count], timeout) {
                Ok(0) => return Ok(false),
                Err(Errno::EINTR) => continue,
                result => result.doing("poll")?,
            };
            if fds[0].any() == Some(true) {
                let _ = io::Read::read(&mut &*ended, &mut [0; 64]);
            }
            if count == 2 && fds[1].any() == Some(true) {
                return Ok(true);
            }
        }
    }

    /// Starts a thread for the next client, if the client is still connected.
    fn accept<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        service: &'scope Service<'_>,
        listener: &UnixListener,
    ) -> Result<()> {
        let client = match listener.accept() {
            Ok((client, _)) => client,
            Err(e) if is_transient(&e) => return Ok(()),
            Err(e) if is_shortage(&e) => {
                log::warn!("varlink: a client waits: {e}");
                std::thread::sleep(SHORTAGE);
                return Ok(());
            }
            Err(e) => return Err(e).doing("accept"),
        };
        client.set_nonblocking(false).doing("socket")?;
        let connection = match Connection::new(client, self.limits.message) {
            Ok(connection) => connection,
            Err(e) => {
                log::warn!("varlink: no connection for a client: {e}");
                return Ok(());
            }
        };
        let user = connection.peer_uid();
        if self.admit(user) {
            let run = move || {
                if let Err(e) = service.run(connection) {
                    log::debug!("varlink: {e}");
                }
                self.leave(user);
            };
            if let Err(e) = start_thread(scope, Box::new(run)) {
                log::warn!("varlink: no thread for a client: {e}");
                self.leave(user);
            }
        }
        Ok(())
    }

    /// Counts a connection; returns false if its user has too many, or all users other than root have.
    fn admit(&self, user: Option<u32>) -> bool {
        let mut users = self.lock();
        if self.limits.admits(&users, user) {
            users.push(user);
            return true;
        }
        false
    }

    fn leave(&self, user: Option<u32>) {
        let mut users = self.lock();
        if let Some(at) = users.iter().position(|other| *other == user) {
            users.swap_remove(at);
        }
        drop(users);
        let _ = io::Write::write(&mut &self.end, &[0]);
    }
}

fn is_transient(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ConnectionAborted)
}

/// Returns true if accept(2) fails for want of descriptors or memory, which the end of another
/// connection returns.
fn is_shortage(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_bounds_and_root_has_a_reserve() {
        let limits = Limits::OPEN;
        let of = |user: u32, count: usize| vec![Some(user); count];
        let thousands: Vec<Option<u32>> = (100_000..100_048).map(Some).collect();
        for (users, user, is_admitted) in [
            (of(1000, 15), Some(1000), true),
            (of(1000, 16), Some(1000), false),
            (of(1000, 16), Some(1001), true),
            (vec![None; 16], None, false),
            ([of(0, 60), of(1000, 3)].concat(), Some(1000), true),
            (thousands[..47].to_vec(), Some(1000), true),
            (thousands.clone(), Some(1000), false),
            (thousands.clone(), Some(0), true),
            ([thousands, of(0, 15)].concat(), Some(0), true),
        ] {
            assert_eq!(
                limits.admits(&users, user),
                is_admitted,
                "{users:?} {user:?}"
            );
        }
        let reserve = limits.connections - limits.others;
        assert!(reserve >= 16, "root's own: {reserve}");
    }
}
