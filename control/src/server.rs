//! The end that PID 1 holds. Nothing here blocks, and nothing a client does or
//! leaves undone costs more than one of a few places: who connects and never
//! speaks waits in the kernel, without waking anybody.

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

use crate::{CUT, LONGEST_ANSWER, LONGEST_REQUEST, Request, no};

/// At most so many clients wait with their packet; one more, and the oldest that has
/// not spoken goes.
const MOST_CLIENTS: usize = 8;
/// At most so many are taken in at once, before PID 1 looks at other things.
const MOST_AT_ONCE: usize = 16;
/// So many milliseconds nobody is taken in when there was no descriptor or no
/// memory to do it with: poll(2) would say at once that they still wait.
const PAUSE: u64 = 1_000;

/// A client that has spoken and waits for its answer. Dropped, it gets none.
#[derive(Debug)]
pub struct Client(OwnedFd);

/// The socket, and those who have connected.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    /// The oldest first.
    clients: Vec<OwnedFd>,
    /// Whether this user may ask.
    may: fn(u32) -> bool,
    /// Nobody is taken in before.
    paused_until: u64,
}

impl Server {
    /// Listens at `path`, for root alone.
    ///
    /// # Errors
    /// What the system said, with the path.
    pub fn bind(path: &Path) -> Result<Server, String> {
        Server::bind_for(path, |uid| uid == 0)
    }

    /// The same for the users that `may`.
    ///
    /// # Errors
    /// What the system said, with the path.
    pub fn bind_for(path: &Path, may: fn(u32) -> bool) -> Result<Server, String> {
        let listener = listener(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Server {
            listener,
            clients: Vec::with_capacity(MOST_CLIENTS),
            may,
            paused_until: 0,
        })
    }

    /// What to watch for input, as of `now` (any clock in milliseconds).
    pub fn fds(&self, now: u64) -> impl Iterator<Item = BorrowedFd<'_>> {
        let open = now >= self.paused_until;
        let listener = open.then(|| self.listener.as_fd());
        listener
            .into_iter()
            .chain(self.clients.iter().map(AsFd::as_fd))
    }

    /// When to look again though nothing came; `None` nearly always.
    #[must_use]
    pub fn deadline(&self, now: u64) -> Option<u64> {
        (now < self.paused_until).then_some(self.paused_until)
    }

    /// Takes in who has connected.
    pub fn accept(&mut self, now: u64) {
        for _ in 0..MOST_AT_ONCE {
            if now < self.paused_until {
                return;
            }
            match self.listener.accept() {
                Ok((stream, _)) => self.take(stream.into()),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                // It went away again (accept(2) tells of the connection's errors too).
                Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.forget_oldest();
                    self.paused_until = now.saturating_add(PAUSE);
                }
            }
        }
    }

    fn take(&mut self, client: OwnedFd) {
        // The socket's mode keeps others out; a descriptor handed on does not.
        let may = getsockopt(&client, sockopt::PeerCredentials).is_ok_and(|c| (self.may)(c.uid()));
        if !may {
            // What is not read when it is closed takes the answer with it
            // (net/unix/af_unix.c, unix_release_sock(): ECONNRESET).
            let _ = hear(&client);
            return answer(Client(client), &no("only root may"));
        }
        if self.clients.len() >= MOST_CLIENTS {
            self.make_room();
        }
        self.clients.push(client);
    }

    /// Who has spoken is answered in this turn, and leaves: only who has not is
    /// turned out.
    fn make_room(&mut self) {
        match self.clients.iter().position(|c| !has_spoken(c)) {
            Some(silent) => drop(self.clients.remove(silent)),
            None if self.clients.len() >= MOST_CLIENTS + MOST_AT_ONCE => self.forget_oldest(),
            None => {}
        }
    }

    fn forget_oldest(&mut self) {
        if !self.clients.is_empty() {
            self.clients.remove(0);
        }
    }

    /// Those who have spoken, with what they ask or what is wrong with it. Who
    /// has gone is forgotten, who says nothing is left waiting.
    pub fn requests(&mut self) -> Vec<(Client, Result<Request, &'static str>)> {
        let mut spoken = Vec::new();
        let mut at = 0;
        while let Some(client) = self.clients.get(at) {
            match hear(client) {
                Heard::Nothing => at += 1,
                Heard::Gone => drop(self.clients.remove(at)),
                Heard::Said(request) => spoken.push((Client(self.clients.remove(at)), request)),
            }
        }
        spoken
    }
}

/// What came from a client.
enum Heard {
    Nothing,
    Gone,
    Said(Result<Request, &'static str>),
}

/// Whether [`hear`] would hear something, the end included.
fn has_spoken(client: &OwnedFd) -> bool {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
    recv(client.as_raw_fd(), &mut [0], flags) != Err(Errno::EAGAIN)
}

fn hear(client: &OwnedFd) -> Heard {
    let mut packet = [0; LONGEST_REQUEST];
    // MSG_TRUNC: the whole length, whatever of it fits the buffer (recv(2)).
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
    match recv(client.as_raw_fd(), &mut packet, flags) {
        Err(Errno::EAGAIN | Errno::EINTR) => Heard::Nothing,
        Err(_) | Ok(0) => Heard::Gone,
        Ok(len) => Heard::Said(match packet.get(..len) {
            Some(whole) => Request::parse(whole),
            None => Err("the request is too long"),
        }),
    }
}

/// Answers and closes. Where not all of it fits, it ends at the end of a line, and
/// the last one says so ([`CUT`]); where nothing does, the client sees the end.
pub fn answer(client: Client, text: &str) {
    let mut most = LONGEST_ANSWER;
    // A socket buffer may be smaller (socket(7), wmem_default): EMSGSIZE.
    while most >= CUT.len() {
        let cut = fitting(text, most);
        let packet = if cut.len() < text.len() {
            [cut, CUT].concat()
        } else {
            cut.to_owned()
        };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(client.0.as_raw_fd(), packet.as_bytes(), flags) {
            Err(Errno::EMSGSIZE | Errno::ENOBUFS | Errno::ENOMEM) => most /= 2,
            _ => return,
        }
    }
}

/// As much of `text` as `most` bytes hold; if that is not all, whole lines that
/// leave room for [`CUT`].
fn fitting(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let room = most.saturating_sub(CUT.len());
    let bytes = text.as_bytes().get(..room).unwrap_or_default();
    let end = bytes
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |at| at + 1);
    text.get(..end).unwrap_or_default()
}

/// Bound, with its mode before anyone can connect (nobody can before listen(2)).
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
    listen(&fd, Backlog::new(MOST_AT_ONCE as i32)?)?;
    // std's accept(2) does not mind which type of Unix socket it is.
    Ok(UnixListener::from(fd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_the_end_of_a_line() {
        assert_eq!(fitting("ok\nabc\ndef\n", 11), "ok\nabc\ndef\n");
        assert_eq!(fitting("ok\nabc\ndefgh\n", 11), "ok\nabc\n");
        assert_eq!(fitting("ok\nabcdefghijkl\n", 11), "ok\n");
        assert_eq!(fitting("abcdefghijkl\n", 11), "");
        assert_eq!(fitting("ok\néééééé\n", 8), "ok\n");
    }
}
