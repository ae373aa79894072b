//! Random histories against a model of the edge that keeps its own books.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::id;
use crate::service::{KillMode, ReadyWhen, Restart, Socket};
use crate::supervisor::*;

const SOCKET: Socket = Socket {
    path: "/x",
    mode: 0o600,
    gid: 0,
    datagram: false,
    on_demand: true,
};

/// A row of every kind, some with needs.
fn rows() -> Vec<ServiceDef> {
    let row = |name, needs| ServiceDef {
        name,
        needs,
        gates_ready: true,
        ..ServiceDef::DEFAULT
    };
    let once = |row| ServiceDef {
        ready: ReadyWhen::Exit,
        restart: Restart::OnFailure,
        ..row
    };
    let notify = |row| ServiceDef {
        ready: ReadyWhen::Notify,
        kill: KillMode::Cgroup,
        grace_ms: 0,
        ..row
    };
    let socket = |row| ServiceDef {
        socket: Some(SOCKET),
        ..row
    };
    vec![
        socket(row("api", &["net"])),
        row("net", &[]),
        once(row("key", &[])),
        notify(row("ssh", &["key", "net"])),
        ServiceDef {
            after: &["key", "log"],
            ..row("top", &["ssh", "api"])
        },
        socket(notify(row("log", &[]))),
        row("loop", &["loop"]),
    ]
}

/// What a step of a history is; numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Start(usize),
    Stop(usize),
    Restart(usize),
    StopAll,
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

/// The edge: what it was told to do, and what is so by now.
struct World {
    s: Supervisor,
    now: Millis,
    spawning: BTreeSet<ServiceId>,
    alive: BTreeMap<ServiceId, Pid>,
    told: BTreeSet<Pid>,
    watched: BTreeSet<ServiceId>,
    /// No start before that, unless someone asks for one.
    not_before: BTreeMap<ServiceId, Millis>,
    pid: Pid,
    ends: usize,
    ends_said: usize,
}

impl World {
    fn new(rows: Vec<ServiceDef>) -> World {
        World {
            s: Supervisor::new(rows),
            now: 0,
            spawning: BTreeSet::new(),
            alive: BTreeMap::new(),
            told: BTreeSet::new(),
            watched: BTreeSet::new(),
            not_before: BTreeMap::new(),
            pid: 100,
            ends: 0,
            ends_said: 0,
        }
    }

    /// Whether `who` needs `what`: by the rows, and not by the sets under test.
    fn needs(&self, who: ServiceId, what: ServiceId, depth: usize) -> bool {
        let names = self.s.definition(who).map_or(&[][..], |r| r.needs);
        let direct = names.iter().filter_map(|n| self.s.find(n));
        depth > 0
            && direct
                .into_iter()
                .any(|n| n == what || self.needs(n, what, depth - 1))
    }

