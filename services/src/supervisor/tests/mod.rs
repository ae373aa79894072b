mod histories;
mod ordering;
mod transitions;

use super::*;
use crate::service::{ReadyWhen, Restart, Socket};

const SOCKET: Socket = Socket {
    path: "/x",
    mode: 0o600,
    gid: 0,
    datagram: false,
    on_demand: true,
};

fn rows() -> Vec<ServiceDef> {
    let base = ServiceDef {
        gates_ready: true,
        ..ServiceDef::DEFAULT
    };
    vec![
        ServiceDef {
            name: "key",
            ready: ReadyWhen::Exit,
            restart: Restart::OnFailure,
            ..base
        },
        ServiceDef {
            name: "sshd",
            needs: &["key"],
            ready: ReadyWhen::Notify,
            ..base
        },
        ServiceDef {
            name: "podman",
            socket: Some(SOCKET),
            ..base
        },
        ServiceDef {
            name: "once",
            restart: Restart::Never,
            ..base
        },
    ]
}

const KEY: ServiceId = ServiceId::new(0);
const SSHD: ServiceId = ServiceId::new(1);
const PODMAN: ServiceId = ServiceId::new(2);
const ONCE: ServiceId = ServiceId::new(3);

fn id(index: usize) -> ServiceId {
    ServiceId::new(index)
}

fn started() -> Supervisor {
    let mut s = Supervisor::new(rows());
    assert_eq!(s.handle(0, Event::Start(KEY)), [Action::Spawn(KEY)]);
    assert_eq!(s.handle(0, Event::Start(SSHD)), []);
    s
}

fn sshd_up() -> Supervisor {
    let mut s = started();
    s.handle(1, Event::Spawned(KEY, 10));
    s.handle(2, Event::Exited(10, ExitStatus::Exited(0)));
    s.handle(3, Event::Spawned(SSHD, 11));
    s.handle(4, Event::Ready(11));
    assert_eq!(s.state(SSHD), State::Up { pid: 11, since: 3 });
    s
}

#[test]
fn what_is_needed_comes_first() {
    let mut s = started();
    assert_eq!(s.readiness(SSHD), Readiness::Pending);
    s.handle(1, Event::Spawned(KEY, 10));
    let todo = s.handle(2, Event::Exited(10, ExitStatus::Exited(0)));
    assert_eq!(todo, [Action::SayReady(KEY), Action::Spawn(SSHD)]);
    assert_eq!(s.readiness(KEY), Readiness::Ready);
}

#[test]
fn a_need_that_failed_makes_the_verdict_bad() {
    let mut s = started();
    s.handle(1, Event::Spawned(KEY, 10));
    s.handle(2, Event::Exited(10, ExitStatus::Exited(1)));
    assert_eq!(s.state(KEY), State::Delayed { until: 102 });
    assert_eq!(
        (s.readiness(KEY), s.readiness(SSHD)),
        (Readiness::Failed, Readiness::Failed)
    );
}

#[test]
fn ready_only_by_its_own_word() {
    let mut s = started();
    s.handle(1, Event::Spawned(KEY, 10));
    s.handle(2, Event::Exited(10, ExitStatus::Exited(0)));
    s.handle(3, Event::Spawned(SSHD, 11));
    assert_eq!(s.handle(4, Event::Ready(12)), []);
    assert_eq!(s.readiness(SSHD), Readiness::Pending);
    assert_eq!(s.handle(4, Event::Ready(11)), [Action::SayReady(SSHD)]);
}

#[test]
fn restarts_with_a_growing_delay() {
    let mut s = sshd_up();
    let todo = s.handle(100, Event::Exited(11, ExitStatus::Killed(9)));
    assert_eq!(
        todo,
        [Action::SayEnded(SSHD, ExitStatus::Killed(9), Some(100))]
    );
    assert_eq!(s.deadline(), Some(200));
    assert_eq!(s.handle(199, Event::Tick), []);
    assert_eq!(s.handle(200, Event::Tick), [Action::Spawn(SSHD)]);
    s.handle(200, Event::Spawned(SSHD, 12));
    let todo = s.handle(201, Event::Exited(12, ExitStatus::Exited(255)));
    assert_eq!(
        todo,
        [Action::SayEnded(SSHD, ExitStatus::Exited(255), Some(200))]
    );
}

#[test]
fn a_stop_cancels_the_delay() {
    let mut s = sshd_up();
    s.handle(100, Event::Exited(11, ExitStatus::Killed(9)));
    s.handle(110, Event::Stop(SSHD));
    assert_eq!(s.handle(1_000_000, Event::Tick), []);
    assert_eq!(s.state(SSHD), State::Off);
}

