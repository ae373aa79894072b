// SPDX-License-Identifier: Apache-2.0
//! The two steps: a note changes the recorded state, and settling acts on the state.

use super::*;

#[test]
fn an_end_is_seen_before_any_waiting_service_starts() {
    let mut s = started();
    s.handle(1, Input::Spawned(KEY, 10));
    let changes = s.note(2, Input::Exited(10, EXIT_0));
    assert_eq!(changes, [Change::Ended(KEY, EXIT_0), Change::Ready(KEY)]);
    assert_eq!(s.state(SSHD), State::Waiting, "not before settle");
    assert_eq!(s.settle(2), [Action::Spawn(SSHD)]);
}

#[test]
fn a_stop_between_the_steps_prevents_the_start_of_a_waiting_service() {
    let mut s = started();
    s.handle(1, Input::Spawned(KEY, 10));
    s.note(2, Input::Exited(10, EXIT_0));
    s.note(2, Input::Stop(SSHD));
    assert_eq!(s.settle(2), []);
    assert_eq!(s.state(SSHD), State::Off);
}

#[test]
fn a_definition_revised_between_the_steps_is_the_one_that_starts() {
    let mut s = started();
    s.handle(1, Input::Spawned(KEY, 10));
    s.note(2, Input::Exited(10, EXIT_0));
    let new = ServiceDef {
        argv: &["/bin/new"],
        ..*s.definition(SSHD).expect("it is in the table")
    };
    assert_eq!(s.revise(SSHD, new), Ok(Revision::Now));
    assert_eq!(s.settle(2), [Action::Spawn(SSHD)]);
    assert_eq!(s.definition(SSHD), Some(&new));
}

#[test]
fn requests_are_settled_together_so_that_their_order_does_not_matter() {
    let first = ServiceDef {
        after: &["second"],
        ..definition("first", &[])
    };
    let mut s = Supervisor::new(vec![first, definition("second", &[])]);
    for id in s.ids() {
        s.note(0, Input::Start(id));
    }
    assert_eq!(s.settle(0), [Action::Spawn(id(1))]);
}

#[test]
fn settling_again_does_nothing() {
    let mut s = sshd_up();
    assert_eq!(s.settle(5), []);
    s.note(6, Input::StopAll);
    assert_eq!(s.settle(6), [Action::Terminate(SSHD, 11)]);
    assert_eq!(s.settle(6), []);
}

#[test]
fn settling_makes_nothing_ready() {
    let mut s = Supervisor::new(vec![
        ServiceDef {
            socket: Some(SOCKET),
            ..definition("api", &[])
        },
        definition("client", &["api"]),
    ]);
    s.note(0, Input::Start(id(1)));
    assert_eq!(s.settle(0), [Action::Watch(id(0))]);
    assert_eq!(s.settle(0), []);
    let changes = s.note(0, Input::Watching(id(0)));
    assert_eq!(changes, [Change::Ready(id(0))]);
    assert_eq!(s.settle(0), [Action::Spawn(id(1))]);
}

#[test]
fn no_action_names_a_process_whose_end_was_noted() {
    let end = Input::Exited(11, ExitStatus::Killed(15));
    let mut s = sshd_up();
    s.note(5, Input::Restart(SSHD));
    s.note(5, end);
    assert_eq!(s.settle(5), [Action::Spawn(SSHD)], "nobody to terminate");

    let mut s = sshd_up();
    s.handle(5, Input::Stop(SSHD));
    s.note(9_000, Input::Tick);
    s.note(9_000, end);
    assert_eq!(s.settle(9_000), [], "nobody to kill");
}

#[test]
fn a_socket_that_cannot_be_bound_is_a_change_and_delays_no_other_service() {
    let mut s = Supervisor::new(vec![
        ServiceDef {
            socket: Some(SOCKET),
            ..definition("api", &[])
        },
        ServiceDef {
            after: &["api"],
            ..definition("later", &[])
        },
    ]);
    for id in s.ids() {
        s.note(0, Input::Start(id));
    }
    assert_eq!(s.settle(0), [Action::Watch(id(0))]);
    let changes = s.note(0, Input::WatchFailed(id(0)));
    assert_eq!(
        changes,
        [Change::StartDelayed {
            id: id(0),
            delay_ms: 15
        }]
    );
    assert_eq!(s.settle(0), [Action::Spawn(id(1))]);
    assert_eq!(fail_to_bind(&mut s, 0), [Change::NotStarted(id(0))]);
    assert_eq!(
        (s.state(id(0)), s.deadline()),
        (State::Failed, Some(10_000))
    );
    assert_eq!(s.readiness(id(0)), Readiness::NotReady);
    // A request tries again.
    assert_eq!(s.handle(9_000, Input::Start(id(0))), [Action::Watch(id(0))]);
    assert_eq!(
        s.note(9_000, Input::Watching(id(0))),
        [Change::Ready(id(0))]
    );
}

/// Lets every repeated attempt to bind the socket fail; returns the last changes.
fn fail_to_bind(s: &mut Supervisor, mut now: Millis) -> Vec<Change> {
    let mut changes = Vec::new();
    while let State::Delayed { until } = s.state(id(0)) {
        now = until;
        assert_eq!(s.handle(now, Input::Tick), [Action::Watch(id(0))]);
        changes = s.note(now, Input::WatchFailed(id(0)));
    }
    assert!(now < 5_000, "after {now} ms only");
    changes
}
