// SPDX-License-Identifier: Apache-2.0
//! `status`, `wait`.

use super::follow::{self, Failure, Outcome};
use super::lifecycle::{MAX_SECONDS, keeper};
use super::{dirs, machine, one_name, state};
use crate::fault::Fault;
use crate::state::State;
use crate::store::progress::Progress;
use crate::store::{Dirs, Machine};
use anyhow::Result;
use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::json;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Returns the parser of `status`.
pub fn status_command() -> Command {
    Command::new("status")
        .about("Print the state of a machine")
        .args(one_name())
}

/// Runs `status`.
pub fn status(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let machine = machine(&dirs, matches)?;
    // As in `ls`.
    let state = match state(&dirs, &machine)? {
        State::Stopped if machine.config().is_err() => State::Error,
        state => state,
    };
    println!("{state}");
    Ok(ExitCode::SUCCESS)
}

/// Returns the parser of `wait`.
pub fn wait_command() -> Command {
    Command::new("wait")
        .about("Wait until a machine's podman API has answered, it is ready, or it is off")
        .args(one_name())
        .args([
            Arg::new("for")
                .long("for")
                .value_name("WHAT")
                .value_parser(["api", "ready", "stopped"])
                .default_value("api")
                .help("The podman API has answered, the machine has written its ready line, or it is off"),
            Arg::new("timeout")
                .short('t')
                .long("timeout")
                .value_name("SECONDS")
                .value_parser(value_parser!(u64).range(..=MAX_SECONDS))
                .help("Time limit; none by default"),
        ])
}

/// Runs `wait`.
pub fn wait(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let machine = machine(&dirs, matches)?;
    let what = matches.get_one::<String>("for").map_or("", String::as_str);
    let limit = matches
        .get_one("timeout")
        .map(|&seconds| Duration::from_secs(seconds));
    until(&dirs, &machine, what, limit)?;
    Ok(ExitCode::SUCCESS)
}

/// Waits until a machine has printed its ready line.
pub fn ready(dirs: &Dirs, machine: &Machine, limit: Duration) -> Result<()> {
    until(dirs, machine, "ready", Some(limit))
}

/// Prints that the podman API is late: the command may wait without a time limit.
fn print_late(progress: &Progress) {
    if let Progress::ApiLate(text) = progress {
        eprintln!("{text}");
    }
}

fn until(dirs: &Dirs, machine: &Machine, what: &str, limit: Option<Duration>) -> Result<()> {
    let (off, ready) = (what == "stopped", what == "ready");
    let deadline = limit.map(|limit| Instant::now() + limit);
    loop {
        match (off, state(dirs, machine)?) {
            (true, State::Stopped | State::Saved) | (false, State::Running) => {
                return Ok(());
            }
            (false, State::Stopped | State::Saved) => {
                return Err(Fault::new("Host is not running").into());
            }
            _ => {}
        }
        let Some(stream) = keeper(machine, &json!({"do": "follow"}))? else {
            continue;
        };
        let outcome = match (off, ready) {
            (true, _) => follow::follow_end(stream, deadline, &mut |_| {})?,
            (_, true) => follow::follow_ready(stream, deadline)?,
            _ => follow::follow(stream, deadline, &mut print_late)?,
        };
        let text = match (off, &outcome) {
            (false, Outcome::Reached) => return Ok(()),
            // The state shows whether QEMU has ended with its keeper.
            (true, Outcome::Reached) | (_, Outcome::Failed(Failure::KeeperGone)) => continue,
            (true, Outcome::Failed(Failure::Timeout)) => {
                let (name, seconds) = (&machine.name, limit.unwrap_or_default().as_secs());
                format!("Error: machine \"{name}\" was not off within {seconds} s")
            }
            (_, Outcome::Failed(failure)) => {
                follow::describe(machine, failure, limit.unwrap_or_default())
            }
        };
        return Err(Fault::new(text).into());
    }
}
