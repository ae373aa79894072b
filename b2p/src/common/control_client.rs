// SPDX-License-Identifier: Apache-2.0
//! Connection to PID 1, and common readings of its report.

use std::path::PathBuf;
use std::time::Duration;

use control::{Follower, Report, Request, RequestError, State};
use sys::error::Error;

/// Time that PID 1 may take to answer, usually in the next turn of its event loop.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Client of the control socket.
#[derive(Clone, Debug)]
pub struct ControlClient {
    /// Socket of PID 1.
    pub path: PathBuf,
    /// Longest wait for an answer.
    pub timeout: Duration,
}

impl Default for ControlClient {
    fn default() -> ControlClient {
        ControlClient {
            path: control::PATH.into(),
            timeout: TIMEOUT,
        }
    }
}

impl ControlClient {
    /// Sends one request and returns the answer.
    ///
    /// # Errors
    /// PID 1 refuses or does not answer.
    pub fn ask(&self, request: &Request) -> Result<String, RequestError> {
        control::ask(&self.path, request, self.timeout)
    }

    /// Connects as a client that gets notices of changes of the report.
    ///
    /// # Errors
    /// PID 1 refuses or does not answer.
    pub fn follow(&self) -> Result<Follower, RequestError> {
        Follower::connect(&self.path, self.timeout)
    }
}

/// Converts the error into one for users. `command` is the command that a user can repeat with
/// sudo(8).
#[must_use]
pub fn explain(error: &RequestError, command: &str) -> Error {
    match error {
        RequestError::NotRoot => Error::invalid(format!("only root may: sudo {command}")),
        error => Error::invalid(error.to_string()),
    }
}

/// Returns true if a service in this state works or has done its work.
#[must_use]
pub fn is_good(state: State) -> bool {
    matches!(state, State::Up | State::Armed | State::Done)
}

/// Returns true if a service in this state can get another service file.
#[must_use]
pub fn is_at_rest(state: State) -> bool {
    matches!(state, State::Off | State::Done | State::Failed)
}

/// Returns the state of the machine in the terms of `systemctl is-system-running`.
#[must_use]
pub fn machine_state(report: &Report<'_>) -> &'static str {
    let now = report.machine.now.unwrap_or(0);
    match report.machine.ready {
        _ if report.shutdown.is_some_and(|s| s.at <= now) => "stopping",
        None => "starting",
        Some(_) if report.degraded.is_empty() => "running",
        Some(_) => "degraded",
    }
}
