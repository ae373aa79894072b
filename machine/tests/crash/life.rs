// SPDX-License-Identifier: Apache-2.0
//! `start`, `stop`, `suspend` and the keeper, killed at a system call: the state that is shown is true, and
//! `start` and `rm` work.

use crate::host::{CREATE, Host};
use crate::points;
use crate::trace::{self, Shot};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use tests::eventually;

/// Process that is killed, and the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    /// The command `start`.
    Start,
    /// The keeper, until the machine runs.
    StartingKeeper,
    /// The command `stop`.
    Stop,
    /// The keeper, from the request to stop on.
    StoppingKeeper,
    /// The command `suspend`.
    Suspend,
    /// The keeper, from the request to suspend on.
    SuspendingKeeper,
    /// The command `start` of a machine that is saved.
    Resume,
    /// The keeper of a machine that was saved, until the machine runs.
    ResumingKeeper,
}

impl Victim {
    /// Returns the number of calls that were made before the process was killed, or had done its work.
    fn run(self, host: &Host, at: usize) -> Result<usize> {
        let shot = Shot::kill(at);
        match self {
            Self::Start => Ok(host.shot("start box", shot)?.0),
            Self::StartingKeeper => starting_keeper(host, shot),
            Self::Stop => {
                host.ok("start box")?;
                Ok(host.shot("stop box", shot)?.0)
            }
            Self::StoppingKeeper => {
                host.ok("start box")?;
                ending_keeper(host, "stop box", shot)
            }
            Self::Suspend => {
                host.ok("start box")?;
                Ok(host.shot("suspend box", shot)?.0)
            }
            Self::SuspendingKeeper => {
                host.ok("start box")?;
                ending_keeper(host, "suspend box", shot)
            }
            Self::Resume => {
                saved(host)?;
                Ok(host.shot("start box", shot)?.0)
            }
            Self::ResumingKeeper => {
                saved(host)?;
                starting_keeper(host, shot)
            }
        }
    }
}

fn saved(host: &Host) -> Result<()> {
    host.ok("start box")?;
    host.ok("suspend box").map(|_| ())
}

/// Runs a keeper until the machine runs, and kills it then at the latest.
fn starting_keeper(host: &Host, shot: Shot) -> Result<usize> {
    let pid = trace::start(host, "keeper box")?;
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            // Each of its system calls is a switch to this process and back.
            eventually(Duration::from_secs(300), || {
                let record = host.run_file("run.json").map(fs::read_to_string);
                let runs = matches!(record, Ok(Ok(text)) if text.contains("\"Running\""));
                ensure!(runs || !trace::is_alive(pid), "neither runs nor ends");
                Ok(())
            })?;
            let _ = kill(pid, Signal::SIGKILL);
            anyhow::Ok(())
        });
        let (calls, _) = trace::follow(pid, shot, false)?;
        watcher.join().unwrap_or(Ok(()))?;
        Ok(calls)
    })
}

/// Kills the keeper while a command ends the machine.
fn ending_keeper(host: &Host, line: &str, shot: Shot) -> Result<usize> {
    let text = fs::read_to_string(host.run_file("keeper.pid")?)?;
    let keeper = Pid::from_raw(text.trim().parse()?);
    trace::attach(keeper)?;
    let mut command = host.command(line);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    thread::scope(|scope| {
        // A stop that loses its keeper has another one, and continues; a suspension ends.
        let command = scope.spawn(move || command.status());
        let (calls, _) = trace::follow(keeper, shot, true)?;
        let _ = command.join();
        Ok(calls)
    })
}

/// Compares the state that is shown with the processes that there are.
fn is_true(host: &Host) -> Result<()> {
    let before = (host.qemu()?, host.keepers()?);
    let state = host.ok("status box")?;
    let after = (host.qemu()?, host.keepers()?);
    let any = |lists: &[&Vec<Pid>]| lists.iter().any(|list| !list.is_empty());
    let right = match state.as_str() {
        "Stopped" | "Saved" => before.0.is_empty() || after.0.is_empty(),
        "Running" | "Paused" => any(&[&before.0, &after.0]),
        // A keeper outlives its QEMU by a moment.
        "Starting" | "Stopping" => any(&[&before.0, &after.0, &before.1, &after.1]),
        _ => false,
    };
    ensure!(right, "{state}: {before:?} {after:?}");
    Ok(())
}

