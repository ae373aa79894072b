// SPDX-License-Identifier: Apache-2.0
//! `rm`.

use super::lifecycle::kill_one;
use super::{autostart, dirs, protect, text_of};
use crate::clients::{self, Places};
use crate::fault::Fault;
use crate::store::dirs::remove_all;
use crate::store::files::sync_dir;
use crate::store::{Dirs, Machine, draft};
use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

/// Returns the parser of `rm`.
pub fn command() -> Command {
    let flag = |name: &'static str, short, help| {
        Arg::new(name)
            .long(name)
            .short(short)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    Command::new("rm")
        .aliases(["delete", "destroy"])
        .about("Remove machines with their disks")
        .arg(
            Arg::new("name")
                .value_name("NAME")
                .action(ArgAction::Append)
                .num_args(0..)
                .help("Machines"),
        )
        .arg(flag(
            "force",
            'f',
            "Remove without asking, and even if a part of the removal fails; an error if a machine is left",
        ))
        .arg(
            Arg::new("y")
                .short('y')
                .action(ArgAction::SetTrue)
                .help("Answer yes"),
        )
}

/// Runs `rm`.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let names = super::once(matches.get_many("name").into_iter().flatten());
    if names.is_empty() {
        eprintln!("{}", super::usage(command()));
        return Err(
            Fault::new("Error: Expected to get one or more machine names as arguments").into(),
        );
    }
    let force = matches.get_flag("force");
    let list: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    println!("About to remove {}", list.join(", "));
    println!("WARNING: This action will delete both local reference and remote instance.");
    if !(force || matches.get_flag("y") || confirmed()?) {
        return Ok(ExitCode::SUCCESS);
    }
    // Remains of a removal or a creation that was killed.
    draft::sweep(&dirs)?;
    let mut errors = Vec::new();
    let mut left = false;
    for name in list {
        let remove = if force { remove_by_force } else { remove };
        match Machine::find(&dirs, name).and_then(|machine| remove(&dirs, &machine)) {
            Ok(()) => println!("Successfully removed {name}"),
            Err(error) => {
                left |= Machine::find(&dirs, name).is_ok();
                errors.push(not_removed(name, &text_of(&error)));
            }
        }
    }
    // Scripts rely on the status: no machine is left after a success.
    match (errors.is_empty(), force && !left) {
        (true, _) => Ok(ExitCode::SUCCESS),
        (false, true) => {
            eprintln!("{}", errors.join("\n"));
            Ok(ExitCode::SUCCESS)
        }
        (false, false) => Err(Fault::new(errors.join("\n")).into()),
    }
}

/// Returns docker-machine's words for a machine that could not be removed.
fn not_removed(name: &str, why: &str) -> String {
    let why = why.strip_prefix("Error: ").unwrap_or(why);
    format!("Error removing host \"{name}\": {why}")
}

/// Asks; every answer that begins with `y` is a yes, and the end of the input is a no.
pub fn confirmed() -> Result<bool> {
    print!("Are you sure? (y/n): ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer.trim_start().to_ascii_lowercase().starts_with('y'))
}

/// Ends a machine and removes its files. Its name is free at once, even where the removal of the
/// files is cut short.
pub fn remove(dirs: &Dirs, machine: &Machine) -> Result<()> {
    let _lock = machine.lock("rm")?;
    protect::check(machine)?;
    remove_held(dirs, machine)
}

/// Removes a machine as [`remove`] does, also while another command waits for its start or its stop: the command fails
/// when QEMU is killed, and gives up the machine's lock.
fn remove_by_force(dirs: &Dirs, machine: &Machine) -> Result<()> {
    protect::check(machine)?;
    let mut removed = Ok(());
    // A restart and an upgrade continue with a start when the machine that they stop is killed.
    for _ in 0..3 {
        if !machine.is_off().unwrap_or(false) {
            kill_one(machine)?;
        }
        removed = remove(dirs, machine);
        if removed.is_ok() || machine.is_off().unwrap_or(true) {
            break;
        }
    }
    removed
}

/// Removes a machine whose lock this process holds.
pub fn remove_held(dirs: &Dirs, machine: &Machine) -> Result<()> {
    kill_one(machine)?;
    // This step precedes the removal of the name: afterwards nothing leads here, and another machine may have the name.
    remove_all(&machine.run)?;
    if let Ok(places) = Places::of_environment()
        && let Err(error) = clients::disconnect(&places, machine)
    {
        eprintln!("{error:#}");
    }
    if let Ok(units) = autostart::units()
        && autostart::enabled(&units, dirs, machine)
        && let Err(error) = autostart::disable(&units, machine)
    {
        eprintln!("{error:#}");
    }
    // As a draft, it is swept where its removal is cut short.
    let grave = draft::path(dirs, &machine.name, std::process::id());
    draft::hold(&machine.dir);
    fs::rename(&machine.dir, &grave)
        .with_context(|| format!("rename {}", machine.dir.display()))?;
    sync_dir(&dirs.machines())?;
    remove_all(&grave)
}
