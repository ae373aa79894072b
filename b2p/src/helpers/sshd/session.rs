// SPDX-License-Identifier: Apache-2.0
//! One sshd for one connection, as inetd would run it, and what the kernel knows of the two.

use std::fs;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use sys::clock::Millis;

use super::admission::{self, Source};
use super::limit;

/// Path of sshd(8).
pub const SSHD: &str = "/usr/sbin/sshd";
/// An sshd that was started for a connection.
pub struct Session {
    /// Process id; it stays this session's until it is reaped.
    pub pid: i32,
    source: Source,
    since: Millis,
    /// The connection: it shows whose turn it is, and ends the session.
    stream: TcpStream,
    is_ending: bool,
}

impl Session {
    /// Starts sshd. A group of its own is what sshd signals when the time for a login is over.
    ///
    /// # Errors
    /// The errno of fork(2) or execve(2).
    pub fn start(stream: TcpStream, source: Source, now: Millis) -> io::Result<Session> {
        let child = Command::new(SSHD)
            .args(["-i", "-e"])
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(stream.try_clone()?)))
            .stdout(Stdio::from(std::os::fd::OwnedFd::from(stream.try_clone()?)))
            .process_group(0)
            .spawn()?;
        let pid = child.id().cast_signed();
        limit::restore(pid);
        Ok(Session {
            pid,
            source,
            since: now,
            stream,
            is_ending: false,
        })
    }

    /// Looks at the process: returns `None` if it has a login, so that it counts no longer.
    pub fn review(&self) -> Option<admission::Session> {
        let read = |name| fs::read(format!("/proc/{}/{name}", self.pid)).unwrap_or_default();
        // The title is read first: it changes before the login, the signal with it.
        let (title, status) = (read("cmdline"), read("status"));
        let stage = stage(&title, &String::from_utf8_lossy(&status));
        (stage != Stage::LoggedIn).then(|| admission::Session {
            source: self.source,
            since: self.since,
            has_no_login: stage == Stage::Waiting,
            owing: match stage {
                Stage::Waiting => self.owing(),
                _ => 0,
            },
            is_ending: self.is_ending,
        })
    }

    /// Returns for how long the client has owed an answer, in milliseconds; 0 if it does not.
    fn owing(&self) -> Millis {
        limit::tcp_info(&self.stream).map_or(0, |info| {
            owing(info.tcpi_last_data_recv, info.tcpi_last_data_sent)
        })
    }

    /// Kills what a session without a login has left: a sshd-session that fails kills the process
    /// that it has started, which is the parent of sshd-auth (`login`). Processes of a user are in
    /// groups of their own.
    pub fn clear(&self) {
        let _ = killpg(Pid::from_raw(self.pid), Signal::SIGKILL);
    }

    /// Ends the session in order: sshd reads the end of the connection.
    pub fn end(&mut self) {
        self.is_ending = true;
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Stage of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// sshd reads its configuration.
    Starting,
    /// The client has no login.
    Waiting,
    /// The client has one.
    LoggedIn,
}

/// Returns the stage of a process. Until the login sshd-session catches SIGALRM, which ends it
/// after `LoginGraceTime`; from then on the signal has its default. Its title names the user
/// from the middle of that time on; before, it waits for nothing for long (sshd-session.c,
/// monitor.c).
fn stage(title: &[u8], status: &str) -> Stage {
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let is_named = title.windows(6).any(|part| part == b"[priv]");
    match mask {
        Some(mask) if mask & 1 << (libc::SIGALRM - 1) != 0 => Stage::Waiting,
        Some(_) if is_named => Stage::LoggedIn,
        _ => Stage::Starting,
    }
}

/// Returns for how long the client has owed an answer, by the times since the last data from it
/// and to it.
fn owing(received: u32, sent: u32) -> Millis {
    match sent <= received {
        true => sent.into(),
        false => 0, // sshd works on what it has received.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_and_the_title_tell_who_has_no_login() {
        let (named, unnamed) = ("sshd-session: core [priv]\0", "/usr/sbin/sshd\0-i\0");
        let (set, unset) = ("SigCgt:\t0000000180016002\n", "SigCgt:\t0000000180014002\n");
        let ignored = "SigIgn:\t0000000000002000\nSigCgt:\t0000000000000000\n";
        for (title, status, want) in [
            (unnamed, unset, Stage::Starting),
            ("sshd-session: [accepted]\0", unset, Stage::Starting),
            ("sshd-session: [accepted]\0", set, Stage::Waiting),
            (named, set, Stage::Waiting),
            (named, unset, Stage::LoggedIn),
            (named, ignored, Stage::LoggedIn),
            // A process that has ended is soon reaped.
            ("", unset, Stage::Starting),
            (named, "SigCgt:\tx\n", Stage::Starting),
            ("", "", Stage::Starting),
        ] {
            assert_eq!(stage(title.as_bytes(), status), want, "{title} {status}");
        }
    }

    #[test]
    fn the_client_owes_an_answer_to_what_was_sent_last() {
        for (received, sent, want) in [(2_500, 2_400, 2_400), (100, 2_400, 0), (0, 0, 0), (7, 7, 7)]
        {
            assert_eq!(owing(received, sent), want, "{received} {sent}");
        }
    }
}
