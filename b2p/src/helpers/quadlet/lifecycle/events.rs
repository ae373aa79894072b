// SPDX-License-Identifier: Apache-2.0
//! Events and steps of the life of a unit's processes.

use nix::libc::pid_t;
use sys::clock::Millis;

use super::plan::{Exit, Stage};

/// Event in the life of the processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The command of the last [`Step::Run`] is this process.
    Started(pid_t),
    /// The command of the last [`Step::Run`] cannot be started.
    NotStarted,
    /// A child has ended.
    Exited(pid_t, Exit),
    /// Number of the main process: `MAINPID=`, or the answer to [`Step::FindMain`].
    Main(pid_t),
    /// Answer to [`Step::FindMain`]: there is no main process; true if one may appear.
    NoMain(bool),
    /// Answer to [`Step::TerminateAll`] and [`Step::Count`]: the cgroup has other processes than the first.
    Left(bool),
    /// `READY=1`.
    Ready,
    /// `WATCHDOG=1`.
    Watchdog,
    /// `WATCHDOG=trigger`: the time for the next one is over.
    Trigger,
    /// `STOPPING=1`.
    Stopping,
    /// `EXTEND_TIMEOUT_USEC=`: the stage may take this time in milliseconds from now on.
    Extend(Millis),
    /// The unit is to reload its configuration.
    Reload,
    /// The unit is to end.
    Stop,
}

/// Step that is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Start the nth command of the stage, and note the outcome.
    Run(Stage, usize),
    /// Read the PID file, and note the outcome.
    FindMain,
    /// Report to PID 1 that the unit is ready.
    Ready,
    /// Ask a process to end.
    Terminate(pid_t),
    /// Ask all processes of the cgroup but this one to end, and note if there are any.
    TerminateAll,
    /// Note if the cgroup has other processes than this one.
    Count,
    /// Ask the main process to reload.
    Reload(pid_t),
    /// Kill a process.
    Kill(pid_t),
    /// Kill all processes of the cgroup but this one.
    KillAll,
    /// Kill the main process, which is silent, with a signal that leaves a trace.
    Abort(pid_t),
    /// End with this exit status.
    End(i32),
}
