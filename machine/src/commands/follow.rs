// SPDX-License-Identifier: Apache-2.0
//! Progress of a keeper, as a command sees it.

use crate::keeper::{Purpose, console};
use crate::state::State;
use crate::store::command_lock::CommandLock;
use crate::store::progress::Progress;
use crate::store::{Dirs, Machine, logfile};
use anyhow::{Context, Result};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, ErrorKind, IsTerminal};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Lines of the console that a failed start shows.
const TAIL_LINES: usize = 20;

/// End of a wait for a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The moment that the caller waits for is reached.
    Reached,
    /// The moment is not reached.
    Failed(Failure),
}

/// Reason why a moment is not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The machine runs, but the API does not answer. The text is the reason.
    ApiFailed(String),
    /// The machine is paused. The text is the reason.
    Paused(String),
    /// QEMU has ended. The text is the reason.
    Ended(String),
    /// The keeper has ended without a report of the end.
    KeeperGone,
    /// The time limit of the command is over.
    Timeout,
}

/// Moment until which progress is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// The guest has written its ready line, or the API has answered.
    Ready,
    /// The API has answered. A paused machine counts as pending until it continues or reports a fault.
    Up,
    /// QEMU has ended.
    End,
}

/// Describes a start that failed, with the last lines of the console.
pub fn describe(machine: &Machine, failure: &Failure, limit: Duration) -> String {
    let name = &machine.name;
    let text = message(name, failure, limit, &machine.file("keeper.log"));
    let lines = console_lines(machine, failure);
    lines
        .iter()
        .fold(text, |text, line| format!("{text}\n({name}) {line}"))
}

/// Returns the message of a failure.
fn message(name: &str, failure: &Failure, limit: Duration, keeper_log: &Path) -> String {
    match failure {
        Failure::Ended(why) => format!("Error: machine \"{name}\" did not start: {why}"),
        Failure::ApiFailed(why) => {
            format!("Error: machine \"{name}\" runs, but its podman API does not answer: {why}")
        }
        Failure::Paused(why) => format!("Error: machine \"{name}\" is paused: {why}"),
        Failure::Timeout => format!(
            "Error: machine \"{name}\" was not ready within {} s",
            limit.as_secs()
        ),
        Failure::KeeperGone => format!(
            "Error: the keeper of machine \"{name}\" has ended without a report: see {}",
            keeper_log.display()
        ),
    }
}

/// Returns the last lines of the console, as they were at the end of QEMU if QEMU has ended.
fn console_lines(machine: &Machine, failure: &Failure) -> Vec<String> {
    match failure {
        // A keeper that could not write the record of its end leaves that of an earlier one.
        Failure::Ended(why) => machine
            .end_record()
            .filter(|record| record.why == *why)
            .map(|record| record.tail)
            .unwrap_or_default(),
        _ => console::tail(&machine.file("console.log"), TAIL_LINES),
    }
}

/// Prints degraded lines and the notice that the API is late, and, on a terminal, the steps of a start.
pub fn show_progress(name: &str, progress: &Progress) {
    let step = match progress {
        Progress::Degraded(line) => return eprintln!("({name}) degraded {line}"),
        Progress::ApiLate(why) => return eprintln!("({name}) {why}"),
        Progress::State(State::Starting) => "QEMU runs, waiting for the machine to be ready...",
        Progress::Ready(_) => "The machine is ready, waiting for its podman API...",
        _ => return,
    };
    if io::stdout().is_terminal() {
        println!("({name}) {step}");
    }
}

/// Starts a keeper that continues when this command has ended; returns the stream of its progress.
pub fn start_keeper(
    dirs: &Dirs,
    machine: &Machine,
    purpose: Purpose,
    lock: Option<&CommandLock>,
) -> Result<UnixStream> {
    spawn_keeper(dirs, machine, purpose, lock).map(|(_, progress)| progress)
}

/// Starts a keeper; returns its process and the stream of its progress. The keeper shares the command's lock until
/// it has a lock and a socket of its own. If the command is killed before that, another command still finds the lock
/// taken.
pub fn spawn_keeper(
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
    on_progress: &mut dyn FnMut(&Progress),
) -> Result<Outcome> {
    read(stream, deadline, Until::Up, on_progress)
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
    on_progress: &mut dyn FnMut(&Progress),
) -> Result<Outcome> {
    read(stream, deadline, Until::End, on_progress)
}

/// Outcome at the end of a stream without the line of an end.
const KEEPER_GONE: Outcome = Outcome::Failed(Failure::KeeperGone);

