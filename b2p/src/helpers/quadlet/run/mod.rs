// SPDX-License-Identifier: Apache-2.0
//! `b2p unit-run NAME`: the first process of the service that a unit is. The process runs the unit's
//! commands as systemd would ([`lifecycle`]), follows its main process, and tells PID 1 when the unit is
//! ready. PID 1 supervises this process as any other service, and needs no model of units.
//!
//! The main process of a container is conmon, an orphan of podman: as a subreaper (prctl(2)) this process
//! is told of its end.

pub mod lifecycle;
pub mod plan;
mod processes;
mod slots;
pub mod state;

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use log::{error, info, warn};
use nix::libc::pid_t;
use nix::poll::PollFlags;
use nix::sys::signal::Signal;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGTERM};
use signal_hook::low_level::pipe;
use sys::clock::{Millis, now};
use sys::error::{Doing, Error, Result};

use self::lifecycle::{Event, Exit, Kind, Lifecycle, Stage, Step};
use self::processes::{drain, environment, message, reap, signal, value};
use self::slots::Slot;
use self::state::State;
use super::program::Program;
use super::specifiers::{Owner, Specifiers};
use super::unit::Unit;
use super::words::expand_variables;
use super::{NAME, conditions, host, paths, variables};
use crate::common::stop::poll_until;
use crate::common::{notify, terminal::print_error};

/// Longest message of sd_notify(3) that is read, in bytes.
const MAX_MESSAGE_BYTES: usize = 4_096;
/// Exit status of a unit that is left out: a condition does not hold. Its service has done its work.
pub const SKIPPED: u8 = 253;
/// Exit status of a unit that is given up: `StartLimitBurst=`.
pub const GIVEN_UP: u8 = 254;
/// Time in milliseconds between two looks for a free slot.
const SLOT_MS: Millis = 100;

/// Runs the unit, and returns the exit status of its main process.
pub fn main(args: &[String]) -> i32 {
    sys::kmsg::init_logger(log::LevelFilter::Info);
    let [name] = args else {
        print_error("b2p: unit-run: the name of a unit");
        return 2;
    };
    match run(name) {
        Ok(status) => status,
        Err(why) => {
            error!("{name}: {why}");
            1
        }
    }
}

/// Runs the unit if its conditions hold.
fn run(name: &str) -> Result<i32> {
    let owner = host::caller()?;
    let text = sys::files::read_text(paths::unit(name))?;
    let unit = Unit::parse(&text);
    let unit_name = unit.last(NAME.0, NAME.1).unwrap_or(name);
    let specifiers = host::specifiers(unit_name, &unit, owner);
    let program = Program::of(&unit, &specifiers).map_err(Error::invalid)?;
    let tell = |result: &str| {
        let state = State {
            result: result.to_owned(),
            ..State::default()
        };
        let _ = fs::write(paths::state(name, &specifiers.user), state.text());
    };
    if let Some(line) = failing(&unit, "Condition", &specifiers)? {
        info!("{name}: left out, because {line} does not hold");
        tell("condition");
        return Ok(SKIPPED.into());
    }
    if let Some(line) = failing(&unit, "Assert", &specifiers)? {
        tell("assert");
        return Err(Error::invalid(format!("{line} does not hold")));
    }
    let starts = paths::starts(name, &specifiers.user);
    if let Some(limit) = program.start_limit
        && !state::may_start(&starts, now(), limit)
    {
        error!("{name}: too many starts in a short time (StartLimitBurst=): given up");
        tell("start-limit-hit");
        return Ok(GIVEN_UP.into());
    }
    Runner::new(name, program, &specifiers.user)?.run()
}

/// Returns the exit status of this process for that of the main process: another one for the two that have a
/// meaning to the service.
fn own_status(status: i32) -> i32 {
    match [SKIPPED, GIVEN_UP].map(i32::from).contains(&status) {
        true => i32::from(SKIPPED) - 1,
        false => status,
    }
}

fn failing(unit: &Unit, prefix: &str, specifiers: &Specifiers) -> Result<Option<String>> {
    let conditions = conditions::of(unit, prefix, specifiers).map_err(Error::invalid)?;
    let line = conditions::failing(&conditions, |c| conditions::holds(c, specifiers));
    Ok(line.map(str::to_owned))
}

