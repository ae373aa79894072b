// SPDX-License-Identifier: Apache-2.0
//! One service in the supervisor: definition, state, and the transitions that concern this service
//! alone.

use crate::backoff::Backoff;
use crate::definition_error::DefinitionError;
use crate::service::{ReadyWhen, ServiceDef};
use crate::state::{Action, Change, Revision, ServiceId, State};
use crate::{ExitStatus, Millis, Pid, sooner};

mod end;
mod failed_start;
mod late_timer;
mod recovery;

/// First time at which a service reached each point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamps {
    /// The first start was requested.
    pub asked: Option<Millis>,
    /// The first process existed.
    pub spawned: Option<Millis>,
    /// The service was ready.
    pub ready: Option<Millis>,
}

/// Changes and actions that transitions produce, until the supervisor hands them out.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) changes: Vec<Change>,
    pub(crate) actions: Vec<Action>,
}

/// A service and its state.
#[derive(Debug)]
pub(crate) struct ServiceRecord {
    id: ServiceId,
    pub(crate) def: ServiceDef,
    /// Definition that replaces `def` when the service next waits for its start.
    revised: Option<ServiceDef>,
    pub(crate) state: State,
    /// Time at which `state` was entered.
    pub(crate) since: Millis,
    /// A stop was requested, and waits for the services that need this one.
    pub(crate) stop_requested: bool,
    /// The service is forgotten once it is at rest.
    pub(crate) unload_requested: bool,
    /// The service waits for the services that it is ordered after; its time to become ready has
    /// not begun.
    blocked_by_after: bool,
    pub(crate) backoff: Backoff,
    /// Deadline for becoming ready; `None` once the service is ready or was reported late.
    late_at: Option<Millis>,
    pub(crate) late: bool,
    /// Exit status of the last process; `None` also if a later start created no process.
    pub(crate) last_exit: Option<ExitStatus>,
    /// Number of automatic restarts: attempts after an end by itself, a failed fork(2) or a failed bind(2).
    pub(crate) restarts: u32,
    pub(crate) timestamps: Timestamps,
    /// Reason why the service can never start.
    pub(crate) invalid: Option<DefinitionError>,
}

impl ServiceRecord {
    pub(crate) fn new(id: ServiceId, def: ServiceDef) -> ServiceRecord {
        ServiceRecord {
            id,
            def,
            revised: None,
            state: State::Off,
            since: 0,
            stop_requested: false,
            unload_requested: false,
            blocked_by_after: false,
            backoff: Backoff::default(),
            late_at: None,
            late: false,
            last_exit: None,
            restarts: 0,
            timestamps: Timestamps::default(),
            invalid: None,
        }
    }

    /// Marks a service that can never start.
    pub(crate) fn set_invalid(&mut self, reason: DefinitionError) {
        self.invalid = Some(reason);
        self.enter(0, State::Failed);
    }

    /// Definition that the next start has.
    pub(crate) fn next_def(&self) -> &ServiceDef {
        self.revised.as_ref().unwrap_or(&self.def)
    }

    /// Replaces the definition at once, or at the next start if a process has the present one. An armed service
    /// keeps its socket, so another socket waits for the next start too.
    pub(crate) fn revise(&mut self, def: ServiceDef) -> Revision {
        let is_free = match self.state {
            State::Waiting => true,
            State::Armed => def.socket == self.def.socket,
            state => state.at_rest(),
        };
        if is_free || def == self.def {
            self.def = def;
            self.revised = None;
            return Revision::Now;
        }
        self.revised = Some(def);
        Revision::AtNextStart
    }

    /// Enters a state; other functions change only fields of `Stopping`. A stop request is fulfilled, and cleared, in
    /// `Stopping` and in every state that is not active. A revised definition applies from `Waiting` on.
    fn enter(&mut self, now: Millis, state: State) {
        self.state = state;
        self.since = now;
        if let (State::Waiting, Some(def)) = (state, self.revised) {
            self.def = def;
            self.revised = None;
        }
        if !state.uses_needs() || matches!(state, State::Stopping { .. }) {
            self.stop_requested = false;
        }
    }

    /// Records that a start was requested, `directly` or by a service that needs this one. A request by another
    /// service neither repeats a one-shot nor shortens the delay after a failure.
    pub(crate) fn request_start(&mut self, now: Millis, directly: bool) {
        self.unload_requested = false;
        match &mut self.state {
            State::Off => self.wait_for_dependencies(now),
            State::Done | State::Failed | State::Delayed { .. } if directly => {
                self.wait_for_dependencies(now);
            }
            State::Stopping { again, .. } => *again = true,
            state => {
                let is_starting = matches!(state, State::Spawning | State::Starting { .. });
                if std::mem::take(&mut self.stop_requested) && is_starting {
                    self.start_late_timer(now);
                }
            }
        }
    }

    fn wait_for_dependencies(&mut self, now: Millis) {
        if self.invalid.is_some() {
            return;
        }
        self.enter(now, State::Waiting);
        self.backoff.reset();
        self.late = false;
        self.late_at = None;
        self.start_late_timer_after_predecessors(now);
        self.timestamps.asked.get_or_insert(now);
    }

    /// Records that a stop was requested: `directly`, or of a service that this one needs.
    pub(crate) fn request_stop(&mut self, now: Millis, directly: bool, out: &mut Effects) {
        self.late_at = None;
        match &mut self.state {
            State::Waiting | State::Delayed { .. } => self.turn_off(now, out),
            State::Failed | State::Done if directly && self.invalid.is_none() => {
                self.turn_off(now, out);
            }
            State::Stopping { again, .. } => *again = false,
            state => self.stop_requested = state.uses_needs(),
        }
    }

