//! Who lets others go first.

use super::id;
use crate::service::{ReadyWhen, Restart};
use crate::supervisor::*;

const DISK: ServiceId = ServiceId::new(0);
const API: ServiceId = ServiceId::new(1);

/// A disk that may fail, and what would use it but can do without.
fn s() -> Supervisor {
    let base = ServiceDef {
        gates_ready: true,
        ..ServiceDef::DEFAULT
    };
    Supervisor::new(vec![
        ServiceDef {
            name: "disk",
            ready: ReadyWhen::Exit,
            restart: Restart::Never,
            late_ms: 60_000,
            ..base
        },
        ServiceDef {
            name: "api",
            after: &["disk", "nobody"],
            late_ms: 1_000,
            ..base
        },
    ])
}

fn both() -> Supervisor {
    let mut s = s();
    assert_eq!(s.handle(0, Event::Start(DISK)), [Action::Spawn(DISK)]);
    assert_eq!(s.handle(0, Event::Start(API)), []);
    s.handle(1, Event::Spawned(DISK, 10));
    s
}

#[test]
fn it_waits_and_its_own_time_does_not_run() {
    let mut s = both();
    assert_eq!(s.handle(30_000, Event::Tick), []);
    assert_eq!(s.readiness(API), Readiness::Pending);
    let todo = s.handle(40_000, Event::Exited(10, ExitStatus::Exited(0)));
    assert_eq!(todo, [Action::SayReady(DISK), Action::Spawn(API)]);
    assert_eq!(s.deadline(), Some(41_000));
    assert_eq!(s.handle(41_000, Event::Tick), [Action::SayLate(API)]);
}

#[test]
fn a_failure_lets_it_go() {
    let mut s = both();
    let todo = s.handle(9, Event::Exited(10, ExitStatus::Killed(9)));
    assert!(todo.contains(&Action::Spawn(API)), "{todo:?}");
    assert_eq!(s.readiness(DISK), Readiness::Failed);
}

#[test]
fn being_late_lets_it_go_and_what_comes_then_is_no_matter() {
    let mut s = both();
    let todo = s.handle(60_000, Event::Tick);
    assert_eq!(todo, [Action::SayLate(DISK), Action::Spawn(API)]);
    s.handle(60_001, Event::Spawned(API, 11));
    assert_eq!(
        s.handle(70_000, Event::Exited(10, ExitStatus::Exited(0))),
        [Action::SayReady(DISK)]
    );
    assert!(s.state(API).pid().is_some());
}

#[test]
fn who_is_not_asked_for_keeps_nobody_waiting() {
    let mut s = s();
    assert_eq!(s.handle(0, Event::Start(API)), [Action::Spawn(API)]);
    assert_eq!(s.state(DISK), State::Off, "it does not come along");
}

#[test]
fn a_stop_wins_over_the_waiting() {
    let mut s = both();
    s.handle(5, Event::Stop(API));
    assert_eq!(s.state(API), State::Off);
    s.handle(6, Event::Exited(10, ExitStatus::Exited(0)));
    assert_eq!(s.state(API), State::Off);
    assert_eq!(s.handle(7, Event::Start(API)), [Action::Spawn(API)]);
}

#[test]
fn one_that_runs_again_keeps_those_that_run() {
    let mut s = both();
    s.handle(2, Event::Exited(10, ExitStatus::Exited(0)));
    s.handle(3, Event::Spawned(API, 11));
    assert_eq!(s.handle(9, Event::Start(DISK)), [Action::Spawn(DISK)]);
    assert!(s.state(API).pid().is_some());
}

#[test]
fn a_row_is_revised_until_it_begins_and_one_more_is_taken() {
    let disk = ServiceDef {
        name: "disk",
        argv: &["/bin/true"],
        ready: ReadyWhen::Exit,
        restart: Restart::Never,
        ..ServiceDef::DEFAULT
    };
    let late = ServiceDef {
        name: "late",
        argv: &["/bin/old"],
        after: &["disk"],
        ..ServiceDef::DEFAULT
    };
    let mut s = Supervisor::new(vec![disk, late]);
    s.handle(0, Event::Start(id(0)));
    s.handle(0, Event::Start(id(1)));
    let new = ServiceDef {
        argv: &["/bin/new"],
        ..late
    };
    assert_eq!(s.state(id(1)), State::Waiting);
    assert!(s.revise(new) && s.definition(id(1)) == Some(&new));
    let needy = ServiceDef {
        needs: &["disk"],
        ..late
    };
    assert!(!s.revise(needy), "what it needs is known from the start");
    s.handle(0, Event::Spawned(id(0), 7));
    assert!(
        !s.revise(ServiceDef {
            argv: &["/x"],
            ..disk
        }),
        "it runs"
    );
    let more = ServiceDef {
        name: "more",
        ..late
    };
    assert_eq!(s.extend(more), Ok(id(2)));
    assert!(s.extend(more).is_err() && !s.is_user_service(id(2)));
    let todo = s.handle(1, Event::Exited(7, ExitStatus::Exited(0)));
    assert!(todo.contains(&Action::Spawn(id(1))), "{todo:?}");
    assert!(!s.revise(late), "it begins");
}
