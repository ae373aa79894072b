// SPDX-License-Identifier: Apache-2.0
//! Copies bytes both ways between a socket and two descriptors, until both directions have ended.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, shutdown};
use sys::error::{Doing, Result};

/// Copies `input` to `socket` and `socket` to `output`. The end of one direction is passed on, and
/// the other continues: a client that ends its input still gets its replies. Both end with the reader of `output`, for
/// which a service that waits for an event would write nothing.
///
/// # Errors
/// The errno of fcntl(2), or of the start of a thread.
pub fn both_ways(socket: OwnedFd, input: OwnedFd, output: OwnedFd) -> Result<()> {
    let to_socket = socket.try_clone().doing("duplicate a socket")?;
    // The thread may be blocked in read(2) when the service has ended: the process does not wait.
    let run: Box<dyn FnOnce() + Send> = Box::new(move || {
        let to_socket = File::from(to_socket);
        copy(File::from(input), &to_socket);
        let _ = shutdown(to_socket.as_raw_fd(), Shutdown::Write);
    });
    std::thread::Builder::new().spawn(run).doing("thread")?;
    let (socket, output) = (File::from(socket), File::from(output));
    while has_more(socket.as_fd(), output.as_fd()) && copy_once(&socket, &output) {}
    Ok(())
}

/// Waits for bytes of `from`; returns false once the reader of `to` is gone, which poll(2) reports without being asked.
fn has_more(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut fds = [
        PollFd::new(from, PollFlags::POLLIN),
        PollFd::new(to, PollFlags::empty()),
    ];
    while poll(&mut fds, PollTimeout::NONE) == Err(Errno::EINTR) {}
    fds[1].any() != Some(true)
}

/// Waits until the reader of `output` is gone.
pub(super) fn wait_for_end(output: BorrowedFd<'_>) {
    let mut fds = [PollFd::new(output, PollFlags::empty())];
    while poll(&mut fds, PollTimeout::NONE) == Err(Errno::EINTR) {}
}

/// Copies until the end or an error of either side.
pub(super) fn copy(from: File, to: &File) {
    while copy_once(&from, to) {}
}

/// Copies what one read(2) returns; returns false at the end or an error of either side.
fn copy_once(mut from: &File, mut to: &File) -> bool {
    let mut buffer = vec![0; 65536];
    match from.read(&mut buffer) {
        Err(e) => e.kind() == std::io::ErrorKind::Interrupted,
        Ok(count) => count > 0 && to.write_all(&buffer[..count]).is_ok(),
    }
}