/// Processes and descriptors of the unit.
struct Runner {
    name: String,
    program: Program,
    env: Vec<(String, String)>,
    life: Lifecycle,
    /// Bound of the units that begin at the same time, and when it ends for this one.
    slot: Option<(Slot, Millis)>,
    /// Directory of the slots.
    slots: PathBuf,
    /// State that `systemctl` shows, as it was last written, and its file.
    shown: State,
    state_file: PathBuf,
    /// Last text of `STATUS=`.
    status: String,
    /// Socket of the messages of sd_notify(3), and its path.
    messages: UnixDatagram,
    socket: PathBuf,
    /// Readable once SIGTERM has arrived.
    stop: UnixStream,
    /// Readable once a child has ended.
    ended: UnixStream,
    /// Readable once SIGHUP has arrived, which asks for a reload.
    reload: UnixStream,
}

impl Runner {
    fn new(name: &str, program: Program, owner: &Owner) -> Result<Runner> {
        let env = environment(&program)?;
        nix::sys::prctl::set_child_subreaper(true).doing("PR_SET_CHILD_SUBREAPER")?;
        let socket = paths::socket(name, owner);
        let _ = fs::remove_file(&socket);
        let messages = UnixDatagram::bind(&socket).on(&socket)?;
        messages.set_nonblocking(true).on(&socket)?;
        let pair = |signal| -> std::io::Result<UnixStream> {
            let (arrived, write) = UnixStream::pair()?;
            arrived.set_nonblocking(true)?;
            pipe::register(signal, write)?;
            Ok(arrived)
        };
        Ok(Runner {
            name: name.to_owned(),
            life: Lifecycle::new(program.plan.clone(), now()),
            program,
            env,
            slot: None,
            slots: paths::slots(owner),
            shown: State::default(),
            state_file: paths::state(name, owner),
            status: String::new(),
            messages,
            socket,
            stop: pair(SIGTERM).doing("SIGTERM")?,
            ended: pair(SIGCHLD).doing("SIGCHLD")?,
            reload: pair(SIGHUP).doing("SIGHUP")?,
        })
    }

    fn run(&mut self) -> Result<i32> {
        if !self.take_slot() {
            return Ok(0);
        }
        // The time of the start begins now.
        self.life = Lifecycle::new(self.program.plan.clone(), now());
        loop {
            while let Some(step) = self.life.step(now()) {
                if let Step::End(status) = step {
                    self.show(status);
                    let _ = fs::remove_file(&self.socket);
                    return Ok(own_status(status));
                }
                self.take(step);
            }
            self.show(0);
            self.wait();
        }
    }

    /// Waits for a slot; returns false if the unit is to end first.
    fn take_slot(&mut self) -> bool {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let count = slots::count(cpus, host::memory_bytes());
        loop {
            if let Some(slot) = slots::take(&self.slots, count) {
                let until = now().saturating_add(slots::HOLD_MS);
                self.slot = slot.map(|slot| (slot, until));
                return true;
            }
            let sources = [(self.stop.as_fd(), PollFlags::POLLIN)];
            let _ = poll_until(&sources, Some(now().saturating_add(SLOT_MS)));
            if drain(&mut self.stop) {
                return false;
            }
        }
    }

    /// Writes what `systemctl` shows, if that has changed. `status` is that of an end.
    fn show(&mut self, status: i32) {
        let stage = self.life.stage();
        let (reloads, reload_status) = self.life.reloads();
        let state = State {
            main: self.life.main().unwrap_or(0),
            stage: stage.word().to_owned(),
            result: match (stage, status) {
                (Stage::Ended, 1..) => "exit-code",
                _ => "success",
            }
            .to_owned(),
            status: self.status.clone(),
            reloads,
            reload_status,
        };
        if state != self.shown {
            // Without the file less is shown.
            let _ = fs::write(&self.state_file, state.text());
            self.shown = state;
        }
    }

    /// Sleeps until something has happened, and notes it. Messages of a process that has ended are noted
    /// before its end: they are read after it was seen.
    fn wait(&mut self) {
        let sources: [BorrowedFd<'_>; 4] = [
            self.stop.as_fd(),
            self.reload.as_fd(),
            self.ended.as_fd(),
            self.messages.as_fd(),
        ];
        let sources = sources.map(|fd| (fd, PollFlags::POLLIN));
        let until = self.slot.as_ref().map(|(_, until)| *until);
        let deadlines = [self.life.deadline(), until];
        let _ = poll_until(&sources, deadlines.into_iter().flatten().min());
        self.slot.take_if(|(_, until)| *until <= now());
        let is_stop = drain(&mut self.stop);
        let is_reload = drain(&mut self.reload);
        drain(&mut self.ended);
        let exits = reap();
        let events = self.read_messages(&exits);
        let reload = is_reload.then_some(Event::Reload);
        let stop = is_stop.then_some(Event::Stop).or(reload);
        let exits = exits
            .into_iter()
            .map(|(pid, exit)| Event::Exited(pid, exit));
        for event in events.into_iter().chain(exits).chain(stop) {
            self.life.note(event, now());
        }
    }

