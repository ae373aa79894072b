// SPDX-License-Identifier: Apache-2.0
//! `upgrade`: another kernel and initrd for a machine, and back to its own where they do not become
//! ready.

use super::{create, dirs, for_each, lifecycle, machines, many_names, state, text_of};
use crate::fault::Fault;
use crate::state::State;
use crate::store::image::{Image, Source};
use crate::store::{Dirs, Machine};
use anyhow::Result;
use clap::{Arg, ArgMatches, Command};
use std::process::ExitCode;
use std::time::Duration;

/// Time that the old image has at least: a limit that was too short for the new one is not its own.
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
        .arg(lifecycle::start_timeout())
}

/// Runs `upgrade`.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let machines = machines(&dirs, matches)?;
    let limit = Duration::from_secs(*matches.get_one("timeout").unwrap_or(&600));
    let source = match matches.get_one::<String>("image") {
        Some(text) => Source::parse(text)?,
        None => Source::default_place()?,
    };
    dirs.create()?;
    println!("Verifying the image...");
    // `prune` leaves both images until one of them is the machine's.
    let _cache = create::hold_cache(&dirs)?;
    let image = Image::import(&dirs.cache(), &source)?.id;
    for_each(&machines, |machine| upgrade(&dirs, machine, &image, limit))
}

/// Upgrades a machine. The image that it has stays in the cache, so that the way back needs no network.
fn upgrade(dirs: &Dirs, machine: &Machine, image: &str, limit: Duration) -> Result<()> {
    let name = &machine.name;
    let was = state(dirs, machine)?;
    if was == State::Saved {
        let text = format!(
            "Error: machine \"{name}\" is saved, and its memory needs its image: start it first, \
             or drop the memory with `podman-machine start --cold {name}`"
        );
        return Err(Fault::new(text).into());
    }
    let old = machine.config()?.image;
    if old == image {
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
    set_image(machine, image)?;
    let Err(why) = lifecycle::start_one(dirs, machine, limit) else {
        println!("Machine \"{name}\" was upgraded.");
        return Ok(());
    };
    let why = text_of(&why);
    lifecycle::kill_one(machine)?;
    set_image(machine, &old)?;
    let back = match was {
        State::Stopped => "; it has its old image, and is off".to_owned(),
        _ => match lifecycle::start_one(dirs, machine, limit.max(WAY_BACK)) {
            Ok(()) => "; it runs with its old image".to_owned(),
            Err(error) => format!(
                "; it has its old image, which does not start: {}",
                text_of(&error)
            ),
        },
    };
    Err(Fault::new(format!(
        "{why}\nError: machine \"{name}\" was not upgraded{back}"
    ))
    .into())
}

/// Sets the image of a machine that is off.
fn set_image(machine: &Machine, image: &str) -> Result<()> {
    let _lock = machine.lock("upgrade")?;
    let mut config = machine.config()?;
    config.image = image.to_owned();
    machine.save(&config)
}