    fn there(&self, id: ServiceId) -> bool {
        self.spawning.contains(&id) || self.alive.contains_key(&id) || self.watched.contains(&id)
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Start(id) | Event::Restart(id) => {
                self.not_before.remove(&id);
            }
            Event::Exited(pid, _) => {
                let before = self.alive.len();
                self.alive.retain(|_, p| *p != pid);
                self.ends += before - self.alive.len();
            }
            Event::SpawnFailed(_) => self.ends += 1,
            _ => {}
        }
        for action in self.s.handle(self.now, event) {
            self.obey(event, action);
        }
        for id in self.s.ids() {
            let state = self.s.state(id);
            if state == State::Off {
                self.not_before.remove(&id); // stopped: a new start owes nothing
            }
            assert_eq!(state.pid(), self.alive.get(&id).copied(), "{event:?}");
            assert_eq!(state == State::Spawning, self.spawning.contains(&id));
            assert_eq!(state == State::Armed, self.watched.contains(&id));
        }
        assert_eq!(
            self.ends, self.ends_said,
            "each end is seen once: {event:?}"
        );
        if event == Event::Tick {
            let due = self.s.deadline().is_some_and(|at| at <= self.now);
            assert!(!due, "it would spin");
        }
    }

    fn obey(&mut self, event: Event, action: Action) {
        let soon = |w: &World, id| w.not_before.get(&id).is_none_or(|at| *at <= w.now);
        match action {
            Action::Spawn(id) => {
                assert!(!self.there(id), "one process a service");
                assert!(soon(self, id), "sooner than its delay");
                self.spawning.insert(id);
            }
            Action::Watch(id) => {
                assert!(!self.there(id) && soon(self, id));
                self.watched.insert(id);
            }
            Action::Unwatch(id) => assert!(self.watched.remove(&id)),
            Action::Terminate(id, pid) => {
                assert_eq!(self.alive.get(&id), Some(&pid));
                assert!(self.told.insert(pid), "told once");
                let used = |o: ServiceId| o != id && self.there(o) && self.needs(o, id, 8);
                let used = self.s.ids().any(used);
                assert!(!used || event == Event::Restart(id), "{id:?} is needed");
            }
            Action::Kill(id, pid) => {
                assert_eq!(self.alive.get(&id), Some(&pid));
                assert!(self.told.contains(&pid), "it was asked before");
            }
            Action::Clean(id) => assert!(!self.alive.contains_key(&id)),
            Action::SayEnded(id, _, again) => {
                self.ends_said += 1;
                let at = again.map_or(0, |ms| self.now + ms);
                self.not_before.insert(id, at);
            }
            // A one-shot says its good end so.
            Action::SayReady(id) => {
                let ended = matches!(event, Event::Exited(..)) && self.s.state(id) == State::Done;
                self.ends_said += usize::from(ended);
            }
            Action::SayLate(_) => {}
            Action::SayLooping(_, count, delay) => {
                assert!(count >= 5 && delay <= 30_000);
            }
        }
    }

    fn answer(&mut self, n: usize, well: bool) {
        let Some(id) = pick(&self.spawning, n) else {
            return;
        };
        self.spawning.remove(&id);
        if well {
            self.pid += 1;
            self.alive.insert(id, self.pid);
            self.event(Event::Spawned(id, self.pid));
        } else {
            self.event(Event::SpawnFailed(id));
        }
    }

    fn step(&mut self, step: Step) {
        let pids: BTreeSet<Pid> = self.alive.values().copied().collect();
        let of = |n, event: fn(Pid) -> Event| pick(&pids, n).map(event);
        let event = match step {
            Step::Start(n) => Some(Event::Start(id(n))),
            Step::Stop(n) => Some(Event::Stop(id(n))),
            Step::Restart(n) => Some(Event::Restart(id(n))),
            Step::StopAll => Some(Event::StopAll),
            Step::Answer(n, well) => return self.answer(n, well),
            Step::Execed(n) => of(n, Event::Execed),
            Step::Ready(n) => of(n, Event::Ready),
            Step::Connection(n) => pick(&self.watched, n).map(Event::Connection),
            Step::Exit(n, status) => pick(&pids, n).map(|pid| Event::Exited(pid, status)),
            Step::Stranger(n) => Some(Event::Exited(n as Pid, ExitStatus::Exited(0))),
            Step::Wait(ms) => {
                self.now += ms;
                Some(Event::Tick)
            }
        };
        event.into_iter().for_each(|e| self.event(e));
    }

    /// Stops all, and lets those end that were told. Each round at least one is.
    fn end(&mut self) {
        self.event(Event::StopAll);
        for _ in 0..200 {
            if self.s.at_rest() {
                return;
            }
            while !self.spawning.is_empty() {
                self.answer(0, true);
            }
            let told = self.alive.values().find(|p| self.told.contains(p));
            let pid = *told.expect("somebody was told");
            self.event(Event::Exited(pid, ExitStatus::Killed(15)));
        }
        panic!("it does not end");
    }
}

fn pick<T: Copy>(from: &BTreeSet<T>, n: usize) -> Option<T> {
    from.iter().nth(n % from.len().max(1)).copied()
}

/// A graph without a cycle, its rows in any order: needs only of lower rank.
fn dag() -> impl Strategy<Value = Vec<ServiceDef>> {
    let rows = (1usize..14).prop_flat_map(|n| {
        let edges =
            prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..4), n);
        let sockets = prop::collection::vec(any::<bool>(), n);
        (edges, sockets)
    });
    let rows = rows.prop_map(|(edges, sockets)| {
        let name = |n: usize| -> &'static str { format!("s{n}").leak() };
        let all = edges.into_iter().zip(sockets).enumerate();
        all.map(|(n, (edges, socket))| {
            let needs: Vec<_> = edges
                .iter()
                .filter(|_| n > 0)
                .map(|i| name(i.index(n)))
                .collect();
            ServiceDef {
                name: name(n),
                needs: needs.leak(),
                socket: socket.then_some(SOCKET),
                ..ServiceDef::DEFAULT
            }
        })
        .collect::<Vec<_>>()
    });
    rows.prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_the_invariants(history in steps()) {
        let mut world = World::new(rows());
        for step in history {
            world.step(step);
        }
        world.end();
    }
}

proptest! {
    /// Everything comes up in order, and goes in reverse.
    #[test]
    fn any_graph_comes_and_goes_in_order(rows in dag(), choices in prop::collection::vec(0usize..14, 60)) {
        let mut world = World::new(rows);
        let order = world.s.order();
        for (place, id) in order.iter().enumerate() {
            let later = order.get(place..).unwrap_or(&[]);
            prop_assert!(!later.iter().any(|o| world.needs(*id, *o, 14)));
        }
        for id in world.s.ids() {
            world.event(Event::Start(id));
        }
        for n in choices {
            world.answer(n, true);
            world.step(Step::Execed(n));
            world.step(Step::Connection(n));
        }
        while !world.spawning.is_empty() {
            world.answer(0, true);
        }
        let started: Vec<Pid> = world.alive.values().copied().collect();
        world.end();
        prop_assert!(started.iter().all(|p| world.told.contains(p)), "each was told");
    }
}
