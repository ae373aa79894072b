// SPDX-License-Identifier: Apache-2.0
//! System calls with a time limit, for PID 1 and its children: the caller sleeps, and reaps only the child
//! that makes the call.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use sys::syscall::{self, Child};

/// Runs `call` in a child for at most `ms` milliseconds. A child that has not ended by then is
/// killed, which has no effect while it is inside a call that hangs, and is left behind.
///
/// # Errors
/// The errno of `call`, which is the child's exit status; ETIMEDOUT after `ms` milliseconds;
/// EAGAIN if there is no memory for a child; ECHILD if a signal has ended it.
pub fn bounded(ms: i32, call: impl FnOnce() -> nix::Result<()>) -> nix::Result<()> {
    let work = || {
        if let Err(errno) = call() {
            syscall::exit(errno as i32)
        }
    };
    ended(syscall::in_child(work), ms)
}

/// Reads at most `max_bytes` bytes of a regular file as [`bounded`] does.
///
/// # Errors
/// The errors of [`bounded`], and of reading the file.
pub fn bounded_read(ms: i32, path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    bounded_output(ms, || sys::files::read_bounded(path, max_bytes))
}

/// Returns the bytes that `call` returns in a child, as [`bounded`] does.
///
/// # Errors
/// The errors of [`bounded`], and of `call`.
pub fn bounded_output(ms: i32, call: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    let mut copy = File::from(memfd_create(c"copy", MFdFlags::MFD_CLOEXEC)?);
    let work = || {
        if let Err(why) = call().and_then(|bytes| (&copy).write_all(&bytes)) {
            syscall::exit(why.raw_os_error().unwrap_or(libc::EINVAL))
        }
    };
    ended(syscall::in_child_with(&[copy.as_fd()], work), ms)?;
    let mut bytes = Vec::new();
    copy.rewind()?;
    copy.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn ended(child: Option<Child>, ms: i32) -> nix::Result<()> {
    let child = child.ok_or(Errno::EAGAIN)?;
    if !child.exited_within(ms) {
        child.kill();
        return Err(Errno::ETIMEDOUT);
    }
    match child.exit_status() {
        Some(0) => Ok(()),
        Some(errno) => Err(Errno::from_raw(errno)),
        None => Err(Errno::ECHILD),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bounded_call_gives_its_errno_or_gives_up() {
        assert_eq!(bounded(5_000, || Ok(())), Ok(()));
        assert_eq!(bounded(5_000, || Err(Errno::EBUSY)), Err(Errno::EBUSY));
        let slow = || {
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        };
        assert_eq!(bounded(50, slow), Err(Errno::ETIMEDOUT));
    }

    #[test]
    fn the_output_of_a_call_that_hangs_is_not_waited_for() {
        let slow = || {
            std::thread::sleep(Duration::from_secs(60));
            Ok(Vec::new())
        };
        let why = bounded_output(50, slow).map_err(|e| e.raw_os_error());
        assert_eq!(why, Err(Some(Errno::ETIMEDOUT as i32)));
        let addresses = bounded_output(5_000, || Ok(b"10.0.2.15".to_vec()));
        assert_eq!(addresses.ok().as_deref(), Some(&b"10.0.2.15"[..]));
    }

    #[test]
    fn a_bounded_read_gives_the_bytes_or_the_errno() {
        let path = std::env::temp_dir().join(format!("b2p-bounded-{}", std::process::id()));
        let errno = |max| bounded_read(5_000, &path, max).map_err(|why| why.raw_os_error());
        assert_eq!(errno(9), Err(Some(libc::ENOENT)));
        std::fs::write(&path, [7; 300_000]).expect("written");
        assert_eq!(errno(1 << 20), Ok(vec![7; 300_000]));
        assert_eq!(errno(9), Ok(vec![7; 9]));
        std::fs::remove_file(&path).expect("removed");
    }
}
