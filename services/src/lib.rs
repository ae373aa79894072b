// SPDX-License-Identifier: Apache-2.0
//! Services of PID 1: definitions, the supervisor that decides, the manager that acts.
//!
//! The supervisor ([`supervisor::Supervisor`]) is a pure state machine: inputs in, changes and
//! actions out, time an argument. The manager ([`manager::Manager`]) owns the file descriptors and
//! processes, and carries out the actions. Nothing in this crate waits: descriptors are non-blocking,
//! and delays are deadlines for the caller's poll(2).

pub mod account;
mod backoff;
pub mod calendar;
mod cgroup;
mod child;
mod definition_error;
pub mod exit_status;
mod graph;
mod line_splitter;
mod listen;
pub mod manager;
pub mod notify;
mod rate_limit;
pub mod reap;
mod script;
mod service;
pub mod service_file;
mod service_io;
mod service_record;
mod service_status;
pub mod spawn;
pub mod state;
mod state_to_restore;
pub mod supervisor;
mod tokenize;

pub use child::Step;
pub use exit_status::ExitStatus;
pub use manager::Manager;
pub use service::{KillMode, ReadyWhen, Restart, ServiceDef, Socket, Tty, User};
pub use service_record::Timestamps;
pub use service_status::ServiceStatus;
pub use state::{Input, Readiness, ServiceId, State};
pub use supervisor::Supervisor;
pub use supervisor::recovery::StateToRestore;

pub use sys::clock::Millis;

/// Returns the earlier of two moments, if there is any.
fn sooner(one: Option<Millis>, other: Option<Millis>) -> Option<Millis> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// A process id of the kernel.
pub type Pid = libc::pid_t;
