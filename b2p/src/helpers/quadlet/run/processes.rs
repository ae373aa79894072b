// SPDX-License-Identifier: Apache-2.0
//! Children of a unit's first process: their ends, signals, environment and messages.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;

use log::warn;
use nix::errno::Errno;
use nix::libc::pid_t;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use services::ExitStatus;
use sys::error::{Doing, Result};

use crate::common::{cgroups, user_text};
use crate::helpers::quadlet::lifecycle::{Event, Exit};
use crate::helpers::quadlet::program::Program;
use crate::helpers::quadlet::variables;

/// Most rounds in which processes are killed, because processes start others.
const MAX_KILLS: usize = 16;
/// Longest file of variables, in bytes.
const MAX_ENV_BYTES: u64 = 1 << 20;

/// Returns the variables of the unit and of its files, which take precedence.
pub fn environment(program: &Program) -> Result<Vec<(String, String)>> {
    let mut env = program.env.clone();
    for file in &program.env_files {
        let paths = variables::files(&file.path);
        if paths.is_empty() && !file.is_optional {
            return Err(Errno::ENOENT).on(&file.path);
        }
        for path in paths {
            let bytes = match user_text::read(&path, MAX_ENV_BYTES)? {
                None if file.is_optional => continue,
                None => return Err(Errno::ENOENT).on(path),
                Some(bytes) => bytes,
            };
            for (name, value) in variables::env_file(&String::from_utf8_lossy(&bytes)) {
                variables::set(&mut env, &name, &value);
            }
        }
    }
    Ok(env)
}

/// Returns the value of a variable.
pub fn value(env: &[(String, String)], name: &str) -> Option<String> {
    let found = env.iter().find(|(other, _)| other == name);
    found.map(|(_, value)| value.clone())
}

/// Returns the events of a message of sd_notify(3), that of the main process first.
pub fn message(text: &str) -> Vec<Event> {
    let pid = text
        .lines()
        .find_map(|l| l.strip_prefix("MAINPID=")?.parse().ok());
    let main = pid.filter(|pid| *pid > 1).map(Event::Main);
    let has = |line: &str| text.lines().any(|l| l == line);
    let lines = [
        ("READY=1", Event::Ready),
        ("WATCHDOG=1", Event::Watchdog),
        ("WATCHDOG=trigger", Event::Trigger),
        ("STOPPING=1", Event::Stopping),
    ];
    let said = lines.into_iter().filter(|(line, _)| has(line));
    let us: Option<u64> = text
        .lines()
        .find_map(|l| l.strip_prefix("EXTEND_TIMEOUT_USEC=")?.parse().ok());
    let extended = us.map(|us| Event::Extend(us / 1_000));
    let said = said.map(|(_, event)| event);
    main.into_iter().chain(said).chain(extended).collect()
}

/// Reaps the children that have ended, orphans of the unit's processes among them.
pub fn reap() -> Vec<(pid_t, Exit)> {
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
pub fn drain(pipe: &mut UnixStream) -> bool {
    let mut bytes = [0; 64];
    let mut arrived = false;
    while pipe.read(&mut bytes).is_ok_and(|n| n > 0) {
        arrived = true;
    }
    arrived
}

/// Returns the processes of the unit's cgroup and of those below, without this one.
pub fn others(cgroup: &Path) -> Vec<pid_t> {
    let pids = cgroups::processes(cgroup).into_iter();
    let pids = pids.filter(|pid| *pid != std::process::id());
    pids.filter_map(|pid| pid_t::try_from(pid).ok()).collect()
}

/// Kills the other processes of the cgroup, and the processes that they start in the meantime.
pub fn kill_others(cgroup: &Path) {
    for _ in 0..MAX_KILLS {
        let others = others(cgroup);
        if others.is_empty() {
            return;
        }
        others
            .into_iter()
            .for_each(|pid| signal(pid, Signal::SIGKILL));
    }
}

/// Signals a process, which may have ended.
pub fn signal(pid: pid_t, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
