// SPDX-License-Identifier: Apache-2.0
//! Life of a unit's processes (systemd.service(5)) as a pure state machine: events are noted, steps are
//! taken until there is none. Time is an argument.

use std::collections::VecDeque;

use nix::libc::pid_t;
use sys::clock::Millis;

mod events;
mod main_process;
mod outcome;
pub mod plan;

pub use self::events::{Event, Step};
pub use self::outcome::{GIVEN_UP, SKIPPED};
use self::plan::Failure;
pub use self::plan::LEFT_OUT;
pub use self::plan::{Commands, Exit, Kind, Plan, Stage};

/// The state machine.
#[derive(Debug)]
pub struct Lifecycle {
    plan: Plan,
    stage: Stage,
    /// Next command of the stage.
    next: usize,
    /// A step was taken whose outcome is not noted.
    awaits: bool,
    /// Process of a command that the stage waits for, and true if its failure has no consequence.
    control: Option<(pid_t, bool)>,
    main: Option<pid_t>,
    /// Time of the next search for the main process that has forked.
    look_at: Option<Millis>,
    /// The stage waits for other processes of the cgroup.
    has_others: bool,
    /// First failure.
    failure: Option<Failure>,
    /// End of the main process, or of the last command of a one-shot.
    exit: Option<Exit>,
    /// Time at which the stage is over.
    deadline: Option<Millis>,
    /// Time to which the unit has extended the stage.
    extended: Millis,
    /// Time until which the main process has to send `WATCHDOG=1`.
    watchdog_at: Option<Millis>,
    /// A reload was requested and has not begun.
    is_to_reload: bool,
    /// The main process is to report the end of its reload.
    reloads_itself: bool,
    /// Number of reloads that are over, and exit status of the last one.
    reloads: (u32, i32),
    steps: VecDeque<Step>,
}

impl Lifecycle {
    /// Begins the life at `now`.
    #[must_use]
    pub fn new(plan: Plan, now: Millis) -> Lifecycle {
        let deadline = plan.start_ms.map(|ms| now.saturating_add(ms));
        Lifecycle {
            plan,
            stage: Stage::Condition,
            next: 0,
            awaits: false,
            control: None,
            main: None,
            look_at: None,
            has_others: false,
            failure: None,
            exit: None,
            deadline,
            extended: 0,
            watchdog_at: None,
            is_to_reload: false,
            reloads_itself: false,
            reloads: (0, 0),
            steps: VecDeque::new(),
        }
    }

    /// Stage of the life.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Main process, for the variable `MAINPID`.
    #[must_use]
    pub fn main(&self) -> Option<pid_t> {
        self.main
    }

