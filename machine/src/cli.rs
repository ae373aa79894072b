// SPDX-License-Identifier: Apache-2.0
//! Command line: one table of commands, and the way from arguments to an exit status.

use crate::fault::{FAILURE, Fault};
use anyhow::Result;
use clap::{ArgMatches, Command};
use std::ffi::OsString;
use std::process::ExitCode;

/// Command of this program.
struct Entry {
    name: &'static str,
    command: fn() -> Command,
    run: fn(&ArgMatches) -> Result<ExitCode>,
}

const COMMANDS: &[Entry] = &[];

/// Returns the parser of the whole command line.
#[must_use]
pub fn parser() -> Command {
    let parser = Command::new("podman-machine")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Create and run machines of boot2podman");
    COMMANDS.iter().fold(parser, |parser, entry| {
        parser.subcommand((entry.command)().name(entry.name))
    })
}

/// Runs a command line, and prints its error.
#[must_use]
pub fn run(args: Vec<OsString>) -> ExitCode {
    let matches = match parser().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { FAILURE } else { 0 });
        }
    };
    let Some((name, own)) = matches.subcommand() else {
        let _ = parser().print_help();
        return ExitCode::from(FAILURE);
    };
    let entry = COMMANDS.iter().find(|entry| entry.name == name);
    match entry.map(|entry| (entry.run)(own)) {
        Some(Ok(status)) => status,
        Some(Err(error)) => ExitCode::from(report(&error)),
        None => ExitCode::from(FAILURE),
    }
}

/// Prints an error, and returns its exit status.
fn report(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Fault>() {
        Some(fault) => {
            eprintln!("{fault}");
            fault.status
        }
        None => {
            eprintln!("Error: {error:#}");
            FAILURE
        }
    }
}
