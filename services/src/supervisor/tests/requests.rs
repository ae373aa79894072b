// SPDX-License-Identifier: Apache-2.0
//! Start, stop and restart, and the services that need each other.

use super::*;

#[test]
fn a_stop_cancels_the_delay() {
    let mut s = sshd_up();
    s.handle(100, Input::Exited(11, ExitStatus::Killed(9)));
    s.handle(110, Input::Stop(SSHD));
    assert_eq!(s.handle(1_000_000, Input::Tick), []);
    assert_eq!(s.state(SSHD), State::Off);
}

#[test]
fn a_stop_during_the_spawn_takes_effect_after_it() {
    let mut s = machine();
    s.handle(0, Input::Start(ONCE));
    assert_eq!(s.handle(0, Input::Stop(ONCE)), []);
    assert_eq!(
        s.handle(1, Input::Spawned(ONCE, 5)),
        [Action::Terminate(ONCE, 5)]
    );
    assert_eq!(s.handle(3_001, Input::Tick), [Action::Kill(ONCE, 5)]);
    s.handle(3_002, Input::Exited(5, ExitStatus::Killed(9)));
    assert_eq!(s.state(ONCE), State::Off);
}

#[test]
fn a_start_starts_the_needed_services() {
    let mut s = machine();
    assert_eq!(s.handle(5, Input::Start(SSHD)), [Action::Spawn(KEY)]);
    assert_eq!(
        (s.state(SSHD), s.state(PODMAN)),
        (State::Waiting, State::Off)
    );
    assert_eq!(s.timestamps(KEY).asked, Some(5));
}

#[test]
fn a_start_leaves_needed_services_that_are_done_failed_or_delayed() {
    for state in [State::Done, State::Failed, State::Delayed { until: 900 }] {
        let mut s = machine();
        s.records[KEY.index()].state = state;
        s.handle(5, Input::Start(SSHD));
        assert_eq!(s.state(KEY), state);
    }
}

#[test]
fn a_start_cancels_the_stop_of_needed_services() {
    let mut s = chain();
    let stop_requested = |s: &Supervisor| [0, 1].map(|n: usize| s.records[n].stop_requested);
    s.handle(50, Input::Stop(id(0)));
    assert_eq!(stop_requested(&s), [true, true]);
    s.handle(51, Input::Start(id(1)));
    assert_eq!(stop_requested(&s), [false, false]);
    let State::Stopping { again: false, .. } = s.state(id(2)) else {
        panic!("{:?}", s.state(id(2)));
    };
    assert_eq!(s.handle(60, Input::Exited(102, EXIT_0)), []);
    assert!(matches!(s.state(id(0)), State::Up { .. }));
    assert!(matches!(s.state(id(1)), State::Up { .. }));
}

#[test]
fn a_stop_stops_the_dependents_first() {
    let mut s = chain();
    let exited = |pid| Input::Exited(pid, ExitStatus::Killed(15));
    let actions = s.handle(10, Input::Stop(id(0)));
    assert_eq!(actions, [Action::Terminate(id(2), 102)]);
    assert_eq!(s.handle(20, exited(102)), [Action::Terminate(id(1), 101)]);
    assert_eq!(s.handle(30, exited(101)), [Action::Terminate(id(0), 100)]);
    assert!(!s.at_rest());
    s.handle(40, exited(100));
    assert!(s.at_rest());
    assert_eq!(s.deadline(), None);
}

#[test]
fn a_stop_in_a_chain_keeps_the_needed_services() {
    let mut s = chain();
    s.handle(10, Input::Stop(id(1)));
    s.handle(20, Input::Exited(102, EXIT_0));
    s.handle(30, Input::Exited(101, EXIT_0));
    let states = [0, 1, 2].map(|n| s.state(id(n)).word());
    assert_eq!(states, ["up", "off", "off"]);
}

#[test]
fn a_service_that_ends_while_its_stop_waits_is_not_restarted() {
    let mut s = chain();
    s.handle(10, Input::Stop(id(0)));
    let status = ExitStatus::Killed(11);
    let changes = s.note(11, Input::Exited(100, status));
    assert_eq!(changes, [Change::Ended(id(0), status)]);
    assert_eq!(s.settle(11), []);
    assert_eq!(s.state(id(0)), State::Off);
}

#[test]
fn a_restart_is_one_end_and_one_start() {
    let mut s = chain();
    let actions = s.handle(10, Input::Restart(id(0)));
    assert_eq!(actions, [Action::Terminate(id(0), 100)]);
    // Further requests in the meantime change nothing.
    assert_eq!(s.handle(11, Input::Restart(id(0))), []);
    assert_eq!(s.handle(12, Input::Start(id(0))), []);
    let status = ExitStatus::Killed(15);
    let changes = s.note(20, Input::Exited(100, status));
    assert_eq!(changes, [Change::PlannedRestart(id(0), status)]);
    assert_eq!(s.settle(20), [Action::Spawn(id(0))]);
    assert_eq!(s.handle(21, Input::Restart(id(0))), [], "it is on its way");
    s.handle(22, Input::Spawned(id(0), 200));
    s.handle(23, Input::Execed(200));
    let (pid, started) = (200, 22);
    assert_eq!(s.state(id(0)), State::Up { pid, started });
    assert_eq!(s.restarts(id(0)), 0, "requested, so none of its own");
    // The dependents of the service continue.
    assert_eq!(
        s.state(id(1)),
        State::Up {
            pid: 101,
            started: 1
        }
    );
}

#[test]
fn a_stop_wins_over_a_restart_and_a_later_start_over_both() {
    let exited = Input::Exited(102, EXIT_0);
    let mut s = chain();
    s.handle(10, Input::Restart(id(2)));
    s.handle(11, Input::Stop(id(2)));
    s.handle(12, exited);
    assert_eq!(s.state(id(2)), State::Off);
    let mut s = chain();
    s.handle(10, Input::Stop(id(2)));
    s.handle(11, Input::Start(id(2)));
    assert_eq!(s.handle(12, exited), [Action::Spawn(id(2))]);
}

#[test]
fn a_restart_of_a_delayed_service_starts_it_at_once() {
    let mut s = sshd_up();
    s.handle(100, Input::Exited(11, ExitStatus::Killed(9)));
    assert_eq!(s.handle(101, Input::Restart(SSHD)), [Action::Spawn(SSHD)]);
    assert_eq!(s.handle(5_000, Input::Tick), []);
}

/// `systemctl reset-failed` resets the failure alone: a stop would end the services that need the
/// service.
#[test]
fn a_reset_clears_the_failure_and_the_dependents_continue() {
    let mut s = Supervisor::new(vec![
        ServiceDef {
            restart: Restart::Never,
            ..definition("db", &[])
        },
        definition("web", &["db"]),
    ]);
    s.handle(0, Input::Start(id(1)));
    for n in [0, 1] {
        s.handle(0, Input::Spawned(id(n), 10 + n as Pid));
        s.handle(0, Input::Execed(10 + n as Pid));
    }
    s.handle(1, Input::Exited(10, ExitStatus::Exited(1)));
    assert_eq!(s.state(id(0)), State::Failed);
    assert_eq!(s.handle(2, Input::ResetFailed(id(0))), []);
    assert_eq!(s.state(id(0)), State::Off);
    assert!(matches!(s.state(id(1)), State::Up { pid: 11, .. }));
    // A service that runs is not reset.
    assert_eq!(s.handle(3, Input::ResetFailed(id(1))), []);
    assert!(matches!(s.state(id(1)), State::Up { pid: 11, .. }));
}
