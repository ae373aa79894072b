use super::*;
use crate::row::Socket;
use proptest::prelude::*;

const SOCKET: Socket = Socket {
    path: "/x",
    mode: 0o600,
    gid: 0,
    datagram: false,
    on_demand: true,
};

fn rows() -> Vec<Service> {
    let base = Service {
        gates: true,
        ..Service::DEFAULT
    };
    vec![
        Service {
            name: "key",
            ready: Ready::Exit,
            restart: Restart::OnFailure,
            ..base
        },
        Service {
            name: "sshd",
            needs: &["key"],
            ready: Ready::Notify,
            ..base
        },
        Service {
            name: "podman",
            socket: Some(SOCKET),
            ..base
        },
        Service {
            name: "once",
            restart: Restart::Never,
            ..base
        },
    ]
}

const KEY: Id = 0;
const SSHD: Id = 1;
const PODMAN: Id = 2;
const ONCE: Id = 3;

fn started() -> Supervisor {
    let mut s = Supervisor::new(rows());
    assert_eq!(s.handle(0, Event::Start(KEY)), [Action::Spawn(KEY)]);
    assert_eq!(s.handle(0, Event::Start(SSHD)), []);
    s
}

fn sshd_up() -> Supervisor {
    let mut s = started();
    s.handle(1, Event::Spawned(KEY, 10));
    s.handle(2, Event::Exited(10, Status::Exited(0)));
    s.handle(3, Event::Spawned(SSHD, 11));
    s.handle(4, Event::Ready(11));
    assert_eq!(s.state(SSHD), State::Up { pid: 11, since: 3 });
    s
}

#[test]
fn what_is_needed_comes_first() {
    let mut s = started();
    assert_eq!(s.verdict(SSHD), Verdict::Pending);
    s.handle(1, Event::Spawned(KEY, 10));
    let todo = s.handle(2, Event::Exited(10, Status::Exited(0)));
    assert_eq!(todo, [Action::SayReady(KEY), Action::Spawn(SSHD)]);
    assert_eq!(s.verdict(KEY), Verdict::Good);
}

#[test]
fn a_need_that_failed_makes_the_verdict_bad() {
    let mut s = started();
    s.handle(1, Event::Spawned(KEY, 10));
    s.handle(2, Event::Exited(10, Status::Exited(1)));
    assert_eq!(s.state(KEY), State::Delayed { until: 102 });
    assert_eq!(
        (s.verdict(KEY), s.verdict(SSHD)),
        (Verdict::Bad, Verdict::Bad)
    );
}

#[test]
fn ready_only_by_its_own_word() {
    let mut s = started();
    s.handle(1, Event::Spawned(KEY, 10));
    s.handle(2, Event::Exited(10, Status::Exited(0)));
    s.handle(3, Event::Spawned(SSHD, 11));
    assert_eq!(s.handle(4, Event::Ready(12)), []);
    assert_eq!(s.verdict(SSHD), Verdict::Pending);
    assert_eq!(s.handle(4, Event::Ready(11)), [Action::SayReady(SSHD)]);
}

#[test]
fn restarts_with_a_growing_delay() {
    let mut s = sshd_up();
    let todo = s.handle(100, Event::Exited(11, Status::Killed(9)));
    assert_eq!(todo, [Action::SayEnded(SSHD, Status::Killed(9), Some(100))]);
    assert_eq!(s.deadline(), Some(200));
    assert_eq!(s.handle(199, Event::Tick), []);
    assert_eq!(s.handle(200, Event::Tick), [Action::Spawn(SSHD)]);
    s.handle(200, Event::Spawned(SSHD, 12));
    let todo = s.handle(201, Event::Exited(12, Status::Exited(255)));
    assert_eq!(
        todo,
        [Action::SayEnded(SSHD, Status::Exited(255), Some(200))]
    );
}

#[test]
fn a_stop_cancels_the_delay() {
    let mut s = sshd_up();
    s.handle(100, Event::Exited(11, Status::Killed(9)));
    s.handle(110, Event::Stop(SSHD));
    assert_eq!(s.handle(1_000_000, Event::Tick), []);
    assert_eq!(s.state(SSHD), State::Off);
}

#[test]
fn a_stop_while_it_is_being_started_is_kept() {
    let mut s = Supervisor::new(rows());
    s.handle(0, Event::Start(ONCE));
    s.handle(0, Event::Stop(ONCE));
    assert_eq!(s.handle(1, Event::Spawned(ONCE, 5)), [Action::Terminate(5)]);
    assert_eq!(s.handle(3_001, Event::Tick), [Action::Kill(5)]);
    s.handle(3_002, Event::Exited(5, Status::Killed(9)));
    assert_eq!(s.state(ONCE), State::Off);
}

