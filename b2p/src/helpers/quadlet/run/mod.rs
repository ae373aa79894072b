// SPDX-License-Identifier: Apache-2.0
//! `b2p unit-run NAME`: the first process of the service that a unit is. The process runs the unit's
//! commands as systemd would ([`lifecycle`]), follows its main process, and tells PID 1 when the unit is
//! ready. PID 1 supervises this process as any other service, and needs no model of units.
//!
//! The main process of a container is conmon, an orphan of podman: as a subreaper (prctl(2)) this process
//! is told of its end.

pub mod lifecycle;
pub mod plan;

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use log::{error, warn};
use nix::errno::Errno;
use nix::libc::pid_t;
use nix::poll::PollFlags;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use services::ExitStatus;
use signal_hook::consts::{SIGCHLD, SIGTERM};
use signal_hook::low_level::pipe;
use sys::clock::now;
use sys::error::{Doing, Error, Result};

use self::lifecycle::{Event, Exit, Kind, Lifecycle, Stage, Step};
use super::program::{self, Program};
use super::specifiers::Specifiers;
use super::unit::Unit;
use super::words::expand_variables;
use super::{NAME, host, paths};
use crate::common::stop::poll_until;
use crate::common::{notify, terminal::print_error};

/// Longest message of sd_notify(3) that is read, in bytes.
const MAX_MESSAGE_BYTES: usize = 4_096;
/// Longest file of variables, in bytes.
const MAX_ENV_BYTES: u64 = 1 << 20;

/// Runs the unit, and returns the exit status of its main process.
pub fn main(args: &[String]) -> i32 {
    sys::kmsg::init_logger(log::LevelFilter::Info);
    let [name] = args else {
        print_error("b2p: unit-run: the name of a unit");
        return 2;
    };
    let runner = Runner::new(name);
    match runner.and_then(|mut runner| runner.run()) {
        Ok(status) => status,
        Err(why) => {
            error!("{name}: {why}");
            1
        }
    }
}

/// Processes and descriptors of the unit.
struct Runner {
    name: String,
    program: Program,
    env: Vec<(String, String)>,
    life: Lifecycle,
    /// Socket of the messages of sd_notify(3), and its path.
    messages: UnixDatagram,
    socket: PathBuf,
    /// Readable once SIGTERM has arrived.
    stop: UnixStream,
    /// Readable once a child has ended.
    ended: UnixStream,
}

