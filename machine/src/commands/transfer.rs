// SPDX-License-Identifier: Apache-2.0
//! `scp` and `mount`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command as Process, ExitCode};

use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::scp_text::{self, Options, Place};
use super::{dirs, interrupt, state, takes_ssh};
use crate::fault::{FAILURE, Fault};
use crate::keeper::tunnel::host_alias;
use crate::store::{Dirs, Machine, draft};

fn flag(name: &'static str, short: char, help: &'static str) -> Arg {
    Arg::new(name)
        .short(short)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}

fn places(help: &'static str) -> Arg {
    Arg::new("places")
        .value_name("[[USER@]MACHINE:]PATH")
        .action(ArgAction::Append)
        .num_args(0..)
        .help(help)
}

/// Returns the parser of `scp`.
pub fn scp_command() -> Command {
    Command::new("scp")
        .about("Copy files between this host and machines")
        .visible_alias("cp")
        .arg(flag(
            "recursive",
            'r',
            "Copy directories with all they contain",
        ))
        .arg(flag("delta", 'd', "Copy only changes, by rsync(1)"))
        .arg(flag("quiet", 'q', "Show no progress"))
        .arg(places(
            "Source and destination; `-` is standard input or output",
        ))
}

/// Runs `scp`.
pub fn scp(matches: &ArgMatches) -> Result<ExitCode> {
    let [from, to] = words(matches)[..] else {
        return Err(Fault::new("Improper number of arguments").into());
    };
    let ends = [from, to].map(|text| Place::parse(text, cfg!(windows)));
    ends.iter().try_for_each(Place::check_user)?;
    let options = Options {
        recursive: matches.get_flag("recursive"),
        delta: matches.get_flag("delta"),
        quiet: matches.get_flag("quiet"),
    };
    let dirs = dirs(matches)?;
    let config = SshConfig::of(&dirs, &ends)?;
    let words = scp_text::copy(&ends[0], &ends[1], options, &config.path()?, host_alias)?;
    run(&words)
}

/// Returns the parser of `mount`.
pub fn mount_command() -> Command {
    Command::new("mount")
        .about("Mount a directory of a machine on this host, by sshfs(1)")
        .arg(flag("unmount", 'u', "Unmount"))
        .arg(places("Directory of a machine, and the mount point"))
}

/// Runs `mount`.
pub fn mount(matches: &ArgMatches) -> Result<ExitCode> {
    let (from, point) = match words(matches)[..] {
        [from] => (from, None),
        [from, point] => (from, Some(point)),
        _ => return Err(Fault::new("Improper number of arguments").into()),
    };
    let from = match Place::parse(from, cfg!(windows)) {
        // docker-machine takes a path alone for one of the default machine.
        Place::Local(path) => Place::Remote {
            user: None,
            machine: "default".to_owned(),
            path,
        },
        place => place,
    };
    from.check_user()?;
    let unmount = matches.get_flag("unmount");
    let dirs = dirs(matches)?;
    let config = match unmount {
        true => SshConfig::Null,
        false => SshConfig::of(&dirs, std::slice::from_ref(&from))?,
    };
    let words = scp_text::mount(&from, point, unmount, &config.path()?, host_alias);
    run(&words)
}

fn words(matches: &ArgMatches) -> Vec<&str> {
    let words = matches.get_many::<String>("places");
    words.into_iter().flatten().map(String::as_str).collect()
}

/// Runs a program, and returns its exit status.
fn run(words: &[String]) -> Result<ExitCode> {
    let Some((program, arguments)) = words.split_first() else {
        return Ok(ExitCode::FAILURE);
    };
    let status = match Process::new(program).args(arguments).status() {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
            let text = format!("You must have a copy of the {program} binary locally");
            return Err(Fault::new(text).into());
        }
        other => other.with_context(|| program.clone())?,
    };
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(FAILURE)))
}

/// Beginning of the name of a file with the configuration of two machines.
const SCP: &str = "scp-";

/// Configuration of ssh for the machines of a copy.
enum SshConfig {
    /// None is needed.
    Null,
    /// The file of one machine.
    One(PathBuf),
    /// A file that includes those of two, and that is removed afterwards.
    Joined(PathBuf),
}

impl SshConfig {
    fn of(dirs: &Dirs, places: &[Place]) -> Result<SshConfig> {
        let mut files = Vec::new();
        for name in places.iter().filter_map(Place::machine) {
            let machine = Machine::find(dirs, name)?;
            if !takes_ssh(&machine, state(dirs, &machine)?) {
                let text = format!("Error: Cannot copy: Host \"{name}\" is not running");
                return Err(Fault::new(text).into());
            }
            files.push(machine.file("ssh_config"));
        }
        files.dedup();
        match <[PathBuf; 2]>::try_from(files) {
            Ok(both) => {
                // Not by `Include`, which expands its argument by glob(7).
                let read = |file: &PathBuf| {
                    fs::read_to_string(file).with_context(|| file.display().to_string())
                };
                draft::sweep_files(&dirs.runtime, SCP);
                let path = dirs.runtime.join(format!("{SCP}{}", std::process::id()));
                let text = both.iter().map(read).collect::<Result<String>>()?;
                interrupt::remove_on_signal(vec![path.clone()])?;
                fs::write(&path, text).with_context(|| path.display().to_string())?;
                draft::hold(&path);
                Ok(SshConfig::Joined(path))
            }
            Err(files) => Ok(files
                .into_iter()
                .next()
                .map_or(SshConfig::Null, SshConfig::One)),
        }
    }

    fn path(&self) -> Result<String> {
        let path = match self {
            SshConfig::Null => return Ok("none".to_owned()),
            SshConfig::One(path) | SshConfig::Joined(path) => path,
        };
        let text = path.to_str().map(str::to_owned);
        text.with_context(|| format!("{}: not UTF-8", path.display()))
    }
}

impl Drop for SshConfig {
    fn drop(&mut self) {
        if let SshConfig::Joined(path) = self {
            let _ = fs::remove_file(path);
        }
    }
}
