// SPDX-License-Identifier: Apache-2.0
//! `protect`, `unprotect`: machines that `rm` and `reset` leave.

use super::{dirs, for_each, machines, many_names, set};
use crate::compat;
use crate::fault::Fault;
use crate::store::{Machine, files};
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

/// Tells whether a configuration that cannot be read, as that of a later version, has the protection all the same.
fn has_protection(text: &str) -> bool {
    let plain: String = text.split_whitespace().collect();
    plain.contains("\"protected\":true")
}

/// Refuses a machine that is protected.
pub fn check(machine: &Machine) -> Result<(), Fault> {
    let (name, program) = (&machine.name, compat::program());
    let file = machine.file("config.json");
    let lets = format!("`{program} unprotect {name}` lets it be removed");
    let text = match machine.config() {
        Ok(config) if config.protected => lets,
        Err(_) if files::read_text(&file).is_ok_and(|text| has_protection(&text)) => {
            format!("mend {}, and then {lets}", file.display())
        }
        _ => return Ok(()),
    };
    Err(Fault::new(format!(
        "Error: machine \"{name}\" is protected: {text}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_configuration_may_have_the_protection() {
        assert!(has_protection("{\n  \"protected\" : true,\n  \"cpus\": "));
        assert!(!has_protection("{\"protected\": false, \"x\": 1"));
        assert!(!has_protection(""));
    }
}
