// SPDX-License-Identifier: Apache-2.0
//! `ssh`, `url`, `ip`.

use super::{dirs, machine, machines, many_names, one_name, state};
use crate::fault::Fault;
use crate::keeper::tunnel::host_alias;
use crate::state::State;
use crate::store::Machine;
use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::os::unix::process::CommandExt;
use std::process::{Command as Process, ExitCode};

/// Error of commands that need a running machine.
#[must_use]
pub fn not_running() -> anyhow::Error {
    Fault::new("Host is not running").into()
}

/// Returns the parser of `ssh`.
pub fn ssh_command() -> Command {
    Command::new("ssh")
        .about("Log in to a machine, or run a command in it")
        .arg(
            Arg::new("words")
                .value_name("[NAME] [COMMAND...]")
                .action(ArgAction::Append)
                .num_args(0..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .help("Machine, options of ssh(1), and a command"),
        )
}

/// Runs `ssh`: this process becomes ssh, so that its exit status is that of the command.
pub fn ssh(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let words: Vec<&String> = matches.get_many("words").into_iter().flatten().collect();
    let (name, rest) = match words.split_first() {
        Some((name, rest)) => (name.as_str(), rest),
        None => ("default", &[][..]),
    };
    let machine = Machine::find(&dirs, name)?;
    if state(&dirs, &machine)? != State::Running {
        let text = format!("Error: Cannot run SSH command: Host \"{name}\" is not running");
        return Err(Fault::new(text).into());
    }
    let mut ssh = Process::new("ssh");
    ssh.arg("-F")
        .arg(machine.file("ssh_config"))
        .arg(host_alias(name))
        .args(rest);
    Err(ssh.exec()).context("cannot start ssh: is it installed?")
}

/// Returns the parser of `url`.
pub fn url_command() -> Command {
    Command::new("url")
        .about("Print the URL of a machine's podman API")
        .arg(one_name())
}

/// Runs `url`.
pub fn url(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let machine = machine(&dirs, matches)?;
    if state(&dirs, &machine)? != State::Running {
        return Err(not_running());
    }
    println!("unix://{}", machine.api().display());
    Ok(ExitCode::SUCCESS)
}

/// Returns the parser of `ip`.
pub fn ip_command() -> Command {
    Command::new("ip")
        .about("Print the address at which machines are reached")
        .arg(many_names())
}

/// Runs `ip`.
pub fn ip(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    for machine in machines(&dirs, matches)? {
        if state(&dirs, &machine)? != State::Running {
            return Err(not_running());
        }
        println!("127.0.0.1");
    }
    Ok(ExitCode::SUCCESS)
}
