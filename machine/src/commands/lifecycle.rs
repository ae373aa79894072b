// SPDX-License-Identifier: Apache-2.0
//! `start`, `stop`, `restart`, `kill`.

use super::follow::{self, Outcome};
use super::power_cut::kill_one;
use super::start_times::{self, StartTimes};
use super::{all_flag, chosen, dirs, for_each, is_on, many_names, state};
use super::{cancel, interrupt};
use crate::clients::{self, Places};
use crate::compat;
use crate::fault::Fault;
use crate::keeper::{Purpose, control};
use crate::state::State;
use crate::store::lock_state::LockState;
use crate::store::progress::Progress;
use crate::store::{Dirs, Machine, lock};
use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Seconds that a start has by default.
pub const START_SECONDS: u64 = 600;
/// Largest time limit in seconds.
pub const MAX_SECONDS: u64 = crate::keeper::MAX_STOP_SECONDS;

/// Returns the parser of `start`.
pub fn start_command() -> Command {
    Command::new("start")
        .alias("up")
        .about("Start machines, and wait until their podman API answers")
        .arg(many_names())
        .arg(all_flag("All machines that do not run"))
        .arg(
            Arg::new("quiet")
                .short('q')
                .long("quiet")
                .action(ArgAction::SetTrue)
                .help("Print errors and degraded lines alone"),
        )
        .arg(cold())
        .arg(
            Arg::new("cancel")
                .long("cancel")
                .action(ArgAction::SetTrue)
                .help("End machines that are not ready where a signal such as that of ^C ends this command"),
        )
        .arg(
            Arg::new("time")
                .long("time")
                .action(ArgAction::SetTrue)
                .help("Print where the time of the start went, with the machine's own chart"),
        )
        .arg(start_timeout())
}

/// Returns the option with the time limit of a start.
pub fn start_timeout() -> Arg {
    Arg::new("timeout")
        .long("timeout")
        .value_name("SECONDS")
        .value_parser(value_parser!(u64).range(1..=MAX_SECONDS))
        .default_value("600")
        .help("Time limit of the start; the machine is left running after it")
}

/// Returns the option that drops a saved memory.
fn cold() -> Arg {
    Arg::new("cold")
        .long("cold")
        .action(ArgAction::SetTrue)
        .help("Drop a saved memory, and boot")
}

/// Runs `start`.
pub fn start(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let limit = Duration::from_secs(*matches.get_one("timeout").unwrap_or(&600));
    let cold = matches.get_flag("cold");
    if matches.get_flag("quiet") {
        crate::out::be_quiet();
    }
    let machines = chosen(&dirs, matches, |state| state != State::Running)?;
    let act: fn(&Machine) = match matches.get_flag("cancel") {
        true => cancel::cancel_start,
        false => cancel::warn_start_continues,
    };
    interrupt::run_on_signal(machines.clone(), act)?;
    let started = for_each(&machines, |machine| {
        if cold {
            drop_saved(machine)?;
        }
        match matches.get_flag("time") {
            true => start_timed(&dirs, machine, limit),
            false => start_one(&dirs, machine, limit),
        }
    });
    interrupt::wait_for_end();
    started
}

/// Starts a machine, and prints where the time went.
fn start_timed(dirs: &Dirs, machine: &Machine, limit: Duration) -> Result<()> {
    let mut times = StartTimes::begin();
    let mut record = |progress: &Progress| times.record(progress);
    start_seen(dirs, machine, limit, &crate::keeper::go_back, &mut record)
        .inspect_err(|_| cancel::warn_start_continues(machine))?;
    let name = &machine.name;
    // An image of another release may draw none, and the machine runs all the same.
    let chart = start_times::of_guest(machine).unwrap_or_else(|error| {
        eprintln!("({name}) no chart of the boot from the machine: {error:#}");
        String::new()
    });
    // In one piece, beside those of other machines that start.
    print!("{}{chart}", times.text(name));
    Ok(())
}

