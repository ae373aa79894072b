// SPDX-License-Identifier: Apache-2.0
//! One sshd for one connection, run as by inetd, and the kernel's facts about the two.

use std::fs;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use sys::clock::Millis;

use super::admission::{self, Client, Source};
use super::limit;

/// Path of sshd(8).
pub const SSHD: &str = "/usr/sbin/sshd";
/// Time in milliseconds that sshd has for its end, before it is killed.
const MAX_END_TIME: Millis = 2_000;
/// Time in milliseconds for which sshd is assumed to work on data that has arrived.
const MAX_WORK: Millis = 500;
/// Time in milliseconds for which a session that starts is believed to work.
const MAX_START: Millis = 5_000;

/// An sshd that was started for a connection.
pub struct Session {
    /// Process id, which stays this session's until the process is reaped.
    pub pid: i32,
    client: Client,
    since: Millis,
    /// The connection, which shows the side that is to send next, and whose end ends the session.
    stream: TcpStream,
    /// Time at which the session was requested to end.
    end_requested: Option<Millis>,
    /// True if sshd worked at the last review.
    was_working: bool,
}

impl Session {
    /// Starts sshd in a process group of its own, to which sshd sends a signal when the time for a
    /// login is over.
    ///
    /// # Errors
    /// The errno of fork(2) or execve(2).
    pub fn start(stream: &TcpStream, client: Client, now: Millis) -> io::Result<Session> {
        let own = stream.try_clone()?;
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
            client,
            since: now,
            stream: own,
            end_requested: None,
            was_working: false,
        })
    }

    /// Returns the origin of the client.
    pub fn source(&self) -> Source {
        self.client.source
    }

    /// Returns true if the session is in the cgroup of a user, as after a login (`login`), also
    /// after its end.
    pub fn has_login(&self) -> bool {
        is_of_user(&read(&format!("/proc/{}/cgroup", self.pid)))
    }

    /// Reviews the processes. Returns `None` after a login: the session does not count against the
    /// limits any more.
    pub fn review(&mut self, now: Millis) -> Option<admission::Session> {
        let stage = self.stage();
        let age = now.saturating_sub(self.since);
        let is_working = match stage {
            Stage::LoggedIn => return None,
            Stage::Starting => age < MAX_START,
            Stage::Waiting => self.is_working(),
        };
        self.was_working = is_working;
        Some(admission::Session {
            client: self.client,
            since: self.since,
            has_no_login: stage == Stage::Waiting,
            is_working,
            unanswered: match is_working {
                true => 0,
                false => self.unanswered(),
            },
            is_ending: self.end_requested.is_some(),
        })
    }

    /// Returns true if sshd worked at the last review and still works.
    pub fn works_on(&mut self, now: Millis) -> bool {
        self.was_working && self.review(now).is_some_and(|facts| facts.is_working)
    }

    fn stage(&self) -> Stage {
        let status = || read(&format!("/proc/{}/status", self.pid));
        let has_alarm = has_alarm(&status());
        if has_alarm == Some(true) {
            return Stage::Waiting;
        }
        // The title is read first: the title changes before the login, the signal with the login.
        let title = read(&format!("/proc/{}/cmdline", self.pid));
        stage(&title, &status())
    }

    /// Returns true if sshd-session runs, or sshd-auth, which talks to the client until the login.
    fn is_working(&self) -> bool {
        match works(&self.pid.to_string()) {
            Some(is_working) => is_working,
            // A kernel without CONFIG_PROC_CHILDREN: sshd-auth may work on data that has just
            // arrived.
            None => limit::tcp_info(&self.stream).is_ok_and(|info| has_news(&info)),
        }
    }

    /// Returns the time for which sshd has waited for a complete packet of the client, in
    /// milliseconds: the time since the last data of sshd. After a complete packet sshd would have
    /// answered, or would work.
    fn unanswered(&self) -> Millis {
        limit::tcp_info(&self.stream).map_or(0, |info| info.tcpi_last_data_sent.into())
    }

    /// Kills the processes that a session without a login has left: a failing sshd-session kills
    /// its child, which is the parent of sshd-auth (`login`). Processes of a user are in groups of
    /// their own.
    pub fn kill_remaining(&self) {
        let _ = killpg(Pid::from_raw(self.pid), Signal::SIGKILL);
    }

    /// Ends the session in order: sshd reads the end of the connection.
    pub fn end(&mut self, now: Millis) {
        self.end_requested = Some(now);
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Kills a session that was requested to end and has not.
    pub fn kill_overdue(&self, now: Millis) {
        if self
            .end_requested
            .is_some_and(|at| now.saturating_sub(at) >= MAX_END_TIME)
        {
            self.kill_remaining();
        }
    }
}