#[test]
fn a_stop_while_it_is_being_started_is_kept() {
    let mut s = Supervisor::new(rows());
    s.handle(0, Event::Start(ONCE));
    assert_eq!(s.handle(0, Event::Stop(ONCE)), []);
    assert_eq!(
        s.handle(1, Event::Spawned(ONCE, 5)),
        [Action::Terminate(ONCE, 5)]
    );
    assert_eq!(s.handle(3_001, Event::Tick), [Action::Kill(ONCE, 5)]);
    s.handle(3_002, Event::Exited(5, ExitStatus::Killed(9)));
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
    let todo = s.handle(6_000, Event::Exited(20, ExitStatus::Exited(0)));
    assert!(todo.contains(&Action::Watch(PODMAN)));

    s.handle(6_001, Event::Connection(PODMAN));
    s.handle(6_002, Event::Spawned(PODMAN, 21));
    let todo = s.handle(6_003, Event::Exited(21, ExitStatus::Exited(0)));
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
fn a_good_end_makes_up_for_bad_ones() {
    let mut s = Supervisor::new(rows());
    s.handle(0, Event::Start(PODMAN));
    let mut now = 0;
    for (status, ran, delay) in [(1, 5, 100), (1, 5, 200), (0, 2_000, 0), (1, 5, 100)] {
        s.handle(now, Event::Connection(PODMAN));
        s.handle(now, Event::Spawned(PODMAN, 20));
        let status = ExitStatus::Exited(status);
        let todo = s.handle(now + ran, Event::Exited(20, status));
        assert_eq!(todo[0], Action::SayEnded(PODMAN, status, Some(delay)));
        now += ran + delay;
        s.handle(now, Event::Tick);
    }
}

#[test]
fn what_never_had_a_process_is_tried_again_and_not_for_ever() {
    let mut s = Supervisor::new(rows());
    s.handle(0, Event::Start(ONCE));
    let mut now = 0;
    for _ in 0..5 {
        assert_eq!(s.state(ONCE), State::Spawning);
        s.handle(now, Event::SpawnFailed(ONCE));
        now = s.deadline().expect("a delay");
        s.handle(now, Event::Tick);
    }
    s.handle(now, Event::SpawnFailed(ONCE));
    assert_eq!((s.state(ONCE), s.deadline()), (State::Failed, None));
    assert!(now < 5_000, "after {now} ms only");
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
    assert_eq!(s.readiness(KEY), Readiness::Failed);
    assert_eq!(s.deadline(), None);
}

#[test]
fn a_service_left_alone_is_done_or_failed() {
    let mut s = Supervisor::new(rows());
    for (status, state) in [(0, State::Done), (4, State::Failed)] {
        s.handle(0, Event::Start(ONCE));
        s.handle(0, Event::Spawned(ONCE, 5));
        s.handle(9, Event::Exited(5, ExitStatus::Exited(status)));
        assert_eq!(s.state(ONCE), state);
    }
}

#[test]
fn a_start_brings_what_is_needed() {
    let mut s = Supervisor::new(rows());
    assert_eq!(s.handle(5, Event::Start(SSHD)), [Action::Spawn(KEY)]);
    assert_eq!(
        (s.state(SSHD), s.state(PODMAN)),
        (State::Waiting, State::Off)
    );
    assert_eq!(s.timestamps(KEY).asked, Some(5));
}

#[test]
fn a_start_repeats_nothing_and_hurries_nothing_that_is_needed() {
    for state in [State::Done, State::Failed, State::Delayed { until: 900 }] {
        let mut s = Supervisor::new(rows());
        s.slots[KEY.index()].state = state;
        s.handle(5, Event::Start(SSHD));
        assert_eq!(s.state(KEY), state);
    }
}

#[test]
fn a_start_keeps_what_is_needed_from_leaving() {
    let mut s = chain();
    s.handle(50, Event::Stop(id(0)));
    assert!(s.slots[0].leaving && s.slots[1].leaving);
    s.handle(51, Event::Start(id(1)));
    assert!(!s.slots[0].leaving && !s.slots[1].leaving);
    let State::Stopping { again: false, .. } = s.state(id(2)) else {
        panic!("{:?}", s.state(id(2)));
    };
    assert_eq!(
        s.handle(60, Event::Exited(102, ExitStatus::Exited(0)))
            .len(),
        1
    );
    assert!(matches!(s.state(id(0)), State::Up { .. }));
    assert!(matches!(s.state(id(1)), State::Up { .. }));
}

/// `a`, `b` that needs it, `c` that needs `b`; all up, with pids from 100.
fn chain() -> Supervisor {
    let row = |name, needs| ServiceDef {
        name,
        needs,
        ..ServiceDef::DEFAULT
    };
    let rows = vec![row("a", &[]), row("b", &["a"]), row("c", &["b"])];
    let mut s = Supervisor::new(rows);
    s.handle(0, Event::Start(id(2)));
    for (id, pid) in [(id(0), 100), (id(1), 101), (id(2), 102)] {
        assert_eq!(s.state(id), State::Spawning);
        s.handle(1, Event::Spawned(id, pid));
        s.handle(2, Event::Execed(pid));
    }
    s
}

#[test]
fn a_stop_takes_those_first_that_need_it() {
    let mut s = chain();
    let gone = |pid| Event::Exited(pid, ExitStatus::Killed(15));
    assert_eq!(
        s.handle(10, Event::Stop(id(0))),
        [Action::Terminate(id(2), 102)]
    );
    let todo = s.handle(20, gone(102));
    assert_eq!(todo[1..], [Action::Terminate(id(1), 101)]);
    let todo = s.handle(30, gone(101));
    assert_eq!(todo[1..], [Action::Terminate(id(0), 100)]);
    assert!(!s.at_rest());
    s.handle(40, gone(100));
    assert!(s.at_rest());
    assert_eq!(s.deadline(), None);
}

#[test]
fn one_in_the_middle_leaves_what_it_needs_alone() {
    let mut s = chain();
    s.handle(10, Event::Stop(id(1)));
    s.handle(20, Event::Exited(102, ExitStatus::Exited(0)));
    s.handle(30, Event::Exited(101, ExitStatus::Exited(0)));
    let states = [
        s.state(id(0)).word(),
        s.state(id(1)).word(),
        s.state(id(2)).word(),
    ];
    assert_eq!(states, ["up", "off", "off"]);
}

#[test]
fn what_ends_by_itself_while_it_is_to_leave_stays_away() {
    let mut s = chain();
    s.handle(10, Event::Stop(id(0)));
    let todo = s.handle(11, Event::Exited(100, ExitStatus::Killed(11)));
    assert_eq!(
        todo,
        [Action::SayEnded(id(0), ExitStatus::Killed(11), None)]
    );
    assert_eq!(s.state(id(0)), State::Off);
}

#[test]
fn a_restart_is_one_end_and_one_start() {
    let mut s = chain();
    assert_eq!(
        s.handle(10, Event::Restart(id(0))),
        [Action::Terminate(id(0), 100)]
    );
    // However often it is said meanwhile.
    assert_eq!(s.handle(11, Event::Restart(id(0))), []);
    assert_eq!(s.handle(12, Event::Start(id(0))), []);
    let status = ExitStatus::Killed(15);
    let todo = s.handle(20, Event::Exited(100, status));
    assert_eq!(
        todo,
        [
            Action::SayEnded(id(0), status, Some(0)),
            Action::Spawn(id(0))
        ]
    );
    assert_eq!(s.handle(21, Event::Restart(id(0))), [], "it is on its way");
    s.handle(22, Event::Spawned(id(0), 200));
    s.handle(23, Event::Execed(200));
    assert_eq!(
        s.state(id(0)),
        State::Up {
            pid: 200,
            since: 22
        }
    );
    assert_eq!(s.restarts(id(0)), 0, "asked for, so none of its own");
    // Those that need it were left alone.
    assert_eq!(s.state(id(1)), State::Up { pid: 101, since: 1 });
}

#[test]
fn a_stop_wins_over_a_restart_and_a_later_start_over_both() {
    let mut s = chain();
    s.handle(10, Event::Restart(id(2)));
    s.handle(11, Event::Stop(id(2)));
    s.handle(12, Event::Exited(102, ExitStatus::Exited(0)));
    assert_eq!(s.state(id(2)), State::Off);
    let mut s = chain();
    s.handle(10, Event::Stop(id(2)));
    s.handle(11, Event::Start(id(2)));
    let todo = s.handle(12, Event::Exited(102, ExitStatus::Exited(0)));
    assert!(todo.contains(&Action::Spawn(id(2))));
}

#[test]
fn a_restart_of_what_waits_is_a_start_now() {
    let mut s = sshd_up();
    s.handle(100, Event::Exited(11, ExitStatus::Killed(9)));
    assert_eq!(s.handle(101, Event::Restart(SSHD)), [Action::Spawn(SSHD)]);
    assert_eq!(s.handle(5_000, Event::Tick), []);
}

#[test]
fn a_loop_is_said_and_backs_off() {
    let mut s = Supervisor::new(rows());
    s.handle(0, Event::Start(SSHD));
    s.slots[KEY.index()].state = State::Done;
    let (mut now, mut said, mut starts) = (0, Vec::new(), 0);
    s.handle(now, Event::Tick);
    while now < 3_600_000 {
        s.handle(now, Event::Spawned(SSHD, 9));
        starts += 1;
        let todo = s.handle(now + 5, Event::Exited(9, ExitStatus::Exited(1)));
        said.extend(todo.into_iter().filter_map(|a| match a {
            Action::SayLooping(SSHD, count, delay) => Some((count, delay)),
            _ => None,
        }));
        while s.state(SSHD) != State::Spawning {
            now = s.deadline().expect("a delay, or that it is late");
            s.handle(now, Event::Tick);
        }
    }
    assert_eq!(said[..3], [(5, 1_600), (10, 30_000), (20, 30_000)]);
    assert_eq!(said.len(), 5, "5, 10, 20, 40, 80: {said:?}");
    assert!(starts < 140, "{starts} starts in an hour");
    assert_eq!(s.restarts(SSHD), starts);
}

#[test]
fn moments_are_of_the_first_life_and_since_is_of_the_state() {
    let mut s = sshd_up();
    let first = s.timestamps(SSHD);
    assert_eq!(
        (first.asked, first.spawned, first.ready),
        (Some(0), Some(3), Some(4))
    );
    assert_eq!(s.since(SSHD), 4);
    s.handle(100, Event::Exited(11, ExitStatus::Killed(9)));
    assert_eq!(s.since(SSHD), 100);
    s.handle(200, Event::Tick);
    s.handle(205, Event::Spawned(SSHD, 12));
    s.handle(210, Event::Ready(12));
    assert_eq!((s.timestamps(SSHD), s.since(SSHD)), (first, 210));
    assert_eq!(s.restarts(SSHD), 1);
    assert_eq!(s.timestamps(KEY).ready, Some(2));
    assert_eq!(s.timestamps(PODMAN).asked, None);
}

#[test]
fn a_cycle_fails_alone() {
    let row = |name, needs| ServiceDef {
        name,
        needs,
        gates_ready: true,
        ..ServiceDef::DEFAULT
    };
    let mut s = Supervisor::new(vec![
        row("a", &["b"]),
        row("b", &["a"]),
        row("user", &["a"]),
        row("free", &[]),
        row("free", &[]),
    ]);
    for id in s.ids() {
        s.handle(0, Event::Start(id));
        s.handle(0, Event::Restart(id));
    }
    assert_eq!(s.invalid(id(0)), Some("it needs itself"));
    assert_eq!(s.invalid(id(4)), Some("there is another of its name"));
    let states: Vec<_> = s.ids().map(|id| s.state(id).word()).collect();
    assert_eq!(
        states,
        ["failed", "failed", "waiting", "spawning", "failed"]
    );
    assert_eq!(s.readiness(id(2)), Readiness::Failed);
    s.handle(1, Event::Stop(id(0)));
    assert_eq!(s.state(id(0)), State::Failed);
}

#[test]
fn rows_are_added_while_it_runs() {
    let row = |name, needs| ServiceDef {
        name,
        needs,
        ..ServiceDef::DEFAULT
    };
    let mut s = chain();
    assert!(s.add(row("a", &[])).is_err(), "the machine's own");
    assert!(s.add(row("self", &["self"])).is_err());
    assert_eq!(s.add(row("d", &["c", "e"])), Ok(id(3)));
    assert_eq!(s.state(id(3)), State::Off);
    assert!(s.add(row("e", &["d"])).is_err(), "a cycle through d");
    assert_eq!(s.find("e"), None);
    assert_eq!(s.add(row("e", &[])), Ok(id(4)));
    assert_eq!(s.order(), [0, 1, 2, 4, 3].map(id));
    assert_eq!(s.handle(9, Event::Start(id(3))), [Action::Spawn(id(4))]);
    assert!(s.add(row("e", &[])).is_err(), "it is in use");
    s.handle(9, Event::SpawnFailed(id(4)));
    s.handle(9, Event::Stop(id(4)));
    assert_eq!(s.add(row("e", &["a"])), Ok(id(4)));
    assert_eq!(s.definition(id(4)).map(|r| r.needs), Some(&["a"][..]));
}

#[test]
fn so_many_rows_and_changes_and_no_more() {
    let mut s = chain();
    let row = |n: usize| ServiceDef {
        name: format!("s{n}").leak(),
        ..ServiceDef::DEFAULT
    };
    let taken = (0..200).filter(|n| s.add(row(*n)).is_ok()).count();
    assert_eq!(taken, file::MOST);
    let again = (0..2_000).filter(|_| s.add(row(0)).is_ok()).count();
    assert_eq!(taken + again, MOST_ADDED);
    let many = (0..200).map(row).collect();
    let s = Supervisor::new(many);
    let invalid = s.ids().filter(|id| s.invalid(*id).is_some()).count();
    assert_eq!(invalid, 200 - graph::MOST);
}
