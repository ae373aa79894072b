// SPDX-License-Identifier: Apache-2.0
//! Progress of a keeper, as a command sees it.

use crate::keeper::{Purpose, console};
use crate::store::command_lock::CommandLock;
use crate::store::{Dirs, Machine, logfile};
use anyhow::{Context, Result};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, ErrorKind, IsTerminal};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Lines of the console that a failed start shows.
const TAIL_LINES: usize = 20;

/// End of a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The API has answered. A paused machine counts as pending until it continues or reports a fault.
    Up,
    /// The machine runs, and its API does not answer, for this reason.
    Trouble(String),
    /// The machine stands still, for this reason.
    Paused(String),
    /// QEMU has ended.
    Ended {
        /// Reason.
        why: String,
        /// True if the end is the one that was asked for.
        clean: bool,
    },
    /// The keeper has ended without a last message.
    Gone,
    /// The time is over.
    Timeout,
}

/// Moment until which progress is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// The guest has written its ready line, or more.
    Ready,
    /// The API has answered.
    Up,
    /// QEMU has ended.
    End,
}

/// Describes a start that failed, with the last lines of the console.
pub fn failure(machine: &Machine, outcome: &Outcome, limit: Duration) -> String {
    let name = &machine.name;
    let why = match outcome {
        Outcome::Ended { why, .. } => format!("Error: machine \"{name}\" did not start: {why}"),
        Outcome::Trouble(why) => {
            format!("Error: machine \"{name}\" runs, but its podman API does not answer: {why}")
        }
        Outcome::Paused(why) => format!("Error: machine \"{name}\" is paused: {why}"),
        Outcome::Timeout => format!(
            "Error: machine \"{name}\" was not ready within {} s",
            limit.as_secs()
        ),
        Outcome::Gone | Outcome::Up => format!(
            "Error: the keeper of machine \"{name}\" has ended without a word: see {}",
            machine.file("keeper.log").display()
        ),
    };
    let tail = match outcome {
        // A keeper that could not write the record of its end leaves that of an earlier one.
        Outcome::Ended { why, .. } => machine
            .end_record()
            .filter(|record| record.why == *why)
            .map(|record| record.tail)
            .unwrap_or_default(),
        _ => console::tail(&machine.file("console.log"), TAIL_LINES),
    };
    tail.iter()
        .fold(why, |text, line| format!("{text}\n({name}) {line}"))
}

/// Prints degraded lines, and that the API is late; on a terminal also the steps of a start.
pub fn show_progress(name: &str, value: &Value) {
    if let Some(line) = value["degraded"].as_str() {
        eprintln!("({name}) degraded {line}");
    }
    if let (Some(line), true) = (value["trouble"].as_str(), value["late"] == true) {
        eprintln!("({name}) {line}");
    }
    let step = match (value["phase"] == "Starting", value["ready"].is_string()) {
        (true, _) => "QEMU runs, waiting for the machine to be ready...",
        (_, true) => "The machine is ready, waiting for its podman API...",
        _ => return,
    };
    if io::stdout().is_terminal() {
        println!("({name}) {step}");
    }
}

/// Starts a keeper; returns the stream of its progress.
pub fn spawn_keeper(
    dirs: &Dirs,
    machine: &Machine,
    purpose: Purpose,
    lock: Option<&CommandLock>,
) -> Result<UnixStream> {
    // The keeper continues when this command has ended, and is no child to wait for.
    Ok(spawn(dirs, machine, purpose, lock)?.1)
}

/// Starts a keeper; returns its process and the stream of its progress. The keeper shares the lock of
/// the command until it has its own and its socket: a command that is killed meanwhile leaves no
/// moment in which another one finds neither.
pub fn spawn(
    dirs: &Dirs,
    machine: &Machine,
    purpose: Purpose,
    lock: Option<&CommandLock>,
) -> Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let log = machine.file("keeper.log");
    let log = logfile::append(&log)?;
    let mut keeper = Command::new(std::env::current_exe().context("path of this program")?);
    keeper
        .arg("--storage-path")
        .arg(&dirs.storage)
        .arg("keeper")
        .arg(&machine.name)
        .args((purpose == Purpose::Adopt).then_some("--adopt"));
    keeper
        .stdin(lock.map_or_else(|| Ok(Stdio::null()), CommandLock::share)?)
        .stdout(OwnedFd::from(theirs))
        .stderr(log)
        .current_dir(&machine.dir);
    let child = keeper.spawn().context("start the keeper")?;
    Ok((child, ours))
}

/// Reads progress until the machine is up or has ended, or until the deadline.
pub fn follow(
    stream: UnixStream,
    deadline: Option<Instant>,
    see: &mut dyn FnMut(&Value),
) -> Result<Outcome> {
    read(stream, deadline, Until::Up, see)
}

/// Reads progress until the machine is ready or has ended, or until the deadline.
pub fn follow_ready(stream: UnixStream, deadline: Option<Instant>) -> Result<Outcome> {
    read(stream, deadline, Until::Ready, &mut |_| {})
}

