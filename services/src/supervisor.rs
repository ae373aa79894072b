// SPDX-License-Identifier: Apache-2.0
//! The supervisor: a pure state machine over the table of services. Time is an argument.
//!
//! Inputs are handled in two steps (dinit's propagation and execution, service.h):
//!
//! - [`Supervisor::note`] records an input and returns the resulting [`Change`]s. A note starts no
//!   `Waiting` service. A note terminates a process in two cases only, and then also if active services need
//!   the service: its restart is requested, or a service to which it is bound has ended and starts again.
//! - [`Supervisor::settle`] then moves every service that can move, and returns the
//!   [`Action`]s for the manager. Their outcome is noted in turn.
//!
//! Between the two steps a caller may react to the changes. Requests and revisions that the caller makes then apply
//! before any waiting service starts.
//!
//! Invariants, which the tests check for every state and input and over random histories:
//!
//! - No input in any state panics, and an input that does not fit the state changes nothing.
//! - Except for `StopAll` and `Tick`, which concern every service, a note changes only the service
//!   that the input names, the services that it needs (start, restart), the services that need it
//!   (stop), and the services that are bound to it, with their dependents (end).
//! - Settling twice without a note in between does nothing the second time, and settling makes
//!   no service ready: readiness is always noted, hence always seen as a change first.
//! - A service has at most one process, and the end of that process is one change. A start without a process is
//!   one change of its own, and has no exit status.
//! - Each `Spawn` and `Watch` is answered before the next one for the same service.
//! - An action that names a process is never returned after the end of that process was noted.
//! - After the end of a service, the service is not started and its socket is not watched before the delay is
//!   over, unless a start is requested.
//! - A noted `Tick` leaves no deadline that is due, so the caller's loop does not spin.
//! - A stop cancels a delay or a start, and reaches a process only when no active service needs
//!   the service.
//! - A restart is neither lost nor done twice.
//! - A user service whose unloading is requested is forgotten when it is at rest, unless a start is requested
//!   before. Another service may then get its slot in the table; the ids of the other services stay.
//! - A service that is ordered after others waits while one of them is waiting, spawning or starting, and not
//!   late. A service in any other state, or an unknown one, delays no other service: one attempt that fails is
//!   the end of the wait, as a failed job is in systemd.
//! - No service waits for itself, directly or through others: such a definition is refused, and a built-in service
//!   on a cycle is failed from the beginning.

use crate::graph::Set;
use crate::service::{ReadyWhen, ServiceDef};
use crate::service_record::{Effects, ServiceRecord, Timestamps};
use crate::state::{Action, Change, Input, Readiness, ServiceId, State};
use crate::{ExitStatus, Millis, Pid, graph, sooner};

mod definitions;
pub mod recovery;

pub use crate::definition_error::DefinitionError;
pub use definitions::MAX_USER_SERVICES;

/// The table of services with the state of each.
#[derive(Debug)]
pub struct Supervisor {
    records: Vec<ServiceRecord>,
    /// For each service, the services that it needs directly or indirectly.
    needs: Vec<Set>,
    /// Number of the built-in services; user services follow them in the table.
    builtin: usize,
    /// Number of different definitions that were added at run time.
    definitions_added: usize,
    /// Slots of user services that were forgotten.
    free_slots: Set,
    /// Definitions without a service: the last one of each name that was refused or forgotten.
    unused_definitions: Vec<ServiceDef>,
    /// Effects of noted inputs that were not returned yet.
    effects: Effects,
}

impl Supervisor {
    /// Creates the table; every service is off, or failed if the service can never start.
    #[must_use]
    pub fn new(definitions: Vec<ServiceDef>) -> Supervisor {
        let all: Vec<&ServiceDef> = definitions.iter().collect();
        let (needs, predecessors) = (graph::needs(&all), graph::predecessors(&all));
        let records = definitions.into_iter().enumerate();
        let records = records.map(|(index, def)| ServiceRecord::new(ServiceId::new(index), def));
        let mut supervisor = Supervisor {
            builtin: needs.len(),
            records: records.collect(),
            needs,
            definitions_added: 0,
            free_slots: Set::default(),
            unused_definitions: Vec::new(),
            effects: Effects::default(),
        };
        for id in supervisor.ids() {
            if let Some(reason) = supervisor.reason_invalid(id, &predecessors) {
                supervisor.with_id(id, |record, _| record.set_invalid(reason));
            }
        }
        supervisor
    }

