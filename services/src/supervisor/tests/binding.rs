// SPDX-License-Identifier: Apache-2.0
//! Services that are bound to others: `binds`.

use super::*;

const POD: ServiceId = ServiceId::new(0);
const WEB: ServiceId = ServiceId::new(1);
const USER: ServiceId = ServiceId::new(2);

/// A pod, a container that is bound to it, and a service that needs the container. All are up.
fn pod(restart: Restart) -> Supervisor {
    let mut s = Supervisor::new(vec![
        ServiceDef {
            restart,
            restart_ms: 500,
            done_statuses: &[253],
            ..definition("pod", &[])
        },
        ServiceDef {
            binds: &["pod"],
            ..definition("web", &["pod"])
        },
        definition("user", &["web"]),
    ]);
    s.handle(0, Input::Start(USER));
    for (id, pid) in [(POD, 10), (WEB, 11), (USER, 12)] {
        s.handle(0, Input::Spawned(id, pid));
        s.handle(0, Input::Execed(pid));
    }
    assert!(s.ids().all(|id| s.state(id).satisfies_dependents()));
    s
}

#[test]
fn a_bound_service_stops_if_its_service_ends_for_good() {
    for status in [EXIT_0, ExitStatus::Killed(9)] {
        let mut s = pod(Restart::Never);
        let actions = s.handle(20_000, Input::Exited(10, status));
        assert_eq!(actions, [Action::Terminate(USER, 12)], "{status:?}");
        let actions = s.handle(20_000, Input::Exited(12, EXIT_0));
        assert_eq!(actions, [Action::Terminate(WEB, 11)]);
        assert_eq!(s.handle(20_000, Input::Exited(11, EXIT_0)), []);
        assert_eq!((s.state(WEB), s.state(USER)), (State::Off, State::Off));
    }
}

/// A service that is bound to a one-shot starts at the end of the one-shot, and ends only by a
/// stop.
#[test]
fn a_service_bound_to_a_one_shot_starts_when_that_is_done() {
    let mut s = Supervisor::new(vec![
        ServiceDef {
            ready: ReadyWhen::Exit,
            restart: Restart::OnFailure,
            ..definition("pod", &[])
        },
        ServiceDef {
            binds: &["pod"],
            ..definition("web", &["pod"])
        },
    ]);
    s.handle(0, Input::Start(WEB));
    s.handle(0, Input::Spawned(POD, 10));
    s.handle(0, Input::Execed(10));
    assert_eq!(s.handle(5, Input::Exited(10, EXIT_0)), [Action::Spawn(WEB)]);
    s.handle(5, Input::Spawned(WEB, 11));
    s.handle(5, Input::Execed(11));
    let actions = s.handle(9, Input::Stop(POD));
    assert_eq!(actions, [Action::Terminate(WEB, 11)]);
    // A failed one-shot starts again, and the service still waits for it.
    s.handle(10, Input::Exited(11, EXIT_0));
    s.handle(20_000, Input::Start(WEB));
    s.handle(20_000, Input::Spawned(POD, 12));
    s.handle(20_000, Input::Exited(12, ExitStatus::Exited(1)));
    assert_eq!(s.state(WEB), State::Waiting);
}

#[test]
fn a_bound_service_restarts_with_its_service_and_its_dependents_continue() {
    let mut s = pod(Restart::Always);
    let actions = s.handle(20_000, Input::Exited(10, EXIT_0));
    assert_eq!(actions, [Action::Terminate(WEB, 11)]);
    assert_eq!(s.handle(20_050, Input::Exited(11, EXIT_0)), []);
    assert_eq!(s.state(WEB), State::Waiting);
    assert_eq!(s.handle(21_000, Input::Tick), [Action::Spawn(POD)]);
    s.handle(21_000, Input::Spawned(POD, 13));
    let actions = s.handle(21_000, Input::Execed(13));
    assert_eq!(actions, [Action::Spawn(WEB)]);
    assert!(matches!(s.state(USER), State::Up { pid: 12, .. }));
}

#[test]
fn a_requested_restart_restarts_a_bound_service_unless_it_is_to_stop() {
    let mut s = pod(Restart::Always);
    s.handle(20_000, Input::Restart(POD));
    let actions = s.handle(20_010, Input::Exited(10, EXIT_0));
    assert!(actions.contains(&Action::Terminate(WEB, 11)), "{actions:?}");
    let mut s = pod(Restart::Always);
    s.handle(20_000, Input::Stop(WEB));
    s.handle(20_000, Input::Exited(10, EXIT_0));
    s.handle(20_010, Input::Exited(12, EXIT_0));
    s.handle(20_010, Input::Exited(11, EXIT_0));
    assert_eq!(s.state(WEB), State::Off);
}

#[test]
fn a_status_that_means_done_is_no_failure_and_no_restart() {
    let mut s = pod(Restart::Always);
    s.handle(20_000, Input::Stop(WEB));
    s.handle(20_000, Input::Exited(12, EXIT_0));
    s.handle(20_000, Input::Exited(11, EXIT_0));
    s.handle(20_000, Input::Exited(10, ExitStatus::Exited(253)));
    assert_eq!(s.state(POD), State::Done);
    assert_eq!(s.handle(20_000, Input::Start(WEB)), [Action::Spawn(WEB)]);
}

#[test]
fn binds_of_a_service_file_are_also_needs() {
    let file = b"exec /x\nneeds a b\nbinds b c\ndone 253";
    let parsed = crate::service_file::parse("web", file, "", "");
    let def = parsed.expect("a service").leak();
    assert_eq!(def.needs, ["a", "b", "c"]);
    assert_eq!(
        (def.binds, def.done_statuses),
        (&["b", "c"][..], &[253][..])
    );
}
