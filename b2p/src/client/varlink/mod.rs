// SPDX-License-Identifier: Apache-2.0
//! `varlink`: calls methods of varlink services, with the options, the output and the exit
//! statuses of libvarlink's tool (docs/reference/varlink.md).

pub mod activated;
mod bridge;
mod commands;
mod connect;
mod failure;
mod options;
mod pump;
mod words;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGINT;

use crate::common::terminal::print_error;
use failure::Failure;
use options::{Options, USAGE};

pub use commands::pretty;

/// Address of the resolver, unless `-R` names another.
const RESOLVER: &str = "unix:/run/org.varlink.resolver";
/// Version that `varlink --version` prints.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A command of the tool: its name, its synopsis, and the function that runs the command.
type Command = (&'static str, fn(&Options, &[String]) -> Result<(), Failure>);

/// Commands of the tool.
const COMMANDS: &[Command] = &[
    ("bridge", bridge::main),
    ("call", commands::call),
    ("format", commands::format),
    ("help", commands::help),
    ("info", commands::info),
    ("resolve", commands::resolve),
];

/// Runs `varlink …` and returns the exit status.
#[must_use]
pub fn main(args: &[String]) -> i32 {
    // `call -m` continues until Ctrl-C, which is no failure.
    let always = Arc::new(AtomicBool::new(true));
    let _ = signal_hook::flag::register_conditional_shutdown(SIGINT, 0, always);
    match run(args) {
        Ok(()) => 0,
        Err(failure) => {
            if let Some(text) = &failure.text {
                print_error(text);
            }
            failure.status
        }
    }
}

fn run(args: &[String]) -> Result<(), Failure> {
    let (options, rest) = Options::parse(args)?;
    if options.help {
        print!("{USAGE}");
        return Ok(());
    }
    if options.version {
        println!("{VERSION}");
        return Ok(());
    }
    let (name, rest) = rest.split_first().ok_or_else(|| {
        let usage = USAGE.trim_end();
        Failure::new(failure::COMMAND_NOT_FOUND, usage)
    })?;
    match COMMANDS.iter().find(|(known, _)| known == name) {
        Some((_, run)) => run(&options, rest),
        None => {
            let names: Vec<&str> = COMMANDS.iter().map(|(name, _)| *name).collect();
            let text = format!("Unknown command {name}; known are {}", names.join(", "));
            Err(Failure::new(failure::COMMAND_NOT_FOUND, text))
        }
    }
}
