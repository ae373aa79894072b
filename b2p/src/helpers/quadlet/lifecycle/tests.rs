// SPDX-License-Identifier: Apache-2.0
//! Tests of a unit's life: histories of events, and the steps that follow.

use super::*;

/// A life whose commands get the numbers 10, 11, … as their processes.
pub(super) struct World {
    pub(super) life: Lifecycle,
    pub(super) now: Millis,
    next_pid: pid_t,
    /// Steps that were taken, in short: `pre0` for a command, `ready`, `term 10`, `kill 10`, `end 0`.
    done: Vec<String>,
    pub(super) pid_file: Option<pid_t>,
    /// Number of other processes of the cgroup.
    pub(super) others: usize,
}

impl World {
    pub(super) fn new(kind: Kind, change: impl Fn(&mut Plan)) -> World {
        let start = vec![false];
        let mut plan = Plan {
            kind,
            remains: false,
            ignores_failure: Commands {
                start,
                ..Commands::default()
            },
            start_ms: None,
            ready_ms: None,
            stop_ms: Some(1_000),
            watchdog_ms: None,
            kills_all: false,
            ends_alone: false,
            kills: true,
            reloads_itself: false,
            prevents: vec![],
            restarts_after: None,
            kills_none: false,
            success: vec![],
        };
        change(&mut plan);
        let mut world = World {
            life: Lifecycle::new(plan, 0),
            now: 0,
            next_pid: 10,
            done: vec![],
            pid_file: None,
            others: 0,
        };
        world.settle();
        world
    }

    fn settle(&mut self) {
        while let Some(step) = self.life.step(self.now) {
            let text = match step {
                Step::Run(stage, n) => {
                    let pid = self.next_pid;
                    self.next_pid += 1;
                    self.life.note(Event::Started(pid), self.now);
                    format!("{stage:?}{n}").to_lowercase()
                }
                Step::FindMain => {
                    let none = Event::NoMain(self.others > 0);
                    let event = self.pid_file.map_or(none, Event::Main);
                    self.life.note(event, self.now);
                    "find".to_owned()
                }
                Step::Ready => "ready".to_owned(),
                Step::Terminate(pid) => format!("term {pid}"),
                Step::TerminateAll | Step::Count => {
                    let main = self.life.main().is_some();
                    let control = self.life.control.is_some();
                    let left = self.others > 0 || main || control;
                    self.life.note(Event::Left(left), self.now);
                    match step {
                        Step::Count => continue,
                        _ => "term all".to_owned(),
                    }
                }
                Step::Reload(pid) => format!("reload {pid}"),
                Step::Kill(pid) => format!("kill {pid}"),
                Step::KillAll => {
                    self.others = 0;
                    "kill all".to_owned()
                }
                Step::Abort(pid) => format!("abort {pid}"),
                Step::End(status) => format!("end {status}"),
            };
            self.done.push(text);
        }
    }

    /// Notes events, each settled, and returns the steps since the last call.
    pub(super) fn after(&mut self, events: &[Event]) -> String {
        for event in events {
            self.life.note(*event, self.now);
            self.settle();
        }
        std::mem::take(&mut self.done).join(", ")
    }

    /// Returns the exit status of the whole.
    pub(super) fn status(&self) -> i32 {
        self.life.failure.map_or(0, |failure| failure.status)
    }

    pub(super) fn at(&mut self, now: Millis) -> String {
        self.now = now;
        self.settle();
        std::mem::take(&mut self.done).join(", ")
    }
}

pub(super) const OK: Exit = Exit::Code(0);

fn container(plan: &mut Plan) {
    plan.ignores_failure.stop = vec![false];
    plan.ignores_failure.stop_post = vec![true];
}

#[test]
fn a_container_starts_and_is_stopped() {
    let mut w = World::new(Kind::Notify, container);
    assert_eq!(w.after(&[]), "start0");
    assert_eq!(w.after(&[Event::Main(99)]), "");
    assert_eq!(w.after(&[Event::Ready, Event::Exited(10, OK)]), "ready");
    assert_eq!(w.life.main(), Some(99));
    assert_eq!(w.after(&[Event::Stop, Event::Stop]), "stop0");
    assert_eq!(w.after(&[Event::Exited(99, Exit::Code(143))]), "");
    assert_eq!(w.after(&[Event::Exited(11, OK)]), "stoppost0");
    assert_eq!(w.after(&[Event::Exited(12, Exit::Code(1))]), "end 0");
}

