//! The supervisor: a pure state machine over events, time included.
//!
//! Invariants, held by the tests below over every state and event, and over
//! random histories:
//! - no event in any state panics, and an event that does not fit changes nothing;
//! - a service has at most one process, and its end is seen exactly once;
//! - every `Spawn` waits for its answer before there is another;
//! - a service that ends is never started again sooner than its delay says,
//!   nor is its socket watched sooner; after a `Tick` no deadline is in the past:
//!   nothing spins;
//! - a stop wins over a delay or a start under way, and reaches a service only
//!   when nothing that needs it is left;
//! - a restart is neither lost nor done twice;
//! - who lets others go first waits until they are ready, have failed, or are late.

use crate::graph::Set;
use crate::service::ServiceDef;
use crate::service_record::{ServiceRecord, Timestamps};
use crate::state::{Action, Event, Readiness, ServiceId, State};
use crate::{ExitStatus, Millis, Pid, file, graph, sooner};

/// So many times may a row be added while the machine runs: what it replaces is
/// not given back.
const MOST_ADDED: usize = 1_000;

/// The table and the state of every row.
#[derive(Debug)]
pub struct Supervisor {
    slots: Vec<ServiceRecord>,
    /// What each needs, directly or not.
    needs: Vec<Set>,
    /// Rows up to here came with the machine.
    builtin: usize,
    added: usize,
}

impl Supervisor {
    /// Takes the rows; all are off, but for those that can never be.
    #[must_use]
    pub fn new(rows: Vec<ServiceDef>) -> Supervisor {
        let needs = graph::needs(&rows.iter().collect::<Vec<_>>());
        let mut s = Supervisor {
            builtin: rows.len(),
            slots: rows.into_iter().map(ServiceRecord::new).collect(),
            needs,
            added: 0,
        };
        for id in s.ids() {
            if let Some(why) = s.impossible(id) {
                s.at(id, |slot| {
                    slot.invalid = Some(why);
                    slot.enter(0, State::Failed);
                });
            }
        }
        s
    }

