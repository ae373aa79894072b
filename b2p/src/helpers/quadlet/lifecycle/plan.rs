// SPDX-License-Identifier: Apache-2.0
//! Properties of a unit that decide the life of its processes.

use sys::clock::Millis;

/// Type of the unit (`Type=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The program of `ExecStart=` is the main process; the unit is ready when the program runs.
    Simple,
    /// The main process, which `MAINPID=` may name, is ready with `READY=1`.
    Notify,
    /// The program of `ExecStart=` ends when the main process, which `PIDFile=` names, is ready.
    Forking,
    /// The programs of `ExecStart=` run one after the other; the unit is ready when the last has
    /// ended.
    Oneshot,
}

/// Stage of the life. Its commands run one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// `ExecCondition=`.
    Condition,
    /// `ExecStartPre=`.
    Pre,
    /// `ExecStart=`, until the unit is ready.
    Start,
    /// `ExecStartPost=`.
    Post,
    /// The unit is ready, and has no command to run.
    Running,
    /// `ExecReload=` of a unit that runs.
    Reload,
    /// `ExecStop=`.
    Stop,
    /// The main process, or all of them, are asked to end.
    Terminate,
    /// `ExecStopPost=`.
    StopPost,
    /// Everything has ended.
    Ended,
}

impl Stage {
    /// Returns the sub-state of a service in this stage, in the words of systemd.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Stage::Condition => "condition",
            Stage::Pre => "start-pre",
            Stage::Start => "start",
            Stage::Post => "start-post",
            Stage::Running => "running",
            Stage::Reload => "reload",
            Stage::Stop => "stop",
            Stage::Terminate => "stop-sigterm",
            Stage::StopPost => "stop-post",
            Stage::Ended => "dead",
        }
    }
}

/// A list for the commands of each stage that has some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands<T> {
    /// Commands of `ExecCondition=`.
    pub condition: Vec<T>,
    /// Commands of `ExecStartPre=`.
    pub pre: Vec<T>,
    /// Commands of `ExecStart=`.
    pub start: Vec<T>,
    /// Commands of `ExecStartPost=`.
    pub post: Vec<T>,
    /// Commands of `ExecStop=`.
    pub stop: Vec<T>,
    /// Commands of `ExecStopPost=`.
    pub stop_post: Vec<T>,
    /// Commands of `ExecReload=`.
    pub reload: Vec<T>,
}

impl<T> Commands<T> {
    /// Returns the list of a stage.
    #[must_use]
    pub fn of(&self, stage: Stage) -> &[T] {
        match stage {
            Stage::Condition => &self.condition,
            Stage::Pre => &self.pre,
            Stage::Start => &self.start,
            Stage::Post => &self.post,
            Stage::Stop => &self.stop,
            Stage::StopPost => &self.stop_post,
            Stage::Reload => &self.reload,
            Stage::Running | Stage::Terminate | Stage::Ended => &[],
        }
    }

    /// Returns all commands.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let starts = [&self.condition, &self.pre, &self.start, &self.post];
        let ends = [&self.stop, &self.stop_post, &self.reload];
        starts.into_iter().chain(ends).flatten()
    }

    /// Returns the lists of another property of the same commands.
    #[must_use]
    pub fn map<U>(&self, property: impl Fn(&T) -> U) -> Commands<U> {
        let list = |commands: &[T]| commands.iter().map(&property).collect();
        Commands {
            condition: list(&self.condition),
            pre: list(&self.pre),
            start: list(&self.start),
            post: list(&self.post),
            stop: list(&self.stop),
            stop_post: list(&self.stop_post),
            reload: list(&self.reload),
        }
    }
}

/// End of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Exit status.
    Code(i32),
    /// Signal that killed the process.
    Signal(i32),
}

/// Cause of an end without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Value of `Result=` (systemd.exec(5), "$SERVICE_RESULT").
    pub result: &'static str,
    /// Exit status of the first process.
    pub status: i32,
}

impl Failure {
    /// Returns a failure that is no process's own.
    #[must_use]
    pub fn new(result: &'static str) -> Failure {
        Failure { result, status: 1 }
    }

