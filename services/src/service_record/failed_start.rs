// SPDX-License-Identifier: Apache-2.0
//! Starts for which the system lacked a resource: a process, a descriptor, room for a socket. No process has
//! existed, so there is no exit status, and the `final` and `done` statuses of the definition do not apply.

use super::{Effects, ServiceRecord};
use crate::Millis;
use crate::state::{Change, State};

/// Number of times that a start is repeated after no process could be created or no socket bound,
/// for services that are started only once too: a process or a descriptor may be available in a
/// moment. The retries take four seconds ([`crate::backoff`]).
const MAX_START_RETRIES: u32 = 8;

impl ServiceRecord {
    /// Records that no process could be created. A service whose policy restarts it after a failure is tried without
    /// a limit.
    pub(crate) fn on_spawn_failed(&mut self, now: Millis, out: &mut Effects) {
        let is_restarted = self.def.restart.applies(false);
        self.not_started(now, self.may_be_repeated() || is_restarted, out);
    }

    /// Records that the socket could not be bound: a lack of descriptors or of room may pass.
    pub(crate) fn on_watch_failed(&mut self, now: Millis, out: &mut Effects) {
        self.not_started(now, self.may_be_repeated(), out);
    }

    /// Returns true if a start for which the system lacked a resource is repeated under any restart policy.
    fn may_be_repeated(&self) -> bool {
        self.backoff.ends() < MAX_START_RETRIES
    }

    fn not_started(&mut self, now: Millis, again: bool, out: &mut Effects) {
        if self.state != State::Spawning {
            return;
        }
        self.last_exit = None;
        if again && !self.stop_requested {
            if self.def.on_demand() {
                self.late_at = None;
            }
            let id = self.id;
            return self.delay_next_start(
                now,
                0,
                |delay_ms| Change::StartDelayed { id, delay_ms },
                out,
            );
        }
        self.late_at = None;
        let state = match self.stop_requested {
            true => State::Off,
            false => State::Failed,
        };
        self.enter(now, state);
        out.changes.push(Change::NotStarted(self.id));
    }
}
