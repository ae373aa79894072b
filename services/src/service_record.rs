//! One service of the supervisor: its row, its state, and what it does with an
//! event that concerns it alone.

use crate::backoff::Backoff;
use crate::service::{KillMode, ReadyWhen, Restart, ServiceDef};
use crate::state::{Action, ServiceId, State};
use crate::{ExitStatus, Millis, Pid, sooner};

/// A socket-activated service that ends sooner than this most likely never
/// accepted: its socket is not watched again before a delay.
const TOO_SOON_MS: Millis = 1_000;
/// What a program ends with that wants no other start (gokrazy's convention).
const NO_MORE: ExitStatus = ExitStatus::Exited(125);
/// So often a start that failed for want of a process or a descriptor is tried
/// again, also where a service is started only once.
const MOST_TRIES: u32 = 5;
/// As a shell says "could not be run".
const NOT_RUN: ExitStatus = ExitStatus::Exited(126);

/// When a service came to each point for the first time, where it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamps {
    /// Someone wanted it.
    pub asked: Option<Millis>,
    /// Its first process was there.
    pub spawned: Option<Millis>,
    /// It was ready.
    pub ready: Option<Millis>,
}

/// A service and what is known of it.
#[derive(Debug)]
pub(crate) struct ServiceRecord {
    pub(crate) def: ServiceDef,
    pub(crate) state: State,
    /// When it came to that state.
    pub(crate) since: Millis,
    /// To be stopped as soon as nothing that needs it is left.
    pub(crate) leaving: bool,
    /// Lets others go first; its time to be ready has not begun.
    pub(crate) held: bool,
    pub(crate) backoff: Backoff,
    /// Not ready by then is said; `None` once said or ready.
    pub(crate) late_at: Option<Millis>,
    pub(crate) late: bool,
    pub(crate) last: Option<ExitStatus>,
    /// How often it was started again after it had ended by itself.
    pub(crate) restarts: u32,
    pub(crate) first: Timestamps,
    /// Why it can never be started.
    pub(crate) invalid: Option<&'static str>,
}

impl ServiceRecord {
    pub(crate) fn new(row: ServiceDef) -> ServiceRecord {
        ServiceRecord {
            def: row,
            state: State::Off,
            since: 0,
            leaving: false,
            held: false,
            backoff: Backoff::default(),
            late_at: None,
            late: false,
            last: None,
            restarts: 0,
            first: Timestamps::default(),
            invalid: None,
        }
    }

    /// The one place where the state changes.
    pub(crate) fn enter(&mut self, now: Millis, state: State) {
        self.state = state;
        self.since = now;
        if !state.active() || matches!(state, State::Stopping { .. }) {
            self.leaving = false;
        }
    }

    /// Someone wants it: itself, or because of one that needs it. The latter
    /// neither repeats what was done nor hurries what has failed.
    pub(crate) fn want(&mut self, now: Millis, itself: bool) {
        match &mut self.state {
            State::Off => self.begin(now),
            State::Done | State::Failed | State::Delayed { .. } if itself => self.begin(now),
            State::Stopping { again, .. } => *again = true,
            _ => self.leaving = false,
        }
    }

    fn begin(&mut self, now: Millis) {
        if self.invalid.is_some() {
            return;
        }
        self.enter(now, State::Waiting);
        self.backoff.reset();
        self.late = false;
        self.held = !self.def.after.is_empty();
        self.late_at = (!self.held).then(|| now.saturating_add(self.def.late_ms));
        self.first.asked.get_or_insert(now);
    }

    /// Those that go first are ready, or will not be soon.
    pub(crate) fn let_go(&mut self, now: Millis) {
        if std::mem::take(&mut self.held) {
            self.late_at = Some(now.saturating_add(self.def.late_ms));
        }
    }

    /// Nobody wants it any more: itself, or because of one that it needs.
    pub(crate) fn unwant(&mut self, now: Millis, itself: bool) {
        self.late_at = None;
        match &mut self.state {
            State::Waiting | State::Delayed { .. } => self.enter(now, State::Off),
            State::Done | State::Failed if itself && self.invalid.is_none() => {
                self.enter(now, State::Off);
            }
            State::Stopping { again, .. } => *again = false,
            state => self.leaving = state.active(),
        }
    }

    /// Whatever it is: ended, then started.
    pub(crate) fn anew(&mut self, now: Millis, id: ServiceId, todo: &mut Vec<Action>) {
        self.want(now, true);
        match self.state {
            State::Starting { .. } | State::Up { .. } => self.ask_to_end(now, id, true, todo),
            State::Armed => self.backoff.reset(),
            _ => {}
        }
    }

    /// Nothing that needs it is left.
    pub(crate) fn leave(&mut self, now: Millis, id: ServiceId, todo: &mut Vec<Action>) {
        if self.state == State::Armed {
            todo.push(Action::Unwatch(id));
            self.enter(now, State::Off);
        } else {
            self.ask_to_end(now, id, false, todo);
        }
    }