    /// Returns true if a condition has left the unit out, which is no failure to PID 1.
    #[must_use]
    pub fn is_left_out(self) -> bool {
        self.result == LEFT_OUT
    }
}

/// Value of `Result=` of a unit that a command of `ExecCondition=` leaves out.
pub const LEFT_OUT: &str = "exec-condition";

/// Properties of a unit that decide its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Type.
    pub kind: Kind,
    /// The unit stays once its processes have ended with success (`RemainAfterExit=`).
    pub remains: bool,
    /// For each command: true if a failure has no consequence.
    pub ignores_failure: Commands<bool>,
    /// Limit in milliseconds for the time until the unit is ready.
    pub start_ms: Option<Millis>,
    /// Limit in milliseconds for the time from the message that names the main process until the unit is ready, of a
    /// unit without the other limit.
    pub ready_ms: Option<Millis>,
    /// Limit in milliseconds for each stage of the end.
    pub stop_ms: Option<Millis>,
    /// Longest time in milliseconds between two messages `WATCHDOG=1` of a unit that is ready.
    pub watchdog_ms: Option<Millis>,
    /// The end asks all processes of the cgroup to end, not the main process alone (`KillMode=control-group`,
    /// systemd.kill(5)).
    pub kills_all: bool,
    /// The unit stays only while processes are left: without processes, PID 1 keeps the unit as
    /// done.
    pub ends_alone: bool,
    /// Remaining processes are killed after the time of a stage (`SendSIGKILL=`).
    pub kills: bool,
    /// The main process reloads by a signal, and reports the end of the reload
    /// (`Type=notify-reload`).
    pub reloads_itself: bool,
    /// Ends of the main process after which the unit is not started again (`RestartPreventExitStatus=`).
    pub prevents: Vec<Exit>,
    /// Failures, in the words of `Result=`, after which alone `Restart=` starts the unit again; `None` for each.
    pub restarts_after: Option<&'static [&'static str]>,
    /// The end runs its commands and signals no process (`KillMode=none`, systemd.kill(5)).
    pub kills_none: bool,
    /// Ends of the main process that are a success, besides those that systemd takes for one.
    pub success: Vec<Exit>,
}

impl Plan {
    /// Returns true if `Restart=` starts the unit again after such a failure.
    #[must_use]
    pub fn restarts(&self, failure: Failure) -> bool {
        let some = self.restarts_after;
        some.is_none_or(|results| results.contains(&failure.result))
    }

    /// Returns the failure of an end of the main process, or of a command of a one-shot. A daemon may end by
    /// one of the usual signals (systemd.service(5), "SuccessExitStatus=").
    #[must_use]
    pub fn failure(&self, exit: Exit) -> Option<Failure> {
        let is_clean = |signal| {
            [
                nix::libc::SIGHUP,
                nix::libc::SIGINT,
                nix::libc::SIGTERM,
                nix::libc::SIGPIPE,
            ]
            .contains(&signal)
        };
        match exit {
            Exit::Signal(signal) if is_clean(signal) && self.kind != Kind::Oneshot => None,
            exit if self.success.contains(&exit) => None,
            exit => failure_of_command(exit),
        }
    }
}

/// Returns the failure that an end of a command of `ExecCondition=` is: exit statuses from 1 to 254 leave the unit out
/// (systemd.service(5)).
#[must_use]
pub fn failure_of_condition(exit: Exit) -> Option<Failure> {
    match exit {
        Exit::Code(1..=254) => Some(Failure::new(LEFT_OUT)),
        exit => failure_of_command(exit),
    }
}

/// Returns the failure that an end of any other command is: all but status 0.
#[must_use]
pub fn failure_of_command(exit: Exit) -> Option<Failure> {
    let (result, status) = match exit {
        Exit::Code(0) => return None,
        Exit::Code(code) => ("exit-code", code),
        Exit::Signal(signal) => ("signal", 128 + signal),
    };
    Some(Failure { result, status })
}
