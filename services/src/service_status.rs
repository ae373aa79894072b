// SPDX-License-Identifier: Apache-2.0
//! Status of a service as plain data, for reports to users.

use crate::state::{ServiceId, State};
use crate::{ExitStatus, Millis, Pid, Supervisor};

/// Status of one service. All times are moments of [`Millis`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceStatus {
    /// Name of the service.
    pub name: &'static str,
    /// State of the service in the report's terms.
    pub state: control::State,
    /// Time at which the service entered that state.
    pub since: Millis,
    /// Process of the service.
    pub pid: Option<Pid>,
    /// Number of automatic restarts: attempts after an end by itself, a failed fork(2) or a failed bind(2).
    pub restarts: u32,
    /// Exit status of the last process; `None` also if a later start created no process.
    pub last: Option<ExitStatus>,
    /// Time of the first request to start the service.
    pub asked: Option<Millis>,
    /// Time at which the first process existed.
    pub spawned: Option<Millis>,
    /// Time at which the service was first ready.
    pub ready: Option<Millis>,
    /// Time of the next start, if the service is delayed.
    pub next: Option<Millis>,
}

impl ServiceStatus {
    /// Returns the status of `id`.
    #[must_use]
    pub fn of(s: &Supervisor, id: ServiceId) -> ServiceStatus {
        let state = s.state(id);
        let first = s.timestamps(id);
        ServiceStatus {
            name: s.definition(id).map_or("", |d| d.name),
            state: state.into(),
            since: s.since(id),
            pid: state.pid(),
            restarts: s.restarts(id),
            last: s.last_exit(id),
            asked: first.asked,
            spawned: first.spawned,
            ready: first.ready,
            next: match state {
                State::Delayed { until } => Some(until),
                _ => None,
            },
        }
    }
}
