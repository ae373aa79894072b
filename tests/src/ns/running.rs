// SPDX-License-Identifier: Apache-2.0
//! A running namespace.
#![expect(unsafe_code, reason = "signals by pidfd, waiting")]

use std::ffi::c_int;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::{Command, Output};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Namespace;
use super::child::Child;
use super::end::{End, end};
use super::inject::{self, Trace};

/// Numbers of poll(2): of the call, and of its continuation after a signal (restart_syscall(2)).
#[cfg(target_arch = "x86_64")]
const POLL: [libc::c_long; 2] = [libc::SYS_poll, libc::SYS_restart_syscall];
#[cfg(not(target_arch = "x86_64"))]
const POLL: [libc::c_long; 2] = [libc::SYS_ppoll, libc::SYS_restart_syscall];

/// State that the threads around PID 1 share.
#[derive(Default)]
struct Known {
    output: Vec<u8>,
    last_output: Option<Instant>,
    end: Option<End>,
    trace: Trace,
}

#[derive(Default)]
struct Shared(Mutex<Known>, Condvar);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running PID 1, its output and its end. Drop kills PID 1 and every process in its namespace.
pub struct Running {
    pid: libc::pid_t,
    pidfd: OwnedFd,
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
    started: Instant,
}

impl Running {
    pub(super) fn start(ns: &Namespace) -> Result<Running> {
        let child = Child::prepare(ns)?;
        let started = Instant::now();
        let shared = Arc::<Shared>::default();
        let (tell, told) = std::sync::mpsc::channel();
        let (ours, plan) = (shared.clone(), ns.plan);
        // One thread is parent and tracer: both are properties of a thread, and the child dies with
        // its parent thread (PR_SET_PDEATHSIG).
        let keeper = std::thread::spawn(move || keep(child, plan, &ours, &tell));
        let (pid, pidfd) = told.recv().context("the thread that clones has ended")??;
        Ok(Running {
            pid,
            pidfd,
            shared,
            keeper: Some(keeper),
            started,
        })
    }

    /// Returns the pid outside the namespace.
    pub fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// Returns the time since just before clone(2), which made the namespaces.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns the time since the last output, or since the start.
    pub fn silent_for(&self) -> Duration {
        let last = self.shared.lock().last_output;
        last.unwrap_or(self.started).elapsed()
    }

