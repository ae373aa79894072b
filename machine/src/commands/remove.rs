// SPDX-License-Identifier: Apache-2.0
//! `rm`.

use super::power_cut::kill_one;
use super::{autostart, dirs, protect, state, text_of};
use crate::clients::{self, Places};
use crate::compat;
use crate::fault::Fault;
use crate::state::State;
use crate::store::dirs::remove_all;
use crate::store::files::sync_dir;
use crate::store::{Dirs, Machine, disks, draft};
use crate::text::shell::word;
use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
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
            Arg::new("keep-disk")
                .long("keep-disk")
                .action(ArgAction::SetTrue)
                .help("Keep the disks of machines that are off, for `create --data-disk`"),
        )
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
    let fate = Fate {
        is_kept: matches.get_flag("keep-disk"),
        is_forced: matches.get_flag("force"),
    };
    let force = fate.is_forced;
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
        match Machine::find(&dirs, name).and_then(|machine| remove_as(&dirs, &machine, fate)) {
            Ok(kept) => {
                println!("Successfully removed {name}");
                kept.iter().for_each(|disk| tell_of_disk(name, disk));
            }
            Err(error) => {
                left |= Machine::find(&dirs, name).is_ok();
                errors.push(not_removed(name, &text_of(&error)));
            }
        }
    }
    end(&errors, force && !left)
}

/// Returns the status of a removal; `is_enough` is true if it succeeds with errors.
fn end(errors: &[String], is_enough: bool) -> Result<ExitCode> {
    // Scripts rely on the status: no machine is left after a success.
    match (errors.is_empty(), is_enough) {
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

/// Fate of a machine's disk, and of a machine that runs.
#[derive(Clone, Copy)]
struct Fate {
    is_kept: bool,
    is_forced: bool,
}

/// Prints where a disk is, and how a machine gets it.
fn tell_of_disk(name: &str, disk: &Path) {
    let path = word(&disk.to_string_lossy());
    println!(
        "({name}) its disk is {path}: `{} create --data-disk {path} NAME` makes a machine of it",
        compat::program()
    );
}

/// Removes a machine; returns the path of its disk if it is kept.
fn remove_as(dirs: &Dirs, machine: &Machine, fate: Fate) -> Result<Option<PathBuf>> {
    match fate.is_forced {
        true => remove_by_force(dirs, machine, fate),
        false => remove_once(dirs, machine, fate),
    }
}

/// Ends a machine and removes its files. Its name is free at once, even where the removal of the
/// files is cut short.
pub fn remove(dirs: &Dirs, machine: &Machine) -> Result<()> {
    let fate = Fate {
        is_kept: false,
        is_forced: false,
    };
    remove_once(dirs, machine, fate).map(|_| ())
}

fn remove_once(dirs: &Dirs, machine: &Machine, fate: Fate) -> Result<Option<PathBuf>> {
    let _lock = machine.lock("rm")?;
    protect::check(machine)?;
    let disk = match fate.is_kept {
        true => Some(keep_disk(dirs, machine, fate)?),
        false => None,
    };
    remove_held(dirs, machine)?;
    Ok(disk)
}

/// Keeps the disk of a machine that is off. That of a machine that is killed would be as after a power cut, and the work in
/// a saved memory would be lost: only `--force` accepts that.
fn keep_disk(dirs: &Dirs, machine: &Machine, fate: Fate) -> Result<PathBuf> {
    let now = state(dirs, machine)?;
    let first = match now {
        State::Stopped => "",
        _ if fate.is_forced => "",
        State::Saved => "start and stop it",
        _ => "stop it",
    };
    if !first.is_empty() {
        let word = now.word().to_lowercase();
        let text =
            format!("it is {word}: {first} first, so that its disk is whole, or use --force");
        return Err(Fault::new(text).into());
    }
    kill_one(machine)?;
    disks::keep(dirs, machine)
}

/// Removes a machine also while another command waits for its start or its stop: the command fails
/// when QEMU is killed, and gives up the machine's lock.
fn remove_by_force(dirs: &Dirs, machine: &Machine, fate: Fate) -> Result<Option<PathBuf>> {
    protect::check(machine)?;
    let mut removed = Ok(None);
    // A restart and an upgrade continue with a start when the machine that they stop is killed.
    for _ in 0..3 {
        if !machine.is_off().unwrap_or(false) {
            kill_one(machine)?;
        }
        removed = remove_once(dirs, machine, fate);
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