/// Starts a machine, with the image before an upgrade that was interrupted.
pub fn start_one(dirs: &Dirs, machine: &Machine, limit: Duration) -> Result<()> {
    let started = start_with(dirs, machine, limit, &crate::keeper::go_back);
    started.inspect_err(|_| cancel::warn_start_continues(machine))
}

/// Drops the saved memory of a machine. Its disk stays as it was at that moment.
fn drop_saved(machine: &Machine) -> Result<()> {
    let _lock = machine.lock("start --cold")?;
    machine.forget_saved()
}

/// Starts a machine after `prepare`, which changes it while it is off, in one step for other commands.
pub fn start_with(
    dirs: &Dirs,
    machine: &Machine,
    limit: Duration,
    prepare: &dyn Fn(&Machine) -> Result<()>,
) -> Result<()> {
    start_seen(dirs, machine, limit, prepare, &mut |_| {})
}

fn start_seen(
    dirs: &Dirs,
    machine: &Machine,
    limit: Duration,
    prepare: &dyn Fn(&Machine) -> Result<()>,
    on_progress: &mut dyn FnMut(&Progress),
) -> Result<()> {
    dirs.create()?;
    let lock = machine.lock("start")?;
    if state(dirs, machine)? == State::Stopped {
        prepare(machine)?;
    }
    let mut spawn = || follow::start_keeper(dirs, machine, Purpose::Start, Some(&lock));
    start_held(dirs, machine, limit, &mut spawn, on_progress)
}

/// Starts a machine whose lock this process holds; `spawn` starts its keeper.
pub fn start_held(
    dirs: &Dirs,
    machine: &Machine,
    limit: Duration,
    spawn: &mut dyn FnMut() -> Result<UnixStream>,
    on_progress: &mut dyn FnMut(&Progress),
) -> Result<()> {
    let name = &machine.name;
    let stream = match state(dirs, machine)? {
        State::Running => {
            return Err(Fault::new(format!("Machine \"{name}\" is already running.")).into());
        }
        State::Paused => {
            resume(machine)?;
            follow_stream(machine)?
        }
        State::Stopping => {
            return Err(
                Fault::new(format!("Error: Machine \"{name}\" is stopping: try again")).into(),
            );
        }
        State::Starting => follow_stream(machine)?,
        _ => spawn()?,
    };
    println!("Starting \"{name}\"...");
    let mut show = |progress: &Progress| {
        on_progress(progress);
        follow::show_progress(name, progress);
    };
    match follow::follow(stream, Some(Instant::now() + limit), &mut show)? {
        Outcome::Reached => {
            refresh_clients(machine);
            println!("Machine \"{name}\" was started.");
            Ok(())
        }
        Outcome::Failed(failure) => {
            Err(Fault::new(follow::describe(machine, &failure, limit)).into())
        }
    }
}

/// Gives podman and docker the socket of a machine, where they know the machine; an error is a message.
fn refresh_clients(machine: &Machine) {
    let refreshed = Places::of_environment().map(|places| clients::refresh(&places, machine));
    if let Ok(Err(error)) = refreshed {
        eprintln!("({}) {error:#}", machine.name);
    }
}

fn resume(machine: &Machine) -> Result<()> {
    let socket = machine.run_file(control::SOCKET);
    let answer = control::ask(&socket, &json!({"do": "resume"}))?;
    match answer["error"].as_str() {
        Some(why) => {
            let name = &machine.name;
            Err(Fault::new(format!("Error: resume \"{name}\": {why}")).into())
        }
        None => Ok(()),
    }
}

/// Sends a request to the keeper, and returns the stream of its answer; `None` if the state has to be
/// asked again, because QEMU has ended in the meantime, or the keeper has only just taken its lock.
pub fn keeper(machine: &Machine, request: &Value) -> Result<Option<UnixStream>> {
    match control::open(&machine.run_file(control::SOCKET), request) {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(error) => match machine.lock_state()? {
            LockState::Known(State::Stopped | State::Saved | State::Starting) => Ok(None),
            _ => Err(error),
        },
    }
}

