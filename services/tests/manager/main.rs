// SPDX-License-Identifier: Apache-2.0
//! The manager with real children, in a loop like that of PID 1. The tests are a separate program,
//! because the loop reaps every child of its process.
#![expect(unsafe_code, reason = "poll(2)")]
#![expect(clippy::unwrap_used, reason = "a test")]
#![expect(clippy::disallowed_methods, reason = "a child that is none of its own")]

mod cgroups;
mod changes;
mod output;
mod readiness;
mod service_files;
mod sockets;
mod stopping;

use std::fs;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::time::Instant;

use services::{Input, Manager, Millis, ServiceDef, ServiceId, ServiceStatus, State, reap};

/// Held by the test that has a manager.
static ONE: Mutex<()> = Mutex::new(());
/// Lines that services and the manager logged.
static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now() -> Millis {
    1_000_000 + START.elapsed().as_millis() as Millis
}

fn sink(name: &str, line: &[u8]) {
    let line = format!("{name}: {}", String::from_utf8_lossy(line));
    LOGGED.lock().unwrap().push(line);
}

/// Logger for the manager's own lines.
struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LOGGED.lock().unwrap().push(format!("{}", record.args()));
    }

    fn flush(&self) {}
}

fn logged() -> Vec<String> {
    LOGGED.lock().unwrap().clone()
}

fn was_logged(text: &str) -> bool {
    LOGGED.lock().unwrap().iter().any(|l| l == text)
}

/// A manager, and a directory that looks like a cgroup.
struct World {
    m: Manager,
    turns: usize,
    cgroups: PathBuf,
    _one: MutexGuard<'static, ()>,
}

impl World {
    fn new(definitions: Vec<ServiceDef>) -> World {
        let one = ONE.lock().unwrap_or_else(|e| e.into_inner());
        LOGGED.lock().unwrap().clear();
        if log::set_logger(&Log).is_ok() {
            log::set_max_level(log::LevelFilter::Warn);
        }
        let cgroups = std::env::temp_dir().join(format!("manager-{}", std::process::id()));
        let _ = fs::remove_dir_all(&cgroups);
        World::within(one, cgroups, definitions)
    }

    fn within(
        one: MutexGuard<'static, ()>,
        cgroups: PathBuf,
        definitions: Vec<ServiceDef>,
    ) -> World {
        let real = cgroups.join("cgroup.procs").exists();
        for def in definitions.iter().filter(|_| !real) {
            fs::create_dir_all(cgroups.join(def.name)).unwrap();
            for file in ["cgroup.procs", "cgroup.kill", "cgroup.freeze", "memory.max"] {
                fs::write(cgroups.join(def.name).join(file), "").unwrap();
            }
        }
        let m = Manager::new(definitions, Some(&cgroups), sink);
        World {
            m,
            turns: 0,
            cgroups,
            _one: one,
        }
    }

    fn input(&mut self, input: Input) {
        self.m.note(now(), input);
        self.m.settle_all(now());
    }

    fn report(&self) -> Vec<ServiceStatus> {
        let s = self.m.supervisor();
        s.ids().map(|id| ServiceStatus::of(s, id)).collect()
    }

    fn state(&self, id: ServiceId) -> State {
        self.m.supervisor().state(id)
    }

    /// Waits for one event, at most `limit` milliseconds, and settles.
    fn turn(&mut self, limit: Millis) {
        self.wait(limit);
        self.m.settle_all(now());
    }

    /// Waits for one event, at most `limit` milliseconds, and notes the event.
    fn wait(&mut self, limit: Millis) {
        self.turns += 1;
        let until_deadline = |at: Millis| at.saturating_sub(now()) + 1;
        let wait = self.m.deadline().map_or(limit, until_deadline);
        // Without a signalfd, children are reaped every few milliseconds.
        let wait = wait.min(limit).min(5) as i32;
        let watched = self.m.watched();
        let (tokens, mut fds): (Vec<_>, Vec<_>) = watched
            .iter()
            .map(|(token, fd)| {
                let fd = libc::pollfd {
                    fd: fd.as_raw_fd(),
                    events: libc::POLLIN,
                    revents: 0,
                };
                (*token, fd)
            })
            .unzip();
        // SAFETY: the array outlives the call.
        unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, wait) };
        for (token, _) in tokens.iter().zip(&fds).filter(|(_, fd)| fd.revents != 0) {
            self.m.readable(now(), *token);
        }
        while reap::drain(|pid, status| {
            self.m.exited(now(), pid, status);
        }) {}
        self.m.tick(now());
    }

    /// Runs the loop until `condition` holds, at most 20 seconds.
    fn until(&mut self, what: &str, condition: impl Fn(&World) -> bool) {
        let end = now() + 20_000;
        while !condition(self) {
            assert!(now() < end, "{what}: {:?}", self.report());
            self.turn(50);
        }
    }

    fn stop_all(&mut self) {
        self.input(Input::StopAll);
        self.until("all stopped", |w| w.m.supervisor().at_rest());
    }

    fn file(&self, path: &str) -> String {
        fs::read_to_string(self.cgroups.join(path)).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.input(Input::StopAll);
        for id in self.m.supervisor().ids() {
            if let Some(pid) = self.state(id).pid() {
                // SAFETY: a child of this process that is not reaped yet.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
        let end = now() + 5_000;
        while !self.m.supervisor().at_rest() && now() < end {
            self.turn(50);
        }
        let _ = fs::remove_dir_all(&self.cgroups);
    }
}

fn id(index: usize) -> ServiceId {
    ServiceId::new(index)
}

fn up(id: ServiceId) -> impl Fn(&World) -> bool {
    move |w| matches!(w.state(id), State::Up { .. })
}

fn is(id: ServiceId, state: State) -> impl Fn(&World) -> bool {
    move |w| w.state(id) == state
}

fn shell(name: &'static str, script: &str) -> ServiceDef {
    let script: &'static str = script.to_owned().leak();
    ServiceDef {
        name,
        argv: vec!["/bin/sh", "-c", script].leak(),
        ..ServiceDef::DEFAULT
    }
}
