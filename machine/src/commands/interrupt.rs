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

/// True after a signal: the signal thread is about to end this process.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on, a signal that ends this process first removes the drafts, which are files or directories.
pub fn remove_on_signal(drafts: Vec<PathBuf>) -> Result<()> {
    spawn_signal_thread(move || {
        for draft in &drafts {
            if let Err(error) = draft::discard(draft) {
                eprintln!("{error:#}");
            }
        }
    })
}

/// From now on, a signal that ends this process first calls `action` with each machine.
pub fn run_on_signal(machines: Vec<Machine>, action: fn(&Machine)) -> Result<()> {
    spawn_signal_thread(move || machines.iter().for_each(action))
}

fn spawn_signal_thread(action: impl Fn() + Send + 'static) -> Result<()> {
    let mut signals = signals()?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            INTERRUPTED.store(true, Ordering::SeqCst);
            action();
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Blocks for ever after a signal: an error that the command would print now is only a consequence of the signal.
pub fn wait_for_end() {
    while INTERRUPTED.load(Ordering::SeqCst) {
        thread::park();
    }
}

/// Returns true if this process was started with the signal ignored.
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
