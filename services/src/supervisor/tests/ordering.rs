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
fn the_late_timer_of_a_service_starts_after_its_predecessors() {
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
fn after_is_satisfied_by_a_failure() {
    let mut s = both_started();
    let actions = s.handle(9, Input::Exited(10, ExitStatus::Killed(9)));
    assert_eq!(actions, [Action::Spawn(API)]);
    assert_eq!(s.readiness(DISK), Readiness::NotReady);
}

#[test]
fn after_is_satisfied_by_lateness_and_a_later_end_changes_nothing() {
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
fn a_service_that_is_off_delays_no_other() {
    let mut s = disk_and_api();
    assert_eq!(s.handle(0, Input::Start(API)), [Action::Spawn(API)]);
    assert_eq!(s.state(DISK), State::Off, "it does not come along");
}

#[test]
fn a_stop_of_a_waiting_service_prevents_its_start() {
    let mut s = both_started();
    s.handle(5, Input::Stop(API));
    assert_eq!(s.state(API), State::Off);
    s.handle(6, Input::Exited(10, EXIT_0));
    assert_eq!(s.state(API), State::Off);
    assert_eq!(s.handle(7, Input::Start(API)), [Action::Spawn(API)]);
}

#[test]
fn a_second_run_does_not_stop_services_ordered_after_it() {
    let mut s = both_started();
    s.handle(2, Input::Exited(10, EXIT_0));
    s.handle(3, Input::Spawned(API, 11));
    assert_eq!(s.handle(9, Input::Start(DISK)), [Action::Spawn(DISK)]);
    assert!(s.state(API).pid().is_some());
}

/// A service that reports readiness, a service that is ordered after it, and a service with a
/// socket that reports readiness as well.
fn reporting() -> Supervisor {
    let notify = |name| ServiceDef {
        ready: ReadyWhen::Notify,
        late_ms: 5_000,
        ..definition(name, &[])
    };
    let last = ServiceDef {
        after: &["net"],
        ..definition("last", &[])
    };
    let on_demand = ServiceDef {
        socket: Some(SOCKET),
        ..notify("on-demand")
    };
    Supervisor::new(vec![notify("net"), last, on_demand])
}

const NET: ServiceId = ServiceId::new(0);
const LAST: ServiceId = ServiceId::new(1);
const ON_DEMAND: ServiceId = ServiceId::new(2);

/// Requests the service that is ordered after `NET`, and checks its start when `NET` is late.
#[track_caller]
fn check_lets_go(mut s: Supervisor, late: Millis) {
    assert_eq!(s.handle(late - 1, Input::Start(LAST)), []);
    assert_eq!(s.deadline(), Some(late));
    assert_eq!(s.note(late, Input::Tick), [Change::Late(NET)]);
    assert_eq!(s.settle(late), [Action::Spawn(LAST)]);
}

#[test]
fn a_restarted_service_that_is_not_ready_again_becomes_late() {
    let mut s = reporting();
    s.handle(0, Input::Start(NET));
    s.handle(0, Input::Spawned(NET, 10));
    s.handle(1, Input::Ready(10));
    s.handle(50, Input::Exited(10, ExitStatus::Killed(9)));
    assert_eq!(s.handle(150, Input::Tick), [Action::Spawn(NET)]);
    s.handle(151, Input::Spawned(NET, 11));
    check_lets_go(s, 5_150);
}

#[test]
fn a_cancelled_stop_keeps_the_late_timer() {
    for spawned in [false, true] {
        let mut s = reporting();
        s.handle(0, Input::Start(NET));
        if spawned {
            s.handle(1, Input::Spawned(NET, 10));
        }
        s.note(100, Input::Stop(NET));
        s.note(101, Input::Start(NET));
        assert_eq!(s.settle(101), []);
        check_lets_go(s, 5_101);
    }
    // A service that is ready has no late timer.
    let mut s = reporting();
    s.handle(0, Input::Start(NET));
    s.handle(0, Input::Spawned(NET, 10));
    s.handle(1, Input::Ready(10));
    s.note(100, Input::Stop(NET));
    s.note(101, Input::Start(NET));
    assert_eq!((s.settle(101), s.deadline()), (vec![], None));
}

#[test]
fn a_service_started_by_its_socket_becomes_late() {
    let mut s = reporting();
    s.handle(0, Input::Start(ON_DEMAND));
    s.handle(0, Input::Watching(ON_DEMAND));
    s.handle(20_000, Input::Connection(ON_DEMAND));
    s.handle(20_001, Input::Spawned(ON_DEMAND, 10));
    assert_eq!(s.note(25_000, Input::Tick), [Change::Late(ON_DEMAND)]);
}

#[test]
fn crashes_before_the_first_readiness_do_not_extend_the_late_timer() {
    let mut s = reporting();
    s.handle(0, Input::Start(NET));
    for (now, pid) in [(0, 10), (1_100, 11), (2_300, 12), (3_700, 13)] {
        s.handle(now, Input::Spawned(NET, pid));
        s.handle(now + 1_000, Input::Exited(pid, EXIT_0));
        s.handle(now + 2_000, Input::Tick);
    }
    assert_eq!(s.state(NET), State::Spawning);
    assert_eq!(s.note(6_000, Input::Tick), []);
    assert_eq!(s.deadline(), None);
}