    fn record(&self, id: ServiceId) -> Option<&ServiceRecord> {
        let is_free = self.free_slots.contains(id.index());
        self.records.get(id.index()).filter(|_| !is_free)
    }

    /// Definition of a service.
    #[must_use]
    pub fn definition(&self, id: ServiceId) -> Option<&ServiceDef> {
        self.record(id).map(|r| &r.def)
    }

    /// State of a service; `Off` for an unknown id.
    #[must_use]
    pub fn state(&self, id: ServiceId) -> State {
        self.record(id).map_or(State::Off, |r| r.state)
    }

    /// Time at which the service entered its state.
    #[must_use]
    pub fn since(&self, id: ServiceId) -> Millis {
        self.record(id).map_or(0, |r| r.since)
    }

    /// Id of the service called `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ServiceId> {
        let mut ids = self.ids();
        ids.find(|id| self.record(*id).is_some_and(|r| r.def.name == name))
    }

    /// Exit status of the service's last process; `None` also if a later start created no process.
    #[must_use]
    pub fn last_exit(&self, id: ServiceId) -> Option<ExitStatus> {
        self.record(id).and_then(|r| r.last_exit)
    }

    /// Number of automatic restarts: attempts after an end by itself, a failed fork(2) or a failed bind(2).
    #[must_use]
    pub fn restarts(&self, id: ServiceId) -> u32 {
        self.record(id).map_or(0, |r| r.restarts)
    }

    /// First time at which the service reached each point.
    #[must_use]
    pub fn timestamps(&self, id: ServiceId) -> Timestamps {
        self.record(id)
            .map_or(Timestamps::default(), |r| r.timestamps)
    }

    /// Reason why the service can never start.
    #[must_use]
    pub fn invalid(&self, id: ServiceId) -> Option<DefinitionError> {
        self.record(id).and_then(|r| r.invalid)
    }

    /// All ids, in the order of the table.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = ServiceId> + use<> {
        let free = self.free_slots;
        let slots = (0..self.records.len()).filter(move |n| !free.contains(*n));
        slots.map(ServiceId::new)
    }

    /// Returns true if no service runs or will start without a request.
    #[must_use]
    pub fn at_rest(&self) -> bool {
        self.records.iter().all(|r| r.state.at_rest())
    }

    /// The service whose process is `pid`.
    #[must_use]
    pub fn find_by_pid(&self, pid: Pid) -> Option<ServiceId> {
        let owns = |r: &ServiceRecord| r.state.pid() == Some(pid);
        self.records.iter().position(owns).map(ServiceId::new)
    }

    /// Contribution of a service to the machine's readiness.
    #[must_use]
    pub fn readiness(&self, id: ServiceId) -> Readiness {
        let Some(record) = self.record(id).filter(|r| r.def.gates_ready) else {
            return Readiness::NotRequired;
        };
        let fails = |need: &&str| self.will_not_be_ready_soon(need);
        match record.state {
            State::Off => Readiness::NotRequired,
            state if state.satisfies_dependents() => Readiness::Ready,
            State::Failed | State::Delayed { .. } | State::Stopping { .. } => Readiness::NotReady,
            _ if record.late || record.backoff.ends() > 0 => Readiness::NotReady,
            State::Waiting if record.def.needs.iter().any(fails) => Readiness::NotReady,
            _ => Readiness::Pending,
        }
    }

    /// Next moment at which [`Input::Tick`] makes a change.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        let deadlines = self.records.iter().map(ServiceRecord::deadline);
        deadlines.fold(None, sooner)
    }

    /// Records an input and returns the changes that it caused: the first step.
    pub fn note(&mut self, now: Millis, input: Input) -> Vec<Change> {
        match input {
            Input::Start(id) => self.request_start(now, id),
            Input::Restart(id) => {
                self.request_needs(now, id);
                self.with_id(id, |r, out| r.request_restart(now, out));
            }
            Input::Stop(id) => self.request_stop(now, id, true),
            Input::ResetFailed(id) => self.with_id(id, |r, out| r.reset(now, out)),
            Input::Unload(id) => self.request_unload(now, id),
            Input::StopAll => self.with_all(|r, out| r.request_stop(now, false, out)),
            Input::Spawned(id, pid) => self.with_id(id, |r, _| r.on_spawned(now, pid)),
            Input::SpawnFailed(id) => self.with_id(id, |r, out| r.on_spawn_failed(now, out)),
            Input::Watching(id) => self.with_id(id, |r, out| r.on_watching(now, out)),
            Input::WatchFailed(id) => self.with_id(id, |r, out| r.on_watch_failed(now, out)),
            Input::Unwatched(id) => self.with_id(id, ServiceRecord::on_unwatched),
            Input::Connection(id) => {
                let ready = self.needs_are_ready(id);
                self.with_id(id, |r, out| r.on_connection(now, ready, out));
            }
            Input::Execed(pid) => self.with_pid(pid, |r, out| r.on_exec(now, out)),
            Input::Ready(pid) => self.with_pid(pid, |r, out| r.on_reported_ready(now, out)),
            Input::Exited(pid, status) => self.on_exited(now, pid, status),
            Input::Tick => self.with_all(|r, out| r.on_tick(now, out)),
        }
        std::mem::take(&mut self.effects.changes)
    }

    /// Starts and stops every service that may change, and returns the actions: the second step.
    pub fn settle(&mut self, now: Millis) -> Vec<Action> {
        // When a service stops, another service that it needs may become free to stop: the pass is repeated.
        while self.carry_out_stop_requests(now) {}
        self.start_unblocked(now);
        std::mem::take(&mut self.effects.actions)
    }

    /// Runs both steps for callers that do not react to changes.
    pub fn handle(&mut self, now: Millis, input: Input) -> Vec<Action> {
        let _ = self.note(now, input);
        self.settle(now)
    }

    fn with_id(&mut self, id: ServiceId, act: impl FnOnce(&mut ServiceRecord, &mut Effects)) {
        let is_free = self.free_slots.contains(id.index());
        if let Some(record) = self.records.get_mut(id.index()).filter(|_| !is_free) {
            act(record, &mut self.effects);
        }
    }

    fn with_pid(&mut self, pid: Pid, act: impl FnOnce(&mut ServiceRecord, &mut Effects)) {
        if let Some(id) = self.find_by_pid(pid) {
            self.with_id(id, act);
        }
    }

    fn on_exited(&mut self, now: Millis, pid: Pid, status: ExitStatus) {
        let Some(id) = self.find_by_pid(pid) else {
            return;
        };
        self.with_id(id, |r, out| r.on_exit(now, status, out));
        self.end_bound(now, id);
    }

    /// Ends the services that are bound to a service that has ended: they start again with it, or
    /// stop.
    fn end_bound(&mut self, now: Millis, ended: ServiceId) {
        let Some((name, ready)) = self.definition(ended).map(|def| (def.name, def.ready)) else {
            return;
        };
        // The successful end of a one-shot makes it ready. The services that are bound to it go on.
        if ready == ReadyWhen::Exit && self.state(ended) == State::Done {
            return;
        }
        let is_over = self.state(ended).at_rest();
        for id in self.ids().filter(|id| *id != ended) {
            let is_bound = self.definition(id).is_some_and(|d| d.binds.contains(&name));
            match is_bound {
                true if is_over => self.request_stop(now, id, false),
                true => self.with_id(id, |r, out| r.terminate_to_restart(now, out)),
                false => {}
            }
        }
    }

    fn with_all(&mut self, act: impl Fn(&mut ServiceRecord, &mut Effects)) {
        for record in &mut self.records {
            act(record, &mut self.effects);
        }
    }

    /// Returns true if `dependent` needs `service`, directly or indirectly.
    fn needs_transitively(&self, dependent: ServiceId, service: ServiceId) -> bool {
        let needs = self.needs.get(dependent.index());
        needs.is_some_and(|set| set.contains(service.index()))
    }

    fn request_start(&mut self, now: Millis, id: ServiceId) {
        self.request_needs(now, id);
        self.with_id(id, |r, _| r.request_start(now, true));
    }

    /// Requests the start of the services that `id` needs, and cancels their stop.
    fn request_needs(&mut self, now: Millis, id: ServiceId) {
        for need in self.ids() {
            if need != id && self.needs_transitively(id, need) {
                self.with_id(need, |r, _| r.request_start(now, false));
            }
        }
    }

    /// Requests the stop of the service `id`, and of those that need it: `directly`, or because a service to which `id`
    /// is bound has ended. Only a direct request turns a service off that is done or failed.
    fn request_stop(&mut self, now: Millis, id: ServiceId, directly: bool) {
        for dependent in self.ids() {
            if dependent != id && self.needs_transitively(dependent, id) {
                self.with_id(dependent, |r, out| r.request_stop(now, false, out));
            }
        }
        self.with_id(id, |r, out| r.request_stop(now, directly, out));
    }

    /// Stops each service whose stop was requested, unless an active service needs it. Returns true if a service was
    /// stopped.
    fn carry_out_stop_requests(&mut self, now: Millis) -> bool {
        let mut stopped = false;
        for id in self.ids().rev() {
            let to_stop = |r: &ServiceRecord| r.stop_requested && r.state != State::Spawning;
            if self.record(id).is_some_and(to_stop) && !self.in_use(id) {
                self.with_id(id, |r, out| r.stop(now, out));
                stopped = true;
            }
        }
        stopped
    }

    /// Returns true if an active service needs this one.
    fn in_use(&self, id: ServiceId) -> bool {
        let uses = |other| {
            other != id && self.state(other).uses_needs() && self.needs_transitively(other, id)
        };
        self.ids().any(uses)
    }

    /// Starts the services that wait for no other service any more.
    fn start_unblocked(&mut self, now: Millis) {
        for id in self.ids() {
            let waiting = self.record(id).filter(|r| r.state == State::Waiting);
            let Some(after) = waiting.map(|r| r.def.after) else {
                continue;
            };
            if after.iter().any(|name| self.delays_successors(name)) {
                continue;
            }
            self.with_id(id, |r, _| r.start_late_timer_if_blocked(now));
            if self.needs_are_ready(id) {
                self.with_id(id, |r, out| r.start(now, out));
            }
        }
    }

    /// Returns true if services ordered after `name` wait: the service `name` is waiting, spawning or starting, and not
    /// late. A service in any other state, or an unknown one, delays no other service.
    fn delays_successors(&self, name: &str) -> bool {
        let is_pending = |r: &ServiceRecord| r.state.start_is_pending() && !r.late;
        let record = self.find(name).and_then(|id| self.record(id));
        record.is_some_and(is_pending)
    }

    /// Returns true if the services that `id` needs are ready, so that `id` may start.
    fn needs_are_ready(&self, id: ServiceId) -> bool {
        let ready = |need: ServiceId| self.state(need).satisfies_dependents();
        let needs = self.definition(id).map_or(&[][..], |def| def.needs);
        needs.iter().all(|name| self.find(name).is_some_and(ready))
    }

    /// Returns true if the service `name` is unknown, off, failed or delayed: it will not become ready soon.
    fn will_not_be_ready_soon(&self, name: &str) -> bool {
        let is_far = |id| {
            matches!(
                self.state(id),
                State::Off | State::Failed | State::Delayed { .. }
            )
        };
        self.find(name).is_none_or(is_far)
    }
}

#[cfg(test)]
mod tests;
