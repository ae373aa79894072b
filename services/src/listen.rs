//! Sockets that PID 1 listens on for a service.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::{fs, io};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, setsockopt, socket, sockopt,
};
use nix::unistd::{Gid, Uid, chown};

use crate::service::Socket;

/// Binds and listens: non-blocking, close-on-exec, with mode and owner set before
/// anyone can connect (nobody can before `listen(2)`; a datagram socket has none,
/// and is for everyone anyway).
///
/// # Errors
/// What the system said, and about which path.
pub fn bind_unix(row: &Socket) -> Result<OwnedFd, String> {
    let say = |what: &str, e: io::Error| format!("{what} {}: {e}", row.path);
    let path = Path::new(row.path);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(|e| say("directory of", e))?;
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(say("remove", e)),
        _ => {}
    }
    let errno = |what: &'static str| move |e: Errno| say(what, e.into());
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let kind = if row.datagram {
        SockType::Datagram
    } else {
        SockType::Stream
    };
    let fd = socket(AddressFamily::Unix, kind, flags, None).map_err(errno("socket"))?;
    if row.datagram {
        // Before the first datagram: who sent it is written down when it is sent
        // (unix(7), SO_PASSCRED).
        setsockopt(&fd, sockopt::PassCred, &true).map_err(errno("credentials of"))?;
    }
    let addr = UnixAddr::new(path).map_err(errno("address"))?;
    bind(fd.as_raw_fd(), &addr).map_err(errno("bind"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(row.mode)).map_err(|e| say("mode", e))?;
    chown(path, Some(Uid::from_raw(0)), Some(Gid::from_raw(row.gid))).map_err(errno("owner"))?;
    if !row.datagram {
        listen(&fd, Backlog::MAXCONN).map_err(errno("listen"))?;
    }
    Ok(fd)
}
