//! What runs: service rows, the supervisor that decides, the edge that acts.
//!
//! The supervisor ([`supervisor::Supervisor`]) is a pure state machine: events
//! in, actions out, time an argument. The edge ([`manager::Manager`]) owns
//! file descriptors and processes and does what the supervisor says. Nothing
//! in here waits: every descriptor is non-blocking and every delay is a
//! deadline handed to the caller's `poll(2)`.

pub mod account;
pub mod backoff;
pub mod cgroup;
mod child;
pub mod exit_status;
pub mod graph;
pub mod line_splitter;
pub mod listen;
pub mod manager;
pub mod notify;
pub mod rate_limit;
pub mod reap;
pub mod service;
pub mod service_file;
mod service_io;
pub mod service_record;
pub mod service_status;
pub mod spawn;
pub mod state;
pub mod supervisor;
mod tokenize;

pub use child::Stage;
pub use exit_status::ExitStatus;
pub use manager::Manager;
pub use service::{KillMode, ReadyWhen, Restart, ServiceDef, Socket, Tty, User};
pub use service_status::ServiceStatus;
pub use state::{Event, Readiness, ServiceId, State};
pub use supervisor::Supervisor;

/// Milliseconds on `CLOCK_BOOTTIME` (`clock_gettime(2)`): counts while suspended.
pub type Millis = u64;

/// The one of two moments that comes first, where there is any.
fn sooner(one: Option<Millis>, other: Option<Millis>) -> Option<Millis> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// A process id as the kernel gives it.
pub type Pid = libc::pid_t;
