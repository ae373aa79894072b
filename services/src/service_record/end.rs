// SPDX-License-Identifier: Apache-2.0
//! End of a service's process: the restart policy, and the delay before the next start.

use super::{Effects, ServiceRecord};
use crate::service::{KillMode, ReadyWhen};
use crate::state::{Action, Change, State};
use crate::{ExitStatus, Millis};

/// Shortest run, in milliseconds, after which the successful end of a socket-activated service
/// counts as idle. A service that ends sooner most likely never accepted the connection, so its
/// socket is watched again only after a delay.
const MIN_IDLE_RUN_MS: Millis = 1_000;

impl ServiceRecord {
    /// Records that the process ended.
    pub(crate) fn on_exit(&mut self, now: Millis, status: ExitStatus, out: &mut Effects) {
        let Some(pid) = self.state.pid() else { return };
        out.actions.retain(|action| action.pid() != Some(pid));
        if self.def.kill != KillMode::Process {
            out.actions.push(Action::KillRemaining(self.id));
        }
        match self.state {
            State::Starting { started, .. } | State::Up { started, .. } => {
                self.ended_by_itself(now, started, status, out);
            }
            State::Stopping { again, .. } => self.ended_by_request(now, status, again, out),
            _ => {}
        }
    }

    fn ended_by_request(
        &mut self,
        now: Millis,
        status: ExitStatus,
        again: bool,
        out: &mut Effects,
    ) {
        self.last_exit = Some(status);
        self.enter(now, State::Off);
        if again {
            out.changes.push(Change::PlannedRestart(self.id, status));
            self.wait_for_dependencies(now);
        } else {
            out.changes.push(Change::Ended(self.id, status));
        }
    }

    /// Applies the restart policy to a service that ended by itself after its start at `started`.
    fn ended_by_itself(
        &mut self,
        now: Millis,
        started: Millis,
        status: ExitStatus,
        out: &mut Effects,
    ) {
        self.last_exit = Some(status);
        let is_last = self.is_final(status) || self.is_done(status);
        let restart = !is_last && self.def.restart.applies(status.success());
        if self.stop_requested {
            self.enter(now, State::Off);
            out.changes.push(Change::Ended(self.id, status));
        } else if restart {
            self.delay_restart(now, started, status, out);
        } else {
            self.finish(now, status, out);
        }
    }

    fn is_final(&self, status: ExitStatus) -> bool {
        is_one_of(self.def.final_statuses, status)
    }

    fn is_done(&self, status: ExitStatus) -> bool {
        is_one_of(self.def.done_statuses, status)
    }

    fn finish(&mut self, now: Millis, status: ExitStatus, out: &mut Effects) {
        self.late_at = None;
        let is_done = status.success() || self.is_done(status);
        let state = match is_done {
            true => State::Done,
            false => State::Failed,
        };
        self.enter(now, state);
        out.changes.push(Change::Ended(self.id, status));
        if is_done && self.def.ready == ReadyWhen::Exit {
            self.become_ready(now, out);
        }
    }

    fn delay_restart(
        &mut self,
        now: Millis,
        started: Millis,
        status: ExitStatus,
        out: &mut Effects,
    ) {
        let ran = now.saturating_sub(started);
        if self.def.on_demand() {
            // The next attempt binds and watches the socket; its time to become ready begins anew.
            self.late_at = None;
        }
        // An on-demand service that ends with success after a run of `MIN_IDLE_RUN_MS` was idle: its socket is
        // watched again at once. A shorter run was not idle.
        if self.def.on_demand() && status.success() && ran >= MIN_IDLE_RUN_MS {
            self.backoff.reset();
            self.enter(now, State::Waiting);
            self.start_late_timer_after_predecessors(now);
            out.changes.push(Change::PlannedRestart(self.id, status));
            return;
        }
        let id = self.id;
        self.delay_next_start(
            now,
            ran,
            |delay_ms| Change::AutoRestart {
                id,
                status,
                delay_ms,
            },
            out,
        );
    }

    /// Delays the next start after a run of `ran` milliseconds; `change` is the change for a delay.
    pub(super) fn delay_next_start(
        &mut self,
        now: Millis,
        ran: Millis,
        change: impl FnOnce(Millis) -> Change,
        out: &mut Effects,
    ) {
        let delay = self.backoff.next(ran).max(self.def.restart_ms);
        let until = now.saturating_add(delay);
        out.changes.push(change(delay));
        match delay {
            0 => self.end_delay(now),
            _ => self.enter(now, State::Delayed { until }),
        }
        if self.backoff.looping() {
            let looping = Change::Looping {
                id: self.id,
                starts: self.backoff.ends(),
                delay_ms: delay,
            };
            out.changes.push(looping);
        }
    }

    /// Begins the next attempt of a service that has ended by itself.
    pub(super) fn end_delay(&mut self, now: Millis) {
        self.restarts = self.restarts.saturating_add(1);
        self.enter(now, State::Waiting);
        self.start_late_timer_after_predecessors(now);
    }
}

fn is_one_of(codes: &[u8], status: ExitStatus) -> bool {
    let is = |code: &u8| status == ExitStatus::Exited(i32::from(*code));
    codes.iter().any(is)
}
