//! The supervisor: a pure state machine over events, time included.
//!
//! Invariants, held by the tests below:
//! - no event in any state panics, and an event that does not fit changes nothing;
//! - a service has at most one process, and its end is seen exactly once;
//! - a service that ends is never started again sooner than its delay says,
//!   nor is its socket watched sooner: nothing spins;
//! - a stop always wins over a delay or a start under way.

use crate::backoff::Backoff;
use crate::row::{Ready, Restart, Service};
use crate::state::{Action, Event, Id, State, Verdict};
use crate::{Millis, Pid, Status};

/// A socket-activated service that ends sooner than this most likely never
/// accepted: its socket is not watched again before a delay.
const TOO_SOON_MS: Millis = 1_000;

#[derive(Debug)]
struct Slot {
    row: Service,
    state: State,
    backoff: Backoff,
    /// Not ready by then is said; `None` once said or ready.
    late_at: Option<Millis>,
    late: bool,
    last: Option<Status>,
}

/// The table and the state of every row.
#[derive(Debug)]
pub struct Supervisor {
    slots: Vec<Slot>,
}

impl Supervisor {
    /// Takes the rows; all are off.
    #[must_use]
    pub fn new(rows: Vec<Service>) -> Supervisor {
        let slot = |row| Slot {
            row,
            state: State::Off,
            backoff: Backoff::default(),
            late_at: None,
            late: false,
            last: None,
        };
        Supervisor {
            slots: rows.into_iter().map(slot).collect(),
        }
    }

    /// The row at `id`.
    #[must_use]
    pub fn row(&self, id: Id) -> Option<&Service> {
        self.slots.get(id).map(|s| &s.row)
    }

    /// The state at `id`; `Off` for an id that is none.
    #[must_use]
    pub fn state(&self, id: Id) -> State {
        self.slots.get(id).map_or(State::Off, |s| s.state)
    }