    fn read_messages(&mut self, exits: &[(pid_t, Exit)]) -> Vec<Event> {
        let mut events = Vec::new();
        let mut bytes = [0; MAX_MESSAGE_BYTES];
        while let Ok(length) = self.messages.recv(&mut bytes) {
            let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default());
            if let Some(status) = text.lines().find_map(|l| l.strip_prefix("STATUS=")) {
                let mut state = State::default();
                state.set_status(status);
                self.status = state.status;
            }
            for event in message(&text) {
                // Nothing would report the end of another process.
                match event {
                    Event::Main(pid)
                        if !exits.iter().any(|(p, _)| *p == pid)
                            && !services::reap::is_child(pid) =>
                    {
                        warn!("{}: MAINPID={pid}: no process of this unit", self.name);
                    }
                    event => events.push(event),
                }
            }
        }
        events
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Run(stage, n) => {
                let event = match self.start(stage, n) {
                    Ok(pid) => Event::Started(pid),
                    Err(why) => {
                        error!("{}: {why}", self.name);
                        Event::NotStarted
                    }
                };
                self.life.note(event, now());
            }
            Step::FindMain => {
                let event = self.find_main().map_or(Event::NoMain, Event::Main);
                self.life.note(event, now());
            }
            Step::Ready => {
                self.slot = None;
                notify::ready();
            }
            Step::Terminate(pid) => {
                let number = Signal::try_from(self.program.kill_signal);
                signal(pid, number.unwrap_or(Signal::SIGTERM));
            }
            Step::Kill(pid) => signal(pid, Signal::SIGKILL),
            Step::Abort(pid) => {
                error!(
                    "{}: WatchdogSec: no WATCHDOG=1 in time: it is ended",
                    self.name
                );
                signal(pid, Signal::SIGABRT);
            }
            Step::End(_) => {}
        }
    }

    fn start(&self, stage: Stage, n: usize) -> Result<pid_t> {
        let index = match stage {
            Stage::Pre => 0,
            Stage::Start => 1,
            Stage::Post => 2,
            Stage::Stop => 3,
            Stage::Reload => 5,
            _ => 4,
        };
        let commands = self.program.commands.get(index);
        let command = commands.and_then(|list| list.get(n));
        let command = command.ok_or_else(|| Error::invalid("there is no such command"))?;
        let mut env = self.env.clone();
        if let Some(main) = self.life.main() {
            variables::set(&mut env, "MAINPID", &main.to_string());
        }
        let get = |name: &str| value(&env, name).or_else(|| std::env::var(name).ok());
        let argv = match command.expands {
            true => expand_variables(&command.argv, get),
            false => command.argv.clone(),
        };
        let (path, args) = argv
            .split_first()
            .ok_or_else(|| Error::invalid("no program"))?;
        let mut child = Command::new(path);
        child.args(args).env_remove("NOTIFY_SOCKET").envs(env);
        if self.program.plan.kind == Kind::Notify {
            child.env("NOTIFY_SOCKET", &self.socket);
        }
        if let Some(ms) = self.program.plan.watchdog_ms {
            child.env("WATCHDOG_USEC", (ms * 1_000).to_string());
        }
        child.stdout(self.program.stdout.open()?);
        child.stderr(self.program.stderr.open()?);
        if let Some(dir) = &self.program.dir
            && (!dir.is_optional || Path::new(&dir.path).is_dir())
        {
            child.current_dir(&dir.path);
        }
        let child = child.spawn().on(path)?;
        Ok(pid_t::try_from(child.id()).unwrap_or(0))
    }

    fn find_main(&self) -> Option<pid_t> {
        let file = self.program.pid_file.as_deref();
        let text = file.and_then(|path| fs::read_to_string(path).ok());
        let pid = text.and_then(|text| text.trim().parse().ok());
        let pid = pid.filter(|pid| services::reap::is_child(*pid));
        if pid.is_none() {
            let file = file.unwrap_or("PIDFile= is missing");
            error!("{}: {file}: it names no process of this unit", self.name);
        }
        pid
    }
}
