// SPDX-License-Identifier: Apache-2.0
//! Sockets on which PID 1 listens for a service.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::{fs, io};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr, sockopt};
use nix::unistd::{Gid, Uid, chown, setfsgid, setfsuid};
use sys::error::{Doing, Result};

use crate::service::Socket;

/// The rights of a user for files, until the value is dropped (setfsuid(2)). The directory of a
/// user's socket belongs to the user, who may replace any part of its path by a link at any time.
struct AsUser;

impl AsUser {
    fn new(uid: u32, gid: u32) -> AsUser {
        setfsgid(Gid::from_raw(gid));
        setfsuid(Uid::from_raw(uid));
        AsUser
    }
}

impl Drop for AsUser {
    fn drop(&mut self) {
        setfsuid(Uid::from_raw(0));
        setfsgid(Gid::from_raw(0));
    }
}

/// Returns true if the socket `def` has its name, by which clients find it.
#[must_use]
pub fn has_name(def: &Socket) -> bool {
    let path = Path::new(def.path);
    match def.uid {
        0 => path.symlink_metadata().is_ok(),
        _ => match look_up_without_links(path, OFlag::O_NOFOLLOW) {
            Err(why) if is_unknown_call(why) => path.symlink_metadata().is_ok(),
            found => found.is_ok(),
        },
    }
}

/// Looks up a path below a directory of a user. The user may replace any part of the path by a link to a share that
/// hangs, or into /proc, where a look-up may wait for a process of the user. PID 1 would wait as well.
fn look_up_without_links(path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let how = OpenHow::new().flags(flags | OFlag::O_PATH | OFlag::O_CLOEXEC);
    let how = how.resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(AT_FDCWD, path, how)
}

/// Returns true if openat2(2) does not exist: the kernel is older than 5.6, or the filter of a container refuses it.
fn is_unknown_call(why: Errno) -> bool {
    matches!(why, Errno::ENOSYS | Errno::EPERM)
}

/// Creates the socket `def`: non-blocking, close-on-exec, with its mode and owner set before a client can connect. No
/// client can connect to a stream socket before listen(2). A datagram socket has no such call: until its mode is set,
/// PID 1's umask of 022 (the kernel's default) lets only the owner send.
///
/// # Errors
/// The step that failed, on the path of the socket.
pub fn bind_unix(def: &Socket) -> Result<OwnedFd> {
    let path = Path::new(def.path);
    let _rights = (def.uid != 0).then(|| AsUser::new(def.uid, def.gid));
    bind(def, path).on(path)
}

fn bind(def: &Socket, path: &Path) -> Result<OwnedFd> {
    if let Some(dir) = path.parent() {
        make_directory(def, dir)?;
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).doing("remove"),
        _ => {}
    }
    let fd = create(def)?;
    let address = UnixAddr::new(path).doing("address")?;
    socket::bind(fd.as_raw_fd(), &address).doing("bind")?;
    fs::set_permissions(path, fs::Permissions::from_mode(def.mode)).doing("mode")?;
    if def.uid == 0 {
        chown(path, Some(Uid::from_raw(0)), Some(Gid::from_raw(def.gid))).doing("owner")?;
    }
    if !def.datagram {
        socket::listen(&fd, Backlog::MAXCONN).doing("listen")?;
    }
    Ok(fd)
}

/// Makes the directory of the socket. That of another user is private, and its path contains no link.
fn make_directory(def: &Socket, dir: &Path) -> Result<()> {
    let mode = if def.uid == 0 { 0o777 } else { 0o700 };
    if def.uid != 0 {
        match look_up_without_links(dir, OFlag::O_DIRECTORY) {
            Ok(_) | Err(Errno::ENOENT) => {}
            Err(why) if is_unknown_call(why) => {}
            Err(why) => return Err(why).doing("directory"),
        }
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(mode);
    builder.create(dir).doing("directory")
}

/// Creates the descriptor of the socket, without a name.
fn create(def: &Socket) -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let kind = match def.datagram {
        true => SockType::Datagram,
        false => SockType::Stream,
    };
    let fd = socket::socket(AddressFamily::Unix, kind, flags, None).doing("socket")?;
    if def.datagram {
        // Before the first datagram: the kernel records the sender at the time of sendmsg(2) (unix(7), SO_PASSCRED).
        socket::setsockopt(&fd, sockopt::PassCred, &true).doing("SO_PASSCRED")?;
    }
    Ok(fd)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    /// Returns an empty directory, and a socket of a user in one below.
    fn socket(name: &str) -> (std::path::PathBuf, Socket) {
        let dir = std::env::temp_dir().join(format!("listen-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let path = dir
            .join("podman/podman.sock")
            .to_string_lossy()
            .into_owned();
        let socket = Socket {
            path: path.leak(),
            mode: 0o600,
            uid: 1000,
            gid: 1001,
            datagram: false,
            on_demand: true,
        };
        (dir, socket)
    }

    fn is_root() -> bool {
        Uid::effective().is_root()
    }

    #[test]
    fn a_users_socket_and_its_directory_are_the_users() {
        if !is_root() {
            return;
        }
        let (dir, socket) = socket("own");
        std::os::unix::fs::chown(&dir, Some(1000), Some(1001)).unwrap();
        bind_unix(&socket).unwrap();
        for (path, mode) in [(dir.join("podman"), 0o700), (socket.path.into(), 0o600)] {
            let found = fs::metadata(&path).unwrap();
            let found = (found.uid(), found.gid(), found.mode() & 0o777);
            assert_eq!(found, (1000, 1001, mode), "{}", path.display());
        }
        assert!(has_name(&socket));
        // The socket is bound again after its name was removed.
        fs::remove_file(socket.path).unwrap();
        assert!(!has_name(&socket));
        bind_unix(&socket).unwrap();
        fs::write(dir.join("root's"), "").unwrap();
        assert_eq!(fs::metadata(dir.join("root's")).unwrap().uid(), 0);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_link_of_the_user_leads_nowhere_that_the_user_may_not_write() {
        if !is_root() {
            return;
        }
        let (dir, socket) = socket("link");
        let target = dir.join("root's");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("podman.sock"), "kept").unwrap();
        symlink(&target, dir.join("podman")).unwrap();
        assert!(!has_name(&socket), "the name is below a link");
        let why = bind_unix(&socket).unwrap_err().to_string();
        assert!(why.contains("ELOOP"), "{why}");
        assert_eq!(fs::read(target.join("podman.sock")).unwrap(), b"kept");
        assert_eq!(fs::metadata(&target).unwrap().uid(), 0);
        fs::remove_dir_all(dir).unwrap();
    }
}
