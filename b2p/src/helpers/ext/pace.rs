// SPDX-License-Identifier: Apache-2.0
//! Least rate of a download: a server that sends a byte now and then would never be silent, and would hold the lock
//! of the extensions for days.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Bytes that arrive within [`Pace::WINDOW`]: 4 KiB in a second. With it, an image of 150 MB takes at most ten hours.
const MIN_BYTES: usize = 240 * 1024;

/// Longest wait that counts. A signal (SIGTSTP) may stop `b2p` during a wait, while the sender continues.
const SLICE: Duration = Duration::from_secs(1);

/// Time waited for bytes, and the bytes that came. Time in which the reader writes does not count.
#[derive(Debug)]
pub struct Pace {
    /// Time in which [`MIN_BYTES`] bytes arrive, unless the file ends.
    window: Duration,
    waited: Duration,
    came: usize,
}

impl Pace {
    /// Time in which [`MIN_BYTES`] bytes arrive from a server.
    pub const WINDOW: Duration = Duration::from_secs(60);

    /// Begins with the first byte.
    pub fn new(window: Duration) -> Pace {
        Pace {
            window,
            waited: Duration::ZERO,
            came: 0,
        }
    }

    /// Records a wait and the bytes that it brought.
    fn note(&mut self, waited: Duration, came: usize) {
        self.waited += waited.min(SLICE);
        self.came += came;
        if self.came >= MIN_BYTES {
            *self = Pace::new(self.window);
        }
    }

    /// Returns the time for the next wait: at most what is left for the rest of [`MIN_BYTES`]; zero if the sender is too slow.
    fn left(&self) -> Duration {
        self.window.saturating_sub(self.waited).min(SLICE)
    }
}

/// Reads from a pipe or socket, and fails with [`ErrorKind::TimedOut`] if its sender is too slow.
pub struct Paced<R> {
    from: R,
    pace: Pace,
}

impl<R: Read + AsFd> Paced<R> {
    /// Reads `from` at this pace at least.
    pub fn new(from: R, pace: Pace) -> Paced<R> {
        Paced { from, pace }
    }
}

impl<R: Read + AsFd> Read for Paced<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.pace.left();
            if left.is_zero() {
                let window = self.pace.window.as_secs();
                let said = format!("it sends less than {MIN_BYTES} bytes in {window} s");
                return Err(io::Error::new(ErrorKind::TimedOut, said));
            }
            let begun = Instant::now();
            let ms = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
            let timeout = PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX);
            let mut polled = [PollFd::new(self.from.as_fd(), PollFlags::POLLIN)];
            if poll(&mut polled, timeout)? == 0 {
                self.pace.note(left, 0);
                continue;
            }
            let size = self.from.read(bytes)?;
            self.pace.note(begun.elapsed(), size);
            return Ok(size);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::process::{Command, Stdio};

    fn read(script: &str, window: Duration) -> io::Result<Vec<u8>> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut bytes = Vec::new();
        let mut from = Paced::new(child.stdout.take().unwrap(), Pace::new(window));
        let read = from.read_to_end(&mut bytes);
        let _ = child.kill();
        child.wait().unwrap();
        read.map(|_| bytes)
    }

    #[test]
    fn the_least_rate_is_one_of_a_window() {
        let window = SLICE * 3;
        let mut pace = Pace::new(window);
        pace.note(SLICE, MIN_BYTES - 1);
        pace.note(SLICE / 2, 0);
        pace.note(SLICE, 0);
        assert_eq!(pace.left(), SLICE / 2);
        pace.note(SLICE / 2, 0);
        assert!(pace.left().is_zero());
        // Enough within one begins the next.
        let mut pace = Pace::new(window);
        pace.note(SLICE, 0);
        pace.note(SLICE, MIN_BYTES);
        assert_eq!((pace.waited, pace.left()), (Duration::ZERO, SLICE));
    }

    #[test]
    fn a_stop_of_the_reader_counts_as_one_wait() {
        let mut pace = Pace::new(Pace::WINDOW);
        pace.note(Pace::WINDOW * 60, 1);
        assert_eq!((pace.waited, pace.left()), (SLICE, SLICE));
    }

    #[test]
    fn a_sender_of_single_bytes_is_given_up() {
        let drips = "while printf x; do sleep 0.05; done";
        let error = read(drips, Duration::from_millis(400)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let silent = read("sleep 100", Duration::from_millis(100)).unwrap_err();
        assert!(
            silent.to_string().contains("it sends less than "),
            "{silent}"
        );
        assert_eq!(read("echo short", Pace::WINDOW).unwrap(), b"short\n");
        let long = read("head -c 1000000 /dev/zero", Pace::WINDOW).unwrap();
        assert_eq!(long.len(), 1_000_000);
    }
}
