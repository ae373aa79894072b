// SPDX-License-Identifier: Apache-2.0
//! `logs`, `console`.

use super::{dirs, machine, one_name, state};
use crate::fault::Fault;
use crate::keeper::console::tail;
use crate::state::State;
use crate::store::watch::Watch;
use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

/// Logs of a machine: option and file.
const LOGS: [(&str, &str, &str); 4] = [
    (
        "console",
        "console.log",
        "Output of the machine's console (default)",
    ),
    ("qemu", "qemu.log", "Messages of QEMU"),
    ("keeper", "keeper.log", "Messages of the machine's keeper"),
    ("ssh", "ssh.log", "Messages of the ssh that carries the API"),
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
        .args([
            Arg::new("follow")
                .short('f')
                .long("follow")
                .action(ArgAction::SetTrue)
                .help("Print what is added, until interrupted"),
            Arg::new("lines")
                .short('n')
                .long("lines")
                .value_name("NUMBER")
                .value_parser(value_parser!(u32))
                .help("Print the last lines alone"),
            Arg::new("previous")
                .long("previous")
                .action(ArgAction::SetTrue)
                .help("Print the log before this one, which was put aside when it was full"),
        ])
}

/// Runs `logs`.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let machine = machine(&dirs(matches)?, matches)?;
    let chosen = LOGS.iter().find(|(name, ..)| matches.get_flag(name));
    let name = chosen.map_or("console.log", |(_, file, _)| file);
    let end = if matches.get_flag("previous") {
        ".1"
    } else {
        ""
    };
    let path = machine.file(&format!("{name}{end}"));
    let begin = match matches.get_one::<u32>("lines") {
        Some(&lines) => {
            for line in tail(&path, lines as usize) {
                println!("{line}");
            }
            Some(std::fs::metadata(&path).map_or(0, |meta| meta.len()))
        }
        None => print_from(&path, 0)?,
    };
    match (matches.get_flag("follow"), begin) {
        (true, Some(begin)) => follow(&path, begin),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Prints a file from an offset on, and returns its length; `None` if the output has no reader any more. A file that is shorter
/// was begun anew.
fn print_from(path: &Path, at: u64) -> Result<Option<u64>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(0)),
        other => other.with_context(|| path.display().to_string())?,
    };
    let at = if file.metadata()?.len() < at { 0 } else { at };
    file.seek(SeekFrom::Start(at))?;
    let copied = crate::out::copy(&mut file).context("copy the log")?;
    Ok(copied.map(|copied| at + copied))
}

/// Prints additions to a log, and sleeps in between.
fn follow(path: &Path, mut at: u64) -> Result<ExitCode> {
    File::options()
        .append(true)
        .create(true)
        .open(path)
        .with_context(|| path.display().to_string())?;
    let watch = Watch::new(path)?;
    loop {
        match print_from(path, at)? {
            Some(end) => at = end,
            None => return Ok(ExitCode::SUCCESS),
        }
        watch.wait()?;
    }
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
