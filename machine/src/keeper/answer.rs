// SPDX-License-Identifier: Apache-2.0
//! Answer of the guest's API, which may be endless, or arrive byte by byte: its size and its time have limits.

use anyhow::{Context, Result};
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Answer that is being read.
pub struct Answer {
    stream: UnixStream,
    max_bytes: usize,
    /// Bytes that have been read.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// Returns an answer of which `max_bytes` bytes are read at most.
    #[must_use]
    pub fn new(stream: UnixStream, max_bytes: usize) -> Self {
        Self {
            stream,
            max_bytes,
            bytes: Vec::new(),
        }
    }

    /// Reads until the bytes are enough, until there are no more, or until the time limit; returns false at the limit.
    pub fn read(&mut self, limit: Option<Duration>, enough: fn(&[u8]) -> bool) -> Result<bool> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut part = [0; 4096];
        while self.bytes.len() < self.max_bytes && !enough(&self.bytes) {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(false);
            }
            self.stream.set_read_timeout(left)?;
            let room = part.len().min(self.max_bytes - self.bytes.len());
            match self.stream.read(&mut part[..room]) {
                Ok(0) => return Ok(true),
                Ok(len) => self.bytes.extend_from_slice(&part[..len]),
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error).context("the podman API"),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::thread;

    #[test]
    fn an_answer_is_cut_at_its_maximum_size() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let guest = thread::spawn(move || while theirs.write_all(&[b'x'; 1000]).is_ok() {});
        let mut answer = Answer::new(ours, 10_000);
        assert!(answer.read(None, |_| false).expect("read"));
        assert_eq!(answer.bytes.len(), 10_000);
        drop(answer);
        guest.join().expect("no panic");
    }

    #[test]
    fn an_answer_of_single_bytes_has_a_deadline() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let guest = thread::spawn(move || {
            while theirs.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(2));
            }
        });
        let mut answer = Answer::new(ours, 1 << 20);
        let in_time = answer.read(Some(Duration::from_millis(50)), |_| false);
        assert!(!in_time.expect("read") && !answer.bytes.is_empty());
        drop(answer);
        guest.join().expect("no panic");
    }
}
