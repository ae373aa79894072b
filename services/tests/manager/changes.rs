// SPDX-License-Identifier: Apache-2.0
//! Changes that the caller of the manager sees before any waiting service starts.

use super::*;
use services::state::Change;

/// A one-shot, and a service that is ordered after the one-shot.
fn pair() -> World {
    let first = ServiceDef {
        argv: &["/bin/true"],
        name: "first",
        ..ServiceDef::ONE_SHOT
    };
    let second = ServiceDef {
        after: &["first"],
        ..shell("second", "exec sleep 100")
    };
    let mut w = World::new(vec![first, second]);
    for n in 0..2 {
        w.m.note(now(), Input::Start(id(n)));
    }
    assert!(!w.m.settle(now()), "a start alone is no change");
    assert!(w.state(id(0)).pid().is_some() && w.state(id(1)) == State::Waiting);
    w
}

/// Waits without settling, until there are changes.
fn changes(w: &mut World) -> Vec<Change> {
    let end = now() + 20_000;
    while now() < end {
        w.wait(50);
        let changes = w.m.take_changes();
        if !changes.is_empty() {
            return changes;
        }
    }
    panic!("nothing changed");
}

#[test]
fn an_end_is_seen_before_the_next_service_starts() {
    let mut w = pair();
    let ended = services::ExitStatus::Exited(0);
    let expected = [Change::Ended(id(0), ended), Change::Ready(id(0))];
    assert_eq!(changes(&mut w), expected);
    assert_eq!(w.state(id(1)), State::Waiting);
    assert!(!w.m.settle(now()));
    assert!(w.state(id(1)).pid().is_some());
    w.stop_all();
}

#[test]
fn a_reaction_keeps_the_next_service_from_starting() {
    let mut w = pair();
    changes(&mut w);
    w.m.note(now(), Input::Stop(id(1)));
    assert!(w.m.settle(now()), "a start that is cancelled is a change");
    assert_eq!(w.m.take_changes(), [Change::Cancelled(id(1))]);
    assert!(!w.m.settle(now()));
    assert_eq!(w.state(id(1)), State::Off);
}

#[test]
fn changes_that_settling_causes_are_returned() {
    let gone = ServiceDef {
        socket: Some(services::Socket {
            path: "/proc/nonexistent/socket",
            mode: 0o600,
            uid: 0,
            gid: 0,
            datagram: false,
            on_demand: true,
        }),
        ..shell("gone", "exec sleep 100")
    };
    let mut w = World::new(vec![gone]);
    w.m.note(now(), Input::Start(id(0)));
    assert!(w.m.settle(now()), "there is a change");
    let changes = w.m.take_changes();
    assert_eq!(
        changes,
        [Change::StartDelayed {
            id: id(0),
            delay_ms: 15
        }]
    );
    assert!(!w.m.settle(now()));
}

#[test]
fn a_stop_is_seen_of_a_service_that_waits_for_a_client_and_of_one_that_is_done() {
    let path: &'static str = format!("/tmp/manager-{}-armed.sock", std::process::id()).leak();
    let armed = ServiceDef {
        socket: Some(services::Socket {
            path,
            mode: 0o600,
            uid: 0,
            gid: 0,
            datagram: false,
            on_demand: true,
        }),
        ..shell("armed", "exec sleep 100")
    };
    let done = ServiceDef {
        argv: &["/bin/true"],
        name: "done",
        ..ServiceDef::ONE_SHOT
    };
    let mut w = World::new(vec![armed, done]);
    for (n, state) in [(0, State::Armed), (1, State::Done)] {
        w.input(Input::Start(id(n)));
        w.until("ready", |w| w.state(id(n)) == state);
        w.m.settle_all(now());
        w.m.note(now(), Input::Stop(id(n)));
        assert!(w.m.settle(now()), "{state:?}");
        assert_eq!(w.m.take_changes(), [Change::Cancelled(id(n))]);
        assert_eq!(w.state(id(n)), State::Off);
    }
    std::fs::remove_file(path).unwrap();
}