/// Returns the progress of a keeper that runs.
fn follow_stream(machine: &Machine) -> Result<UnixStream> {
    let stream = keeper(machine, &json!({"do": "follow"}))?;
    stream.ok_or_else(|| Fault::new("Host is not running").into())
}

/// Returns the parser of `stop`.
pub fn stop_command() -> Command {
    Command::new("stop")
        .aliases(["down", "poweroff"])
        .about("Press the power button of machines, and wait until they are off")
        .arg(many_names())
        .arg(all_flag("All machines that run"))
        .arg(
            Arg::new("timeout")
                .long("timeout")
                .value_name("SECONDS")
                .value_parser(value_parser!(u64).range(..=MAX_SECONDS))
                .default_value("60")
                .help("Time that the machine has before QEMU is terminated"),
        )
}

/// Runs `stop`.
pub fn stop(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let seconds = *matches.get_one("timeout").unwrap_or(&60);
    for_each(&chosen(&dirs, matches, is_on)?, |machine| {
        stop_one(&dirs, machine, seconds)
    })
}

/// Stops a machine.
pub fn stop_one(dirs: &Dirs, machine: &Machine, seconds: u64) -> Result<()> {
    let _lock = machine.lock("stop")?;
    let name = &machine.name;
    let now = state(dirs, machine)?;
    if matches!(now, State::Stopped | State::Saved) {
        already_stopped(name, now);
        return Ok(());
    }
    println!("Stopping \"{name}\"...");
    let mut show = |progress: &Progress| {
        if let Progress::ApiLate(why) | Progress::Paused(why) | Progress::Trouble(why) = progress {
            eprintln!("({name}) {why}");
        }
    };
    // A keeper that is killed meanwhile leaves QEMU to the next one.
    while !matches!(state(dirs, machine)?, State::Stopped | State::Saved) {
        if let Some(stream) = keeper(machine, &json!({"do": "stop", "seconds": seconds}))? {
            follow::follow_end(stream, None, &mut show)?;
        }
    }
    lock::wait_free(&machine.run_file("keeper.pid"))?;
    println!("Machine \"{name}\" was stopped.");
    Ok(())
}

/// Prints that a machine does not run. `stop` and `kill` leave a saved memory, because it holds unfinished work.
fn already_stopped(name: &str, state: State) {
    println!("Machine \"{name}\" is already stopped.");
    if state == State::Saved {
        let program = compat::program();
        eprintln!("({name}) its memory is saved: `{program} start --cold {name}` drops it");
    }
}

/// Returns the parser of `restart`.
pub fn restart_command() -> Command {
    Command::new("restart")
        .about("Stop machines that run, and start them")
        .arg(many_names())
        .arg(all_flag("All machines that run"))
        .arg(start_timeout())
}

/// Runs `restart`.
pub fn restart(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let limit = Duration::from_secs(*matches.get_one("timeout").unwrap_or(&600));
    for_each(&chosen(&dirs, matches, is_on)?, |machine| {
        if !matches!(state(&dirs, machine)?, State::Stopped | State::Saved) {
            stop_one(&dirs, machine, crate::keeper::STOP_SECONDS)?;
        }
        start_one(&dirs, machine, limit)
    })
}

/// Returns the parser of `kill`.
pub fn kill_command() -> Command {
    Command::new("kill")
        .about("Pull the plug of machines")
        .arg(many_names())
        .arg(all_flag("All machines that run"))
}

/// Runs `kill`.
pub fn kill(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    for_each(&chosen(&dirs, matches, is_on)?, |machine| {
        let name = &machine.name;
        if let LockState::Known(state @ (State::Stopped | State::Saved)) = machine.lock_state()? {
            already_stopped(name, state);
            return Ok(());
        }
        println!("Killing \"{name}\"...");
        kill_one(machine)?;
        println!("Machine \"{name}\" was killed.");
        Ok(())
    })
}
