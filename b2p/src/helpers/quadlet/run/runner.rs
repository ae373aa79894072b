// SPDX-License-Identifier: Apache-2.0
//! Takes the steps of a unit's life: starts and signals its processes, and follows their ends and messages.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
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
use sys::files::read_bounded;
use sys::script::SAVED_ON_WINDOWS;

use super::processes::{drain, environment, message, reap, signal, value};
use super::slots::{Slot, Taken};
use super::state::State;
use super::{processes, slots};
use crate::common::stop::poll_until;
use crate::common::{cgroups, cpus, notify, user_program};
use crate::helpers::quadlet::lifecycle::{Event, Exit, LEFT_OUT, Lifecycle, Stage, Step};
use crate::helpers::quadlet::program::Program;
use crate::helpers::quadlet::specifiers::Owner;
use crate::helpers::quadlet::words::expand_variables;
use crate::helpers::quadlet::{directories, host, paths, variables};

/// Reason for which a process is ended by SIGABRT.
const WATCHDOG: &str = "no WATCHDOG=1 in time, or WATCHDOG=trigger: it is ended";

/// Longest message of sd_notify(3) that is read, in bytes.
const MAX_MESSAGE_BYTES: usize = 4_096;
/// Length of a PID file, in bytes, that is read: the file is the program's, which may make any kind of file there.
const MAX_PID_FILE_BYTES: u64 = 32;
/// Time in milliseconds between two searches for a free slot.
const SLOT_MS: Millis = 100;

/// Processes and descriptors of the unit.
pub struct Runner {
    name: String,
    program: Program,
    life: Lifecycle,
    /// Slot in the bound of the units that begin at the same time, and the time at which the unit
    /// gives the slot back.
    slot: Option<(Slot, Millis)>,
    /// Directory of the slots.
    slots: PathBuf,
    /// Cgroup of the unit.
    cgroup: PathBuf,
    /// State that `systemctl` shows, in the last written version, and its file.
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
    /// Makes the socket of messages, and the pipes of signals.
    ///
    /// # Errors
    /// A descriptor cannot be made.
    pub fn new(name: &str, mut program: Program, owner: &Owner) -> Result<Runner> {
        let cgroup = cgroups::of_service(name);
        // In a cgroup with others the main process alone is asked to end.
        program.plan.kills_all &= cgroup.is_some();
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
            slot: None,
            slots: paths::slots(owner),
            cgroup: cgroup.unwrap_or_default(),
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

    /// Runs the unit to its end, and returns the exit status of this process.
    ///
    /// # Errors
    /// A directory of the unit cannot be made. Any other failure ends the unit.
    pub fn run(&mut self) -> Result<i32> {
        if !self.take_slot() {
            return Ok(0);
        }
        directories::make(&self.program.directories)?;
        // The time of the start begins now.
        self.life = Lifecycle::new(self.program.plan.clone(), now());
        loop {
            while let Some(step) = self.life.step(now()) {
                if let Step::End(_) = step {
                    self.show();
                    if self.life.result() == LEFT_OUT {
                        info!(
                            "{}: left out, because ExecCondition= does not hold",
                            self.name
                        );
                    }
                    let _ = fs::remove_file(&self.socket);
                    directories::remove(&self.program.directories);
                    // The number in the file may be another process's later (systemd.service(5), "PIDFile=").
                    let _ = self.program.pid_file.as_ref().map(fs::remove_file);
                    return Ok(self.life.exit_status().into());
                }
                self.take(step);
            }
            self.show();
            self.wait();
        }
    }

    /// Waits for a slot; returns false if the unit is to end first.
    fn take_slot(&mut self) -> bool {
        let count = slots::count(cpus::count(), host::memory_bytes());
        loop {
            match slots::take(&self.slots, count) {
                Taken::Slot(slot) => {
                    let until = now().saturating_add(slots::HOLD_MS);
                    self.slot = Some((slot, until));
                    return true;
                }
                Taken::Unbounded => return true,
                Taken::None => {}
            }
            let sources = [(self.stop.as_fd(), PollFlags::POLLIN)];
            let _ = poll_until(&sources, Some(now().saturating_add(SLOT_MS)));
            if drain(&mut self.stop) {
                return false;
            }
        }
    }

    /// Writes a changed state for `systemctl`.
    fn show(&mut self) {
        let stage = self.life.stage();
        let (reloads, reload_status) = self.life.reloads();
        let state = State {
            main: self.life.main().unwrap_or(0),
            stage: stage.word().to_owned(),
            result: self.life.result().to_owned(),
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

    /// Sleeps until an event, and notes the event. Messages of an ended process are noted before its
    /// end, and are read after the end was seen.
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
                let event = self.start(stage, n).map_or_else(
                    |why| {
                        error!("{}: {why}", self.name);
                        Event::NotStarted
                    },
                    Event::Started,
                );
                self.life.note(event, now());
            }
            Step::FindMain => {
                let event = self.find_main();
                self.life.note(event, now());
            }
            Step::Ready => {
                self.slot = None;
                notify::ready();
            }
            Step::Terminate(pid) => self.terminate(pid),
            Step::TerminateAll => {
                for pid in processes::others(&self.cgroup) {
                    self.terminate(pid);
                }
                self.count();
            }
            Step::Count => self.count(),
            Step::Reload(pid) => signal(pid, signal_of(self.program.reload_signal, Signal::SIGHUP)),
            Step::Kill(pid) => signal(pid, Signal::SIGKILL),
            Step::KillAll => processes::kill_others(&self.cgroup),
            Step::Abort(pid) => {
                error!("{}: WatchdogSec: {WATCHDOG}", self.name);
                signal(pid, Signal::SIGABRT);
            }
            Step::End(_) => {}
        }
    }