fn read(path: &str) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns true if data has arrived lately, after the last answer.
fn has_news(info: &libc::tcp_info) -> bool {
    let received = info.tcpi_last_data_recv;
    received < info.tcpi_last_data_sent && Millis::from(received) < MAX_WORK
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

/// Returns the stage of a process by its title and its status. Until the login, sshd-session
/// catches SIGALRM, which ends it after `LoginGraceTime`; from then on the signal has its default.
/// The title names the user before the handler is removed. A process with neither has just started,
/// and waits for no client (sshd-session.c, monitor.c).
fn stage(title: &str, status: &str) -> Stage {
    match has_alarm(status) {
        Some(true) => Stage::Waiting,
        Some(false) if title.contains("[priv]") => Stage::LoggedIn,
        _ => Stage::Starting,
    }
}

/// Returns true if the process with this proc_pid_cgroup(5) is in the cgroup of a user.
fn is_of_user(cgroup: &str) -> bool {
    let mut lines = cgroup.lines();
    lines.any(|line| line.starts_with("0::/user/"))
}

/// Returns true if the process with this status catches SIGALRM (proc_pid_status(5)).
fn has_alarm(status: &str) -> Option<bool> {
    let caught = status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))?;
    let mask = u64::from_str_radix(caught.trim(), 16).ok()?;
    Some(mask & 1 << (libc::SIGALRM - 1) != 0)
}

/// Returns true if a process or one of its descendants runs; `None` if the kernel gives no answer.
fn works(pid: &str) -> Option<bool> {
    if is_running(&read(&format!("/proc/{pid}/stat"))) {
        return Some(true);
    }
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    // A child that has ended meanwhile has no such file.
    let works = |child| works(child).unwrap_or(false);
    Some(children.split_whitespace().any(works))
}

/// Returns true if the process with this line of proc_pid_stat(5) runs, or waits for a disk.
fn is_running(stat: &str) -> bool {
    let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    state.starts_with(['R', 'D'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_without_a_login_are_known_by_alarm_and_title() {
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
            assert_eq!(stage(title, status), want, "{title} {status}");
        }
    }

    #[test]
    fn sessions_with_a_login_are_known_by_their_cgroup() {
        for (cgroup, want) in [
            ("0::/user/1000/session\n", true),
            ("0::/user/0/session (deleted)\n", true),
            ("0::/system/sshd\n", false),
            ("0::/system/sshd/runtime\n", false),
            ("1:name=x:/user/0\n0::/\n", false),
            ("", false),
        ] {
            assert_eq!(is_of_user(cgroup), want, "{cgroup}");
        }
    }

    #[test]
    fn working_sessions_are_known_by_their_process_state() {
        for (stat, want) in [
            ("7 (sshd-session) R 1 7", true),
            ("7 (sshd-session) D 1 7", true),
            ("7 (sshd-session) S 1 7", false),
            ("7 (a) R (b) S 1 7", false),
            ("7 (sshd-session) Z 1 7", false),
            ("", false),
        ] {
            assert_eq!(is_running(stat), want, "{stat}");
        }
    }
}
