// SPDX-License-Identifier: Apache-2.0
//! Tests of the stages of a unit: the processes that end it, its readiness, and its time.

use super::tests::{OK, World};
use super::*;

/// All processes of the unit are asked to end within the time of the stage.
#[test]
fn children_of_the_main_process_are_asked_to_end() {
    let new = || {
        let mut w = World::new(Kind::Simple, |plan| {
            plan.kills_all = true;
            plan.ignores_failure.stop_post = vec![false];
        });
        w.others = 1;
        w
    };
    let mut w = new();
    assert_eq!(w.after(&[Event::Stop]), "start0, ready, term all");
    assert_eq!(w.after(&[Event::Exited(10, OK)]), "");
    w.others = 0;
    assert_eq!(w.after(&[Event::Exited(77, OK)]), "stoppost0");
    // One that does not end, after a main process that ended by itself.
    let mut w = new();
    assert_eq!(w.after(&[Event::Exited(10, OK)]), "start0, ready, term all");
    assert_eq!((w.at(999), w.life.deadline()), (String::new(), Some(1_000)));
    assert_eq!(w.at(1_000), "kill all, stoppost0");
    // A main process that ignores both signals for a while is waited for.
    let mut w = new();
    w.after(&[Event::Stop]);
    assert_eq!(w.at(1_000), "kill all");
    assert_eq!(w.after(&[Event::Exited(10, Exit::Signal(9))]), "stoppost0");
    // Without others nothing is waited for.
    let mut w = new();
    w.others = 0;
    assert_eq!(
        w.after(&[Event::Exited(10, Exit::Code(3))]),
        "start0, ready, term all, stoppost0"
    );
}

/// The commands alone end a unit with `KillMode=none`; its processes are neither signalled nor waited for.
#[test]
fn a_unit_may_end_without_signals() {
    let new = || {
        World::new(Kind::Simple, |plan| {
            plan.kills_none = true;
            plan.ignores_failure.stop = vec![false];
            plan.ignores_failure.stop_post = vec![false];
        })
    };
    let mut w = new();
    assert_eq!(w.after(&[Event::Stop]), "start0, ready, stop0");
    assert_eq!(w.after(&[Event::Exited(11, OK)]), "stoppost0");
    assert_eq!(w.after(&[Event::Exited(12, OK)]), "end 0");
    let mut w = new();
    w.after(&[Event::Exited(10, Exit::Code(3))]);
    assert_eq!(w.after(&[]), "");
    assert_eq!(w.after(&[Event::Exited(11, OK)]), "end 3");
}

#[test]
fn a_unit_is_ready_when_the_commands_after_its_start_have_ended() {
    let new = || {
        World::new(Kind::Simple, |plan| {
            plan.ignores_failure.post = vec![false];
            plan.ignores_failure.reload = vec![false];
        })
    };
    let mut w = new();
    assert_eq!(w.after(&[]), "start0, post0");
    // A reload request in the meantime waits, and a request during a reload waits for the end of
    // that reload.
    assert_eq!(w.after(&[Event::Reload]), "");
    assert_eq!(w.after(&[Event::Exited(11, OK)]), "ready, reload0");
    assert_eq!(w.after(&[Event::Reload, Event::Exited(12, OK)]), "reload0");
    assert_eq!(w.after(&[Event::Exited(13, OK)]), "");
    assert_eq!((w.life.stage(), w.life.reloads()), (Stage::Running, (2, 0)));
    let mut w = new();
    assert_eq!(
        w.after(&[Event::Exited(11, Exit::Code(4))]),
        "start0, post0, term 10"
    );
}

#[test]
fn a_start_that_pulls_an_image_extends_its_time() {
    let mut w = World::new(Kind::Notify, |plan| plan.start_ms = Some(500));
    w.after(&[Event::Extend(30)]);
    // An extension shortens nothing.
    assert_eq!(w.life.deadline(), Some(500));
    w.at(400);
    w.after(&[Event::Extend(300)]);
    assert_eq!((w.at(699), w.life.deadline()), (String::new(), Some(700)));
    w.after(&[Event::Extend(300)]);
    assert_eq!(w.life.deadline(), Some(999));
    assert_eq!(w.at(999), "term 10");
    assert_eq!(w.life.deadline(), Some(1_999));
}

