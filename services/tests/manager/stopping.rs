// SPDX-License-Identifier: Apache-2.0
//! Stops, restarts and the last exit status.

use super::*;

#[test]
fn a_stop_sends_the_stop_signal_and_sigkill_after_the_grace_time() {
    let polite = ServiceDef {
        stop_signal: libc::SIGINT,
        ..shell(
            "polite",
            "trap 'echo bye; exit 0' INT; trap '' TERM; echo on; while :; do sleep 0.01; done",
        )
    };
    let deaf = ServiceDef {
        grace_ms: 100,
        ..shell(
            "deaf",
            "trap '' TERM; echo on; while :; do sleep 0.01; done",
        )
    };
    let mut w = World::new(vec![polite, deaf]);
    (0..2).for_each(|n| w.input(Input::Start(id(n))));
    w.until("both listen", |_| {
        was_logged("polite: on") && was_logged("deaf: on")
    });
    w.stop_all();
    assert!(was_logged("polite: bye"));
    assert_eq!(
        w.m.supervisor().last_exit(id(0)),
        Some(services::ExitStatus::Exited(0))
    );
    assert_eq!(
        w.m.supervisor().last_exit(id(1)),
        Some(services::ExitStatus::Killed(9))
    );
}

#[test]
fn a_restart_is_another_process() {
    let mut w = World::new(vec![shell("demo", "exec sleep 100")]);
    w.input(Input::Start(id(0)));
    w.until("up", up(id(0)));
    let first = w.state(id(0)).pid();
    w.input(Input::Restart(id(0)));
    w.until("up again", |w| {
        up(id(0))(w) && w.state(id(0)).pid() != first
    });
    assert_eq!(w.report()[0].restarts, 0);
    w.stop_all();
}

#[test]
fn a_final_status_prevents_the_restart() {
    let mut w = World::new(vec![ServiceDef {
        final_statuses: &[125],
        ..shell("demo", "exit 125")
    }]);
    w.input(Input::Start(id(0)));
    w.until("failed", is(id(0), State::Failed));
    assert_eq!(w.m.deadline(), None);
}
