// SPDX-License-Identifier: Apache-2.0
//! Copies bytes both ways between a socket and two descriptors, until both directions have ended.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{Shutdown, shutdown};
use sys::error::{Doing, Result};

/// Copies `input` to `socket` and `socket` to `output`. The end of one direction is passed on, and
/// the other continues: a client that ends its input still gets its replies.
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
    copy(File::from(socket), &File::from(output));
    Ok(())
}

/// Copies until the end or an error of either side.
pub(super) fn copy(mut from: File, mut to: &File) {
    let mut buffer = vec![0; 65536];
    loop {
        match from.read(&mut buffer) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(count @ 1..) if to.write_all(&buffer[..count]).is_ok() => {}
            _ => return,
        }
    }
}
