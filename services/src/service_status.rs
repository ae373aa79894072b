//! What a person asks about a service, as plain data.

use crate::state::{ServiceId, State};
use crate::supervisor::DefinitionError;
use crate::{ExitStatus, Millis, Pid, Supervisor};

/// One service as it is now. All times are moments of [`Millis`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceStatus {
    /// Its name.
    pub name: &'static str,
    /// State of the service in the report's terms.
    pub state: control::State,
    /// When it came to that state.
    pub since: Millis,
    /// Its process.
    pub pid: Option<Pid>,
    /// How often it was started again after it had ended by itself.
    pub restarts: u32,
    /// How it ended the last time.
    pub last: Option<ExitStatus>,
    /// When someone first wanted it.
    pub asked: Option<Millis>,
    /// When its first process was there.
    pub spawned: Option<Millis>,
    /// When it was first ready.
    pub ready: Option<Millis>,
    /// When it is started again.
    pub next: Option<Millis>,
    /// Why it can never be started.
    pub invalid: Option<DefinitionError>,
}

impl ServiceStatus {
    /// That of `id`.
    #[must_use]
    pub fn of(s: &Supervisor, id: ServiceId) -> ServiceStatus {
        let state = s.state(id);
        let first = s.timestamps(id);
        ServiceStatus {
            name: s.definition(id).map_or("", |r| r.name),
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
            invalid: s.invalid(id),
        }
    }
}
