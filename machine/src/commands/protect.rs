// SPDX-License-Identifier: Apache-2.0
//! `protect`, `unprotect`: machines that `rm` and `reset` leave.

use super::{dirs, for_each, machines, many_names, set};
use crate::compat;
use crate::fault::Fault;
use crate::store::Machine;
use anyhow::Result;
use clap::{ArgMatches, Command};
use std::process::ExitCode;

/// Returns the parser of `protect`.
pub fn command() -> Command {
    Command::new("protect")
        .about("Keep machines from rm and reset, also with --force")
        .arg(many_names())
}

/// Returns the parser of `unprotect`.
pub fn unprotect_command() -> Command {
    Command::new("unprotect")
        .about("Let rm and reset remove machines again")
        .arg(many_names())
}

/// Runs `protect`.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    protect(matches, true)
}

/// Runs `unprotect`.
pub fn unprotect(matches: &ArgMatches) -> Result<ExitCode> {
    protect(matches, false)
}

fn protect(matches: &ArgMatches, protected: bool) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    for_each(&machines(&dirs, matches)?, |machine| {
        set::change(&dirs, machine, |config| {
            config.protected = protected;
            Ok(())
        })
    })
}

/// Refuses a machine that is protected. One whose configuration is broken is not.
pub fn check(machine: &Machine) -> Result<(), Fault> {
    if !machine.config().is_ok_and(|config| config.protected) {
        return Ok(());
    }
    let (name, program) = (&machine.name, compat::program());
    Err(Fault::new(format!(
        "Error: machine \"{name}\" is protected: `{program} unprotect {name}` lets it be removed"
    )))
}
