// SPDX-License-Identifier: Apache-2.0
//! Target `supervisor_events`: the supervisor with inputs in any order, against a model of the
//! manager.

use std::collections::{BTreeMap, BTreeSet};

use services::state::{Action, Change, Input};
use services::{
    ExitStatus, KillMode, Millis, Pid, ReadyWhen, Restart, ServiceDef, ServiceId, Socket, State,
    Supervisor,
};

use crate::input::Numbers;

pub(crate) const DICTIONARY: &[&str] = &[
    "\0\0\0\0",
    "\x04\0\x05\0",
    "\x08\0\0",
    "\x03",
    "\x0a\x7f\x7f",
    "\x06\0",
    "\x07\0",
    "\x09\x01",
];

/// Maximum number of services.
const MAX_SERVICES: usize = 8;
/// Maximum number of inputs.
const MAX_STEPS: usize = 300;

const NAMES: [&str; MAX_SERVICES] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const SOCKET: Socket = Socket {
    path: "/x",
    mode: 0o600,
    uid: 0,
    gid: 0,
    datagram: false,
    on_demand: true,
};

/// Dependencies to choose from, made once for all runs because a definition never frees them.
static NEEDS: [&[&str]; 16] = [
    &[],
    &["a"],
    &["b"],
    &["c"],
    &["d"],
    &["e"],
    &["a", "b"],
    &["c", "d"],
    &["a", "f"],
    &["b", "c"],
    &["g"],
    &["a", "nobody"],
    &["h"],
    &["a", "b", "c", "d"],
    &["e", "f", "g"],
    &["d", "a"],
];

/// Feeds the supervisor. The data is the table (the number of services, and two bytes for each),
/// then inputs.
///
/// - A service has at most one process, and each start is answered before the next one.
/// - The states agree with the model: services with a process, services that are about to have
///   one, services whose socket is watched.
/// - Each end is one change, and no service starts before its delay is over.
/// - No active service needs a service that is terminated (except for a restart), and a process
///   is terminated before SIGKILL.
/// - Settling twice does nothing the second time.
/// - A definition is added only if its name is not in use, and never if the definition closes a
///   cycle.
/// - After a tick nothing is due; after `StopAll` every service ends.
pub fn supervisor_events(data: &[u8]) {
    let mut numbers = Numbers(data);
    let count = numbers.below(MAX_SERVICES) + 1;
    let names = NAMES.iter().take(count);
    let definitions = names.map(|name| definition(name, &mut numbers));
    let mut world = World::new(definitions.collect());
    for _ in 0..MAX_STEPS {
        if numbers.end() {
            break;
        }
        world.step(&mut numbers);
    }
    world.end();
}

fn definition(name: &'static str, numbers: &mut Numbers<'_>) -> ServiceDef {
    let (needs, kind) = (numbers.below(NEEDS.len()), numbers.byte());
    let ready = [
        ReadyWhen::Exec,
        ReadyWhen::Notify,
        ReadyWhen::Exit,
        ReadyWhen::Fd(4),
    ];
    let restart = [Restart::Always, Restart::OnFailure, Restart::Never];
    let ready = ready[usize::from(kind & 3)];
    let mut restart = restart[usize::from(kind >> 2 & 3) % 3];
    if ready == ReadyWhen::Exit && restart == Restart::Always {
        restart = Restart::OnFailure;
    }
    ServiceDef {
        name,
        needs: NEEDS[needs],
        ready,
        restart,
        kill: if kind & 16 == 0 {
            KillMode::Cgroup
        } else {
            KillMode::Process
        },
        socket: (kind & 32 != 0).then_some(SOCKET),
        gates_ready: kind & 64 != 0,
        grace_ms: if kind & 128 == 0 { 3_000 } else { 0 },
        ..ServiceDef::DEFAULT
    }
}

/// Model of the manager: the actions of the supervisor, and their outcome so far.
struct World {
    s: Supervisor,
    /// Number of the built-in services.
    builtin: usize,
    now: Millis,
    spawning: BTreeSet<ServiceId>,
    /// Services whose `Watch` is not answered.
    binding: BTreeSet<ServiceId>,
    alive: BTreeMap<ServiceId, Pid>,
    terminated: BTreeSet<Pid>,
    watched: BTreeSet<ServiceId>,
    /// Earliest start of a service, unless one is requested.
    not_before: BTreeMap<ServiceId, Millis>,
    next_pid: Pid,
    ends: usize,
    ends_seen: usize,
}

