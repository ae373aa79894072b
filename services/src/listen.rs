// SPDX-License-Identifier: Apache-2.0
//! Sockets on which PID 1 listens for a service.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::{fs, io};

use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr, sockopt};
use nix::unistd::{Gid, Uid, chown};
use sys::error::{Doing, Result};

use crate::service::Socket;

/// Creates the socket `def`: non-blocking, close-on-exec, with its mode and owner set before a
/// client can connect. (No client can before listen(2). A datagram socket has no such call, and
/// those of this system are open to every user.)
///
/// # Errors
/// The step that failed, on the path of the socket.
pub fn bind_unix(def: &Socket) -> Result<OwnedFd> {
    let path = Path::new(def.path);
    bind(def, path).on(path)
}

fn bind(def: &Socket, path: &Path) -> Result<OwnedFd> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).doing("directory")?;
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).doing("remove"),
        _ => {}
    }
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let kind = match def.datagram {
        true => SockType::Datagram,
        false => SockType::Stream,
    };
    let fd = socket::socket(AddressFamily::Unix, kind, flags, None).doing("socket")?;
    if def.datagram {
        // Before the first datagram: the kernel records the sender when it sends (unix(7),
        // SO_PASSCRED).
        socket::setsockopt(&fd, sockopt::PassCred, &true).doing("SO_PASSCRED")?;
    }
    let address = UnixAddr::new(path).doing("address")?;
    socket::bind(fd.as_raw_fd(), &address).doing("bind")?;
    fs::set_permissions(path, fs::Permissions::from_mode(def.mode)).doing("mode")?;
    chown(path, Some(Uid::from_raw(0)), Some(Gid::from_raw(def.gid))).doing("owner")?;
    if !def.datagram {
        socket::listen(&fd, Backlog::MAXCONN).doing("listen")?;
    }
    Ok(fd)
}
