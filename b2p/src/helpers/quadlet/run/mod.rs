// SPDX-License-Identifier: Apache-2.0
//! `b2p unit-run NAME`: the first process of the service that a unit is. The process runs the unit's
//! commands as systemd would ([`super::lifecycle`]), follows its main process, and reports to PID 1 that the
//! unit is ready. PID 1 supervises this process as any other service, and needs no model of units.
//!
//! The main process of a container is conmon, an orphan of podman: as a subreaper (prctl(2)) this process
//! learns of the end of conmon.

mod processes;
mod runner;
mod slots;
pub mod state;

use std::fs;

use control::{Report, Request};
use log::{error, info};
use sys::clock::now;
use sys::error::Result;

use self::runner::Runner;
use self::state::State;
use super::lifecycle::{GIVEN_UP, SKIPPED};
use super::program::Program;
use super::specifiers::{Owner, Specifiers};
use super::unit::Unit;
use super::{NAME, conditions, convert, dependents, host, paths};
use crate::common::control_client::ControlClient;
use crate::common::terminal::print_error;

/// Runs the unit, and returns the exit status of its main process.
pub fn main(args: &[String]) -> i32 {
    sys::kmsg::init_logger(log::LevelFilter::Info);
    let [name] = args else {
        print_error("b2p: unit-run: usage: b2p unit-run NAME");
        return 2;
    };
    match run(name) {
        Ok(status) => status,
        Err(why) => {
            error!("{name}: {why}");
            1
        }
    }
}

/// Runs the unit if its conditions hold.
fn run(name: &str) -> Result<i32> {
    let owner = host::caller()?;
    let text = sys::files::read_text(paths::unit(name))?;
    let unit = Unit::parse(&text);
    let unit_name = unit.last(NAME.0, NAME.1).unwrap_or(name);
    let specifiers = host::specifiers(unit_name, &unit, owner);
    let program = Program::of(&unit, &specifiers)?;
    let tell = |result: &str| {
        let state = State {
            result: result.to_owned(),
            ..State::default()
        };
        let _ = fs::write(paths::state(name, &specifiers.user), state.text());
    };
    if let Some(line) = failing(&unit, "Condition", &specifiers)? {
        info!("{name}: left out, because {line} does not hold");
        tell("condition");
        return Ok(SKIPPED.into());
    }
    if let Some(line) = failing(&unit, "Assert", &specifiers)? {
        error!("{name}: {line} does not hold: given up");
        tell("assert");
        return Ok(GIVEN_UP.into());
    }
    if let Some(other) = inactive_requisite(&unit, &specifiers) {
        error!("{name}: {other}, which Requisite= names, is not active: given up");
        tell("dependency");
        return Ok(GIVEN_UP.into());
    }
    let starts = paths::starts(name, &specifiers.user);
    if let Some(limit) = program.start_limit
        && !state::may_start(&starts, now(), limit)
    {
        error!("{name}: too many starts in a short time (StartLimitBurst=): given up");
        tell("start-limit-hit");
        return Ok(GIVEN_UP.into());
    }
    Runner::new(name, program, &specifiers.user)?.run()
}

/// Returns a service of `Requisite=` that is not active.
fn inactive_requisite(unit: &Unit, specifiers: &Specifiers) -> Option<String> {
    let names = convert::requisites(unit, specifiers);
    if names.is_empty() {
        return None;
    }
    let text = ControlClient::default().ask(&Request::Status);
    let report = text.as_deref().map(Report::parse);
    let is_active = |name: &String| match &report {
        Ok(report) => dependents::is_active(report, name),
        // PID 1 answers root alone. The other unit is the same user's, and reports its state.
        Err(_) => is_active_by_file(name, &specifiers.user),
    };
    names.into_iter().find(|name| !is_active(name))
}

fn is_active_by_file(name: &str, owner: &Owner) -> bool {
    let state = State::read(&paths::state(name, owner));
    match state.stage.as_str() {
        "running" | "reload" => true,
        "dead" => state.result == "success" && dependents::stays(name),
        _ => false,
    }
}

fn failing(unit: &Unit, prefix: &str, specifiers: &Specifiers) -> Result<Option<String>> {
    let conditions = conditions::of(unit, prefix, specifiers)?;
    let line = conditions::failing(&conditions, |c| conditions::holds(c, specifiers));
    Ok(line.map(str::to_owned))
}