/// The signals that end daemons are a success only of the main process of a daemon.
#[test]
fn a_signal_ends_a_command_without_success() {
    let ended = |kind, of: fn(&mut Commands<bool>) -> &mut Vec<bool>| {
        [15, 10].map(|signal| {
            let mut w = World::new(kind, |plan| {
                *of(&mut plan.ignores_failure) = vec![false];
                plan.success = vec![Exit::Signal(10)];
            });
            w.pid_file = Some(50);
            w.after(&[Event::Exited(10, Exit::Signal(signal))]);
            w.status()
        })
    };
    assert_eq!(ended(Kind::Simple, |c| &mut c.start), [0, 0]);
    assert_eq!(ended(Kind::Simple, |c| &mut c.pre), [143, 138]);
    assert_eq!(ended(Kind::Oneshot, |c| &mut c.start), [143, 0]);
    assert_eq!(ended(Kind::Forking, |c| &mut c.start), [143, 138]);
}

/// The prefix `-` of `ExecStart=` holds for the main process, too, also for one that has forked.
#[test]
fn a_failure_of_the_main_process_may_be_ignored() {
    let ended = |kind, events: &[Event]| {
        let mut w = World::new(kind, |plan| plan.ignores_failure.start = vec![true]);
        w.pid_file = Some(50);
        w.after(events);
        w.status()
    };
    let (failed, killed) = (Exit::Code(3), Exit::Signal(9));
    assert_eq!(ended(Kind::Simple, &[Event::Exited(10, failed)]), 0);
    let ready = [Event::Ready, Event::Exited(10, killed)];
    assert_eq!(ended(Kind::Notify, &ready), 0);
    // No message has reported that the unit is ready.
    assert_eq!(ended(Kind::Notify, &[Event::Exited(10, failed)]), 1);
    let forked = [Event::Exited(10, OK), Event::Exited(50, failed)];
    assert_eq!(ended(Kind::Forking, &forked), 0);
}

/// nginx(8) writes the file after its parent has ended.
#[test]
fn a_pid_file_may_come_later() {
    let mut w = World::new(Kind::Forking, |_| {});
    w.others = 1;
    assert_eq!(w.after(&[Event::Exited(10, OK)]), "start0, find");
    assert_eq!((w.life.deadline(), w.at(49)), (Some(50), String::new()));
    assert_eq!(w.at(50), "find");
    w.pid_file = Some(50);
    // The end of a child is a reason for a read at once.
    assert_eq!(w.after(&[Event::Exited(77, OK)]), "find, ready");
    assert_eq!((w.life.main(), w.life.deadline()), (Some(50), None));
    // No process is left to write the PID file, or the time is over.
    let mut w = World::new(Kind::Forking, |_| {});
    w.others = 1;
    w.after(&[Event::Exited(10, OK)]);
    w.others = 0;
    assert_eq!(w.after(&[Event::Exited(77, OK)]), "find, end 1");
    assert_eq!(w.life.result(), "protocol");
    let mut w = World::new(Kind::Forking, |_| {});
    w.others = 1;
    w.after(&[Event::Exited(10, OK)]);
    assert_eq!(
        (w.at(89_999), w.at(90_000)),
        ("find".to_owned(), "end 1".to_owned())
    );
    assert_eq!(w.life.result(), "timeout");
}

#[test]
fn a_command_after_the_start_may_write_the_pid_file() {
    let mut w = World::new(Kind::Forking, |plan| {
        plan.ignores_failure.post = vec![false]
    });
    assert_eq!(w.after(&[Event::Exited(10, OK)]), "start0, find, post0");
    w.pid_file = Some(50);
    assert_eq!(w.after(&[Event::Exited(11, OK)]), "find, ready");
    assert_eq!(w.life.main(), Some(50));
}

/// A one-shot leaves a daemon behind, which `RemainAfterExit=` has run on.
#[test]
fn a_one_shot_remains_while_processes_are_left() {
    let new = |others| {
        let mut w = World::new(Kind::Oneshot, |plan| {
            plan.remains = true;
            plan.ends_alone = true;
            plan.kills_all = true;
        });
        w.others = others;
        w.after(&[]);
        w
    };
    let mut w = new(0);
    assert_eq!(w.after(&[Event::Exited(10, OK)]), "end 0");
    let mut w = new(1);
    assert_eq!(w.after(&[Event::Exited(10, OK)]), "ready");
    assert_eq!(w.life.stage(), Stage::Running);
    assert_eq!(w.after(&[Event::Stop]), "term all");
    w.others = 0;
    assert_eq!(w.after(&[Event::Exited(77, OK)]), "end 0");
    assert_eq!(w.life.exit_status(), 0);
}

