// SPDX-License-Identifier: Apache-2.0
//! Tables of the conditions for readiness and of the restart policies.

use super::transitions::{NOW, TESTED, supervisor};
use super::*;

/// Table of conditions for readiness, inputs, and the resulting readiness.
#[test]
fn each_ready_policy_accepts_its_input_alone() {
    let table = [
        (ReadyWhen::Exec, Input::Execed(7), true),
        (ReadyWhen::Exec, Input::Ready(7), false),
        (ReadyWhen::Notify, Input::Execed(7), false),
        (ReadyWhen::Notify, Input::Ready(7), true),
        (ReadyWhen::Fd(4), Input::Execed(7), false),
        (ReadyWhen::Fd(4), Input::Ready(7), true),
        (ReadyWhen::Exit, Input::Execed(7), false),
        (ReadyWhen::Exit, Input::Ready(7), false),
    ];
    for (ready, input, up) in table {
        let mut s = supervisor(State::Starting { pid: 7, started: 5 }, false);
        s.records[0].def.ready = ready;
        let is_change = s.note(NOW, input) == [Change::Ready(TESTED)];
        let is_up = matches!(s.state(TESTED), State::Up { .. });
        assert_eq!((is_change, is_up), (up, up), "{ready:?} {input:?}");
    }
}

/// A status that the definitions of these tests declare final.
const FINAL: u8 = 3;

/// Every status is an ordinary one, podman's 125 too, except those that the definition lists.
#[test]
fn podmans_error_is_final_for_no_policy() {
    for (statuses, word) in [
        (&[][..], "delayed"),
        (&[3][..], "delayed"),
        (&[3, 125][..], "failed"),
    ] {
        for restart in [Restart::Always, Restart::OnFailure] {
            let mut s = Supervisor::new(vec![ServiceDef {
                restart,
                final_statuses: statuses,
                ..definition("web", &[])
            }]);
            s.handle(0, Input::Start(id(0)));
            s.note(0, Input::Spawned(id(0), 7));
            s.note(1, Input::Exited(7, ExitStatus::Exited(125)));
            assert_eq!(s.state(id(0)).word(), word, "{statuses:?}");
        }
    }
}

/// Delay before a restart: the definition's where that is longer than the one that grows.
#[test]
fn a_restart_waits_for_restart_ms() {
    for (restart_ms, ran, until) in [(0, 5, 20), (3_000, 5, 3_005), (3_000, 20_000, 23_000)] {
        let mut s = Supervisor::new(vec![ServiceDef {
            restart_ms,
            ..definition("web", &[])
        }]);
        s.handle(0, Input::Start(id(0)));
        s.note(0, Input::Spawned(id(0), 7));
        s.note(ran, Input::Exited(7, EXIT_0));
        assert_eq!(
            s.state(id(0)),
            State::Delayed { until },
            "{restart_ms} {ran}"
        );
    }
}

/// The end of a service, and the resulting state by its definition.
#[test]
#[rustfmt::skip]
fn the_restart_policy_decides_the_state_after_an_end() {
    use ReadyWhen::{Exec, Exit};
    use Restart::{Always, Never, OnFailure, OnSuccess};
    let [good, bad, killed] = [EXIT_0, ExitStatus::Exited(1), ExitStatus::Killed(34)];
    let no_more = ExitStatus::Exited(FINAL.into());
    let (idle, soon, socket) = (1_000, 999, Some(SOCKET));
    let table = [
        // restart, status, ready, socket, milliseconds until the end; state after settling
        (Always,    good,    Exec, None,   idle, "delayed"),
        (Always,    bad,     Exec, None,   idle, "delayed"),
        (Always,    killed,  Exec, None,   idle, "delayed"),
        (Always,    no_more, Exec, None,   idle, "failed"),
        (OnFailure, good,    Exec, None,   idle, "done"),
        (OnFailure, bad,     Exec, None,   idle, "delayed"),
        (OnFailure, killed,  Exec, None,   idle, "delayed"),
        (OnFailure, no_more, Exec, None,   idle, "failed"),
        (OnSuccess, good,    Exec, None,   idle, "delayed"),
        (OnSuccess, bad,     Exec, None,   idle, "failed"),
        (OnSuccess, killed,  Exec, None,   idle, "failed"),
        (OnSuccess, no_more, Exec, None,   idle, "failed"),
        (Never,     good,    Exec, None,   idle, "done"),
        (Never,     bad,     Exec, None,   idle, "failed"),
        (Never,     killed,  Exec, None,   idle, "failed"),
        (Never,     no_more, Exec, None,   idle, "failed"),
        (OnFailure, good,    Exit, None,   soon, "done"),
        (OnFailure, bad,     Exit, None,   soon, "delayed"),
        (Never,     good,    Exit, None,   soon, "done"),
        (Never,     killed,  Exit, None,   soon, "failed"),
        (Always,    good,    Exec, socket, idle, "spawning"),
        (Always,    good,    Exec, socket, soon, "delayed"),
        (Always,    bad,     Exec, socket, idle, "delayed"),
        (Always,    no_more, Exec, socket, idle, "failed"),
        (Never,     good,    Exec, socket, idle, "done"),
    ];
    for (restart, status, ready, socket, ran, state) in table {
        let mut s = supervisor(State::Starting { pid: 7, started: NOW }, false);
        let def = &mut s.records[0].def;
        def.final_statuses = &[FINAL];
        (def.restart, def.ready, def.socket) = (restart, ready, socket);
        let changes = s.note(NOW + ran, Input::Exited(7, status));
        let case = format!("{restart:?} {status:?} {ready:?} {ran} {}", socket.is_some());
        s.settle(NOW + ran);
        assert_eq!(s.state(TESTED).word(), state, "{case}");
        let is_ready = changes.contains(&Change::Ready(TESTED));
        assert_eq!(is_ready, ready == Exit && state == "done", "{case}");
        assert_eq!(s.last_exit(TESTED), Some(status), "{case}");
    }
}
