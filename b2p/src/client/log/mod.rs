// SPDX-License-Identifier: Apache-2.0
//! `b2p log`: shows the records of this boot and, from the files, of earlier ones
//! (docs/reference/log.md).

mod filter;
mod options;
mod show;

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use nix::errno::Errno;
use sys::error::{Doing, Error, Result};

use crate::common::log::ring::{self, Ring};
use crate::common::log::{Boot, clock};
pub use filter::Filter;
use filter::Style;
pub use options::service_names;
use options::{Options, USAGE};
use show::Here;

/// Runs `b2p log …` and returns the exit status.
#[must_use]
pub fn main(args: &[String]) -> i32 {
    match Options::parse(args) {
        Ok(options) => match log(&options) {
            Ok(()) => 0,
            Err(e) => {
                eprintln!("b2p log: {e}");
                1
            }
        },
        Err(problem) => crate::common::args::usage("b2p log", &problem, USAGE),
    }
}

fn log(options: &Options) -> Result<()> {
    let opened = Ring::open().on(ring::PATH);
    let mut ring = opened.map_err(|e| match e.errno() {
        Some(Errno::EACCES | Errno::EPERM) => Error::invalid("only root may: sudo b2p log"),
        _ => e,
    })?;
    let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let style = Style {
        dated: options.all,
        utc: options.utc,
        colours: out.is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    let here = Here {
        boot: Boot::current().id,
        offset: clock::offset(),
        until: clock::kernel(),
    };
    Ok(show::run(options, style, &here, &mut ring, &mut out)?)
}