    fn impossible(&self, id: ServiceId) -> Option<&'static str> {
        if id.index() >= graph::MOST {
            Some("there are too many services")
        } else if self.needs_it(id, id) {
            Some("it needs itself")
        } else if self.definition(id).and_then(|r| self.find(r.name)) != Some(id) {
            Some("there is another of its name")
        } else {
            None
        }
    }

    /// Whether `who` needs `what`, directly or not.
    fn needs_it(&self, who: ServiceId, what: ServiceId) -> bool {
        self.needs
            .get(who.index())
            .is_some_and(|s| s & graph::only(what.index()) != 0)
    }

    /// Whether [`Supervisor::add`] would take a row called `name` now; else why not.
    ///
    /// # Errors
    /// In words for the one who wants to add it.
    pub fn may_add(&self, name: &str) -> Result<(), &'static str> {
        match self.find(name) {
            Some(id) if id.index() < self.builtin => Err("a service of the machine has this name"),
            Some(id) if !self.state(id).at_rest() => Err("it is in use: stop it first"),
            None if self.slots.len() >= graph::MOST.min(self.builtin + file::MOST) => {
                Err("there are too many services")
            }
            _ if self.added >= MOST_ADDED => Err("too many changes since the boot"),
            _ => Ok(()),
        }
    }

    /// Whether the one at `id` was added while the machine ran.
    #[must_use]
    pub fn is_user_service(&self, id: ServiceId) -> bool {
        (self.builtin..self.slots.len()).contains(&id.index())
    }

    /// Takes a row while the machine runs, in place of one of the same name that
    /// was added before and is at rest. It is off.
    ///
    /// # Errors
    /// What [`Supervisor::may_add`] says, and a row that would need itself.
    pub fn add(&mut self, row: ServiceDef) -> Result<ServiceId, &'static str> {
        self.may_add(row.name)?;
        let id = self
            .find(row.name)
            .unwrap_or(ServiceId::new(self.slots.len()));
        let mut rows: Vec<&ServiceDef> = self.slots.iter().map(|s| &s.def).collect();
        match rows.get_mut(id.index()) {
            Some(old) => *old = &row,
            None => rows.push(&row),
        }
        let needs = graph::needs(&rows);
        if needs
            .get(id.index())
            .is_none_or(|s| s & graph::only(id.index()) != 0)
        {
            return Err("it needs itself");
        }
        self.needs = needs;
        self.added += 1;
        match self.slots.get_mut(id.index()) {
            Some(slot) => *slot = ServiceRecord::new(row),
            None => self.slots.push(ServiceRecord::new(row)),
        }
        Ok(id)
    }

    /// The row at `id`.
    #[must_use]
    pub fn definition(&self, id: ServiceId) -> Option<&ServiceDef> {
        self.slots.get(id.index()).map(|s| &s.def)
    }

    /// The state at `id`; `Off` for an id that is none.
    #[must_use]
    pub fn state(&self, id: ServiceId) -> State {
        self.slots.get(id.index()).map_or(State::Off, |s| s.state)
    }

    /// When it came to that state.
    #[must_use]
    pub fn since(&self, id: ServiceId) -> Millis {
        self.slots.get(id.index()).map_or(0, |s| s.since)
    }

    /// The id of the service called `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ServiceId> {
        self.ids()
            .find(|id| self.definition(*id).is_some_and(|r| r.name == name))
    }

    /// How the service at `id` ended the last time.
    #[must_use]
    pub fn last_exit(&self, id: ServiceId) -> Option<ExitStatus> {
        self.slots.get(id.index()).and_then(|s| s.last)
    }

    /// How often it was started again after it had ended by itself.
    #[must_use]
    pub fn restarts(&self, id: ServiceId) -> u32 {
        self.slots.get(id.index()).map_or(0, |s| s.restarts)
    }

    /// When it came to each point for the first time.
    #[must_use]
    pub fn timestamps(&self, id: ServiceId) -> Timestamps {
        self.slots
            .get(id.index())
            .map_or(Timestamps::default(), |s| s.first)
    }

    /// Why it can never be started, where that is so.
    #[must_use]
    pub fn invalid(&self, id: ServiceId) -> Option<&'static str> {
        self.slots.get(id.index()).and_then(|s| s.invalid)
    }

    /// Leaves a service that cannot be: its socket could not be bound.
    pub fn give_up(&mut self, now: Millis, id: ServiceId) {
        if let Some(slot) = self
            .slots
            .get_mut(id.index())
            .filter(|s| s.state.pid().is_none())
        {
            slot.enter(now, State::Failed);
            slot.late_at = None;
        }
    }

    /// All ids.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = ServiceId> + use<> {
        (0..self.slots.len()).map(ServiceId::new)
    }

    /// All ids, each after what it needs.
    #[must_use]
    pub fn order(&self) -> Vec<ServiceId> {
        let order = graph::order(&self.needs);
        order.into_iter().map(ServiceId::new).collect()
    }

    /// Whether nothing runs and nothing will by itself: after `StopAll`, the end.
    #[must_use]
    pub fn at_rest(&self) -> bool {
        self.slots.iter().all(|s| s.state.at_rest())
    }

    /// The service whose process is `pid`.
    #[must_use]
    pub fn owner(&self, pid: Pid) -> Option<ServiceId> {
        self.ids().find(|id| self.state(*id).pid() == Some(pid))
    }

    /// What the ready line needs to know.
    #[must_use]
    pub fn readiness(&self, id: ServiceId) -> Readiness {
        let Some(slot) = self.slots.get(id.index()) else {
            return Readiness::NotRequired;
        };
        match slot.state {
            _ if !slot.def.gates_ready => Readiness::NotRequired,
            State::Off => Readiness::NotRequired,
            State::Armed | State::Up { .. } | State::Done => Readiness::Ready,
            State::Failed | State::Delayed { .. } | State::Stopping { .. } => Readiness::Failed,
            _ if slot.late || slot.backoff.failures() > 0 => Readiness::Failed,
            State::Waiting if slot.def.needs.iter().any(|n| self.hopeless(n)) => Readiness::Failed,
            State::Waiting | State::Spawning | State::Starting { .. } => Readiness::Pending,
        }
    }

    /// The next moment at which `Event::Tick` changes something.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        self.slots
            .iter()
            .map(ServiceRecord::deadline)
            .fold(None, sooner)
    }

    /// Takes one event and says what is to be done about it.
    pub fn handle(&mut self, now: Millis, event: Event) -> Vec<Action> {
        let mut todo = Vec::new();
        let out = &mut todo;
        match event {
            Event::Start(id) => self.want(now, id),
            Event::Restart(id) => {
                self.want_needs(now, id);
                self.at(id, |s| s.anew(now, id, out));
            }
            Event::Stop(id) => self.unwant(now, id),
            Event::StopAll => self.slots.iter_mut().for_each(|s| s.unwant(now, false)),
            Event::Spawned(id, pid) => self.at(id, |s| s.spawned(now, pid)),
            Event::SpawnFailed(id) => self.at(id, |s| s.spawn_failed(now, id, out)),
            Event::Connection(id) => self.at(id, |s| s.connection(now, id, out)),
            Event::Execed(pid) => self.of(pid, |s, id| s.word(now, true, id, out)),
            Event::Ready(pid) => self.of(pid, |s, id| s.word(now, false, id, out)),
            Event::Exited(pid, status) => self.of(pid, |s, id| s.exited(now, status, id, out)),
            Event::Tick => {
                let ids = self.ids();
                let slots = ids.zip(&mut self.slots);
                slots.for_each(|(id, s)| s.tick(now, id, out));
            }
        }
        self.settle(now, &mut todo);
        todo
    }

    fn at(&mut self, id: ServiceId, act: impl FnOnce(&mut ServiceRecord)) {
        if let Some(slot) = self.slots.get_mut(id.index()) {
            act(slot);
        }
    }

    fn of(&mut self, pid: Pid, act: impl FnOnce(&mut ServiceRecord, ServiceId)) {
        if let Some(id) = self.owner(pid) {
            self.at(id, |s| act(s, id));
        }
    }

    fn want(&mut self, now: Millis, id: ServiceId) {
        self.want_needs(now, id);
        self.at(id, |s| s.want(now, true));
    }

    /// What it needs comes with it, and does not leave under it.
    fn want_needs(&mut self, now: Millis, id: ServiceId) {
        for need in self.ids() {
            if need != id && self.needs_it(id, need) {
                self.at(need, |s| s.want(now, false));
            }
        }
    }

    fn unwant(&mut self, now: Millis, id: ServiceId) {
        for other in self.ids() {
            if other != id && self.needs_it(other, id) {
                self.at(other, |s| s.unwant(now, false));
            }
        }
        self.at(id, |s| s.unwant(now, true));
    }

    /// Moves what can move by itself now. Each pass moves a service, and each
    /// service moves at most twice (it leaves, or it starts), so it ends.
    fn settle(&mut self, now: Millis, todo: &mut Vec<Action>) {
        for _ in 0..2 * self.slots.len() {
            let before = todo.len();
            self.let_leave(now, todo);
            self.let_start(now, todo);
            if todo.len() == before {
                return;
            }
        }
    }

    /// Those that are to stop, when nothing that needs them is left.
    fn let_leave(&mut self, now: Millis, todo: &mut Vec<Action>) {
        for id in self.ids().rev() {
            let leaving = |s: &&ServiceRecord| s.leaving && s.state != State::Spawning;
            if self.slots.get(id.index()).filter(leaving).is_some() && !self.in_use(id) {
                self.at(id, |s| s.leave(now, id, todo));
            }
        }
    }

    fn in_use(&self, id: ServiceId) -> bool {
        let uses = |o| o != id && self.state(o).active() && self.needs_it(o, id);
        self.ids().any(uses)
    }

    /// Those that wait for nothing any more.
    fn let_start(&mut self, now: Millis, todo: &mut Vec<Action>) {
        for id in self.ids() {
            let waits = |s: &&ServiceRecord| s.state == State::Waiting;
            let Some(slot) = self.slots.get(id.index()).filter(waits) else {
                continue;
            };
            let (needs, after) = (slot.def.needs, slot.def.after);
            if !after.iter().all(|n| self.past(n)) {
                continue;
            }
            self.at(id, |s| s.let_go(now));
            if needs.iter().all(|n| self.satisfied(n)) {
                self.at(id, |s| s.start(now, id, todo));
            }
        }
    }

    /// Whoever goes first has gone, or keeps nobody waiting any more.
    fn past(&self, name: &str) -> bool {
        let pending = |s: &ServiceRecord| {
            let coming = matches!(
                s.state,
                State::Waiting | State::Spawning | State::Starting { .. }
            );
            coming && !s.late
        };
        let slot = self.find(name).and_then(|id| self.slots.get(id.index()));
        !slot.is_some_and(pending)
    }

    fn satisfied(&self, name: &str) -> bool {
        let ready = |id| {
            matches!(
                self.state(id),
                State::Up { .. } | State::Armed | State::Done
            )
        };
        self.find(name).is_some_and(ready)
    }

    /// What is needed will not come, or not soon.
    fn hopeless(&self, name: &str) -> bool {
        let gone = |id| {
            matches!(
                self.state(id),
                State::Off | State::Failed | State::Delayed { .. }
            )
        };
        self.find(name).is_none_or(gone)
    }
}

mod revise;

#[cfg(test)]
mod tests;
