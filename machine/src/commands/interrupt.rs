// SPDX-License-Identifier: Apache-2.0
//! Signals that end a command.

use crate::store::Machine;
use anyhow::{Context, Result};
use nix::libc;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::thread;

/// Returns the signals that ask for the end of this process. A signal that is ignored stays ignored: nohup(1) ignores
/// SIGHUP, and a shell ignores SIGINT for background jobs.
pub fn signals() -> Result<Signals> {
    let asked = [SIGINT, SIGTERM, SIGHUP]
        .into_iter()
        .filter(|&signal| !is_ignored(signal));
    Signals::new(asked).context("signals")
}

/// Removes a file where a signal ends this process from now on.
pub fn removes(file: PathBuf) -> Result<()> {
    let mut signals = signals()?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let _ = std::fs::remove_file(&file);
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Says something of machines where a signal ends this process from now on.
pub fn tells(machines: Vec<Machine>, tell: fn(&Machine)) -> Result<()> {
    let mut signals = signals()?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            machines.iter().for_each(tell);
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Tells whether this process was started with a signal ignored.
fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: sigaction(2) changes nothing without a new action, and writes the present one to `action`, which is large
    // enough; all zeroes is a value of the type, for the case of an error.
    #[allow(unsafe_code)]
    let action = unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}
