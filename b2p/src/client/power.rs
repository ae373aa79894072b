// SPDX-License-Identifier: Apache-2.0
//! `poweroff`, `reboot`, `halt`, `shutdown`: for people, and for the kernel's
//! orderly_poweroff() (kernel/reboot.c).
//!
//! PID 1 is asked on the control socket, which can schedule a shutdown. If PID 1 does not answer
//! there, the program sends the signal that every init knows.

mod options;

use control::{Request, RequestError, ShutdownKind};
use nix::errno::Errno;
use nix::sys::reboot::reboot;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use sys::signals::signal_for;

use crate::applet::Applet;
use crate::client::help;
use crate::common::args::Problem;
use crate::common::control_client::{self, ControlClient};
use crate::common::terminal::{print, print_error};
use crate::common::{audit, clock};
use options::{Action, parse};

/// Longest wait for sync(2), in milliseconds: a disk that is gone never ends it.
const SYNC_LIMIT_MS: i32 = 10_000;

/// Effects on the machine, which tests replace.
pub trait Effects {
    /// Sends a request to PID 1 on the control socket.
    ///
    /// # Errors
    /// PID 1 refuses or does not answer.
    fn request(&self, request: &Request) -> Result<(), RequestError>;

    /// Sends PID 1 the signal that requests this kind of shutdown.
    ///
    /// # Errors
    /// The errno of kill(2).
    fn signal(&self, kind: ShutdownKind) -> Result<(), Errno>;

    /// Ends the machine without PID 1, which is added to the audit trail first; returns only if
    /// the kernel refuses.
    fn force(&self, kind: ShutdownKind, sync: bool) -> Errno;

    /// Adds an action to the audit trail.
    fn audit(&self, action: &str);
}

impl Effects for ControlClient {
    fn request(&self, request: &Request) -> Result<(), RequestError> {
        self.ask(request).map(drop)
    }

    fn signal(&self, kind: ShutdownKind) -> Result<(), Errno> {
        kill(Pid::from_raw(1), signal_for(kind).ok_or(Errno::ENOSYS)?)
    }

    fn force(&self, kind: ShutdownKind, sync: bool) -> Errno {
        if !nix::unistd::geteuid().is_root() {
            return Errno::EPERM; // Before the wait for the disks.
        }
        self.audit(&format!("{} without PID 1", kind.word()));
        if sync {
            let child = sys::syscall::in_child(nix::unistd::sync);
            let _ = child.map(|child| child.exited_within(SYNC_LIMIT_MS));
        }
        let Err(errno) = reboot(kind.reboot_mode());
        errno
    }

    fn audit(&self, action: &str) {
        audit::record(action);
    }
}

/// Runs `poweroff`, `reboot`, `halt` or `shutdown` and returns the exit status. `table` has the help.
pub fn main(effects: &dyn Effects, table: &'static [Applet], name: &str, args: &[String]) -> i32 {
    match parse(name, args, clock::second_of_day(0)) {
        Ok(action) => report(perform(effects, action), name, args),
        Err(Problem::Help) => help::main(table, &[name.to_owned()]),
        Err(Problem::Wrong(why)) => {
            print_error(&format!("{name}: {why}"));
            2
        }
    }
}

/// Runs `b2p cancel` and returns the exit status.
pub fn cancel(effects: &dyn Effects) -> i32 {
    report(perform(effects, Action::Cancel), "cancel", &[])
}

/// Performs the action and returns a line for the user, if any.
///
/// # Errors
/// PID 1 or the kernel refuses, or PID 1 does not answer.
fn perform(effects: &dyn Effects, action: Action) -> Result<Option<String>, RequestError> {
    match action {
        Action::Nothing(why) => Ok(Some(format!("nothing is done: {why}"))),
        Action::Cancel => {
            effects.request(&Request::Cancel)?;
            effects.audit("cancel of a shutdown");
            Ok(None)
        }
        Action::Force(kind, sync) => Err(kernel_error(effects.force(kind, sync))),
        Action::Shutdown(kind, 0) => shut_down(effects, kind).map(|()| None),
        Action::Shutdown(kind, delay) => {
            effects.request(&Request::Shutdown(kind, delay))?;
            let when = clock::hours_minutes(clock::second_of_day(delay));
            effects.audit(&format!("{} at {when}", kind.word()));
            let line = format!(
                "{} at {when}; `b2p cancel` or `shutdown -c` cancels it",
                kind.word()
            );
            Ok(Some(line))
        }
    }
}

fn shut_down(effects: &dyn Effects, kind: ShutdownKind) -> Result<(), RequestError> {
    match effects.request(&Request::Shutdown(kind, 0)) {
        Err(RequestError::NotListening | RequestError::NoAnswer | RequestError::System(_)) => {
            effects.signal(kind).map_err(kernel_error)?;
        }
        answer => answer?,
    }
    effects.audit(kind.word());
    Ok(())
}

fn kernel_error(errno: Errno) -> RequestError {
    match errno {
        Errno::EPERM => RequestError::NotRoot,
        errno => RequestError::System(errno),
    }
}

fn report(outcome: Result<Option<String>, RequestError>, name: &str, args: &[String]) -> i32 {
    match outcome {
        Ok(line) => {
            line.iter().for_each(|line| print(&format!("{line}\n")));
            0
        }
        Err(error) => {
            let command = [&["b2p".to_owned(), name.to_owned()], args].concat();
            let error = control_client::explain(&error, &command.join(" "));
            print_error(&format!("b2p: {error}"));
            1
        }
    }
}

#[cfg(test)]
mod tests;