    /// Returns the output so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.shared.lock().output).into_owned()
    }

    /// Waits until the output contains `text` in a complete line.
    pub fn says(&self, text: &str, limit: Duration) -> Result<()> {
        let said = |k: &Known| {
            let all = String::from_utf8_lossy(&k.output).into_owned();
            all.find(text).is_some_and(|at| all[at..].contains('\n'))
        };
        let known = self.until(limit, |k| said(k) || k.end.is_some());
        if said(&known) {
            return Ok(());
        }
        bail!(
            "not said: {text:?}; ended: {:?}; said:\n{}",
            known.end,
            String::from_utf8_lossy(&known.output)
        )
    }

    /// Waits until PID 1 has ended.
    pub fn end(&self, limit: Duration) -> Result<End> {
        let known = self.until(limit, |k| k.end.is_some());
        known.end.with_context(|| {
            let said = String::from_utf8_lossy(&known.output).into_owned();
            format!("still there after {limit:?}; said:\n{said}")
        })
    }

    /// Returns the status of PID 1, if PID 1 has ended.
    pub fn ended(&self) -> Option<End> {
        self.shared.lock().end
    }

    /// Waits until `done` returns true, for at most `limit`.
    fn until(&self, limit: Duration, done: impl Fn(&Known) -> bool) -> MutexGuard<'_, Known> {
        let deadline = Instant::now() + limit;
        let mut known = self.shared.lock();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if done(&known) || left.is_zero() {
                return known;
            }
            let woken = self.shared.1.wait_timeout(known, left);
            known = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Returns the injector's record, which is complete once PID 1 has ended.
    pub fn trace(&self) -> Trace {
        self.shared.lock().trace.clone()
    }

    /// Sends PID 1 a signal.
    pub fn signal(&self, signal: c_int) -> Result<()> {
        let fd = self.pidfd.as_raw_fd();
        // SAFETY: a live descriptor; no siginfo.
        let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, 0, 0) };
        if sent < 0 {
            bail!("signal {signal}: {}", std::io::Error::last_os_error());
        }
        Ok(())
    }

    /// Makes PID 1 crash by a fault of its own: clears its stack while PID 1 waits for events (proc_pid_syscall(5),
    /// proc_pid_mem(5)), and wakes it. PID 1 is stopped meanwhile: it would obey no SIGSTOP of its own namespace
    /// (pid_namespaces(7)), and is not traced.
    pub fn crash(&self) -> Result<()> {
        crate::eventually(super::LIMIT, || {
            self.signal(libc::SIGSTOP)?;
            let cleared = self.clear_stack();
            self.signal(libc::SIGCONT)?;
            cleared
        })
    }

    /// Clears the stack of PID 1, which is about to stop.
    fn clear_stack(&self) -> Result<()> {
        crate::eventually(super::LIMIT, || {
            ensure!(self.about("status")?.contains("State:\tT"), "it runs");
            Ok(())
        })?;
        let text = self.about("syscall")?;
        let number = text.split_whitespace().next().unwrap_or_default();
        let waits = number.parse().is_ok_and(|number| POLL.contains(&number));
        ensure!(waits, "PID 1 is at work: {text}");
        let word = text.split_whitespace().rev().nth(1).unwrap_or_default();
        let digits = word.strip_prefix("0x").context("no stack pointer")?;
        let memory = format!("/proc/{}/mem", self.pid);
        let memory = fs::OpenOptions::new().write(true).open(&memory)?;
        let at = u64::from_str_radix(digits, 16)?;
        Ok(memory.write_all_at(&[0; crate::CRASH_BYTES], at)?)
    }

    /// Reads a file of PID 1's root.
    pub fn read(&self, path: &str) -> Result<String> {
        let path = format!("/proc/{}/root{path}", self.pid);
        fs::read_to_string(&path).context(path)
    }

    /// Reads a file of /proc/PID of PID 1, in the host's procfs.
    pub fn about(&self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/{name}", self.pid);
        fs::read_to_string(&path).context(path)
    }

    /// Returns a number of /proc/PID/status.
    pub fn status(&self, key: &str) -> Result<u64> {
        let text = self.about("status")?;
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(key)?.strip_prefix(':'));
        let word = line.and_then(|l| l.split_whitespace().next());
        Ok(word.with_context(|| format!("no {key}"))?.parse()?)
    }

    /// Returns the command that runs `argv` as root in the namespace.
    pub fn command(&self, argv: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.pid))
            .args([
                "--user", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
            ])
            .args(["--root", "--wd", "--setuid=0", "--setgid=0", "--"])
            .args(argv)
            .env_clear()
            .env("PATH", "/usr/bin:/usr/sbin");
        command
    }

    /// Returns the pids of zombies in the namespace.
    pub fn zombies(&self) -> Result<Vec<u32>> {
        let proc = format!("/proc/{}/root/proc", self.pid);
        let mut all = Vec::new();
        for entry in fs::read_dir(&proc).context(proc)?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
                continue;
            };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            if stat
                .rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('Z'))
            {
                all.push(pid);
            }
        }
        Ok(all)
    }

    /// Returns the processor time that PID 1 has used (/proc/PID/schedstat).
    pub fn cpu(&self) -> Result<Duration> {
        let text = self.about("schedstat")?;
        let word = text
            .split_whitespace()
            .next()
            .context("an empty schedstat")?;
        Ok(Duration::from_nanos(word.parse()?))
    }

    /// Runs a shell script in the namespace and returns its output.
    pub fn sh(&self, script: &str) -> Result<Output> {
        self.command(&["/bin/sh", "-c", script])
            .output()
            .context("nsenter (Debian's util-linux)")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.signal(libc::SIGKILL); // ended already
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join(); // its panic has been printed
        }
    }
}

type Told = std::sync::mpsc::Sender<Result<(libc::pid_t, OwnedFd)>>;

/// Runs as parent and tracer of one PID 1, from its first to its last moment.
fn keep(child: Child, plan: Option<inject::Plan>, shared: &Arc<Shared>, tell: &Told) {
    let (pid, output) = match child.start(plan.as_ref()) {
        Ok((pid, pidfd, output)) => {
            if tell.send(Ok((pid, pidfd))).is_err() {
                return; // the caller is gone: PID 1 dies with this thread
            }
            (pid, output)
        }
        Err(e) => {
            let _ = tell.send(Err(e));
            return;
        }
    };
    let ours = shared.clone();
    let reader = std::thread::spawn(move || listen(output, &ours));
    let (end, trace) = match plan {
        Some(plan) => inject::run(pid, &plan),
        None => (wait(pid), Trace::default()),
    };
    // The last output is still in the pipe.
    let _ = reader.join();
    let mut known = shared.lock();
    (known.end, known.trace) = (Some(end), trace);
    shared.1.notify_all();
}

fn listen(mut output: File, shared: &Shared) {
    let mut bytes = [0; 4096];
    while let Ok(n @ 1..) = output.read(&mut bytes) {
        let mut known = shared.lock();
        known.output.extend_from_slice(&bytes[..n]);
        known.last_output = Some(Instant::now());
        drop(known);
        shared.1.notify_all();
    }
}

fn wait(pid: libc::pid_t) -> End {
    let mut status = 0;
    // SAFETY: a child of this thread, and a valid place for its status.
    while unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) } != pid {}
    end(status)
}
