// SPDX-License-Identifier: Apache-2.0
//! `connect` and `disconnect`.

use super::{dirs, machine, one_name};
use crate::clients::{self, Places, docker};
use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::process::ExitCode;

/// Returns the parser of `connect`.
pub fn command() -> Command {
    Command::new("connect")
        .about("Make podman (connections NAME and NAME-root) and docker (a context) know a machine")
        .args(one_name())
        .arg(
            Arg::new("default")
                .long("default")
                .action(ArgAction::SetTrue)
                .help("Make it the default of both"),
        )
}

/// Runs `connect`.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let machine = machine(&dirs(matches)?, matches)?;
    clients::connect(
        &Places::of_environment()?,
        &machine,
        matches.get_flag("default"),
    )?;
    let name = &machine.name;
    let context = docker::context_name(name);
    println!("podman --connection {name}, docker --context {context}");
    Ok(ExitCode::SUCCESS)
}

/// Returns the parser of `disconnect`.
pub fn disconnect_command() -> Command {
    Command::new("disconnect")
        .about("Remove a machine from the files of podman and docker")
        .args(one_name())
}

/// Runs `disconnect`.
pub fn disconnect(matches: &ArgMatches) -> Result<ExitCode> {
    let machine = machine(&dirs(matches)?, matches)?;
    if !clients::disconnect(&Places::of_environment()?, &machine)? {
        println!("Machine \"{}\" is not connected.", machine.name);
    }
    Ok(ExitCode::SUCCESS)
}
