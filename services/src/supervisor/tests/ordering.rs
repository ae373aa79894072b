// SPDX-License-Identifier: Apache-2.0
//! Ordering without need: `after`.

use super::*;

const DISK: ServiceId = ServiceId::new(0);
const API: ServiceId = ServiceId::new(1);

/// A disk that may fail, and a service that would use it but can do without.
fn disk_and_api() -> Supervisor {
    Supervisor::new(vec![
        ServiceDef {
            ready: ReadyWhen::Exit,
            restart: Restart::Never,
            late_ms: 60_000,
            ..definition("disk", &[])
        },
        ServiceDef {
            after: &["disk", "nobody"],
            late_ms: 1_000,
            ..definition("api", &[])
        },
    ])
}

fn both_started() -> Supervisor {
    let mut s = disk_and_api();
    assert_eq!(s.handle(0, Input::Start(DISK)), [Action::Spawn(DISK)]);
    assert_eq!(s.handle(0, Input::Start(API)), []);
    s.handle(1, Input::Spawned(DISK, 10));
    s
}

#[test]
fn it_waits_and_its_own_time_does_not_run() {
    let mut s = both_started();
    assert_eq!(s.note(30_000, Input::Tick), []);
    assert_eq!(s.settle(30_000), []);
    assert_eq!(s.readiness(API), Readiness::Pending);
    let actions = s.handle(40_000, Input::Exited(10, EXIT_0));
    assert_eq!(actions, [Action::Spawn(API)]);
    assert_eq!(s.deadline(), Some(41_000));
    assert_eq!(s.note(41_000, Input::Tick), [Change::Late(API)]);
}

#[test]
fn a_failure_lets_it_go() {
    let mut s = both_started();
    let actions = s.handle(9, Input::Exited(10, ExitStatus::Killed(9)));
    assert_eq!(actions, [Action::Spawn(API)]);
    assert_eq!(s.readiness(DISK), Readiness::Failed);
}

#[test]
fn being_late_lets_it_go_and_what_comes_then_is_no_matter() {
    let mut s = both_started();
    assert_eq!(s.note(60_000, Input::Tick), [Change::Late(DISK)]);
    assert_eq!(s.settle(60_000), [Action::Spawn(API)]);
    s.handle(60_001, Input::Spawned(API, 11));
    let changes = s.note(70_000, Input::Exited(10, EXIT_0));
    assert_eq!(changes, [Change::Ended(DISK, EXIT_0), Change::Ready(DISK)]);
    assert_eq!(s.settle(70_000), []);
    assert!(s.state(API).pid().is_some());
}

#[test]
fn one_that_is_not_started_keeps_nobody_waiting() {
    let mut s = disk_and_api();
    assert_eq!(s.handle(0, Input::Start(API)), [Action::Spawn(API)]);
    assert_eq!(s.state(DISK), State::Off, "it does not come along");
}

#[test]
fn a_stop_wins_over_the_waiting() {
    let mut s = both_started();
    s.handle(5, Input::Stop(API));
    assert_eq!(s.state(API), State::Off);
    s.handle(6, Input::Exited(10, EXIT_0));
    assert_eq!(s.state(API), State::Off);
    assert_eq!(s.handle(7, Input::Start(API)), [Action::Spawn(API)]);
}

#[test]
fn one_that_runs_again_keeps_those_that_run() {
    let mut s = both_started();
    s.handle(2, Input::Exited(10, EXIT_0));
    s.handle(3, Input::Spawned(API, 11));
    assert_eq!(s.handle(9, Input::Start(DISK)), [Action::Spawn(DISK)]);
    assert!(s.state(API).pid().is_some());
}
