// SPDX-License-Identifier: Apache-2.0
//! Commands. Each file has the parser of its part of the command line beside its action.

pub mod autostart;
pub mod cancel;
pub mod connect;
pub mod copy;
pub mod create;
pub mod create_options;
pub mod creation;
pub mod doctor;
pub mod env_text;
pub mod events;
pub mod flags;
pub mod follow;
pub mod import;
pub mod inspect_text;
pub mod interrupt;
pub mod lifecycle;
pub mod list;
pub mod logs;
pub mod ls_text;
pub mod misc;
pub mod ports;
pub mod power_cut;
pub mod protect;
pub mod prune;
pub mod reach;
pub mod remove;
pub mod scp_text;
pub mod set;
pub mod shares;
pub mod show;
pub mod snapshot;
pub mod ssh_config;
pub mod start_times;
pub mod suspend;
pub mod transfer;
pub mod trim;
pub mod upgrade;
pub mod wait;

use crate::compat;
use crate::fault::Fault;
use crate::keeper::Purpose;
use crate::state::State;
use crate::store::lock_state::LockState;
use crate::store::{Dirs, Machine};
use anyhow::{Result, anyhow};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// Time that an adopted machine has to show its state.
const ADOPTION: Duration = Duration::from_secs(10);

/// Returns the directories that the command line asks for.
pub fn dirs(matches: &ArgMatches) -> Result<Dirs> {
    let storage = matches.get_one::<String>("storage-path");
    Dirs::new(storage.map(std::path::Path::new))
}

/// Returns the arguments of a command for one machine: its name, and more names, which [`machine`] refuses.
#[must_use]
pub fn one_name() -> [Arg; 2] {
    [
        Arg::new("name")
            .value_name("NAME")
            .help("Machine; `default` if none is given"),
        Arg::new("more")
            .action(ArgAction::Append)
            .num_args(0..)
            .hide(true),
    ]
}

/// Returns the argument for several machines.
#[must_use]
pub fn many_names() -> Arg {
    Arg::new("name")
        .value_name("NAME")
        .action(ArgAction::Append)
        .num_args(0..)
        .help("Machines; `default` if none is given")
}

/// Returns the option for output that programs read.
#[must_use]
pub fn json_flag() -> Arg {
    Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print JSON")
}

/// Returns the line of a command's usage.
#[must_use]
pub fn usage(command: Command) -> String {
    let name = format!("{} {}", compat::program(), command.get_name());
    command.bin_name(name).render_usage().to_string()
}

/// Returns the machine that a command line names, or the default one.
pub fn machine(dirs: &Dirs, matches: &ArgMatches) -> Result<Machine> {
    // A command without more names has no such argument.
    let more = matches.try_get_many::<String>("more").ok().flatten();
    if more.is_some_and(|names| names.len() > 0) {
        return Err(Fault::new("Error: Expected one machine name as an argument").into());
    }
    named(dirs, matches.get_one("name").map(String::as_str))
}

/// Returns the machine of a name, or the default one without a name.
pub fn named(dirs: &Dirs, name: Option<&str>) -> Result<Machine> {
    let none = "Error: No machine name(s) specified and no \"default\" machine exists";
    match name {
        Some(name) => Machine::find(dirs, name),
        None => Machine::find(dirs, "default").map_err(|_| Fault::new(none).into()),
    }
}

/// Returns the names of a command line in their order, each once.
pub fn once<'a>(names: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    let mut list = Vec::new();
    for name in names {
        if !list.contains(&name) {
            list.push(name);
        }
    }
    list
}

/// Returns the machines that a command line names, or the default one.
pub fn machines(dirs: &Dirs, matches: &ArgMatches) -> Result<Vec<Machine>> {
    let names = once(matches.get_many("name").into_iter().flatten());
    match names.as_slice() {
        [] => Ok(vec![named(dirs, None)?]),
        names => names.iter().map(|name| Machine::find(dirs, name)).collect(),
    }
}

/// Returns true if ssh reaches a machine: it runs, or it is ready and its podman API has not answered.
pub fn takes_ssh(machine: &Machine, state: State) -> bool {
    let is_ready = || machine.live_record().is_some_and(|record| record.ready);
    state == State::Running || state == State::Starting && is_ready()
}

/// Error of commands that need a running machine.
#[must_use]
pub fn not_running() -> anyhow::Error {
    Fault::new("Host is not running").into()
}

/// Returns the option for all machines.
#[must_use]
pub fn all_flag(help: &'static str) -> Arg {
    Arg::new("all")
        .long("all")
        .action(ArgAction::SetTrue)
        .conflicts_with("name")
        .help(help)
}

/// Returns the machines of [`machines`], or with `--all` those whose state is one of `states`, and those whose state
/// cannot be determined: the command then reports the error of each.
pub fn chosen(
    dirs: &Dirs,
    matches: &ArgMatches,
    states: fn(State) -> bool,
) -> Result<Vec<Machine>> {
    if !matches.get_flag("all") {
        return machines(dirs, matches);
    }
    let mut names = Machine::names(dirs)?;
    names.sort_by(|a, b| ls_text::natural(a, b));
    let all = names.iter().map(|name| Machine::at(dirs, name));
    Ok(all
        .filter(|machine| state(dirs, machine).map_or(true, states))
        .collect())
}

/// Returns true for the state of a machine that is not off.
#[must_use]
pub fn is_on(state: State) -> bool {
    !matches!(state, State::Stopped | State::Saved)
}

/// Acts on machines side by side; the errors of all are one error.
pub fn for_each(
    machines: &[Machine],
    act: impl Fn(&Machine) -> Result<()> + Sync,
) -> Result<ExitCode> {
    let errors: Vec<String> = thread::scope(|scope| {
        let started: Vec<_> = machines
            .iter()
            .map(|machine| scope.spawn(|| act(machine)))
            .collect();
        let ended = started.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err(anyhow!("the command has crashed")))
        });
        ended
            .filter_map(Result::err)
            .map(|error| text_of(&error))
            .collect()
    });
    match errors.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => Err(Fault::new(errors.join("\n")).into()),
    }
}

/// Returns the text of an error as it is printed.
#[must_use]
pub fn text_of(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Fault>() {
        Some(fault) => fault.text.clone(),
        None => format!("Error: {error:#}"),
    }
}

/// Returns the state of a machine. A QEMU that has lost its keeper gets a new one.
pub fn state(dirs: &Dirs, machine: &Machine) -> Result<State> {
    if machine.lock_state()? == LockState::Orphan {
        let stream = follow::start_keeper(dirs, machine, Purpose::Adopt, None)?;
        follow::follow_adoption(stream, ADOPTION)?;
    }
    match machine.lock_state()? {
        LockState::Known(state) => Ok(state),
        LockState::Orphan => Err(anyhow!(
            "QEMU of {} runs, and no keeper can adopt it: `podman-machine kill {}` ends it; the reason is in {}",
            machine.name,
            machine.name,
            machine.file("keeper.log").display()
        )),
    }
}
