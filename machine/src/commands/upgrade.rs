// SPDX-License-Identifier: Apache-2.0
//! `upgrade`: another kernel and initrd for a machine, and back to its own where they do not become
//! ready.

use super::{
    dirs, for_each, interrupt, lifecycle, machines, many_names, power_cut, state, text_of,
};
use crate::fault::Fault;
use crate::state::State;
use crate::store::image::{Image, hold_cache};
use crate::store::image_source::Source;
use crate::store::{Dirs, Machine};
use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::process::ExitCode;
use std::time::Duration;

/// Minimum time limit for the start of the old image: `--timeout` applies to the new image only, and may have
/// been too short.
const WAY_BACK: Duration = Duration::from_secs(600);

/// Returns the parser of `upgrade`.
pub fn command() -> Command {
    Command::new("upgrade")
        .about(
            "Start machines with another image, and go back to theirs if it does not become ready",
        )
        .arg(many_names())
        .arg(
            Arg::new("image")
                .long("image")
                .value_name("DIR|ISO|QCOW2|URL#SHA256")
                .help("Kernel and initrd, by default those of this build"),
        )
        .arg(
            Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Verify the image, and print which machines it is for; none is changed"),
        )
        .arg(timeout())
}

/// Returns the option with the time limit of the new image.
fn timeout() -> Arg {
    lifecycle::start_timeout()
        .help("Time limit of the start; after it the machine gets its old image back")
}

/// Runs `upgrade`.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let image = matches.get_one::<String>("image");
    upgrade_all(matches, image, matches.get_flag("dry-run"))
}

/// Returns the parser of `os`, podman machine's name for an upgrade.
pub fn os_command() -> Command {
    let sub = |name: &'static str, about: &'static str| {
        let restart = Arg::new("restart")
            .long("restart")
            .action(ArgAction::SetTrue);
        Command::new(name)
            .about(about)
            .arg(restart.help(
                "For podman machine's sake: a machine whose image changes is always restarted",
            ))
            .arg(timeout())
    };
    let image = Arg::new("image")
        .value_name("IMAGE")
        .required(true)
        .help("Kernel and initrd: DIR, ISO, QCOW2 or URL#SHA256");
    Command::new("os")
        .about("Start machines with another image, as podman machine does")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            sub("apply", "Upgrade machines to an image")
                .arg(image)
                .arg(many_names()),
        )
        .subcommand(sub("upgrade", "Upgrade machines to the image of this build").arg(many_names()))
}

/// Runs `os`.
pub fn os(matches: &ArgMatches) -> Result<ExitCode> {
    match matches.subcommand() {
        Some(("apply", own)) => upgrade_all(own, own.get_one::<String>("image"), false),
        Some((_, own)) => upgrade_all(own, None, false),
        None => Ok(ExitCode::FAILURE),
    }
}

fn upgrade_all(matches: &ArgMatches, image: Option<&String>, dry_run: bool) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let machines = machines(&dirs, matches)?;
    let limit = Duration::from_secs(*matches.get_one("timeout").unwrap_or(&600));
    let source = match image {
        Some(text) => Source::parse(text)?,
        None => Source::default_place()?,
    };
    dirs.create()?;
    println!("Verifying the image...");
    // `prune` leaves both images until one of them is the machine's.
    let _cache = hold_cache(&dirs)?;
    interrupt::remove_on_signal(vec![Image::draft(&dirs.cache(), std::process::id())])?;
    let image = Image::import(&dirs.cache(), &source)?.id;
    if dry_run {
        return for_each(&machines, |machine| foretell(&dirs, machine, &image));
    }
    for_each(&machines, |machine| upgrade(&dirs, machine, &image, limit))
}

/// Prints what an upgrade would do, or fails as it would.
fn foretell(dirs: &Dirs, machine: &Machine, image: &str) -> Result<()> {
    let (name, was, config) = (&machine.name, state(dirs, machine)?, machine.config()?);
    if was == State::Saved {
        return Err(needs_image(name).into());
    }
    let has_image = config.image == image && config.previous.is_none();
    let then = match (was == State::Stopped, has_image) {
        (true, _) => ", and be started",
        (false, false) => ", and be stopped and started",
        (false, true) => "",
    };
    match (has_image, then) {
        (true, "") => println!("Machine \"{name}\" has this image already."),
        (true, _) => println!("Machine \"{name}\" has this image already, and would be started."),
        (false, _) => println!(
            "Machine \"{name}\" would get {image} in place of {}{then}.",
            config.image
        ),
    }
    Ok(())
}

/// Upgrades a machine. The image that it has stays in the cache, so that the way back needs no network.
fn upgrade(dirs: &Dirs, machine: &Machine, image: &str, limit: Duration) -> Result<()> {
    let name = &machine.name;
    let was = state(dirs, machine)?;
    if was == State::Saved {
        return Err(needs_image(name).into());
    }
    let config = machine.config()?;
    // The image of an upgrade that was cut short has never been ready.
    let old = config.previous.unwrap_or_else(|| config.image.clone());
    if config.image == image && old == image {
        println!("Machine \"{name}\" has this image already.");
        return match was {
            State::Stopped => lifecycle::start_one(dirs, machine, limit),
            _ => Ok(()),
        };
    }
    println!("Upgrading \"{name}\"...");
    if was != State::Stopped {
        lifecycle::stop_one(dirs, machine, crate::keeper::STOP_SECONDS)?;
    }
    // The image changes under the lock of the start: a keeper that systemd starts before it would restore the old image.
    let prepare = |machine: &Machine| set_image(machine, image, Some(&old));
    let started = lifecycle::start_with(dirs, machine, limit, &prepare);
    if machine.config()?.image != image {
        return started.and_then(|()| Err(other_start(name).into()));
    }
    let Err(why) = started else {
        println!("Machine \"{name}\" was upgraded.");
        return Ok(());
    };
    restore_image(machine, &old)?;
    let back = match was {
        State::Stopped => "and is off".to_owned(),
        _ => start_again(dirs, machine, limit),
    };
    let why = text_of(&why);
    let text =
        format!("{why}\nError: machine \"{name}\" was not upgraded; it has its old image, {back}");
    Err(Fault::new(text).into())
}

fn other_start(name: &str) -> Fault {
    Fault::new(format!(
        "Error: machine \"{name}\" was started by another command meanwhile: it has its old image"
    ))
}

fn needs_image(name: &str) -> Fault {
    Fault::new(format!(
        "Error: machine \"{name}\" is saved, and its memory needs its image: start it first, \
         or drop the memory with `podman-machine start --cold {name}`"
    ))
}

/// Stops a machine that did not become ready, and gives it its old image again.
fn restore_image(machine: &Machine, old: &str) -> Result<()> {
    power_cut::kill_one(machine)?;
    let _lock = machine.lock("upgrade")?;
    set_image(machine, old, None)
}

/// Starts a machine with its old image; returns how it is then.
fn start_again(dirs: &Dirs, machine: &Machine, limit: Duration) -> String {
    match lifecycle::start_one(dirs, machine, limit.max(WAY_BACK)) {
        Ok(()) => "with which it runs".to_owned(),
        Err(error) => format!("which does not start: {}", text_of(&error)),
    }
}

/// Sets the image of a machine that is off, and the image that a failed upgrade restores. This process holds its lock.
fn set_image(machine: &Machine, image: &str, previous: Option<&str>) -> Result<()> {
    let mut config = machine.config()?;
    image.clone_into(&mut config.image);
    config.previous = previous.map(str::to_owned);
    machine.save(&config)
}
