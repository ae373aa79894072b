// SPDX-License-Identifier: Apache-2.0
//! One service from its start to its end: readiness, delays, deadlines.

use super::*;

#[test]
fn needed_services_start_first() {
    let mut s = started();
    assert_eq!(s.readiness(SSHD), Readiness::Pending);
    s.handle(1, Input::Spawned(KEY, 10));
    let actions = s.handle(2, Input::Exited(10, EXIT_0));
    assert_eq!(actions, [Action::Spawn(SSHD)]);
    assert_eq!(s.readiness(KEY), Readiness::Ready);
}

#[test]
fn a_need_that_failed_makes_the_dependent_fail() {
    let mut s = started();
    s.handle(1, Input::Spawned(KEY, 10));
    s.handle(2, Input::Exited(10, ExitStatus::Exited(1)));
    assert_eq!(s.state(KEY), State::Delayed { until: 17 });
    assert_eq!(
        (s.readiness(KEY), s.readiness(SSHD)),
        (Readiness::NotReady, Readiness::NotReady)
    );
}

#[test]
fn a_notification_of_another_process_does_not_make_a_service_ready() {
    let mut s = started();
    s.handle(1, Input::Spawned(KEY, 10));
    s.handle(2, Input::Exited(10, EXIT_0));
    s.handle(3, Input::Spawned(SSHD, 11));
    assert_eq!(s.note(4, Input::Ready(12)), []);
    assert_eq!(s.readiness(SSHD), Readiness::Pending);
    assert_eq!(s.note(4, Input::Ready(11)), [Change::Ready(SSHD)]);
}

#[test]
fn restarts_with_a_growing_delay() {
    let mut s = sshd_up();
    let killed = ExitStatus::Killed(9);
    let changes = s.note(100, Input::Exited(11, killed));
    assert_eq!(
        changes,
        [Change::AutoRestart {
            id: SSHD,
            status: killed,
            delay_ms: 15
        }]
    );
    assert_eq!(s.settle(100), []);
    assert_eq!(s.deadline(), Some(115));
    assert_eq!(s.handle(114, Input::Tick), []);
    assert_eq!(s.handle(115, Input::Tick), [Action::Spawn(SSHD)]);
    s.handle(200, Input::Spawned(SSHD, 12));
    let failed = ExitStatus::Exited(255);
    let changes = s.note(201, Input::Exited(12, failed));
    assert_eq!(
        changes,
        [Change::AutoRestart {
            id: SSHD,
            status: failed,
            delay_ms: 30
        }]
    );
}

#[test]
fn an_on_demand_service_is_armed_at_once_after_a_long_run_only() {
    let mut s = podman_armed();
    let actions = s.handle(10, Input::Connection(PODMAN));
    assert_eq!(actions, [Action::Unwatch(PODMAN), Action::Spawn(PODMAN)]);
    s.handle(11, Input::Spawned(PODMAN, 20));
    let actions = s.handle(6_000, Input::Exited(20, EXIT_0));
    assert_eq!(actions, [Action::Watch(PODMAN)]);
    s.handle(6_000, Input::Watching(PODMAN));

    s.handle(6_001, Input::Connection(PODMAN));
    s.handle(6_002, Input::Spawned(PODMAN, 21));
    let actions = s.handle(6_003, Input::Exited(21, EXIT_0));
    assert_eq!(actions, [], "a hot loop");
    let actions = s.handle(6_018, Input::Tick);
    assert_eq!(actions, [Action::Watch(PODMAN)]);
}

/// `db`, and `web` that needs it and has a socket; `web` is watched, and the process of `db` has pid 10.
fn web_armed() -> Supervisor {
    let mut s = Supervisor::new(vec![
        definition("db", &[]),
        ServiceDef {
            socket: Some(SOCKET),
            ..definition("web", &["db"])
        },
    ]);
    s.handle(0, Input::Start(id(1)));
    s.handle(1, Input::Spawned(id(0), 10));
    assert_eq!(s.handle(2, Input::Execed(10)), [Action::Watch(id(1))]);
    s.handle(2, Input::Watching(id(1)));
    s
}

