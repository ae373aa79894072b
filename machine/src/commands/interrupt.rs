// SPDX-License-Identifier: Apache-2.0
//! Signals that end a command.

use crate::store::{Machine, draft};
use anyhow::{Context, Result};
use nix::libc;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Returns the signals that ask for the end of this process. A signal that is ignored stays ignored: nohup(1) ignores
/// SIGHUP, and a shell ignores SIGINT for background jobs.
pub fn signals() -> Result<Signals> {
    let asked = [SIGINT, SIGTERM, SIGHUP]
        .into_iter()
        .filter(|&signal| !is_ignored(signal));
    Signals::new(asked).context("signals")
}

/// True once a signal has come: its thread ends this process.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Removes drafts, files or directories, where a signal ends this process from now on.
pub fn removes(drafts: Vec<PathBuf>) -> Result<()> {
    then_ends(move || {
        for draft in &drafts {
            if let Err(error) = draft::discard(draft) {
                eprintln!("{error:#}");
            }
        }
    })
}

/// Does something with machines where a signal ends this process from now on.
pub fn acts(machines: Vec<Machine>, act: fn(&Machine)) -> Result<()> {
    then_ends(move || machines.iter().for_each(act))
}

fn then_ends(act: impl Fn() + Send + 'static) -> Result<()> {
    let mut signals = signals()?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            INTERRUPTED.store(true, Ordering::SeqCst);
            act();
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Waits for the end of this process if a signal has come: what a command says after that is the consequence of the
/// signal.
pub fn wait_for_end() {
    while INTERRUPTED.load(Ordering::SeqCst) {
        thread::park();
    }
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