    fn ask_to_end(&mut self, now: Millis, id: ServiceId, again: bool, todo: &mut Vec<Action>) {
        if let State::Starting { pid, .. } | State::Up { pid, .. } = self.state {
            todo.push(Action::Terminate(id, pid));
            let kill_at = now.saturating_add(self.def.grace_ms);
            self.late_at = None;
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

    /// Nothing that it needs is missing.
    pub(crate) fn start(&mut self, now: Millis, id: ServiceId, todo: &mut Vec<Action>) {
        if self.def.on_demand() {
            self.enter(now, State::Armed);
            todo.push(Action::Watch(id));
            self.be_ready(now, id, todo);
        } else {
            self.enter(now, State::Spawning);
            todo.push(Action::Spawn(id));
        }
    }

    pub(crate) fn connection(&mut self, now: Millis, id: ServiceId, todo: &mut Vec<Action>) {
        if self.state == State::Armed {
            self.enter(now, State::Spawning);
            todo.extend([Action::Unwatch(id), Action::Spawn(id)]);
        }
    }

    pub(crate) fn spawned(&mut self, now: Millis, pid: Pid) {
        if self.state == State::Spawning {
            self.enter(now, State::Starting { pid, since: now });
            self.first.spawned.get_or_insert(now);
        }
    }

    pub(crate) fn spawn_failed(&mut self, now: Millis, id: ServiceId, todo: &mut Vec<Action>) {
        if self.state != State::Spawning {
            return;
        }
        // Without a process nothing has ended, and no policy on ends holds: what was
        // short may be there in a moment.
        if !self.leaving && self.backoff.failures() < MOST_TRIES {
            self.last = Some(NOT_RUN);
            self.delay(now, now, NOT_RUN, id, todo);
        } else {
            self.ended(now, now, NOT_RUN, id, todo);
        }
    }

    /// `execed`: its program runs; else it said that it is ready.
    pub(crate) fn word(
        &mut self,
        now: Millis,
        execed: bool,
        id: ServiceId,
        todo: &mut Vec<Action>,
    ) {
        let counts = match self.def.ready {
            ReadyWhen::Exec => execed,
            ReadyWhen::Notify | ReadyWhen::Fd(_) => !execed,
            ReadyWhen::Exit => false,
        };
        if let (State::Starting { pid, since }, true) = (self.state, counts) {
            self.enter(now, State::Up { pid, since });
            self.be_ready(now, id, todo);
        }
    }

    fn be_ready(&mut self, now: Millis, id: ServiceId, todo: &mut Vec<Action>) {
        self.late_at = None;
        self.late = false;
        self.first.ready.get_or_insert(now);
        todo.push(Action::SayReady(id));
    }

    pub(crate) fn exited(
        &mut self,
        now: Millis,
        status: ExitStatus,
        id: ServiceId,
        todo: &mut Vec<Action>,
    ) {
        if self.state.pid().is_some() && self.def.kill == KillMode::Cgroup {
            todo.push(Action::Clean(id));
        }
        match self.state {
            State::Starting { since, .. } | State::Up { since, .. } => {
                self.ended(now, since, status, id, todo);
            }
            State::Stopping { again, .. } => {
                self.last = Some(status);
                todo.push(Action::SayEnded(id, status, again.then_some(0)));
                self.enter(now, State::Off);
                if again {
                    self.begin(now);
                }
            }
            _ => {}
        }
    }

    /// It ended by itself, having started at `since`: what now?
    fn ended(
        &mut self,
        now: Millis,
        since: Millis,
        status: ExitStatus,
        id: ServiceId,
        todo: &mut Vec<Action>,
    ) {
        self.last = Some(status);
        let again = match self.def.restart {
            _ if status == NO_MORE => false,
            Restart::Always => true,
            Restart::OnFailure => !status.success(),
            Restart::Never => false,
        };
        if self.leaving {
            self.enter(now, State::Off);
            todo.push(Action::SayEnded(id, status, None));
        } else if again {
            self.delay(now, since, status, id, todo);
        } else {
            self.left(now, status, id, todo);
        }
    }

    fn left(&mut self, now: Millis, status: ExitStatus, id: ServiceId, todo: &mut Vec<Action>) {
        self.late_at = None;
        let well = status.success();
        self.enter(now, if well { State::Done } else { State::Failed });
        if well && self.def.ready == ReadyWhen::Exit {
            self.be_ready(now, id, todo);
        } else {
            todo.push(Action::SayEnded(id, status, None));
        }
    }

    fn delay(
        &mut self,
        now: Millis,
        since: Millis,
        status: ExitStatus,
        id: ServiceId,
        todo: &mut Vec<Action>,
    ) {
        let ran = now.saturating_sub(since);
        // Leaving after idle time is what an on-demand service does when all is
        // well: its socket is watched again at once. Leaving at once is not.
        if self.def.on_demand() && status.success() && ran >= TOO_SOON_MS {
            self.backoff.reset();
            self.enter(now, State::Waiting);
            todo.push(Action::SayEnded(id, status, Some(0)));
            return;
        }
        let delay = self.backoff.next(ran);
        let until = now.saturating_add(delay);
        self.enter(now, State::Delayed { until });
        todo.push(Action::SayEnded(id, status, Some(delay)));
        if self.backoff.looping() {
            todo.push(Action::SayLooping(id, self.backoff.failures(), delay));
        }
    }

    pub(crate) fn tick(&mut self, now: Millis, id: ServiceId, todo: &mut Vec<Action>) {
        match &mut self.state {
            State::Stopping { pid, kill_at, .. } if *kill_at <= now => {
                todo.push(Action::Kill(id, *pid));
                // Asked again, should it not be gone by then.
                *kill_at = now.saturating_add(self.def.grace_ms.max(1_000));
            }
            State::Delayed { until } if *until <= now => {
                self.restarts = self.restarts.saturating_add(1);
                self.enter(now, State::Waiting);
            }
            _ => {}
        }
        if self.late_at.is_some_and(|at| at <= now) {
            self.late_at = None;
            self.late = true;
            todo.push(Action::SayLate(id));
        }
    }

    /// The next moment at which [`ServiceRecord::tick`] changes something.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        let own = match self.state {
            State::Stopping { kill_at, .. } => Some(kill_at),
            State::Delayed { until } => Some(until),
            _ => None,
        };
        sooner(own, self.late_at)
    }
}
