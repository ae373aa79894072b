// SPDX-License-Identifier: Apache-2.0
//! Random sequences of inputs, checked against a model of the manager that tracks processes and sockets itself.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::service::KillMode;

/// Services of every kind, some with needs.
fn definitions() -> Vec<ServiceDef> {
    let once = |def| ServiceDef {
        ready: ReadyWhen::Exit,
        restart: Restart::OnFailure,
        ..def
    };
    let notify = |def| ServiceDef {
        ready: ReadyWhen::Notify,
        kill: KillMode::Cgroup,
        grace_ms: 0,
        ..def
    };
    let socket = |def| ServiceDef {
        socket: Some(SOCKET),
        ..def
    };
    vec![
        socket(definition("api", &["net"])),
        definition("net", &[]),
        once(definition("key", &[])),
        notify(definition("ssh", &["key", "net"])),
        ServiceDef {
            after: &["key", "log"],
            ..definition("top", &["ssh", "api"])
        },
        socket(notify(definition("log", &[]))),
        definition("loop", &["loop"]),
    ]
}

/// One step of a history; numbers choose among the services or processes that exist.
#[derive(Clone, Copy, Debug)]
enum Step {
    Start(usize),
    Stop(usize),
    Restart(usize),
    StopAll,
    /// Settle only after this number of further inputs.
    Defer(usize),
    Answer(usize, bool),
    Execed(usize),
    Ready(usize),
    Connection(usize),
    Exit(usize, ExitStatus),
    Stranger(usize),
    Wait(Millis),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let n = 0usize..8;
    let status = prop_oneof![
        3 => Just(ExitStatus::Exited(0)),
        3 => Just(ExitStatus::Exited(1)),
        1 => Just(ExitStatus::Exited(125)),
        2 => (1i32..65).prop_map(ExitStatus::Killed),
    ];
    let step = prop_oneof![
        4 => n.clone().prop_map(Step::Start),
        2 => n.clone().prop_map(Step::Stop),
        2 => n.clone().prop_map(Step::Restart),
        1 => Just(Step::StopAll),
        2 => n.clone().prop_map(Step::Defer),
        8 => (n.clone(), prop::bool::weighted(0.9)).prop_map(|(n, ok)| Step::Answer(n, ok)),
        6 => n.clone().prop_map(Step::Execed),
        6 => n.clone().prop_map(Step::Ready),
        4 => n.clone().prop_map(Step::Connection),
        6 => (n.clone(), status).prop_map(|(n, s)| Step::Exit(n, s)),
        1 => n.prop_map(Step::Stranger),
        6 => (0u64..5_000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..120)
}

/// Model of the manager: the actions of the supervisor, and their outcome so far.
struct World {
    s: Supervisor,
    now: Millis,
    /// Services whose `Spawn` is not answered.
    spawning: BTreeSet<ServiceId>,
    /// Services whose `Watch` is not answered.
    binding: BTreeSet<ServiceId>,
    alive: BTreeMap<ServiceId, Pid>,
    terminated: BTreeSet<Pid>,
    watched: BTreeSet<ServiceId>,
    /// Earliest start of a service, unless one is requested.
    not_before: BTreeMap<ServiceId, Millis>,
    next_pid: Pid,
    /// Number of inputs that are still noted without settling.
    deferred: usize,
    /// Services whose restart was noted since the supervisor last settled.
    restarted: BTreeSet<ServiceId>,
    ends: usize,
    ends_seen: usize,
}

impl World {
    fn new(definitions: Vec<ServiceDef>) -> World {
        World {
            s: Supervisor::new(definitions),
            now: 0,
            spawning: BTreeSet::new(),
            binding: BTreeSet::new(),
            alive: BTreeMap::new(),
            terminated: BTreeSet::new(),
            watched: BTreeSet::new(),
            not_before: BTreeMap::new(),
            next_pid: 101,
            deferred: 0,
            restarted: BTreeSet::new(),
            ends: 0,
            ends_seen: 0,
        }
    }

