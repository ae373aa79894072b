// SPDX-License-Identifier: Apache-2.0
//! Readiness, and the reason why a start failed.

use super::*;
use services::ReadyWhen;

#[test]
fn forked_is_ready_when_its_program_runs_and_not_before() {
    let there = shell("there", "exec sleep 100");
    let gone = ServiceDef {
        name: "gone",
        argv: &["/nonexistent"],
        ..ServiceDef::DEFAULT
    };
    let mut w = World::new(vec![there, gone]);
    w.input(Input::Start(id(0)));
    w.input(Input::Start(id(1)));
    assert!(matches!(w.state(id(0)), State::Starting { .. }), "not yet");
    w.until("up", up(id(0)));
    w.until("tried again", |w| w.m.supervisor().restarts(id(1)) >= 2);
    let lines = logged();
    let start = "gone: /nonexistent: execve(2): ENOENT";
    assert!(lines[0].starts_with(start), "the reason first: {lines:?}");
    let end = "gone: exited with status 127; starts again in 15 ms";
    assert_eq!(lines[1], end);
    let line = w.report()[1];
    assert_eq!(
        line.ready, None,
        "a program that is not there never was ready"
    );
    assert!(line.spawned.is_some() && line.last.is_some());
    let line = w.report()[0];
    assert!(line.asked <= line.spawned && line.spawned <= line.ready);
    assert_eq!((line.state, line.name), (control::State::Up, "there"));
    w.stop_all();
}

/// The manager may see the end of a process before the reason is read.
#[test]
fn the_failed_step_is_logged_before_the_end() {
    let mut w = World::new(vec![ServiceDef {
        name: "gone",
        argv: &["/nonexistent"],
        ..ServiceDef::DEFAULT
    }]);
    w.input(Input::Start(id(0)));
    let stat = format!("/proc/{}/stat", w.state(id(0)).pid().unwrap());
    while !fs::read_to_string(&stat).unwrap().contains(") Z") {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let _ = reap::drain(|pid, status| assert!(w.m.exited(now(), pid, status)));
    let lines = logged();
    assert!(
        lines[0].starts_with("gone: /nonexistent: execve(2)"),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("gone: exited with status 127"));
    assert_eq!(w.report()[0].ready, None);
}

#[test]
fn a_newline_on_the_readiness_descriptor_makes_the_service_ready() {
    let with_fd = |name, script| ServiceDef {
        ready: ReadyWhen::Fd(7),
        ..shell(name, script)
    };
    let mut w = World::new(vec![
        with_fd("says", "sleep 0.1; echo >&7; exec sleep 100"),
        with_fd("closes", "exec 7>&-; exec sleep 100"),
        with_fd(
            "babbles",
            "trap '' PIPE; while printf x >&7; do :; done; exec sleep 100",
        ),
    ]);
    (0..3).for_each(|n| w.input(Input::Start(id(n))));
    w.until("up", up(id(0)));
    w.until("the outputs only are watched", |w| w.m.watched().len() == 3);
    for id in [1, 2].map(id) {
        assert!(matches!(w.state(id), State::Starting { .. }));
    }
    w.stop_all();
}