impl World {
    fn new(definitions: Vec<ServiceDef>) -> World {
        World {
            builtin: definitions.len(),
            s: Supervisor::new(definitions),
            now: 0,
            spawning: BTreeSet::new(),
            binding: BTreeSet::new(),
            alive: BTreeMap::new(),
            terminated: BTreeSet::new(),
            watched: BTreeSet::new(),
            not_before: BTreeMap::new(),
            next_pid: 100,
            ends: 0,
            ends_seen: 0,
        }
    }

    fn step(&mut self, numbers: &mut Numbers<'_>) {
        let kind = numbers.below(16);
        // One more than there are: an id or a process that does not exist.
        let id = ServiceId::new(numbers.below(self.s.ids().count() + 1));
        let pid = self.alive.get(&id).copied().unwrap_or(id.index() as Pid);
        let input = match kind {
            0 | 1 => Input::Start(id),
            2 => Input::Stop(id),
            3 => Input::Restart(id),
            4 | 5 => return self.answer(id, true),
            6 => return self.answer(id, false),
            7 => Input::Execed(pid),
            8 => Input::Ready(pid),
            9 => return self.connection(id),
            10 | 11 => Input::Exited(pid, status(numbers.byte())),
            12 if id.index() == 0 => Input::StopAll,
            13 => Input::Unload(id),
            14 => return self.add(id.index(), numbers),
            15 => Input::ResetFailed(id),
            _ => {
                self.now += 1 << numbers.below(17);
                Input::Tick
            }
        };
        self.input(input);
    }

    /// Adds a definition, or replaces one that was added before.
    fn add(&mut self, place: usize, numbers: &mut Numbers<'_>) {
        let Some(name) = NAMES.get(place) else {
            return;
        };
        let (before, count) = (self.s.find(name), self.s.ids().count());
        let own = before.is_some_and(|id| id.index() < self.builtin);
        let rests = before.is_none_or(|id| self.s.state(id).at_rest());
        match self.s.add(definition(name, numbers)) {
            Ok(id) => {
                assert!(!own && rests, "{name} was not free");
                assert!(!self.needs(id, id, MAX_SERVICES), "it needs itself");
                assert_eq!(self.s.state(id), State::Off);
                self.not_before.remove(&id);
            }
            Err(_) => assert_eq!((self.s.find(name), self.s.ids().count()), (before, count)),
        }
        self.check_states(Input::Stop(ServiceId::new(count)));
    }

    /// Answers a `Spawn` or `Watch` of `id`, if there is one.
    fn answer(&mut self, id: ServiceId, well: bool) {
        if self.binding.remove(&id) {
            let answer = if well {
                self.watched.insert(id);
                Input::Watching(id)
            } else {
                Input::WatchFailed(id)
            };
            self.input(answer);
            return;
        }
        if !self.spawning.remove(&id) {
            return;
        }
        if well {
            self.next_pid += 1;
            self.alive.insert(id, self.next_pid);
            self.input(Input::Spawned(id, self.next_pid));
        } else {
            self.input(Input::SpawnFailed(id));
        }
    }

    fn connection(&mut self, id: ServiceId) {
        let watched = self.watched.contains(&id);
        let todo = self.input(Input::Connection(id));
        assert!(watched || todo == 0, "nobody listens for {id:?}");
    }

    /// Passes an input to the supervisor. Returns the number of actions.
    fn input(&mut self, input: Input) -> usize {
        match input {
            Input::Start(id) | Input::Restart(id) => drop(self.not_before.remove(&id)),
            Input::Exited(pid, _) => {
                let before = self.alive.len();
                self.alive.retain(|_, p| *p != pid);
                self.ends += before - self.alive.len();
            }
            Input::SpawnFailed(_) | Input::WatchFailed(_) => self.ends += 1,
            _ => {}
        }
        for change in self.s.note(self.now, input) {
            self.track(change);
        }
        let todo = self.s.settle(self.now);
        todo.iter()
            .for_each(|action| self.carry_out(input, *action));
        assert!(self.s.settle(self.now).is_empty(), "it has settled");
        for (id, def) in self.s.unload(|_| false) {
            assert!(!self.active(id) && id.index() >= self.builtin, "{input:?}");
            assert_eq!(self.s.find(def.name), None);
            self.not_before.remove(&id);
        }
        self.check_states(input);
        todo.len()
    }

    fn check_states(&mut self, input: Input) {
        for id in self.s.ids() {
            let state = self.s.state(id);
            assert_eq!(state.pid(), self.alive.get(&id).copied(), "{input:?}");
            let answering = self.spawning.contains(&id) || self.binding.contains(&id);
            assert_eq!(state == State::Spawning, answering);
            assert_eq!(state == State::Armed, self.watched.contains(&id));
            assert!(self.s.since(id) <= self.now);
            if state == State::Off {
                self.not_before.remove(&id); // stopped: a new start need not wait
            }
        }
        assert_eq!(self.ends, self.ends_seen, "each end once: {input:?}");
        let due = self.s.deadline().is_some_and(|at| at <= self.now);
        assert!(input != Input::Tick || !due, "it would spin");
    }

