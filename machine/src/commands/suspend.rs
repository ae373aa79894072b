// SPDX-License-Identifier: Apache-2.0
//! `suspend`, `resume`, `pause`.

use super::{dirs, follow, for_each, lifecycle, machines, many_names, state};
use crate::fault::Fault;
use crate::keeper::control;
use crate::state::State;
use crate::store::lock_state::LockState;
use crate::store::progress::Progress;
use crate::store::{Dirs, Machine, lock};
use anyhow::Result;
use clap::{ArgMatches, Command};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

/// Returns the parser of `suspend`.
pub fn suspend_command() -> Command {
    Command::new("suspend")
        .about(
            "Save the memory of machines on their disks, and end QEMU; `start` continues from there",
        )
        .arg(many_names())
        .arg(super::all_flag("All machines that run"))
}

/// Runs `suspend`.
pub fn suspend(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    for_each(&super::chosen(&dirs, matches, super::is_on)?, |machine| {
        suspend_one(&dirs, machine)
    })
}

/// Reason why a machine is not saved whose keeper has ended without a report.
const KEEPER_GONE: &str = "its keeper has ended without a report";

fn suspend_one(dirs: &Dirs, machine: &Machine) -> Result<()> {
    let _lock = machine.lock("suspend")?;
    let name = &machine.name;
    match state(dirs, machine)? {
        State::Running | State::Paused => {}
        State::Saved => {
            println!("Machine \"{name}\" is already saved.");
            return Ok(());
        }
        State::Stopped => return Err(Fault::new("Host is not running").into()),
        other => return Err(busy(name, other)),
    }
    println!("Saving \"{name}\"...");
    let socket = machine.run_file(control::SOCKET);
    let stream = control::open(&socket, &json!({"do": "suspend"}))?.into_inner();
    let (mut refused, mut ended) = (None, None);
    let mut on_progress = |progress: &Progress| match progress {
        Progress::Refused(why) => refused = Some(why.clone()),
        Progress::Ended { why, .. } => ended = Some(why.clone()),
        _ => {}
    };
    follow::follow_end(stream, None, &mut on_progress)?;
    if let Some(why) = refused {
        return Err(refusal(machine, &why));
    }
    lock::wait_free(&machine.run_file("keeper.pid"))?;
    // A keeper that is killed meanwhile reports no end; the mark of the saved memory decides.
    if machine.saved()?.is_none() {
        let why = ended.as_deref().unwrap_or(KEEPER_GONE);
        let text = format!("Error: machine \"{name}\" is not saved: {why}");
        return Err(Fault::new(text).into());
    }
    println!("Machine \"{name}\" was saved.");
    Ok(())
}

/// Describes a machine that cannot be saved, and what it does now.
fn refusal(machine: &Machine, why: &str) -> anyhow::Error {
    let now = match machine.lock_state() {
        Ok(LockState::Known(State::Paused)) => "is paused",
        _ => "continues to run",
    };
    let name = &machine.name;
    Fault::new(format!(
        "Error: machine \"{name}\" cannot be saved: {why}; it {now}"
    ))
    .into()
}

fn busy(name: &str, state: State) -> anyhow::Error {
    Fault::new(format!("Error: Machine \"{name}\" is {state}: try again")).into()
}

/// Returns the parser of `resume`.
pub fn resume_command() -> Command {
    Command::new("resume")
        .about("Continue machines that are saved or paused")
        .arg(many_names())
        .arg(lifecycle::start_timeout())
}

/// Runs `resume`.
pub fn resume(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let limit = Duration::from_secs(*matches.get_one("timeout").unwrap_or(&600));
    for_each(&machines(&dirs, matches)?, |machine| {
        match state(&dirs, machine)? {
            State::Stopped => Err(Fault::new("Host is not running").into()),
            _ => lifecycle::start_one(&dirs, machine, limit),
        }
    })
}

/// Returns the parser of `pause`.
pub fn pause_command() -> Command {
    Command::new("pause")
        .about("Let the processors of machines stand still until `resume`")
        .arg(many_names())
}

/// Runs `pause`.
pub fn pause(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    for_each(&machines(&dirs, matches)?, |machine| {
        let _lock = machine.lock("pause")?;
        let name = &machine.name;
        match state(&dirs, machine)? {
            State::Running => {}
            State::Paused => {
                println!("Machine \"{name}\" is already paused.");
                return Ok(());
            }
            State::Stopped | State::Saved => return Err(Fault::new("Host is not running").into()),
            other => return Err(busy(name, other)),
        }
        let answer = control::ask(&machine.run_file(control::SOCKET), &json!({"do": "pause"}))?;
        if let Some(why) = answer["error"].as_str() {
            return Err(Fault::new(format!("Error: pause \"{name}\": {why}")).into());
        }
        println!("Machine \"{name}\" was paused.");
        Ok(())
    })
}
