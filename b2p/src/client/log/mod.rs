// SPDX-License-Identifier: Apache-2.0
//! `b2p log`: shows the records of this boot and, from the files, of earlier ones
//! (docs/reference/log.md).

mod boots;
mod fields;
mod grep;
mod journalctl;
mod matches;
mod options;
mod show;
mod since;
mod style;
mod upkeep;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;

use nix::errno::Errno;
use sys::error::{Doing, Error, Result};

use crate::common::args::Problem;
use crate::common::log::ring::{self, Present, Ring};
use crate::common::log::{Boot, log_time};
use crate::helpers::quadlet::names;
use boots::Here;
use options::{Choice, Options, USAGE};
use style::{Format, Style};

/// Runs `b2p log …` and returns the exit status.
#[must_use]
pub fn main(args: &[String]) -> i32 {
    shown("b2p log", Options::parse(args), USAGE)
}

/// Runs `journalctl …` and returns the exit status. sudo(8) may let a user read the log.
#[must_use]
pub fn journalctl(args: &[String]) -> i32 {
    let options = journalctl::parse(args, &journalctl::user());
    let is_known = options.is_ok() || args.iter().any(|arg| arg == "--disk-usage");
    if is_known && !nix::unistd::geteuid().is_root() {
        let mut sudo = std::process::Command::new("/usr/bin/sudo");
        let why = sudo.args(["-n", "/usr/bin/journalctl"]).args(args).exec();
        eprintln!("journalctl: only root may: {why}");
        return 1;
    }
    if upkeep::is_answered(args) {
        return 0;
    }
    // journalctl(1) has one status for all failures.
    shown("journalctl", options, journalctl::USAGE).min(1)
}

fn shown(command: &str, options: std::result::Result<Options, Problem>, usage: &str) -> i32 {
    match options {
        Ok(options) => match log(&options) {
            Ok(()) => 0,
            Err(e) => {
                eprintln!("{command}: {e}");
                1
            }
        },
        Err(problem) => crate::common::args::usage(command, &problem, usage),
    }
}

fn log(options: &Options) -> Result<()> {
    let opened = Ring::open().and_then(|ring| Ok((ring, Present::open()?)));
    let (mut ring, mut present) = opened.on(ring::PATH).map_err(|e| match e.errno() {
        Some(Errno::EACCES | Errno::EPERM) => Error::invalid("only root may: sudo b2p log"),
        _ => e,
    })?;
    let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let boot = Boot::current().id;
    let offset = log_time::realtime_offset_us();
    let has_units = matches!(options.format, Format::Fields(_));
    let style = Style {
        format: options.format,
        dated: options.boots != Choice::This,
        utc: options.utc,
        colours: out.is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        host: crate::common::status::hostname(),
        boot: boot.replace('-', ""),
        offset: Some(offset),
        units: has_units.then(names::all).unwrap_or_default(),
    };
    let here = Here { boot, offset };
    if options.list_boots {
        let now = i64::try_from(log_time::monotonic_us()).unwrap_or(0);
        let boots = boots::all(&options.dir, &here, offset.saturating_add(now));
        return Ok(out.write_all(boots::table(&boots).as_bytes())?);
    }
    let readers = (&mut ring, &mut present);
    Ok(show::run(options, style, &here, readers, &mut out)?)
}