impl Runner {
    fn new(name: &str) -> Result<Runner> {
        let owner = host::caller()?;
        let text = sys::files::read_text(paths::unit(name))?;
        let unit = Unit::parse(&text);
        let unit_name = unit.last(NAME.0, NAME.1).unwrap_or(name);
        let specifiers = host::specifiers(unit_name, &unit, owner);
        let program = read(&unit, &specifiers)?;
        let env = environment(&program)?;
        nix::sys::prctl::set_child_subreaper(true).doing("PR_SET_CHILD_SUBREAPER")?;
        let socket = paths::socket(name, &specifiers.user);
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
            messages,
            socket,
            stop: pair(SIGTERM).doing("SIGTERM")?,
            ended: pair(SIGCHLD).doing("SIGCHLD")?,
        })
    }

    fn run(&mut self) -> Result<i32> {
        loop {
            while let Some(step) = self.life.step(now()) {
                if let Step::End(status) = step {
                    let _ = fs::remove_file(&self.socket);
                    return Ok(status);
                }
                self.take(step);
            }
            self.wait();
        }
    }

    /// Sleeps until something has happened, and notes it. Messages of a process that has ended are noted
    /// before its end: they are read after it was seen.
    fn wait(&mut self) {
        let sources = [
            (self.stop.as_fd(), PollFlags::POLLIN),
            (self.ended.as_fd(), PollFlags::POLLIN),
            (self.messages.as_fd(), PollFlags::POLLIN),
        ];
        let _ = poll_until(&sources, self.life.deadline());
        let is_stop = drain(&mut self.stop);
        drain(&mut self.ended);
        let exits = reap();
        let events = self.read_messages(&exits);
        let stop = is_stop.then_some(Event::Stop);
        let exits = exits
            .into_iter()
            .map(|(pid, exit)| Event::Exited(pid, exit));
        for event in events.into_iter().chain(exits).chain(stop) {
            self.life.note(event, now());
        }
    }

    fn read_messages(&self, exits: &[(pid_t, Exit)]) -> Vec<Event> {
        let mut events = Vec::new();
        let mut bytes = [0; MAX_MESSAGE_BYTES];
        while let Ok(length) = self.messages.recv(&mut bytes) {
            let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default());
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
            Step::Ready => notify::ready(),
            Step::Terminate(pid) => signal(pid, Signal::SIGTERM),
            Step::Kill(pid) => signal(pid, Signal::SIGKILL),
            Step::End(_) => {}
        }
    }

    fn start(&self, stage: Stage, n: usize) -> Result<pid_t> {
        let index = match stage {
            Stage::Pre => 0,
            Stage::Start => 1,
            Stage::Post => 2,
            Stage::Stop => 3,
            _ => 4,
        };
        let commands = self.program.commands.get(index);
        let command = commands.and_then(|list| list.get(n));
        let command = command.ok_or_else(|| Error::invalid("there is no such command"))?;
        let mut env = self.env.clone();
        if let Some(main) = self.life.main() {
            program::set(&mut env, "MAINPID", &main.to_string());
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

/// Reads the programs of the unit.
fn read(unit: &Unit, specifiers: &Specifiers) -> Result<Program> {
    Program::of(unit, specifiers).map_err(Error::invalid)
}

/// Returns the variables of the unit and of its files, which take precedence.
fn environment(program: &Program) -> Result<Vec<(String, String)>> {
    let mut env = program.env.clone();
    for file in &program.env_files {
        let path = Path::new(&file.path);
        let bytes = match sys::files::read_whole(path, MAX_ENV_BYTES)? {
            None if file.is_optional => continue,
            None => return Err(Errno::ENOENT).on(path),
            Some(bytes) => bytes,
        };
        for (name, value) in program::env_file(&String::from_utf8_lossy(&bytes)) {
            program::set(&mut env, &name, &value);
        }
    }
    Ok(env)
}

fn value(env: &[(String, String)], name: &str) -> Option<String> {
    let found = env.iter().find(|(other, _)| other == name);
    found.map(|(_, value)| value.clone())
}

/// Returns what a message of sd_notify(3) says, the main process first.
fn message(text: &str) -> Vec<Event> {
    let pid = text
        .lines()
        .find_map(|l| l.strip_prefix("MAINPID=")?.parse().ok());
    let main = pid.filter(|pid| *pid > 1).map(Event::Main);
    let ready = text.lines().any(|l| l == "READY=1").then_some(Event::Ready);
    main.into_iter().chain(ready).collect()
}

/// Reaps the children that have ended, orphans of the unit's processes among them.
fn reap() -> Vec<(pid_t, Exit)> {
    let mut exits = Vec::new();
    let note = |pid, status| {
        exits.push((
            pid,
            match status {
                ExitStatus::Exited(code) => Exit::Code(code),
                ExitStatus::Killed(signal) => Exit::Signal(signal),
            },
        ));
    };
    if services::reap::drain(note) {
        warn!("children have ended that are reaped later");
    }
    exits
}

/// Empties a pipe of signals; returns true if one has arrived.
fn drain(pipe: &mut UnixStream) -> bool {
    let mut bytes = [0; 64];
    let mut arrived = false;
    while pipe.read(&mut bytes).is_ok_and(|n| n > 0) {
        arrived = true;
    }
    arrived
}

fn signal(pid: pid_t, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal); // it may have ended
}

#[cfg(test)]
mod tests;