#[test]
fn idle_leave_rearms_at_once_and_early_death_does_not() {
    let mut s = Supervisor::new(rows());
    let todo = s.handle(0, Event::Start(PODMAN));
    assert_eq!(todo, [Action::Watch(PODMAN), Action::SayReady(PODMAN)]);
    let todo = s.handle(10, Event::Connection(PODMAN));
    assert_eq!(todo, [Action::Unwatch(PODMAN), Action::Spawn(PODMAN)]);
    s.handle(11, Event::Spawned(PODMAN, 20));
    let todo = s.handle(6_000, Event::Exited(20, Status::Exited(0)));
    assert!(todo.contains(&Action::Watch(PODMAN)));

    s.handle(6_001, Event::Connection(PODMAN));
    s.handle(6_002, Event::Spawned(PODMAN, 21));
    let todo = s.handle(6_003, Event::Exited(21, Status::Exited(0)));
    assert!(
        !todo.contains(&Action::Watch(PODMAN)),
        "a hot loop: {todo:?}"
    );
    assert!(
        s.handle(6_103, Event::Tick)
            .contains(&Action::Watch(PODMAN))
    );
}

#[test]
fn a_crash_loop_never_spins() {
    let mut s = Supervisor::new(rows());
    s.handle(0, Event::Start(PODMAN));
    let (mut now, mut starts) = (0, 0);
    while now < 3_600_000 {
        s.handle(now, Event::Connection(PODMAN));
        starts += 1;
        s.handle(now, Event::SpawnFailed(PODMAN));
        now = s.deadline().expect("a delay");
        s.handle(now, Event::Tick);
    }
    assert!(starts < 140, "{starts} starts in an hour");
}

#[test]
fn never_ready_is_said_once() {
    let mut s = started();
    s.handle(1, Event::Spawned(KEY, 10));
    let late = |t: &[Action]| t.iter().filter(|a| matches!(a, Action::SayLate(_))).count();
    assert_eq!(late(&s.handle(10_000, Event::Tick)), 2);
    assert_eq!(late(&s.handle(90_000, Event::Tick)), 0);
    assert_eq!(s.verdict(KEY), Verdict::Bad);
    assert_eq!(s.deadline(), None);
}

#[test]
fn a_service_left_alone_is_done_or_failed() {
    let mut s = Supervisor::new(rows());
    for (status, state) in [(0, State::Done), (4, State::Failed)] {
        s.handle(0, Event::Start(ONCE));
        s.handle(0, Event::Spawned(ONCE, 5));
        s.handle(9, Event::Exited(5, Status::Exited(status)));
        assert_eq!(s.state(ONCE), state);
    }
}

fn states() -> Vec<State> {
    vec![
        State::Off,
        State::Waiting,
        State::Armed,
        State::Spawning,
        State::Starting { pid: 7, since: 5 },
        State::Up { pid: 7, since: 5 },
        State::Stopping {
            pid: 7,
            kill_at: 50,
        },
        State::Delayed { until: 50 },
        State::Done,
        State::Failed,
    ]
}

fn events(id: Id) -> Vec<Event> {
    vec![
        Event::Start(id),
        Event::Stop(id),
        Event::Spawned(id, 7),
        Event::SpawnFailed(id),
        Event::Ready(7),
        Event::Connection(id),
        Event::Exited(7, Status::Exited(0)),
        Event::Exited(7, Status::Killed(34)),
        Event::Exited(8, Status::Exited(0)),
        Event::Tick,
    ]
}

/// Every state times every event times every kind of service.
#[test]
fn no_event_in_any_state_loses_a_process() {
    for id in [KEY, SSHD, PODMAN, ONCE] {
        for state in states() {
            for event in events(id) {
                let mut s = Supervisor::new(rows());
                s.slots[id].state = state;
                let todo = s.handle(60, event);
                let ended = matches!(event, Event::Exited(7, _));
                if state.pid().is_some() && !ended {
                    assert_eq!(s.state(id).pid(), Some(7), "{state:?} {event:?}");
                }
                let spawns = todo.iter().filter(|a| **a == Action::Spawn(id)).count();
                assert!(spawns <= 1, "{state:?} {event:?}: {todo:?}");
                if state.pid().is_some() && !ended {
                    assert_eq!(spawns, 0, "{state:?} {event:?}");
                }
            }
        }
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let id = 0usize..6;
    let pid = 1i32..6;
    prop_oneof![
        id.clone().prop_map(Event::Start),
        id.clone().prop_map(Event::Stop),
        (id.clone(), pid.clone()).prop_map(|(i, p)| Event::Spawned(i, p)),
        id.clone().prop_map(Event::SpawnFailed),
        pid.clone().prop_map(Event::Ready),
        id.prop_map(Event::Connection),
        (pid, any::<bool>()).prop_map(|(p, ok)| Event::Exited(p, Status::Exited(!ok as i32))),
        Just(Event::Tick),
    ]
}

proptest! {
    /// Any history: no panic, no process forgotten, no socket watched while
    /// something runs on it.
    #[test]
    fn any_history_is_survived(history in prop::collection::vec((any_event(), 0u64..20_000), 0..80)) {
        let mut s = Supervisor::new(rows());
        let mut now = 0;
        for (event, wait) in history {
            now += wait;
            for action in s.handle(now, event) {
                match action {
                    Action::Watch(id) => prop_assert_eq!(s.state(id), State::Armed),
                    Action::Spawn(id) => prop_assert_eq!(s.state(id), State::Spawning),
                    _ => {}
                }
            }
        }
    }
}
