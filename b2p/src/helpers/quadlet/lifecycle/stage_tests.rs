// SPDX-License-Identifier: Apache-2.0
//! Tests of the stages of a unit: which processes end it, when it is ready, and what time it has.

use super::tests::{OK, World};
use super::*;

/// All processes of the unit are asked to end, and have the time of the stage for it.
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
    // A reload in the meantime comes after it, and one during a reload after that.
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

/// The signals that end daemons are a success of the main process of one, and of nothing else.
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
            w.life.status
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
        w.life.status
    };
    let (failed, killed) = (Exit::Code(3), Exit::Signal(9));
    assert_eq!(ended(Kind::Simple, &[Event::Exited(10, failed)]), 0);
    let ready = [Event::Ready, Event::Exited(10, killed)];
    assert_eq!(ended(Kind::Notify, &ready), 0);
    // Nothing says that it is ready.
    assert_eq!(ended(Kind::Notify, &[Event::Exited(10, failed)]), 1);
    let forked = [Event::Exited(10, OK), Event::Exited(50, failed)];
    assert_eq!(ended(Kind::Forking, &forked), 0);
}