    fn active(&self, id: ServiceId) -> bool {
        let answering = self.spawning.contains(&id) || self.binding.contains(&id);
        answering || self.alive.contains_key(&id) || self.watched.contains(&id)
    }

    /// Returns true if `who` needs `what`: by the definitions, not by the supervisor's sets.
    fn needs(&self, who: ServiceId, what: ServiceId, depth: usize) -> bool {
        let names = self.s.definition(who).map_or(&[][..], |r| r.needs);
        let mut direct = names.iter().filter_map(|n| self.s.find(n));
        depth > 0 && direct.any(|n| n == what || self.needs(n, what, depth - 1))
    }

    fn starts(&mut self, id: ServiceId) {
        assert!(!self.active(id), "one process a service");
        assert!(self.s.invalid(id).is_none(), "it can never be");
        let soon = self.not_before.get(&id).is_none_or(|at| *at <= self.now);
        assert!(soon, "sooner than its delay");
    }

    fn carry_out(&mut self, input: Input, action: Action) {
        match action {
            Action::Spawn(id) => {
                self.starts(id);
                self.spawning.insert(id);
            }
            Action::Watch(id) => {
                self.starts(id);
                self.binding.insert(id);
            }
            Action::Unwatch(id) => {
                assert!(self.watched.remove(&id));
                let changes = self.s.note(self.now, Input::Unwatched(id));
                changes.into_iter().for_each(|change| self.track(change));
            }
            Action::Terminate(id, pid) => {
                assert_eq!(self.alive.get(&id), Some(&pid));
                assert!(self.terminated.insert(pid), "asked once");
                let used =
                    |o: ServiceId| o != id && self.active(o) && self.needs(o, id, MAX_SERVICES);
                let used = self.s.ids().any(used);
                assert!(!used || input == Input::Restart(id), "{id:?} is needed");
            }
            Action::Kill(id, pid) => {
                assert_eq!(self.alive.get(&id), Some(&pid));
                assert!(self.terminated.contains(&pid), "it was asked before");
            }
            Action::KillRemaining(id) => assert!(!self.alive.contains_key(&id)),
        }
    }

    fn track(&mut self, change: Change) {
        match change {
            Change::Ended(id, _) => {
                self.ends_seen += 1;
                self.not_before.insert(id, self.now);
            }
            Change::AutoRestart {
                id, delay_ms: ms, ..
            }
            | Change::StartDelayed { id, delay_ms: ms } => {
                self.ends_seen += 1;
                self.not_before.insert(id, self.now + ms);
            }
            Change::PlannedRestart(id, _) => {
                self.ends_seen += 1;
                self.not_before.insert(id, self.now);
            }
            Change::Looping {
                starts: count,
                delay_ms: delay,
                ..
            } => assert!(count >= 8 && delay <= 30_000),
            Change::Ready(id) => assert!(self.s.state(id).satisfies_dependents()),
            Change::NotStarted(id) => {
                self.ends_seen += 1;
                assert!(matches!(self.s.state(id), State::Failed | State::Off));
            }
            Change::DegradedWritten(_) => panic!("a report without a manager"),
            Change::Cancelled(id) => assert_eq!(self.s.state(id), State::Off),
            Change::Late(id) => assert!(self.s.definition(id).is_some()),
        }
    }

    /// Stops all services, and lets the terminated processes end. Each round there is one.
    fn end(&mut self) {
        self.input(Input::StopAll);
        for _ in 0..=4 * MAX_SERVICES {
            if self.s.at_rest() {
                assert!(self.alive.is_empty() && self.watched.is_empty());
                return;
            }
            while let Some(id) = self.spawning.union(&self.binding).next().copied() {
                self.answer(id, true);
            }
            let terminated = self.alive.values().find(|p| self.terminated.contains(p));
            if let Some(pid) = terminated.copied() {
                self.input(Input::Exited(pid, ExitStatus::Killed(15)));
            }
        }
        panic!("it does not end");
    }
}

fn status(byte: u8) -> ExitStatus {
    match byte {
        0..100 => ExitStatus::Exited(0),
        100..180 => ExitStatus::Exited(1),
        180..190 => ExitStatus::Exited(125),
        _ => ExitStatus::Killed(i32::from(byte - 189)),
    }
}