    /// Time at which [`Lifecycle::step`] has work without an event.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        let all = [self.end_of_stage(), self.watchdog_at, self.look_at];
        all.into_iter().flatten().min()
    }

    fn end_of_stage(&self) -> Option<Millis> {
        self.deadline.map(|at| at.max(self.extended))
    }

    /// Number of reloads that are over, and the exit status of the last one.
    #[must_use]
    pub fn reloads(&self) -> (u32, i32) {
        self.reloads
    }

    /// Returns the next step, or `None` until the next event or deadline.
    pub fn step(&mut self, now: Millis) -> Option<Step> {
        if self.end_of_stage().is_some_and(|at| at <= now) {
            self.deadline = None;
            self.expire(now);
        }
        if self.watchdog_at.is_some_and(|at| at <= now) {
            self.steps.extend(self.main.map(Step::Abort));
            self.fail(Failure::new("watchdog"), now);
        }
        while self.steps.is_empty() && !self.awaits && self.control.is_none() {
            if !self.advance(now) {
                break;
            }
        }
        self.steps.pop_front()
    }

    /// Moves on from a stage without a running command. Returns false if the stage waits.
    fn advance(&mut self, now: Millis) -> bool {
        if self.next < self.commands().len() && !self.waits_for_ready() {
            self.steps.push_back(Step::Run(self.stage, self.next));
            self.awaits = true;
            return true;
        }
        match self.stage {
            Stage::Condition => self.enter(Stage::Pre, now),
            Stage::Pre => self.enter(Stage::Start, now),
            Stage::Start if self.waits_for_ready() => return false,
            Stage::Start | Stage::Post if self.seeks_main() => return self.look_for_main(now),
            Stage::Start => self.on_begun(now),
            Stage::Post if std::mem::take(&mut self.plan.ends_alone) => {
                self.steps.push_back(Step::Count);
                self.awaits = true;
            }
            Stage::Post => {
                self.steps.push_back(Step::Ready);
                self.enter(Stage::Running, now);
            }
            Stage::Reload if self.reloads_itself => return false,
            Stage::Reload => {
                self.reloads.0 += 1;
                self.enter(Stage::Running, now);
            }
            Stage::Running if std::mem::take(&mut self.is_to_reload) => {
                self.enter(Stage::Reload, now);
            }
            Stage::Running if self.main.is_some() || self.plan.remains => return false,
            Stage::Running => self.enter(Stage::Stop, now),
            Stage::Stop => self.enter(Stage::Terminate, now),
            Stage::Terminate if self.plan.kills_none => self.enter(Stage::StopPost, now),
            Stage::Terminate if self.main.is_some() || self.has_others => return false,
            Stage::Terminate => self.enter(Stage::StopPost, now),
            Stage::StopPost => self.enter(Stage::Ended, now),
            Stage::Ended => return false,
        }
        true
    }

    /// Returns true if the main process runs and is not ready.
    fn waits_for_ready(&self) -> bool {
        self.stage == Stage::Start && self.plan.kind == Kind::Notify && self.main.is_some()
    }

    fn commands(&self) -> &[bool] {
        self.plan.ignores_failure.of(self.stage)
    }

    /// Continues once the main process has begun. The unit is ready when the commands of `ExecStartPost=` have
    /// ended (systemd.service(5)).
    fn on_begun(&mut self, now: Millis) {
        self.feed_watchdog(now);
        self.enter(Stage::Post, now);
    }

    fn enter(&mut self, stage: Stage, now: Millis) {
        self.stage = stage;
        self.next = 0;
        self.look_at = None;
        if !matches!(stage, Stage::Start | Stage::Post) {
            self.extended = 0;
        }
        match stage {
            Stage::Running => self.deadline = None,
            Stage::Stop | Stage::Terminate | Stage::StopPost => {
                self.watchdog_at = None;
                self.deadline = self.plan.stop_ms.map(|ms| now.saturating_add(ms));
            }
            Stage::Ended => {
                self.deadline = None;
                let status = self.failure.map_or(0, |failure| failure.status);
                self.steps.push_back(Step::End(status));
            }
            Stage::Reload => {
                self.reloads.1 = 0;
                let reloads = self.main.filter(|_| self.plan.reloads_itself);
                self.reloads_itself = reloads.is_some();
                self.steps.extend(reloads.map(Step::Reload));
                self.deadline = self.plan.start_ms.map(|ms| now.saturating_add(ms));
            }
            Stage::Condition | Stage::Pre | Stage::Start | Stage::Post => {}
        }
        self.has_others = stage == Stage::Terminate && self.plan.kills_all;
        match stage {
            Stage::Terminate if self.plan.kills_none => {}
            Stage::Terminate if self.has_others => self.steps.push_back(Step::TerminateAll),
            Stage::Terminate => self.signal(Step::Terminate),
            _ => {}
        }
    }

    /// Signals the main process, and the command that runs.
    fn signal(&mut self, step: fn(pid_t) -> Step) {
        let control = self.control.map(|(pid, _)| pid);
        let both = [self.main, control].into_iter().flatten();
        self.steps.extend(both.map(step));
    }

    /// Notes that the time of a stage is over.
    fn expire(&mut self, now: Millis) {
        match self.stage {
            Stage::Condition | Stage::Pre | Stage::Start | Stage::Post | Stage::Running => {
                self.fail(Failure::new("timeout"), now);
            }
            // The command of the stage is killed; the next stage begins when the command has ended.
            Stage::Stop | Stage::StopPost | Stage::Reload => {
                self.next = self.commands().len();
                if std::mem::take(&mut self.reloads_itself) {
                    self.reloads.1 = Failure::new("timeout").status;
                }
                let control = self.control.map(|(pid, _)| Step::Kill(pid));
                self.steps.extend(control);
            }
            // As in systemd, the processes are left to themselves (systemd.kill(5), "SendSIGKILL=").
            Stage::Terminate if !self.plan.kills => {
                (self.main, self.control, self.has_others) = (None, None, false);
            }
            Stage::Terminate if std::mem::take(&mut self.has_others) => {
                self.steps.push_back(Step::KillAll);
            }
            Stage::Terminate => self.signal(Step::Kill),
            Stage::Ended => {}
        }
    }

    /// Ends the life after a failure.
    fn fail(&mut self, failure: Failure, now: Millis) {
        self.failure = self.failure.or(Some(failure));
        self.enter(Stage::Terminate, now);
    }

    /// Notes an event.
    pub fn note(&mut self, event: Event, now: Millis) {
        match event {
            Event::Started(pid) => self.on_started(pid),
            Event::NotStarted => self.on_not_started(now),
            Event::Exited(pid, exit) => self.on_exited(pid, exit, now),
            Event::Main(pid) => self.found_main(pid, now),
            Event::NoMain(may_come) => self.lacks_main(may_come, now),
            Event::Extend(ms) => self.extended = now.saturating_add(ms),
            Event::Left(has_others) if self.awaits && self.stage == Stage::Post => {
                self.awaits = false;
                if !has_others {
                    self.enter(Stage::Ended, now);
                }
            }
            Event::Left(has_others) => self.has_others &= has_others,
            Event::Watchdog if self.watchdog_at.is_some() => self.feed_watchdog(now),
            Event::Reload => {
                let stages = [Stage::Post, Stage::Running, Stage::Reload];
                self.is_to_reload = stages.contains(&self.stage);
            }
            Event::Watchdog => {}
            Event::Trigger if self.stage < Stage::Stop => self.watchdog_at = Some(now),
            Event::Stopping if self.stage == Stage::Running => {
                self.watchdog_at = None;
                self.deadline = self.plan.stop_ms.map(|ms| now.saturating_add(ms));
            }
            Event::Trigger | Event::Stopping => {}
            Event::Ready if self.waits_for_ready() => self.on_begun(now),
            Event::Ready => self.reloads_itself &= self.stage != Stage::Reload,
            Event::Stop => self.on_stop(now),
        }
    }

    /// Begins the time until the next `WATCHDOG=1`.
    fn feed_watchdog(&mut self, now: Millis) {
        let ms = self.plan.watchdog_ms;
        self.watchdog_at = ms.map(|ms| now.saturating_add(ms));
    }

    fn on_not_started(&mut self, now: Millis) {
        self.awaits = false;
        let ignored = self.commands().get(self.next).copied().unwrap_or(false);
        self.next += 1;
        let result = match self.stage {
            Stage::Condition => LEFT_OUT,
            _ => "exit-code",
        };
        self.on_result(ignored, Failure::new(result), now);
    }

    fn on_started(&mut self, pid: pid_t) {
        self.awaits = false;
        let ignored = self.commands().get(self.next).copied().unwrap_or(false);
        let is_main = matches!(self.plan.kind, Kind::Simple | Kind::Notify);
        if self.stage == Stage::Start && is_main {
            self.main = Some(pid);
        } else {
            self.control = Some((pid, ignored));
        }
        self.next += 1;
    }

    fn on_exited(&mut self, pid: pid_t, exit: Exit, now: Millis) {
        self.look_at = None;
        if self.has_others {
            self.steps.push_back(Step::Count);
        }
        if self.main == Some(pid) {
            self.main = None;
            self.watchdog_at = None;
            self.on_main_exited(exit, now);
        } else if let Some((_, ignored)) = self.control.filter(|(control, _)| *control == pid) {
            self.control = None;
            let failed = match (self.stage, self.plan.kind) {
                (Stage::Start, Kind::Oneshot) => {
                    self.exit = Some(exit);
                    self.plan.failure(exit)
                }
                (Stage::Condition, _) => plan::failure_of_condition(exit),
                _ => plan::failure_of_command(exit),
            };
            if let Some(failure) = failed {
                self.on_result(ignored, failure, now);
            }
        }
    }

    /// Notes the failure of a command.
    fn on_result(&mut self, ignored: bool, failure: Failure, now: Millis) {
        match self.stage {
            _ if ignored => {}
            Stage::Condition | Stage::Pre | Stage::Start | Stage::Post => self.fail(failure, now),
            // As in systemd, the remaining commands of `ExecStop=` do not run.
            Stage::Stop => self.next = self.commands().len(),
            // The unit continues unchanged.
            Stage::Reload => {
                self.reloads.1 = failure.status;
                self.next = self.commands().len();
            }
            Stage::Running | Stage::Terminate | Stage::StopPost | Stage::Ended => {}
        }
    }

    fn on_stop(&mut self, now: Millis) {
        match self.stage {
            Stage::Condition | Stage::Pre | Stage::Start => self.enter(Stage::Terminate, now),
            Stage::Post | Stage::Running | Stage::Reload => self.begin_stop(now),
            _ => {}
        }
    }

    /// Begins the end of a unit that was ready. A command of `ExecStartPost=` ends first.
    fn begin_stop(&mut self, now: Millis) {
        let control = self.control.map(|(pid, _)| Step::Terminate(pid));
        self.steps.extend(control);
        self.enter(Stage::Stop, now);
    }
}

#[cfg(test)]
#[path = "lifecycle/stage_tests.rs"]
mod stage_tests;
#[cfg(test)]
#[path = "lifecycle/tests.rs"]
mod tests;