    /// Returns true if `dependent` needs `service`: by the definitions, not by the sets under
    /// test.
    fn needs(&self, dependent: ServiceId, service: ServiceId, depth: usize) -> bool {
        let names = self.s.definition(dependent).map_or(&[][..], |d| d.needs);
        let mut direct = names.iter().filter_map(|n| self.s.find(n));
        depth > 0 && direct.any(|n| n == service || self.needs(n, service, depth - 1))
    }

    fn active(&self, id: ServiceId) -> bool {
        let answering = self.spawning.contains(&id) || self.binding.contains(&id);
        answering || self.alive.contains_key(&id) || self.watched.contains(&id)
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Start(id) | Input::Restart(id) => {
                self.not_before.remove(&id);
            }
            Input::Exited(pid, _) => {
                let before = self.alive.len();
                self.alive.retain(|_, p| *p != pid);
                self.ends += before - self.alive.len();
            }
            Input::SpawnFailed(_) | Input::WatchFailed(_) => self.ends += 1,
            Input::Watching(id) => drop(self.watched.insert(id)),
            _ => {}
        }
        for change in self.s.note(self.now, input) {
            self.track(change);
        }
        let (ends, seen) = (self.ends, self.ends_seen);
        assert_eq!(ends, seen, "each end is one change: {input:?}");
        if input == Input::Tick {
            let due = self.s.deadline().is_some_and(|at| at <= self.now);
            assert!(!due, "it would spin");
        }
        // A service that was stopped need not wait before its next start.
        let s = &self.s;
        self.not_before.retain(|id, _| s.state(*id) != State::Off);
        if let Input::Restart(id) = input {
            self.restarted.insert(id);
        }
        match self.deferred.checked_sub(1) {
            Some(left) => self.deferred = left,
            None => self.settle(input),
        }
    }

    fn settle(&mut self, input: Input) {
        for action in self.s.settle(self.now) {
            self.carry_out(action);
        }
        assert_eq!(self.s.settle(self.now), [], "it has settled");
        self.restarted.clear();
        // Without a grace period a deadline may be due now; none is older.
        if input == Input::Tick {
            assert!(self.s.deadline().is_none_or(|at| at >= self.now));
        }
        self.check_states(input);
    }

