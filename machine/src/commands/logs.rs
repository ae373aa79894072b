// SPDX-License-Identifier: Apache-2.0
//! `logs`, `console`.

use super::{dirs, machine, one_name, state};
use crate::fault::Fault;
use crate::state::State;
use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::thread;

/// Logs of a machine: option and file.
const LOGS: [(&str, &str, &str); 3] = [
    (
        "console",
        "console.log",
        "Output of the machine's console (default)",
    ),
    ("qemu", "qemu.log", "Messages of QEMU"),
    ("keeper", "keeper.log", "Messages of the machine's keeper"),
];

/// Returns the parser of `logs`.
pub fn command() -> Command {
    let flag = |(name, _, help): (&'static str, &str, &'static str)| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    Command::new("logs")
        .about("Print a log of a machine; it is kept when the machine is off")
        .arg(one_name())
        .args(LOGS.map(flag))
}

/// Runs `logs`.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let machine = machine(&dirs(matches)?, matches)?;
    let chosen = LOGS.iter().find(|(name, ..)| matches.get_flag(name));
    let path = machine.file(chosen.map_or("console.log", |(_, file, _)| file));
    match File::open(&path) {
        Ok(mut file) => io::copy(&mut file, &mut io::stdout().lock())
            .map(|_| ())
            .context("copy the log")?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the parser of `console`.
pub fn console_command() -> Command {
    Command::new("console")
        .about("Connect standard input and output to a machine's serial console")
        .arg(one_name())
}

/// Runs `console`, until the machine ends or this command is interrupted.
pub fn console(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let machine = machine(&dirs, matches)?;
    if matches!(state(&dirs, &machine)?, State::Stopped | State::Saved) {
        return Err(Fault::new("Host is not running").into());
    }
    let path = machine.run_file("con.sock");
    let mut output = UnixStream::connect(&path).with_context(|| path.display().to_string())?;
    let mut input = output.try_clone()?;
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut input);
        let _ = input.shutdown(Shutdown::Write);
    });
    io::copy(&mut output, &mut io::stdout().lock()).context("the console")?;
    Ok(ExitCode::SUCCESS)
}
