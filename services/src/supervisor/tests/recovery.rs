// SPDX-License-Identifier: Apache-2.0
//! Take-over of services after a crash.

use super::transitions::{NOW, TESTED, supervisor};
use super::*;
use crate::supervisor::recovery::{Intent, Running};

/// Every state with the intent that the next supervisor gets.
#[test]
fn every_state_has_an_intent() {
    let (pid, started, kill_at) = (7, 1, 99);
    let stopping = |again| State::Stopping {
        pid,
        kill_at,
        again,
    };
    let cases = [
        (State::Off, Intent::Off),
        (State::Waiting, Intent::On),
        (State::Armed, Intent::On),
        (State::Spawning, Intent::On),
        (State::Starting { pid, started }, Intent::On),
        (State::Up { pid, started }, Intent::On),
        (stopping(false), Intent::Off),
        (stopping(true), Intent::On),
        (State::Delayed { until: 99 }, Intent::On),
        (State::Done, Intent::Done),
        (State::Failed, Intent::Failed),
    ];
    for (state, intent) in cases {
        assert_eq!(supervisor(state, false).intent(TESTED), intent, "{state:?}");
        assert_eq!(Intent::from_word(intent.word()), Some(intent));
    }
    let up = State::Up { pid, started };
    assert_eq!(supervisor(up, true).intent(TESTED), Intent::Off);
    assert_eq!(Intent::from_word("armed"), None);
}

/// A process that is ready, or whose readiness cannot be reported to the supervisor.
fn running(pid: Pid) -> Running {
    Running {
        pid,
        will_report: false,
    }
}

#[test]
fn what_has_yet_to_report_is_not_ready() {
    let mut s = Supervisor::new(vec![ServiceDef {
        ready: ReadyWhen::Fd(3),
        ..definition("api", &[])
    }]);
    let process = Running {
        pid: 7,
        will_report: true,
    };
    assert_eq!(s.resume(NOW, id(0), Intent::On, Some(process)), []);
    let started = NOW;
    assert_eq!(s.state(id(0)), State::Starting { pid: 7, started });
    assert!(s.deadline().is_some(), "it may be late");
    let ready = s.note(NOW + 1, Input::Ready(7));
    assert_eq!(ready, [Change::Ready(id(0))]);
}

#[test]
fn what_runs_is_adopted_and_what_ended_starts_again() {
    let mut s = machine();
    // The key was made, sshd runs, podman waits for a connection, the last has failed.
    assert_eq!(s.resume(NOW, KEY, Intent::Done, None), []);
    assert_eq!(
        s.resume(NOW, SSHD, Intent::On, Some(running(7))),
        [Change::Ready(SSHD)]
    );
    assert_eq!(s.resume(NOW, PODMAN, Intent::On, None), []);
    assert_eq!(s.resume(NOW, ONCE, Intent::Failed, None), []);
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
    assert_eq!(s.resume(NOW, KEY, Intent::On, Some(running(7))), []);
    assert_eq!(s.resume(NOW, SSHD, Intent::On, None), []);
    assert_eq!(s.settle(NOW), [], "sshd needs the key");
    s.note(NOW, Input::Exited(7, EXIT_0));
    assert_eq!(s.settle(NOW), [Action::Spawn(SSHD)]);
}

#[test]
fn what_was_stopping_is_stopped() {
    let mut s = machine();
    let _ = s.resume(NOW, SSHD, Intent::Off, Some(running(7)));
    assert_eq!(s.settle(NOW), [Action::Terminate(SSHD, 7)]);
    s.note(NOW, Input::Exited(7, EXIT_0));
    assert_eq!(s.state(SSHD), State::Off);
}

#[test]
fn nothing_is_taken_over_twice() {
    let mut s = machine();
    let _ = s.resume(NOW, SSHD, Intent::On, Some(running(7)));
    assert_eq!(s.resume(NOW, SSHD, Intent::On, Some(running(8))), []);
    assert_eq!(
        s.state(SSHD),
        State::Up {
            pid: 7,
            started: NOW
        }
    );
    // A record that names one process twice is wrong.
    let _ = s.resume(NOW, PODMAN, Intent::On, Some(running(7)));
    assert_eq!(s.state(PODMAN), State::Waiting);
    assert_eq!(s.resume(NOW, id(99), Intent::On, Some(running(9))), []);
}
