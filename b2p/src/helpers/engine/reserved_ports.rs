// SPDX-License-Identifier: Apache-2.0
//! Sockets with which podman reserves the published ports of a container.
//!
//! podman binds the ports and listens before it sets up the network (libpod, `bindPorts`), and conmon keeps the
//! sockets as long as the container runs. No process accepts connections from them: netavark's rules redirect each
//! connection before it reaches a socket. A connection that is made before the rules exist ends in the queue of
//! such a socket, and its client would wait for ever. conmon starts after the rules have been made. Only for a container
//! with a user namespace, podman makes them between the creation and the start by the OCI runtime.
#![expect(unsafe_code, reason = "descriptors known by their numbers")]

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::sys::socket::{self, Backlog, Shutdown, sockopt};

use crate::common::pidfd;

/// Variable of conmon's with the number of the last descriptor before those of the ports (libpod,
/// `createOCIContainer`). Lower numbers may be sockets that the container inherits (`--preserve-fds`, sd_listen_fds(3)).
const LAST_BEFORE: &str = "_OCI_STARTPIPE";

/// Resets the connections that nobody will accept, in the process that is about to be conmon. A client that tries again is
/// redirected to the container.
pub fn reset_connections() {
    for number in numbers("self") {
        // SAFETY: podman has opened the descriptor; no owner in this process closes it before conmon is executed.
        listen_again(unsafe { BorrowedFd::borrow_raw(number) });
    }
}

/// Resets such connections of the conmon of a container that has a user namespace, as a hook of its start. `pid` is the
/// first process of the container, whose parent is conmon (`PR_SET_CHILD_SUBREAPER`).
pub fn reset_connections_of(pid: &str) {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/user")).ok();
    if namespace(pid) == namespace("self") {
        return;
    }
    let status = sys::files::read_text(format!("/proc/{pid}/status")).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    let parent = parent.map_or("", str::trim);
    let conmon = parent.parse().ok().and_then(pidfd::open);
    for number in conmon.iter().flat_map(|_| numbers(parent)) {
        let copy = conmon
            .as_ref()
            .and_then(|conmon| pidfd::descriptor_of(conmon, number));
        copy.iter().for_each(|socket| listen_again(socket.as_fd()));
    }
}

/// Returns the descriptors of conmon, which may be those of ports.
fn numbers(process: &str) -> Vec<RawFd> {
    let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
    let last = environment.split(|b| *b == 0).find_map(|variable| {
        let value = variable
            .strip_prefix(LAST_BEFORE.as_bytes())?
            .strip_prefix(b"=")?;
        std::str::from_utf8(value).ok()?.parse::<RawFd>().ok()
    });
    let Some(last) = last else {
        return Vec::new();
    };
    let entries = fs::read_dir(format!("/proc/{process}/fd"));
    let entries = entries.into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // The directory's own descriptor is closed once the list is complete.
    numbers.filter(|number| *number > last).collect()
}

/// Ends the connections of a socket that listens, also those whose handshake is not complete, and listens again. The
/// port stays bound meanwhile (`inet_shutdown` and `tcp_set_state` in net/ipv4).
fn listen_again(fd: BorrowedFd<'_>) {
    if socket::getsockopt(&fd, sockopt::AcceptConn) != Ok(true) {
        return;
    }
    let again = socket::shutdown(fd.as_raw_fd(), Shutdown::Both)
        .and_then(|()| socket::listen(&fd, Backlog::MAXCONN));
    if let Err(errno) = again {
        eprintln!("conmon: a published port is no longer reserved: {errno}");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::{ErrorKind, Read};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn connections_that_nobody_accepts_are_reset_and_the_port_stays_reserved() {
        // The kernel keeps a port bound for a socket only if the port was asked for by its number.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let address = address.unwrap();
        let reserved = TcpListener::bind(address).unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        listen_again(reserved.as_fd());
        let end = client.read(&mut [0]).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset);
        let other = TcpListener::bind(address).unwrap_err();
        assert_eq!(other.kind(), ErrorKind::AddrInUse);
        TcpStream::connect(address).unwrap();
    }

    #[test]
    fn descriptors_of_other_kinds_are_left_alone() {
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        listen_again(one.as_fd());
        std::io::Write::write_all(&mut &one, b"x").unwrap();
        assert_eq!((&other).read(&mut [0]).unwrap(), 1);
    }
}