#[test]
fn the_end_of_a_container_is_that_of_its_unit() {
    for (exit, steps) in [
        // ExecStop= runs after an end with success, as in systemd.
        (OK, "stop0, stoppost0, end 0"),
        (Exit::Signal(15), "stop0, stoppost0, end 0"),
        (Exit::Code(7), "stoppost0, end 7"),
        (Exit::Signal(9), "stoppost0, end 137"),
        (Exit::Code(77), "stop0, stoppost0, end 0"),
    ] {
        let mut w = World::new(Kind::Notify, |plan| {
            container(plan);
            plan.success = vec![Exit::Code(77)];
        });
        w.after(&[Event::Main(99), Event::Ready, Event::Exited(10, OK)]);
        w.after(&[]);
        let mut done = vec![w.after(&[Event::Exited(99, exit)])];
        for pid in [11, 12] {
            done.push(w.after(&[Event::Exited(pid, OK)]));
        }
        done.retain(|text| !text.is_empty());
        assert_eq!(done.join(", "), steps, "{exit:?}");
    }
}

#[test]
fn a_start_that_fails() {
    // podman run ends before anything is ready.
    let mut w = World::new(Kind::Notify, container);
    assert_eq!(
        w.after(&[Event::Exited(10, Exit::Code(125))]),
        "start0, stoppost0"
    );
    assert_eq!(w.after(&[Event::Exited(11, OK)]), "end 125");
    // An end with success, without READY=1, is one as well.
    let mut w = World::new(Kind::Notify, |_| {});
    assert_eq!(w.after(&[Event::Exited(10, OK)]), "start0, end 1");
    // ExecStartPre= fails, with and without `-`.
    let mut w = World::new(Kind::Simple, |plan| {
        plan.ignores_failure.pre = vec![true, false, false]
    });
    assert_eq!(w.after(&[Event::Exited(10, Exit::Code(1))]), "pre0, pre1");
    assert_eq!(w.after(&[Event::Exited(11, Exit::Code(4))]), "end 4");
    // A program that does not exist.
    let mut life = Lifecycle::new(World::new(Kind::Simple, |_| {}).life.plan, 0);
    assert_eq!(life.step(0), Some(Step::Run(Stage::Start, 0)));
    life.note(Event::NotStarted, 0);
    assert_eq!((life.step(0), life.step(0)), (Some(Step::End(1)), None));
}

#[test]
fn limits_of_time() {
    let mut w = World::new(Kind::Notify, |plan| plan.start_ms = Some(500));
    assert_eq!(w.at(499), "start0");
    assert_eq!(
        (w.life.deadline(), w.at(500)),
        (Some(500), "term 10".to_owned())
    );
    assert_eq!(w.at(1_500), "kill 10");
    assert_eq!(w.after(&[Event::Exited(10, Exit::Signal(9))]), "end 1");
    // A command that hangs, then a main process that ignores its signal.
    let mut w = World::new(Kind::Simple, container);
    assert_eq!(w.after(&[Event::Stop]), "start0, ready, stop0");
    assert_eq!(w.at(1_000), "kill 11");
    assert_eq!(w.after(&[Event::Exited(11, Exit::Signal(9))]), "term 10");
    assert_eq!(w.at(2_000), "kill 10");
    assert_eq!(w.after(&[Event::Exited(10, Exit::Signal(9))]), "stoppost0");
    assert_eq!(w.at(3_000), "kill 12");
    assert_eq!(w.after(&[Event::Exited(12, Exit::Signal(9))]), "end 0");
}

#[test]
fn a_one_shot_runs_its_commands_in_order_and_may_remain() {
    let mut w = World::new(Kind::Oneshot, |plan| {
        plan.ignores_failure.start = vec![false, false]
    });
    assert_eq!(w.after(&[Event::Exited(10, OK)]), "start0, start1");
    assert_eq!(w.after(&[Event::Exited(11, OK)]), "ready, end 0");
    let mut w = World::new(Kind::Oneshot, |plan| {
        plan.remains = true;
        plan.ignores_failure.stop = vec![false];
    });
    assert_eq!(w.after(&[Event::Exited(10, OK)]), "start0, ready");
    assert_eq!(w.after(&[Event::Stop]), "stop0");
    assert_eq!(w.after(&[Event::Exited(11, Exit::Code(1))]), "end 0");
    let mut w = World::new(Kind::Oneshot, |_| {});
    assert_eq!(w.after(&[Event::Stop]), "start0, term 10");
    assert_eq!(w.after(&[Event::Exited(10, Exit::Signal(15))]), "end 0");
}

#[test]
fn a_pod_names_its_main_process_in_a_file() {
    let mut w = World::new(Kind::Forking, |_| {});
    w.pid_file = Some(50);
    assert_eq!(w.after(&[Event::Exited(10, OK)]), "start0, find, ready");
    assert_eq!(w.after(&[Event::Stop]), "term 50");
    assert_eq!(w.after(&[Event::Exited(50, OK)]), "end 0");
    let mut w = World::new(Kind::Forking, |_| {});
    assert_eq!(w.after(&[Event::Exited(10, OK)]), "start0, find, end 1");
}