    /// Compares the model with the states of the supervisor.
    fn check_states(&mut self, input: Input) {
        for id in self.s.ids() {
            let state = self.s.state(id);
            assert_eq!(state.pid(), self.alive.get(&id).copied(), "{input:?}");
            let answering = self.spawning.contains(&id) || self.binding.contains(&id);
            assert_eq!(state == State::Spawning, answering);
            assert_eq!(state == State::Armed, self.watched.contains(&id));
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
                assert!(self.s.state(id).at_rest());
            }
            Change::Cancelled(id) => assert_eq!(self.s.state(id), State::Off),
            Change::DegradedWritten(_) => panic!("a report without a manager"),
            Change::Late(_) => {}
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Spawn(id) => {
                assert!(!self.active(id), "one process a service");
                assert!(self.may_start(id), "sooner than its delay");
                self.spawning.insert(id);
            }
            Action::Watch(id) => {
                assert!(!self.active(id) && self.may_start(id));
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
                let used = |o: ServiceId| o != id && self.active(o) && self.needs(o, id, 8);
                let used = self.s.ids().any(used);
                assert!(!used || self.restarted.contains(&id), "{id:?} is needed");
            }
            Action::Kill(id, pid) => {
                assert_eq!(self.alive.get(&id), Some(&pid));
                assert!(self.terminated.contains(&pid), "it was asked before");
            }
            Action::KillRemaining(id) => assert!(!self.alive.contains_key(&id)),
        }
    }

    fn may_start(&self, id: ServiceId) -> bool {
        self.not_before.get(&id).is_none_or(|at| *at <= self.now)
    }

    /// Answers the nth `Spawn` or `Watch`.
    fn answer(&mut self, n: usize, success: bool) {
        if let Some(id) = pick(&self.binding, n) {
            self.binding.remove(&id);
            return self.input(match success {
                true => Input::Watching(id),
                false => Input::WatchFailed(id),
            });
        }
        let Some(id) = pick(&self.spawning, n) else {
            return;
        };
        self.spawning.remove(&id);
        if success {
            let pid = self.next_pid;
            self.next_pid += 1;
            self.alive.insert(id, pid);
            self.input(Input::Spawned(id, pid));
        } else {
            self.input(Input::SpawnFailed(id));
        }
    }

    fn step(&mut self, step: Step) {
        let pids: BTreeSet<Pid> = self.alive.values().copied().collect();
        let of = |n, input: fn(Pid) -> Input| pick(&pids, n).map(input);
        let input = match step {
            Step::Start(n) => Some(Input::Start(id(n))),
            Step::Stop(n) => Some(Input::Stop(id(n))),
            Step::Restart(n) => Some(Input::Restart(id(n))),
            Step::StopAll => Some(Input::StopAll),
            Step::Defer(n) => {
                self.deferred = n;
                None
            }
            Step::Answer(n, well) => return self.answer(n, well),
            Step::Execed(n) => of(n, Input::Execed),
            Step::Ready(n) => of(n, Input::Ready),
            Step::Connection(n) => pick(&self.watched, n).map(Input::Connection),
            Step::Exit(n, status) => pick(&pids, n).map(|pid| Input::Exited(pid, status)),
            Step::Stranger(n) => Some(Input::Exited(n as Pid, ExitStatus::Exited(0))),
            Step::Wait(ms) => {
                self.now += ms;
                Some(Input::Tick)
            }
        };
        input.into_iter().for_each(|e| self.input(e));
    }

    /// Stops all services, and lets the terminated processes end. Each round there is one.
    fn end(&mut self) {
        self.deferred = 0;
        self.input(Input::StopAll);
        for _ in 0..200 {
            while !self.spawning.is_empty() || !self.binding.is_empty() {
                self.answer(0, true);
            }
            if self.s.at_rest() {
                return;
            }
            let terminated = self.alive.values().find(|p| self.terminated.contains(p));
            let pid = *terminated.expect("one was terminated");
            self.input(Input::Exited(pid, ExitStatus::Killed(15)));
        }
        panic!("it does not end");
    }
}

fn pick<T: Copy>(from: &BTreeSet<T>, n: usize) -> Option<T> {
    from.iter().nth(n % from.len().max(1)).copied()
}

/// A graph without a cycle in any order: each service needs only some of lower rank.
fn dag() -> impl Strategy<Value = Vec<ServiceDef>> {
    let shape = (1usize..14).prop_flat_map(|n| {
        let edges =
            prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..4), n);
        let sockets = prop::collection::vec(any::<bool>(), n);
        (edges, sockets)
    });
    let definitions = shape.prop_map(|(edges, sockets)| {
        let name = |n: usize| -> &'static str { format!("s{n}").leak() };
        let services = edges.into_iter().zip(sockets).enumerate();
        let services = services.map(|(n, (edges, socket))| {
            let lower = edges.iter().filter(|_| n > 0);
            let needs: Vec<_> = lower.map(|i| name(i.index(n))).collect();
            ServiceDef {
                socket: socket.then_some(SOCKET),
                ..definition(name(n), needs.leak())
            }
        });
        services.collect::<Vec<_>>()
    });
    definitions.prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_the_invariants(history in steps()) {
        let mut world = World::new(definitions());
        for step in history {
            world.step(step);
        }
        world.end();
    }
}

proptest! {
    /// Every graph starts in order and stops in reverse.
    #[test]
    fn any_graph_comes_and_goes_in_order(definitions in dag(), choices in prop::collection::vec(0usize..14, 60)) {
        let mut world = World::new(definitions);
        for id in world.s.ids() {
            world.input(Input::Start(id));
        }
        for n in choices {
            world.answer(n, true);
            world.step(Step::Execed(n));
            world.step(Step::Connection(n));
        }
        while !world.spawning.is_empty() || !world.binding.is_empty() {
            world.answer(0, true);
        }
        let started: Vec<Pid> = world.alive.values().copied().collect();
        world.end();
        prop_assert!(started.iter().all(|p| world.terminated.contains(p)), "each was asked");
    }
}