fn read(
    stream: UnixStream,
    deadline: Option<Instant>,
    until: Until,
    on_progress: &mut dyn FnMut(&Progress),
) -> Result<Outcome> {
    let mut lines = BufReader::new(stream);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Ok(Outcome::Failed(Failure::Timeout));
        }
        lines.get_ref().set_read_timeout(left)?;
        let mut line = String::new();
        match lines.read_line(&mut line) {
            Ok(0) => return Ok(KEEPER_GONE),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                continue;
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(KEEPER_GONE),
            Err(error) => return Err(error.into()),
        }
        let value: Value = serde_json::from_str(&line).context("the keeper's progress")?;
        let Some(progress) = Progress::from_json(&value) else {
            continue;
        };
        on_progress(&progress);
        if let Some(outcome) = outcome(&progress, until) {
            if matches!(progress, Progress::Ended { .. }) {
                // The keeper reports its end while it holds its lock, and closes this stream after it has released
                // the lock. Reading to the end of the stream waits for that.
                lines.get_ref().set_read_timeout(left)?;
                let _ = io::copy(&mut lines, &mut io::sink());
            }
            return Ok(outcome);
        }
    }
}

/// Returns the outcome that a line of progress means, if any. An API that is late may still answer: the time limit of
/// the command decides.
fn outcome(progress: &Progress, until: Until) -> Option<Outcome> {
    let outcome = match (progress, until) {
        (Progress::Ended { .. }, Until::End) => Outcome::Reached,
        (Progress::Ended { why, .. }, _) => Outcome::Failed(Failure::Ended(why.clone())),
        (_, Until::End) => return None,
        (Progress::Ready(_), Until::Ready) => Outcome::Reached,
        (Progress::State(State::Running), _) => Outcome::Reached,
        (Progress::Paused(why), _) => Outcome::Failed(Failure::Paused(why.clone())),
        (Progress::Trouble(why), _) => Outcome::Failed(Failure::ApiFailed(why.clone())),
        _ => return None,
    };
    Some(outcome)
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

    const RUNNING: &str = "{\"phase\":\"Running\"}\n";
    const READY: &str = "{\"ready\":\"boot2podman: ready\"}\n";
    const ENDED: &str = "{\"ended\":\"x\",\"clean\":true}\n";

    #[test]
    fn progress_has_an_outcome() {
        let gone = || Outcome::Failed(Failure::KeeperGone);
        let paused = "{\"phase\":\"Paused\"}\n{\"trouble\":\"full\",\"paused\":true}\n";
        let late = format!("{{\"trouble\":\"no\",\"late\":true}}\n{RUNNING}");
        let failed = "{\"trouble\":\"no\"}\n";
        for (text, until, expected) in [
            ("{\"phase\":\"Starting\"}\n", Until::Up, gone()),
            (RUNNING, Until::Up, Outcome::Reached),
            (RUNNING, Until::End, gone()),
            ("{\"phase\":\"Paused\"}\n", Until::Up, gone()),
            (
                paused,
                Until::Up,
                Outcome::Failed(Failure::Paused("full".into())),
            ),
            (
                failed,
                Until::Up,
                Outcome::Failed(Failure::ApiFailed("no".into())),
            ),
            (&late, Until::Up, Outcome::Reached),
            (&format!("{failed}{ENDED}"), Until::End, Outcome::Reached),
            (
                ENDED,
                Until::Up,
                Outcome::Failed(Failure::Ended("x".into())),
            ),
            (READY, Until::Ready, Outcome::Reached),
            (READY, Until::Up, gone()),
            (
                &format!("{{\"new\":1}}\n{RUNNING}"),
                Until::Up,
                Outcome::Reached,
            ),
            ("", Until::Up, gone()),
        ] {
            assert_eq!(outcome_of(text, until), expected, "{text}");
        }
    }

    #[test]
    fn each_failure_has_a_message_of_its_own() {
        let limit = Duration::from_secs(9);
        let why = || "x".to_owned();
        for (failure, expected) in [
            (Failure::Ended(why()), "machine \"box\" did not start: x"),
            (
                Failure::ApiFailed(why()),
                "machine \"box\" runs, but its podman API does not answer: x",
            ),
            (Failure::Paused(why()), "machine \"box\" is paused: x"),
            (Failure::Timeout, "machine \"box\" was not ready within 9 s"),
            (
                Failure::KeeperGone,
                "the keeper of machine \"box\" has ended without a report: see /m/keeper.log",
            ),
        ] {
            let text = message("box", &failure, limit, Path::new("/m/keeper.log"));
            assert_eq!(text, format!("Error: {expected}"));
        }
    }

    #[test]
    fn a_deadline_ends_the_wait() {
        let (ours, _theirs) = UnixStream::pair().expect("socketpair");
        let soon = Some(Instant::now() + Duration::from_millis(20));
        assert_eq!(
            read(ours, soon, Until::Up, &mut |_| {}).expect("read"),
            Outcome::Failed(Failure::Timeout)
        );
    }
}