    /// Sends the signal of the unit, and SIGCONT, because a stopped process handles signals only after it continues.
    fn terminate(&self, pid: pid_t) {
        signal(pid, self.kill_signal());
        signal(pid, Signal::SIGCONT);
    }

    fn kill_signal(&self) -> Signal {
        signal_of(self.program.kill_signal, Signal::SIGTERM)
    }

    /// Notes if processes of the unit are left.
    fn count(&mut self) {
        let has_others = !processes::others(&self.cgroup).is_empty();
        self.life.note(Event::Left(has_others), now());
    }

    fn start(&self, stage: Stage, n: usize) -> Result<pid_t> {
        let command = self.program.commands.of(stage).get(n);
        let command = command.ok_or_else(|| Error::invalid("there is no such command"))?;
        // The files are read for each command: an earlier one may write them (systemd.exec(5), "EnvironmentFile=").
        let mut env = environment(&self.program)?;
        for (name, value) in self.life.variables(stage) {
            variables::set(&mut env, name, &value);
        }
        let get = |name: &str| value(&env, name).or_else(|| std::env::var(name).ok());
        let argv = match command.expands {
            true => expand_variables(&command.argv, get),
            false => command.argv.clone(),
        };
        let parts = parts(&argv, command.has_name);
        let (path, name, args) = parts.ok_or_else(|| Error::invalid("no program"))?;
        if user_program::was_saved_on_windows(Path::new(path)) {
            warn!("{}: {path}: {SAVED_ON_WINDOWS}", self.name);
        }
        let mut child = Command::new(path);
        child
            .arg0(name)
            .args(args)
            .env_remove("NOTIFY_SOCKET")
            .envs(env);
        if self.program.notifies {
            child.env("NOTIFY_SOCKET", &self.socket);
        }
        if let Some(ms) = self.program.plan.watchdog_ms {
            child.env("WATCHDOG_USEC", (ms * 1_000).to_string());
        }
        let (stdout, stderr) = self.program.stdout.open_with(&self.program.stderr)?;
        child.stdout(stdout).stderr(stderr);
        if let Some(dir) = &self.program.dir
            && (!dir.is_optional || Path::new(&dir.path).is_dir())
        {
            child.current_dir(&dir.path);
        }
        let child = child.spawn().on(path)?;
        Ok(pid_t::try_from(child.id()).unwrap_or(0))
    }

    /// Returns the process that the PID file names. A main process may appear as long as the unit has other
    /// processes.
    fn find_main(&self) -> Event {
        let file = self.program.pid_file.as_deref();
        let bytes = file.and_then(|path| read_bounded(Path::new(path), MAX_PID_FILE_BYTES).ok());
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let pid = text.and_then(|text| text.trim().parse().ok());
        if let Some(pid) = pid.filter(|pid| services::reap::is_child(*pid)) {
            return Event::Main(pid);
        }
        let may_come = file.is_some() && !processes::others(&self.cgroup).is_empty();
        if !may_come {
            let file = file.unwrap_or("PIDFile= is missing");
            error!("{}: {file}: it names no process of this unit", self.name);
        }
        Event::NoMain(may_come)
    }
}

/// Returns the path of a program, the name that it has among its own arguments, and the others.
fn parts(argv: &[String], has_name: bool) -> Option<(&String, &String, &[String])> {
    let (path, args) = argv.split_first()?;
    let named = args.split_first().filter(|_| has_name);
    let (name, args) = named.unwrap_or((path, args));
    Some((path, name, args))
}

fn signal_of(number: i32, default: Signal) -> Signal {
    Signal::try_from(number).unwrap_or(default)
}
