// SPDX-License-Identifier: Apache-2.0
//! busybox's wget as the program that fetches: its processes, its errors and its limits.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use sys::error::{Doing, Error, Result};

use super::manifest::MAX_BYTES;
use super::pace::{Pace, Paced};
use crate::common::{pidfd, tool};

/// Program that fetches.
const BUSYBOX: &str = "/usr/bin/busybox";
/// Seconds for which a server may say nothing.
const SILENCE: &str = "30";
/// Time for wget to end once it has written everything.
const END_LIMIT: Duration = Duration::from_secs(30);
/// Size of the pieces in which an image is written, in bytes.
const PIECE: usize = 64 * 1024;

/// Fetches one file of at most `max` bytes.
///
/// # Errors
/// The server does not answer, is too slow, or has no such file; the file is longer, or cannot be written.
pub fn download(url: &str, max: u64, to: &mut dyn Write) -> Result<()> {
    let mut wget = Command::new(BUSYBOX);
    wget.args(["wget", "-q", "-T", SILENCE, "--no-check-certificate"])
        .args(["-O", "-", url]);
    output_of(&mut wget, Pace::new(Pace::WINDOW), max, to)
}

/// Copies the output of wget, and ends all of its processes: the one for TLS would wait for a server that does not
/// answer, without a limit.
fn output_of(wget: &mut Command, pace: Pace, max: u64, to: &mut dyn Write) -> Result<()> {
    let mut said = tool::memory_file()?;
    let mut child = wget
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(said.try_clone()?)
        .spawn()
        .on(BUSYBOX)?;
    let copied = child
        .stdout
        .take()
        .map_or(Ok(0), |from| copy(Paced::new(from, pace), max, to));
    if matches!(copied, Ok(size) if size <= max) {
        // The status shows one that has not.
        let _ = pidfd::ended_within(child.id(), END_LIMIT);
    }
    let group = Pid::from_raw(child.id().cast_signed());
    let _ = killpg(group, Signal::SIGKILL);
    let status = child.wait().on(BUSYBOX)?;
    if copied? > max {
        return Err(Error::invalid(format!("it has more than {max} bytes")));
    }
    match status.success() {
        true => Ok(()),
        false => Err(Error::invalid(last_error(&mut said))),
    }
}

/// Returns the last error of wget.
fn last_error(said: &mut File) -> String {
    let mut text = Vec::new();
    let _ = said.rewind();
    let _ = said.take(MAX_BYTES).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rfind(|line| line.starts_with("wget: "));
    let line = line.unwrap_or("wget: no answer");
    sys::printable::one_line(line)
}

/// Copies until the end, or until more than `max` bytes are read; returns their number.
///
/// # Errors
/// A read or a write fails.
pub fn copy(mut from: impl Read, max: u64, to: &mut dyn Write) -> std::io::Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut copied = 0;
    loop {
        let size = from.read(&mut piece)?;
        copied += size as u64;
        if size == 0 || copied > max {
            return Ok(copied);
        }
        to.write_all(piece.get(..size).unwrap_or_default())?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};
    use std::fs;

    #[test]
    fn no_process_of_a_download_stays() {
        let temp = Temp::new();
        let pid = temp.path("pid");
        let fetch = |script: &str, window: Duration| {
            let mut wget = Command::new("/bin/sh");
            wget.args(["-c", script]).env("FILE", &pid);
            let mut taken = Vec::new();
            let result = output_of(&mut wget, Pace::new(window), 4, &mut taken);
            result.map(|()| String::from_utf8(taken).unwrap())
        };
        let fetched = fetch(
            "(exec sleep 1000) </dev/null >/dev/null & echo $! >$FILE; echo abc",
            Pace::WINDOW,
        );
        assert_eq!(fetched, Ok("abc\n".into()));
        let helper = fs::read_to_string(&pid).unwrap();
        let helper = helper.trim().parse().unwrap();
        assert!(pidfd::ended_within(helper, Duration::from_secs(20)));
        let failed = fetch("echo 'wget: 404' >&2; echo x >&2; exit 1", Pace::WINDOW);
        assert_eq!(why(failed), "wget: 404");
        let slow = fetch("printf x; exec sleep 1000", Duration::from_millis(300));
        assert!(why(slow).contains("it sends less than "));
        let long = fetch("echo abcd; exec sleep 1000", Pace::WINDOW);
        assert!(why(long).contains("it has more than 4 bytes"));
    }

    #[test]
    fn copy_stops_beyond_the_limit() {
        let mut taken = Vec::new();
        assert_eq!(copy(&b"abc"[..], 3, &mut taken).unwrap(), 3);
        assert_eq!(taken, b"abc");
        assert!(copy(&b"abcd"[..], 3, &mut taken).unwrap() > 3);
        assert_eq!(taken, b"abc");
    }
}