#[test]
fn a_connection_waits_for_the_needed_services() {
    let mut s = web_armed();
    s.handle(5, Input::Exited(10, ExitStatus::Exited(1)));
    assert_eq!(s.state(id(1)), State::Armed);
    let actions = s.handle(6, Input::Connection(id(1)));
    assert_eq!(actions, [Action::Unwatch(id(1))]);
    assert_eq!(s.state(id(1)), State::Waiting);
    assert_eq!(s.handle(20, Input::Tick), [Action::Spawn(id(0))]);
    s.handle(21, Input::Spawned(id(0), 11));
    assert_eq!(s.handle(22, Input::Execed(11)), [Action::Watch(id(1))]);
    s.handle(22, Input::Watching(id(1)));
    let actions = s.handle(23, Input::Connection(id(1)));
    assert_eq!(actions, [Action::Unwatch(id(1)), Action::Spawn(id(1))]);
}

/// The stop of `web` waits for the service that needs `web`.
#[test]
fn a_connection_does_not_delay_a_stop() {
    let mut s = web_armed();
    let page = s.add(definition("page", &["web"])).expect("a service");
    s.handle(3, Input::Start(page));
    s.handle(3, Input::Spawned(page, 30));
    s.handle(4, Input::Exited(10, ExitStatus::Exited(1)));
    let actions = s.handle(5, Input::Stop(id(1)));
    assert_eq!(actions, [Action::Terminate(page, 30)]);
    let actions = s.handle(6, Input::Connection(id(1)));
    assert_eq!(
        (actions, s.state(id(1))),
        (vec![Action::Unwatch(id(1))], State::Off)
    );
}

#[test]
fn a_successful_end_of_an_idle_service_resets_the_backoff() {
    let mut s = podman_armed();
    let mut now = 0;
    for (status, ran, delay) in [(1, 5, 15), (1, 5, 30), (0, 2_000, 0), (1, 5, 15)] {
        s.handle(now, Input::Connection(PODMAN));
        s.handle(now, Input::Spawned(PODMAN, 20));
        let status = ExitStatus::Exited(status);
        let changes = s.note(now + ran, Input::Exited(20, status));
        let expected = match delay {
            0 => Change::PlannedRestart(PODMAN, status),
            _ => Change::AutoRestart {
                id: PODMAN,
                status,
                delay_ms: delay,
            },
        };
        assert_eq!(changes, [expected]);
        s.settle(now + ran);
        now += ran + delay;
        s.handle(now, Input::Tick);
        s.handle(now, Input::Watching(PODMAN));
    }
}

#[test]
fn a_start_without_a_process_is_retried_a_limited_number_of_times() {
    let mut s = machine();
    s.handle(0, Input::Start(ONCE));
    let mut now = 0;
    for _ in 0..8 {
        assert_eq!(s.state(ONCE), State::Spawning);
        s.handle(now, Input::SpawnFailed(ONCE));
        now = s.deadline().expect("a delay");
        s.handle(now, Input::Tick);
    }
    s.handle(now, Input::SpawnFailed(ONCE));
    assert_eq!((s.state(ONCE), s.deadline()), (State::Failed, None));
    assert!(now < 5_000, "after {now} ms only");
}

#[test]
fn a_crash_loop_never_spins() {
    let mut s = podman_armed();
    let (mut now, mut starts) = (0, 0);
    while now < 3_600_000 {
        s.handle(now, Input::Connection(PODMAN));
        starts += 1;
        s.handle(now, Input::SpawnFailed(PODMAN));
        now = s.deadline().expect("a delay");
        s.handle(now, Input::Tick);
        s.handle(now, Input::Watching(PODMAN));
    }
    assert!(starts < 140, "{starts} starts in an hour");
}