    /// The id of the service called `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Id> {
        self.slots.iter().position(|s| s.row.name == name)
    }

    /// How the service at `id` ended the last time.
    #[must_use]
    pub fn last(&self, id: Id) -> Option<Status> {
        self.slots.get(id).and_then(|s| s.last)
    }

    /// Leaves a service that cannot be: its socket could not be bound.
    pub fn give_up(&mut self, id: Id) {
        if let Some(slot) = self.slots.get_mut(id).filter(|s| s.state.pid().is_none()) {
            slot.state = State::Failed;
            slot.late_at = None;
        }
    }

    /// All ids.
    pub fn ids(&self) -> std::ops::Range<Id> {
        0..self.slots.len()
    }

    /// The service whose process is `pid`.
    #[must_use]
    pub fn owner(&self, pid: Pid) -> Option<Id> {
        self.slots.iter().position(|s| s.state.pid() == Some(pid))
    }

    /// What the ready line needs to know.
    #[must_use]
    pub fn verdict(&self, id: Id) -> Verdict {
        let Some(slot) = self.slots.get(id) else {
            return Verdict::NotAsked;
        };
        match slot.state {
            _ if !slot.row.gates => Verdict::NotAsked,
            State::Off => Verdict::NotAsked,
            State::Armed | State::Up { .. } | State::Done => Verdict::Good,
            State::Failed | State::Delayed { .. } | State::Stopping { .. } => Verdict::Bad,
            _ if slot.late || slot.backoff.failures() > 0 => Verdict::Bad,
            State::Waiting if slot.row.needs.iter().any(|n| self.hopeless(n)) => Verdict::Bad,
            State::Waiting | State::Spawning | State::Starting { .. } => Verdict::Pending,
        }
    }

    /// The next moment at which `Event::Tick` changes something.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        let own = |s: &Slot| match s.state {
            State::Stopping { kill_at, .. } => Some(kill_at),
            State::Delayed { until } => Some(until),
            _ => None,
        };
        self.slots
            .iter()
            .flat_map(|s| [own(s), s.late_at])
            .flatten()
            .min()
    }

    /// Takes one event and says what is to be done about it.
    pub fn handle(&mut self, now: Millis, event: Event) -> Vec<Action> {
        let mut todo = Vec::new();
        match event {
            Event::Start(id) => self.start(now, id),
            Event::Stop(id) => self.stop(now, id, &mut todo),
            Event::Spawned(id, pid) => self.spawned(now, id, pid, &mut todo),
            Event::SpawnFailed(id) => self.spawn_failed(now, id, &mut todo),
            Event::Ready(pid) => self.ready(now, pid, &mut todo),
            Event::Connection(id) => self.connection(id, &mut todo),
            Event::Exited(pid, status) => self.exited(now, pid, status, &mut todo),
            Event::Tick => self.tick(now, &mut todo),
        }
        self.advance(&mut todo);
        todo
    }

    fn start(&mut self, now: Millis, id: Id) {
        let Some(slot) = self.slots.get_mut(id) else {
            return;
        };
        let startable = matches!(
            slot.state,
            State::Off | State::Done | State::Failed | State::Delayed { .. }
        );
        if startable {
            slot.state = State::Waiting;
            slot.backoff.reset();
            slot.late = false;
            slot.late_at = Some(now.saturating_add(slot.row.late_ms));
        }
    }

    fn stop(&mut self, now: Millis, id: Id, todo: &mut Vec<Action>) {
        let Some(slot) = self.slots.get_mut(id) else {
            return;
        };
        slot.late_at = None;
        slot.state = match slot.state {
            State::Starting { pid, .. } | State::Up { pid, .. } => {
                todo.push(Action::Terminate(pid));
                State::Stopping {
                    pid,
                    kill_at: now.saturating_add(slot.row.grace_ms),
                }
            }
            State::Armed => {
                todo.push(Action::Unwatch(id));
                State::Off
            }
            stopping @ State::Stopping { .. } => stopping,
            _ => State::Off,
        };
    }

    fn spawned(&mut self, now: Millis, id: Id, pid: Pid, todo: &mut Vec<Action>) {
        let Some(slot) = self.slots.get_mut(id) else {
            return;
        };
        match slot.state {
            State::Spawning => {
                slot.state = State::Starting { pid, since: now };
                if slot.row.ready == Ready::Forked {
                    self.ready(now, pid, todo);
                }
            }
            // Stopped between the two: the process must not be forgotten.
            State::Off => {
                todo.push(Action::Terminate(pid));
                slot.state = State::Stopping {
                    pid,
                    kill_at: now.saturating_add(slot.row.grace_ms),
                };
            }
            _ => {}
        }
    }

    fn spawn_failed(&mut self, now: Millis, id: Id, todo: &mut Vec<Action>) {
        let Some(slot) = self.slots.get_mut(id) else {
            return;
        };
        if slot.state == State::Spawning {
            // The edge has said why. 126 as a shell says "could not be run".
            slot.end(now, 0, Status::Exited(126), id, todo);
        }
    }

    fn ready(&mut self, _now: Millis, pid: Pid, todo: &mut Vec<Action>) {
        let Some(id) = self.owner(pid) else { return };
        let Some(slot) = self.slots.get_mut(id) else {
            return;
        };
        if let State::Starting { since, .. } = slot.state {
            slot.state = State::Up { pid, since };
            slot.late_at = None;
            slot.late = false;
            todo.push(Action::SayReady(id));
        }
    }

    fn connection(&mut self, id: Id, todo: &mut Vec<Action>) {
        let Some(slot) = self.slots.get_mut(id) else {
            return;
        };
        if slot.state == State::Armed {
            slot.state = State::Spawning;
            todo.push(Action::Unwatch(id));
            todo.push(Action::Spawn(id));
        }
    }

    fn exited(&mut self, now: Millis, pid: Pid, status: Status, todo: &mut Vec<Action>) {
        let Some(id) = self.owner(pid) else { return };
        let Some(slot) = self.slots.get_mut(id) else {
            return;
        };
        match slot.state {
            State::Starting { since, .. } | State::Up { since, .. } => {
                slot.end(now, now.saturating_sub(since), status, id, todo);
            }
            State::Stopping { .. } => {
                slot.last = Some(status);
                slot.state = State::Off;
                todo.push(Action::SayEnded(id, status, None));
            }
            _ => {}
        }
    }

    fn tick(&mut self, now: Millis, todo: &mut Vec<Action>) {
        for (id, slot) in self.slots.iter_mut().enumerate() {
            match slot.state {
                State::Stopping { pid, kill_at } if kill_at <= now => {
                    todo.push(Action::Kill(pid));
                    // Asked again, should it not be gone by then.
                    let again = now.saturating_add(slot.row.grace_ms.max(1_000));
                    slot.state = State::Stopping {
                        pid,
                        kill_at: again,
                    };
                }
                State::Delayed { until } if until <= now => slot.state = State::Waiting,
                _ => {}
            }
            if slot.late_at.is_some_and(|at| at <= now) {
                slot.late_at = None;
                slot.late = true;
                todo.push(Action::SayLate(id));
            }
        }
    }

    /// Starts, or arms, everything that waits for nothing any more.
    fn advance(&mut self, todo: &mut Vec<Action>) {
        for id in self.ids() {
            let waits = |s: &Slot| s.state == State::Waiting;
            let Some(slot) = self.slots.get(id).filter(|s| waits(s)) else {
                continue;
            };
            if !slot.row.needs.iter().all(|n| self.satisfied(n)) {
                continue;
            }
            let Some(slot) = self.slots.get_mut(id) else {
                continue;
            };
            if slot.row.on_demand() {
                slot.state = State::Armed;
                slot.late_at = None;
                todo.extend([Action::Watch(id), Action::SayReady(id)]);
            } else {
                slot.state = State::Spawning;
                todo.push(Action::Spawn(id));
            }
        }
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

impl Slot {
    /// It ended by itself: what now?
    fn end(&mut self, now: Millis, ran: Millis, status: Status, id: Id, todo: &mut Vec<Action>) {
        self.last = Some(status);
        let again = match self.row.restart {
            Restart::Always => true,
            Restart::OnFailure => !status.success(),
            Restart::Never => false,
        };
        if !again {
            let well = status.success();
            self.state = if well { State::Done } else { State::Failed };
            self.late_at = None;
            let say = if well && self.row.ready == Ready::Exit {
                Action::SayReady(id)
            } else {
                Action::SayEnded(id, status, None)
            };
            todo.push(say);
            return;
        }
        // Leaving after idle time is what an on-demand service does when all is
        // well: its socket is watched again at once. Leaving at once is not.
        let idle = self.row.on_demand() && status.success() && ran >= TOO_SOON_MS;
        let delay = if idle { 0 } else { self.backoff.next(ran) };
        if idle {
            self.backoff.reset();
            self.state = State::Waiting;
        } else {
            self.state = State::Delayed {
                until: now.saturating_add(delay),
            };
        }
        todo.push(Action::SayEnded(id, status, Some(delay)));
    }
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