#[test]
fn a_stop_during_the_start_and_after_it() {
    let mut w = World::new(Kind::Notify, |plan| plan.ignores_failure.pre = vec![false]);
    assert_eq!(w.after(&[Event::Stop]), "pre0, term 10");
    assert_eq!(w.after(&[Event::Exited(10, OK)]), "end 0");
    let mut w = World::new(Kind::Simple, |plan| {
        plan.ignores_failure.post = vec![false, false]
    });
    assert_eq!(w.after(&[Event::Stop]), "start0, post0, term 11");
    assert_eq!(w.after(&[Event::Exited(11, Exit::Signal(15))]), "term 10");
    assert_eq!(w.after(&[Event::Exited(10, OK)]), "end 0");
}

#[test]
fn a_silent_main_process_is_killed() {
    let mut w = World::new(Kind::Notify, |plan| {
        container(plan);
        plan.watchdog_ms = Some(300);
    });
    assert_eq!(w.at(1_000), "start0");
    assert_eq!(w.after(&[Event::Watchdog, Event::Ready]), "ready");
    assert_eq!(
        (w.life.deadline(), w.at(1_299)),
        (Some(1_300), String::new())
    );
    assert_eq!(w.after(&[Event::Watchdog]), "");
    assert_eq!(w.at(1_599), "abort 10, term 10");
    assert_eq!(w.after(&[Event::Exited(10, Exit::Signal(6))]), "stoppost0");
    assert_eq!(w.after(&[Event::Exited(11, OK)]), "end 1");
}

#[test]
fn a_reload_runs_its_commands_and_changes_nothing_else() {
    let mut w = World::new(Kind::Notify, |plan| {
        plan.ignores_failure.reload = vec![false, false]
    });
    assert_eq!(w.after(&[Event::Reload]), "start0");
    assert_eq!(w.after(&[Event::Ready, Event::Reload]), "ready, reload0");
    assert_eq!(
        w.after(&[Event::Exited(11, OK), Event::Exited(12, OK)]),
        "reload1"
    );
    assert_eq!((w.life.stage(), w.life.reloads()), (Stage::Running, (1, 0)));
    assert_eq!(
        w.after(&[Event::Reload, Event::Exited(13, Exit::Code(4))]),
        "reload0"
    );
    assert_eq!((w.life.stage(), w.life.reloads()), (Stage::Running, (2, 4)));
    assert_eq!(w.after(&[Event::Reload, Event::Stop]), "reload0, term 14");
    assert_eq!(w.after(&[Event::Exited(14, OK)]), "term 10");
    assert_eq!(w.after(&[Event::Exited(10, OK)]), "end 0");
}

/// No history of events panics, and a life with a requested end ends once its processes have ended.
#[test]
fn any_sequence_of_events_ends() {
    let kinds = [Kind::Simple, Kind::Notify, Kind::Forking, Kind::Oneshot];
    let mut random: u64 = 1;
    let mut next = |bound: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % bound
    };
    for turn in 0..5_000 {
        let (remains, lists) = (
            next(2) == 0,
            [next(3), next(2) + 1, next(3), next(3), next(3), next(3)],
        );
        let mut w = World::new(kinds[next(4) as usize], |plan| {
            plan.remains = remains;
            let [pre, start, post, stop, stop_post, reload] =
                lists.map(|n| vec![n == 1; n as usize]);
            plan.ignores_failure = Commands {
                condition: vec![false; (turn % 2) as usize],
                pre,
                start,
                post,
                stop,
                stop_post,
                reload,
            };
            plan.start_ms = remains.then_some(50);
            plan.watchdog_ms = remains.then_some(90);
            plan.kills_all = turn % 2 == 0;
            plan.kills = turn % 3 == 0;
            plan.ends_alone = turn % 5 == 0;
            plan.reloads_itself = turn % 7 == 0;
            plan.kills_none = turn % 5 == 1;
        });
        w.pid_file = (next(2) == 0).then_some(50);
        for _ in 0..next(12) {
            let pid = pid_t::try_from(10 + next(6)).unwrap_or(10);
            let event = match next(12) {
                10 => Event::Trigger,
                11 => Event::Stopping,
                8 => Event::Extend(next(60)),
                9 => Event::Left(next(2) == 0),
                6 => Event::Reload,
                7 => Event::Watchdog,
                0 => Event::Ready,
                1 => Event::Main(pid),
                2 => Event::Stop,
                _ => Event::Exited(pid, Exit::Code(next(2) as i32)),
            };
            w.after(&[event]);
            w.now += next(40);
            w.at(w.now);
        }
        w.after(&[Event::Stop]);
        for _ in 0..40 {
            let alive = w
                .life
                .main
                .into_iter()
                .chain(w.life.control.map(|(pid, _)| pid));
            let exits: Vec<Event> = alive.map(|pid| Event::Exited(pid, OK)).collect();
            w.after(&exits);
        }
        assert_eq!(w.life.stage(), Stage::Ended, "{turn}: {:?}", w.life);
    }
}
