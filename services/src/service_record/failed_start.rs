// SPDX-License-Identifier: Apache-2.0
//! Starts for which the system lacked a resource: a process, a descriptor, room for a socket.

use super::{Effects, ServiceRecord};
use crate::state::{Change, State};
use crate::{ExitStatus, Millis};

/// Number of times that a start is repeated after no process could be created or no socket bound,
/// for services that are started only once too: a process or a descriptor may be available in a
/// moment. The retries take four seconds ([`crate::backoff`]).
const MAX_SPAWN_RETRIES: u32 = 8;
/// Exit status that stands for "no process could be created", as in a shell.
const NOT_RUN: ExitStatus = ExitStatus::Exited(126);

impl ServiceRecord {
    pub(crate) fn on_spawn_failed(&mut self, now: Millis, out: &mut Effects) {
        if self.state != State::Spawning {
            return;
        }
        if self.may_be_repeated() {
            self.last_exit = Some(NOT_RUN);
            self.delay_restart(now, now, NOT_RUN, out);
        } else {
            self.ended_by_itself(now, now, NOT_RUN, out);
        }
    }

    /// Returns true if a start for which the system lacked a resource is repeated. Without a
    /// process nothing has ended, so the restart policy does not apply.
    fn may_be_repeated(&self) -> bool {
        !self.stop_requested && self.backoff.failures() < MAX_SPAWN_RETRIES
    }

    /// Notes that the socket could not be bound: a lack of descriptors or of room may pass.
    pub(crate) fn on_watch_failed(&mut self, now: Millis, out: &mut Effects) {
        if self.state != State::Spawning {
            return;
        }
        if self.may_be_repeated() {
            self.delay_restart(now, now, NOT_RUN, out);
        } else {
            self.late_at = None;
            self.last_exit = None;
            let state = match self.stop_requested {
                true => State::Off,
                false => State::Failed,
            };
            self.enter(now, state);
            out.changes.push(Change::Unbindable(self.id));
        }
    }
}