#[test]
fn a_loop_is_reported_and_backs_off() {
    let mut s = machine();
    s.handle(0, Input::Start(SSHD));
    s.records[KEY.index()].state = State::Done;
    let (mut now, mut reports, mut starts) = (0, Vec::new(), 0);
    s.handle(now, Input::Tick);
    while now < 3_600_000 {
        s.handle(now, Input::Spawned(SSHD, 9));
        starts += 1;
        let changes = s.note(now + 5, Input::Exited(9, ExitStatus::Exited(1)));
        s.settle(now + 5);
        reports.extend(changes.into_iter().filter_map(|change| match change {
            Change::Looping {
                id: SSHD,
                starts: count,
                delay_ms: delay,
            } => Some((count, delay)),
            _ => None,
        }));
        while s.state(SSHD) != State::Spawning {
            now = s.deadline().expect("a delay, or that it is late");
            s.handle(now, Input::Tick);
        }
    }
    assert_eq!(reports[..3], [(8, 1_920), (16, 30_000), (32, 30_000)]);
    assert_eq!(reports.len(), 5, "8, 16, 32, 64, 128: {reports:?}");
    assert!(starts < 140, "{starts} starts in an hour");
    assert_eq!(s.restarts(SSHD), starts);
}

#[test]
fn never_ready_is_reported_once() {
    let mut s = started();
    s.handle(1, Input::Spawned(KEY, 10));
    let changes = s.note(10_000, Input::Tick);
    assert_eq!(changes, [Change::Late(KEY), Change::Late(SSHD)]);
    assert_eq!(s.note(90_000, Input::Tick), []);
    assert_eq!(s.readiness(KEY), Readiness::NotReady);
    assert_eq!(s.deadline(), None);
}

#[test]
fn a_service_that_is_not_restarted_is_done_or_failed() {
    let mut s = machine();
    for (status, state) in [(0, State::Done), (4, State::Failed)] {
        let status = ExitStatus::Exited(status);
        s.handle(0, Input::Start(ONCE));
        s.handle(0, Input::Spawned(ONCE, 5));
        let changes = s.note(9, Input::Exited(5, status));
        assert_eq!(changes, [Change::Ended(ONCE, status)]);
        assert_eq!(s.state(ONCE), state);
    }
}

#[test]
fn timestamps_are_of_the_first_life_and_since_is_of_the_state() {
    let mut s = sshd_up();
    let first = s.timestamps(SSHD);
    assert_eq!(
        (first.asked, first.spawned, first.ready),
        (Some(0), Some(3), Some(4))
    );
    assert_eq!(s.since(SSHD), 4);
    s.handle(100, Input::Exited(11, ExitStatus::Killed(9)));
    assert_eq!(s.since(SSHD), 100);
    s.handle(200, Input::Tick);
    s.handle(205, Input::Spawned(SSHD, 12));
    s.handle(210, Input::Ready(12));
    assert_eq!((s.timestamps(SSHD), s.since(SSHD)), (first, 210));
    assert_eq!(s.restarts(SSHD), 1);
    assert_eq!(s.timestamps(KEY).ready, Some(2));
    assert_eq!(s.timestamps(PODMAN).asked, None);
}

#[test]
fn a_start_without_a_process_has_no_exit_status() {
    let mut s = Supervisor::new(vec![
        ServiceDef {
            final_statuses: &[126],
            ..definition("daemon", &[])
        },
        ServiceDef {
            done_statuses: &[126],
            ..ServiceDef {
                name: "once",
                ..ServiceDef::ONE_SHOT
            }
        },
    ]);
    for id in [id(0), id(1)] {
        s.handle(0, Input::Start(id));
        s.handle(0, Input::Spawned(id, 7));
        s.handle(5, Input::Exited(7, ExitStatus::Exited(1)));
        s.handle(5, Input::Start(id));
        let changes = s.note(5, Input::SpawnFailed(id));
        assert_eq!(changes, [Change::StartDelayed { id, delay_ms: 15 }]);
        assert!(matches!(s.state(id), State::Delayed { .. }));
        assert_eq!(
            s.last_exit(id),
            None,
            "the process before is another's start"
        );
    }
}
