// SPDX-License-Identifier: Apache-2.0
//! Take-over of services after a crash.

use super::transitions::{NOW, TESTED, supervisor};
use super::*;
use crate::supervisor::recovery::{Running, StateToRestore};

/// Every state, with the state that the next execution of PID 1 restores.
#[test]
fn every_state_has_a_state_to_restore() {
    let (pid, started, kill_at) = (7, 1, 99);
    let stopping = |again| State::Stopping {
        pid,
        kill_at,
        again,
    };
    let cases = [
        (State::Off, StateToRestore::Off),
        (State::Waiting, StateToRestore::On),
        (State::Armed, StateToRestore::On),
        (State::Spawning, StateToRestore::On),
        (State::Starting { pid, started }, StateToRestore::On),
        (State::Up { pid, started }, StateToRestore::On),
        (stopping(false), StateToRestore::Off),
        (stopping(true), StateToRestore::On),
        (State::Delayed { until: 99 }, StateToRestore::On),
        (State::Done, StateToRestore::Done),
        (State::Failed, StateToRestore::Failed),
    ];
    for (state, restored) in cases {
        assert_eq!(
            supervisor(state, false).state_to_restore(TESTED),
            restored,
            "{state:?}"
        );
        assert_eq!(StateToRestore::from_word(restored.word()), Some(restored));
    }
    let up = State::Up { pid, started };
    assert_eq!(
        supervisor(up, true).state_to_restore(TESTED),
        StateToRestore::Off
    );
    assert_eq!(StateToRestore::from_word("armed"), None);
}

/// A process that is ready, or whose readiness cannot be reported to the supervisor.
fn running(pid: Pid) -> Running {
    Running {
        pid,
        will_notify: false,
    }
}

#[test]
fn a_process_that_has_not_notified_yet_is_not_ready() {
    let mut s = Supervisor::new(vec![ServiceDef {
        ready: ReadyWhen::Fd(3),
        ..definition("api", &[])
    }]);
    let process = Running {
        pid: 7,
        will_notify: true,
    };
    assert_eq!(
        s.take_over(NOW, id(0), StateToRestore::On, Some(process)),
        []
    );
    let started = NOW;
    assert_eq!(s.state(id(0)), State::Starting { pid: 7, started });
    assert!(s.deadline().is_some(), "it may be late");
    let ready = s.note(NOW + 1, Input::Ready(7));
    assert_eq!(ready, [Change::Ready(id(0))]);
}

#[test]
fn running_processes_are_taken_over_and_ended_services_start_again() {
    let mut s = machine();
    // The key was made, sshd runs, podman waits for a connection, the last has failed.
    assert_eq!(s.take_over(NOW, KEY, StateToRestore::Done, None), []);
    assert_eq!(
        s.take_over(NOW, SSHD, StateToRestore::On, Some(running(7))),
        [Change::Ready(SSHD)]
    );
    assert_eq!(s.take_over(NOW, PODMAN, StateToRestore::On, None), []);
    assert_eq!(s.take_over(NOW, ONCE, StateToRestore::Failed, None), []);
    assert_eq!(s.settle(NOW), [Action::Watch(PODMAN)]);
    assert_eq!(
        s.state(SSHD),
        State::Up {
            pid: 7,
            started: NOW
        }
    );
    assert_eq!((s.state(KEY), s.state(ONCE)), (State::Done, State::Failed));
    // From here on, sshd is a service like any other.
    s.note(NOW + 20_000, Input::Exited(7, EXIT_0));
    assert_eq!(s.state(SSHD), State::Waiting, "the run was healthy");
}

#[test]
fn a_one_shot_that_runs_is_done_when_it_ends() {
    let mut s = machine();
    assert_eq!(
        s.take_over(NOW, KEY, StateToRestore::On, Some(running(7))),
        []
    );
    assert_eq!(s.take_over(NOW, SSHD, StateToRestore::On, None), []);
    assert_eq!(s.settle(NOW), [], "sshd needs the key");
    s.note(NOW, Input::Exited(7, EXIT_0));
    assert_eq!(s.settle(NOW), [Action::Spawn(SSHD)]);
}

#[test]
fn a_service_that_was_stopping_is_stopped() {
    let mut s = machine();
    let _ = s.take_over(NOW, SSHD, StateToRestore::Off, Some(running(7)));
    assert_eq!(s.settle(NOW), [Action::Terminate(SSHD, 7)]);
    s.note(NOW, Input::Exited(7, EXIT_0));
    assert_eq!(s.state(SSHD), State::Off);
}

#[test]
fn nothing_is_taken_over_twice() {
    let mut s = machine();
    let _ = s.take_over(NOW, SSHD, StateToRestore::On, Some(running(7)));
    assert_eq!(
        s.take_over(NOW, SSHD, StateToRestore::On, Some(running(8))),
        []
    );
    assert_eq!(
        s.state(SSHD),
        State::Up {
            pid: 7,
            started: NOW
        }
    );
    // A record that names one process twice is wrong.
    let _ = s.take_over(NOW, PODMAN, StateToRestore::On, Some(running(7)));
    assert_eq!(s.state(PODMAN), State::Waiting);
    assert_eq!(
        s.take_over(NOW, id(99), StateToRestore::On, Some(running(9))),
        []
    );
}