/// Starts the machine, whatever it does at the moment, and uses it.
fn starts(host: &Host, victim: Victim) -> Result<()> {
    if [Victim::Stop, Victim::StoppingKeeper].contains(&victim) {
        // A request to stop may still be on its way.
        host.ok("stop box")?;
    }
    if victim == Victim::Suspend {
        // A request to suspend, too. This one is refused where the other is being carried out.
        host.run("suspend box")?;
        eventually(Duration::from_secs(60), || {
            ensure!(host.ok("status box")? != "Stopping", "it is being saved");
            Ok(())
        })?;
    }
    let out = host.run("start box")?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(
        out.status.success() || said.contains("is already running."),
        "{out:?}"
    );
    host.ping()?;
    ensure!(host.qemu()?.len() == 1, "{:?}", host.qemu()?);
    Ok(())
}

fn killed(victim: Victim, most: usize) -> Result<()> {
    let host = Host::new()?;
    host.ok(CREATE)?;
    let calls = victim.run(&host, usize::MAX)?;
    host.ok("rm -f box")?;
    for (turn, at) in points(calls, most).enumerate() {
        let about = || format!("{victim:?}, killed at call {at} of {calls}");
        host.ok(CREATE).with_context(about)?;
        victim.run(&host, at).with_context(about)?;
        is_true(&host).with_context(about)?;
        if turn % 2 == 0 {
            starts(&host, victim).with_context(about)?;
        }
        host.removes().with_context(about)?;
    }
    Ok(())
}

#[test]
fn start_is_killed() -> Result<()> {
    killed(Victim::Start, 8)
}

#[test]
fn a_keeper_that_starts_is_killed() -> Result<()> {
    killed(Victim::StartingKeeper, 12)
}

#[test]
fn stop_is_killed() -> Result<()> {
    killed(Victim::Stop, 8)
}

#[test]
fn a_keeper_that_stops_is_killed() -> Result<()> {
    killed(Victim::StoppingKeeper, 8)
}

#[test]
fn suspend_is_killed() -> Result<()> {
    killed(Victim::Suspend, 5)
}

#[test]
fn a_keeper_that_suspends_is_killed() -> Result<()> {
    killed(Victim::SuspendingKeeper, 6)
}

#[test]
fn resume_is_killed() -> Result<()> {
    killed(Victim::Resume, 5)
}

#[test]
fn a_keeper_that_resumes_is_killed() -> Result<()> {
    killed(Victim::ResumingKeeper, 8)
}

#[test]
#[ignore = "some minutes for each: make test-all"]
fn start_is_killed_at_each_call() -> Result<()> {
    killed(Victim::Start, usize::MAX)
}

#[test]
#[ignore = "some minutes for each: make test-all"]
fn a_keeper_that_starts_is_killed_at_each_call() -> Result<()> {
    killed(Victim::StartingKeeper, usize::MAX)
}

#[test]
#[ignore = "some minutes for each: make test-all"]
fn stop_is_killed_at_each_call() -> Result<()> {
    killed(Victim::Stop, usize::MAX)
}

#[test]
#[ignore = "some minutes for each: make test-all"]
fn a_keeper_that_stops_is_killed_at_each_call() -> Result<()> {
    killed(Victim::StoppingKeeper, usize::MAX)
}

#[test]
#[ignore = "some minutes for each: make test-all"]
fn suspend_is_killed_at_each_call() -> Result<()> {
    killed(Victim::Suspend, usize::MAX)
}

#[test]
#[ignore = "some minutes for each: make test-all"]
fn a_keeper_that_suspends_is_killed_at_each_call() -> Result<()> {
    killed(Victim::SuspendingKeeper, usize::MAX)
}

#[test]
#[ignore = "some minutes for each: make test-all"]
fn resume_is_killed_at_each_call() -> Result<()> {
    killed(Victim::Resume, usize::MAX)
}

#[test]
#[ignore = "some minutes for each: make test-all"]
fn a_keeper_that_resumes_is_killed_at_each_call() -> Result<()> {
    killed(Victim::ResumingKeeper, usize::MAX)
}