/// Waits until the keeper has the machine, or has given up; no longer than `limit`.
pub fn follow_adoption(stream: UnixStream, limit: Duration) -> Result<()> {
    stream.set_read_timeout(Some(limit))?;
    // The keeper's first line is the state or the end.
    let mut lines = BufReader::new(stream);
    match lines.read_line(&mut String::new()) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        other => Ok(other.map(|_| ())?),
    }
}

/// Reads progress until the machine has ended, or until the deadline.
pub fn follow_end(
    stream: UnixStream,
    deadline: Option<Instant>,
    see: &mut dyn FnMut(&Value),
) -> Result<Outcome> {
    read(stream, deadline, Until::End, see)
}

fn read(
    stream: UnixStream,
    deadline: Option<Instant>,
    until: Until,
    see: &mut dyn FnMut(&Value),
) -> Result<Outcome> {
    let mut lines = BufReader::new(stream);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Ok(Outcome::Timeout);
        }
        lines.get_ref().set_read_timeout(left)?;
        let mut line = String::new();
        match lines.read_line(&mut line) {
            Ok(0) => return Ok(Outcome::Gone),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                continue;
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Outcome::Gone),
            Err(error) => return Err(error.into()),
        }
        let value: Value = serde_json::from_str(&line).context("the keeper's progress")?;
        see(&value);
        if let Some(outcome) = outcome(&value, until) {
            if matches!(outcome, Outcome::Ended { .. }) {
                // The keeper tells its end while it holds its lock; what it started with is closed
                // after that.
                lines.get_ref().set_read_timeout(left)?;
                let _ = io::copy(&mut lines, &mut io::sink());
            }
            return Ok(outcome);
        }
    }
}

/// Returns the outcome that a line of progress means, if any.
fn outcome(value: &Value, until: Until) -> Option<Outcome> {
    if let Some(why) = value["ended"].as_str() {
        let clean = value["clean"] == true;
        return Some(Outcome::Ended {
            why: why.to_owned(),
            clean,
        });
    }
    if until == Until::End {
        return None;
    }
    if until == Until::Ready && value["ready"].is_string() {
        return Some(Outcome::Up);
    }
    // An API that is late may still answer: the time limit of the command decides.
    if let Some(text) = value["trouble"].as_str()
        && value["late"] != true
    {
        let text = text.to_owned();
        return Some(match value["paused"] == true {
            true => Outcome::Paused(text),
            false => Outcome::Trouble(text),
        });
    }
    (value["phase"] == "Running").then_some(Outcome::Up)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn outcome_of(text: &str, until: Until) -> Outcome {
        let (ours, mut theirs) = UnixStream::pair().expect("socketpair");
        theirs.write_all(text.as_bytes()).expect("written");
        drop(theirs);
        read(ours, None, until, &mut |_| {}).expect("read")
    }

    #[test]
    fn progress_has_an_outcome() {
        let ended = Outcome::Ended {
            why: "x".into(),
            clean: true,
        };
        for (text, until, expected) in [
            (
                "{\"phase\":\"Starting\"}\n{\"phase\":\"Running\"}\n",
                Until::Up,
                Outcome::Up,
            ),
            ("{\"phase\":\"Running\"}\n", Until::End, Outcome::Gone),
            ("{\"phase\":\"Paused\"}\n", Until::Up, Outcome::Gone),
            (
                "{\"phase\":\"Paused\"}\n{\"trouble\":\"full\",\"paused\":true}\n",
                Until::Up,
                Outcome::Paused("full".into()),
            ),
            (
                "{\"trouble\":\"no\"}\n",
                Until::Up,
                Outcome::Trouble("no".into()),
            ),
            (
                "{\"trouble\":\"no\",\"late\":true}\n{\"phase\":\"Running\"}\n",
                Until::Up,
                Outcome::Up,
            ),
            (
                "{\"trouble\":\"no\"}\n{\"ended\":\"x\",\"clean\":true}\n",
                Until::End,
                ended.clone(),
            ),
            ("{\"ended\":\"x\",\"clean\":true}\n", Until::Up, ended),
            (
                "{\"ready\":\"boot2podman: ready\"}\n",
                Until::Ready,
                Outcome::Up,
            ),
            (
                "{\"ready\":\"boot2podman: ready\"}\n",
                Until::Up,
                Outcome::Gone,
            ),
            ("", Until::Up, Outcome::Gone),
        ] {
            assert_eq!(outcome_of(text, until), expected, "{text}");
        }
    }

    #[test]
    fn a_deadline_ends_the_wait() {
        let (ours, _theirs) = UnixStream::pair().expect("socketpair");
        let soon = Some(Instant::now() + Duration::from_millis(20));
        assert_eq!(
            read(ours, soon, Until::Up, &mut |_| {}).expect("read"),
            Outcome::Timeout
        );
    }
}