#[test]
fn remaining_processes_are_not_killed_without_send_sigkill() {
    let mut w = World::new(Kind::Simple, |plan| {
        plan.kills_all = true;
        plan.ignores_failure.stop_post = vec![false];
        plan.kills = false;
    });
    w.others = 1;
    assert_eq!(w.after(&[Event::Stop]), "start0, ready, term all");
    assert_eq!(w.at(1_000), "stoppost0");
}

/// The commands of the end, `systemctl` and PID 1 get the reason for the end of a unit.
#[test]
fn the_outcome_of_a_life() {
    let (code, signal) = (Exit::Code, Exit::Signal);
    for (exit, result, variables, status) in [
        (code(0), "success", ["exited", "0"], 0),
        (code(42), "success", ["exited", "42"], 253),
        (code(7), "exit-code", ["exited", "7"], 7),
        (code(253), "exit-code", ["exited", "253"], 252),
        (code(254), "exit-code", ["exited", "254"], 252),
        (signal(15), "success", ["killed", "TERM"], 0),
        (signal(9), "signal", ["killed", "KILL"], 254),
        (signal(40), "signal", ["killed", "40"], 168),
    ] {
        let mut w = World::new(Kind::Simple, |plan| {
            plan.success = vec![code(42)];
            plan.prevents = vec![code(42), code(7), signal(9)];
        });
        w.after(&[Event::Exited(10, exit)]);
        assert_eq!(
            (w.life.result(), w.life.exit_status()),
            (result, status),
            "{exit:?}"
        );
        let [told, how, what] = w
            .life
            .variables(Stage::StopPost)
            .try_into()
            .unwrap_or_default();
        assert_eq!(told, ("SERVICE_RESULT", result.to_owned()));
        assert_eq!(
            [how, what],
            [
                ("EXIT_CODE", variables[0].to_owned()),
                ("EXIT_STATUS", variables[1].to_owned())
            ]
        );
        assert!(w.life.variables(Stage::Reload).is_empty());
    }
    let mut w = World::new(Kind::Notify, |plan| plan.start_ms = Some(5));
    w.at(5);
    let told = vec![
        ("MAINPID", "10".to_owned()),
        ("SERVICE_RESULT", "timeout".to_owned()),
    ];
    assert_eq!(w.life.variables(Stage::StopPost), told);
}

#[test]
fn a_failure_to_which_restart_does_not_apply_is_final() {
    let (abnormal, abort, watchdog) = (
        &["signal", "timeout", "watchdog"][..],
        &["signal"][..],
        &["watchdog"][..],
    );
    for (results, event, status) in [
        (abnormal, Event::Exited(10, Exit::Code(3)), 254),
        (abnormal, Event::Exited(10, Exit::Signal(9)), 137),
        (abnormal, Event::Trigger, 1),
        (abort, Event::Exited(10, Exit::Signal(9)), 137),
        (abort, Event::Trigger, 254),
        (watchdog, Event::Exited(10, Exit::Signal(9)), 254),
        (watchdog, Event::Trigger, 1),
        (watchdog, Event::Exited(10, Exit::Code(0)), 0),
    ] {
        let mut w = World::new(Kind::Simple, |plan| {
            plan.restarts_after = Some(results);
            plan.watchdog_ms = Some(300);
        });
        w.after(&[]);
        w.after(&[event]);
        assert_eq!(w.life.exit_status(), status, "{results:?} {event:?}");
    }
}