    /// Records that a failure is to be forgotten.
    pub(crate) fn reset(&mut self, now: Millis, out: &mut Effects) {
        if self.state == State::Failed && self.invalid.is_none() {
            self.turn_off(now, out);
        }
    }

    /// Turns a service without a process off: gives up the start that is due, or forgets how the service ended.
    fn turn_off(&mut self, now: Millis, out: &mut Effects) {
        self.enter(now, State::Off);
        out.changes.push(Change::Cancelled(self.id));
    }

    /// Records that a restart was requested: a service without a process is started.
    pub(crate) fn request_restart(&mut self, now: Millis, out: &mut Effects) {
        self.request_start(now, true);
        match self.state {
            State::Starting { .. } | State::Up { .. } => self.terminate(now, true, out),
            // No process is to be restarted; the request makes the next start as fast as a first one.
            State::Armed => self.backoff.reset(),
            _ => {}
        }
    }

    /// Stops the process, or the watch of the socket. The caller has seen that no active service needs this one.
    pub(crate) fn stop(&mut self, now: Millis, out: &mut Effects) {
        if self.state == State::Armed {
            out.actions.push(Action::Unwatch(self.id));
            self.enter(now, State::Off);
        } else {
            self.terminate(now, false, out);
        }
    }

    fn terminate(&mut self, now: Millis, again: bool, out: &mut Effects) {
        if let State::Starting { pid, .. } | State::Up { pid, .. } = self.state {
            out.actions.push(Action::Terminate(self.id, pid));
            self.late_at = None;
            let kill_at = now.saturating_add(self.def.grace_ms);
            self.enter(
                now,
                State::Stopping {
                    pid,
                    kill_at,
                    again,
                },
            );
        }
    }

    /// Terminates the process, which starts again afterwards: a service to which this one is bound has ended and
    /// starts again.
    pub(crate) fn terminate_to_restart(&mut self, now: Millis, out: &mut Effects) {
        if !self.stop_requested {
            self.terminate(now, true, out);
        }
    }

    /// Starts the process, or the watch of the socket. The caller has seen that every needed service is ready.
    pub(crate) fn start(&mut self, now: Millis, out: &mut Effects) {
        self.enter(now, State::Spawning);
        out.actions.push(if self.def.on_demand() {
            Action::Watch(self.id)
        } else {
            Action::Spawn(self.id)
        });
    }

    pub(crate) fn on_watching(&mut self, now: Millis, out: &mut Effects) {
        if self.state == State::Spawning {
            self.enter(now, State::Armed);
            self.become_ready(now, out);
        }
    }

    /// Records that a client waits at the socket. With `needs_are_ready`, the process starts. Otherwise the service
    /// waits, or is off if its stop was requested; the socket of a waiting service is watched again once every needed
    /// service is ready.
    pub(crate) fn on_connection(&mut self, now: Millis, needs_are_ready: bool, out: &mut Effects) {
        if self.state != State::Armed {
            return;
        }
        out.actions.push(Action::Unwatch(self.id));
        if needs_are_ready {
            self.enter(now, State::Spawning);
            self.start_late_timer(now);
            out.actions.push(Action::Spawn(self.id));
        } else if self.stop_requested {
            self.enter(now, State::Off);
        } else {
            self.enter(now, State::Waiting);
            self.start_late_timer_after_predecessors(now);
        }
    }

    /// Records that the socket is no longer watched. The service is off after a stop; after a connection it starts or waits.
    pub(crate) fn on_unwatched(&mut self, out: &mut Effects) {
        if self.state == State::Off {
            out.changes.push(Change::Cancelled(self.id));
        }
    }

    pub(crate) fn on_spawned(&mut self, now: Millis, pid: Pid) {
        if self.state == State::Spawning {
            self.enter(now, State::Starting { pid, started: now });
            self.timestamps.spawned.get_or_insert(now);
        }
    }

    /// Records that the program runs: execve(2) succeeded.
    pub(crate) fn on_exec(&mut self, now: Millis, out: &mut Effects) {
        if self.def.ready == ReadyWhen::Exec {
            self.become_up(now, out);
        }
    }

    /// Records that the program reported to be ready.
    pub(crate) fn on_reported_ready(&mut self, now: Millis, out: &mut Effects) {
        if matches!(self.def.ready, ReadyWhen::Notify | ReadyWhen::Fd(_)) {
            self.become_up(now, out);
        }
    }

    fn become_up(&mut self, now: Millis, out: &mut Effects) {
        if let State::Starting { pid, started } = self.state {
            self.enter(now, State::Up { pid, started });
            self.become_ready(now, out);
        }
    }

    fn become_ready(&mut self, now: Millis, out: &mut Effects) {
        self.late_at = None;
        self.late = false;
        self.timestamps.ready.get_or_insert(now);
        out.changes.push(Change::Ready(self.id));
    }

    pub(crate) fn on_tick(&mut self, now: Millis, out: &mut Effects) {
        match &mut self.state {
            State::Stopping { pid, kill_at, .. } if *kill_at <= now => {
                out.actions.push(Action::Kill(self.id, *pid));
                // SIGKILL is sent again if the process still exists by then.
                *kill_at = now.saturating_add(self.def.grace_ms.max(1_000));
            }
            State::Delayed { until } if *until <= now => self.end_delay(now),
            _ => {}
        }
        if self.late_at.is_some_and(|at| at <= now) {
            self.late_at = None;
            self.late = true;
            out.changes.push(Change::Late(self.id));
        }
    }

    /// Next moment at which [`ServiceRecord::on_tick`] makes a change.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        let of_state = match self.state {
            State::Stopping { kill_at, .. } => Some(kill_at),
            State::Delayed { until } => Some(until),
            _ => None,
        };
        sooner(of_state, self.late_at)
    }
}