#[test]
fn a_daemon_says_that_it_hangs_or_stops() {
    let new = || {
        let mut w = World::new(Kind::Simple, |plan| plan.watchdog_ms = Some(300));
        w.after(&[]);
        w
    };
    let mut w = new();
    assert_eq!(w.after(&[Event::Trigger]), "abort 10, term 10");
    assert_eq!(w.life.result(), "watchdog");
    let mut w = new();
    // A daemon that stops feeds no watchdog, and has the time of a stop.
    assert_eq!(w.after(&[Event::Stopping]), "");
    assert_eq!(
        (w.life.deadline(), w.at(1_000)),
        (Some(1_000), "term 10".to_owned())
    );
    assert_eq!(w.life.result(), "timeout");
}

#[test]
fn a_daemon_says_when_its_reload_is_over() {
    let mut w = World::new(Kind::Notify, |plan| {
        plan.reloads_itself = true;
        plan.start_ms = Some(500);
    });
    assert_eq!(
        w.after(&[Event::Ready, Event::Reload]),
        "start0, ready, reload 10"
    );
    assert_eq!((w.life.stage(), w.life.reloads()), (Stage::Reload, (0, 0)));
    w.after(&[Event::Ready]);
    assert_eq!((w.life.stage(), w.life.reloads()), (Stage::Running, (1, 0)));
    assert_eq!(w.after(&[Event::Reload]), "reload 10");
    w.at(500);
    assert_eq!((w.life.stage(), w.life.reloads()), (Stage::Running, (2, 1)));
}

/// Podman names the container's main process once the image is there, and is ready once the container is healthy.
#[test]
fn a_container_has_the_time_to_become_ready_from_its_begin() {
    let begun = || {
        let mut w = World::new(Kind::Notify, |plan| plan.ready_ms = Some(500));
        assert_eq!(
            (w.at(9_000), w.life.deadline()),
            ("start0".to_owned(), None)
        );
        assert_eq!(w.after(&[Event::Main(20)]), "");
        assert_eq!(w.life.deadline(), Some(9_500));
        w
    };
    let mut w = begun();
    // A second message does not begin the time again.
    assert_eq!(w.at(9_400), "");
    assert_eq!(w.after(&[Event::Main(20)]), "");
    assert_eq!(w.at(9_500), "term 20");
    assert_eq!(w.after(&[Event::Exited(20, Exit::Signal(15))]), "end 1");
    assert_eq!((w.life.result(), w.life.deadline()), ("timeout", None));
    let mut w = begun();
    assert_eq!(w.after(&[Event::Ready]), "ready");
    assert_eq!((w.life.stage(), w.life.deadline()), (Stage::Running, None));
    // Of a unit that runs, another main process has no limit.
    assert_eq!(w.after(&[Event::Main(21)]), "");
    assert_eq!(w.life.deadline(), None);
    let mut w = begun();
    assert_eq!(w.after(&[Event::Extend(800)]), "");
    assert_eq!(w.life.deadline(), Some(9_800));
}

/// Exit status 0 of `ExecCondition=` lets the unit start, 1 to 254 leave it out, and 255 is a failure
/// (systemd.service(5)).
#[test]
fn a_command_leaves_the_unit_out() {
    let new = |ignored| {
        World::new(Kind::Simple, |plan| {
            plan.ignores_failure.condition = vec![ignored, false];
            plan.ignores_failure.pre = vec![false];
            plan.ignores_failure.stop_post = vec![false];
        })
    };
    let mut w = new(true);
    assert_eq!(w.after(&[]), "condition0");
    assert_eq!(w.after(&[Event::Exited(10, Exit::Code(7))]), "condition1");
    assert_eq!(w.after(&[Event::Exited(11, OK)]), "pre0");
    assert_eq!(w.after(&[Event::Exited(12, OK)]), "start0, ready");
    for (exit, result, status) in [
        (Exit::Code(1), LEFT_OUT, SKIPPED),
        (Exit::Code(254), LEFT_OUT, SKIPPED),
        (Exit::Code(255), "exit-code", 255),
        (Exit::Signal(9), "signal", 137),
    ] {
        let mut w = new(false);
        w.after(&[]);
        assert_eq!(w.after(&[Event::Exited(10, exit)]), "stoppost0");
        w.after(&[Event::Exited(11, OK)]);
        assert_eq!((w.life.result(), w.life.exit_status()), (result, status));
    }
    let mut w = new(false);
    assert_eq!(w.after(&[Event::Stop]), "condition0, term 10");
    assert_eq!(w.after(&[Event::Exited(10, Exit::Signal(15))]), "stoppost0");
}
