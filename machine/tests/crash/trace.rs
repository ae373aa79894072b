// SPDX-License-Identifier: Apache-2.0
//! A process that is killed at one of its system calls.

use crate::host::{Host, PROGRAM};
use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Traces a process with its threads; children are left alone.
const OPTIONS: Options = Options::PTRACE_O_TRACESYSGOOD
    .union(Options::PTRACE_O_TRACEEXEC)
    .union(Options::PTRACE_O_TRACECLONE)
    .union(Options::PTRACE_O_EXITKILL);

/// Starts the program by a shell that stops itself until it is traced; returns the pid.
pub fn start(host: &Host, line: &str) -> Result<Pid> {
    let mut command = Command::new("sh");
    command.args(["-c", "kill -STOP $$; exec \"$0\" \"$@\"", PROGRAM]);
    host.set(command.args(line.split(' ')));
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    let child = command.spawn()?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
    ensure!(matches!(stopped, WaitStatus::Stopped(..)), "{stopped:?}");
    ptrace::seize(pid, OPTIONS)?;
    kill(pid, Signal::SIGCONT)?;
    Ok(pid)
}

/// Tells whether a process has not ended.
pub fn is_alive(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Begins to trace a process that runs, with all its threads.
pub fn attach(pid: Pid) -> Result<()> {
    let mut known = Vec::new();
    loop {
        let before = known.len();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let tid: i32 = task?.file_name().to_string_lossy().parse()?;
            if known.contains(&tid) {
                continue;
            }
            known.push(tid);
            match ptrace::seize(Pid::from_raw(tid), OPTIONS) {
                Ok(()) => ptrace::interrupt(Pid::from_raw(tid))?,
                // It has ended, or a thread that was traced has made it.
                Err(Errno::ESRCH | Errno::EPERM) => {}
                Err(error) => return Err(error).context("seize"),
            }
        }
        if known.len() == before {
            return Ok(());
        }
    }
}

/// Signal for a process at the entry of one of its system calls.
#[derive(Clone, Copy, Debug)]
pub struct Shot {
    /// Number of the call, from 1 on.
    pub at: usize,
    /// Signal.
    pub signal: Signal,
}

impl Shot {
    /// Signal that never comes.
    pub const NONE: Self = Self::kill(usize::MAX);

    pub const fn kill(at: usize) -> Self {
        Self {
            at,
            signal: Signal::SIGKILL,
        }
    }
}

/// Follows a process to its end, and sends it a signal at one of its calls, counted from its exec on
/// unless it is the `program` already. Returns the number of calls, and the end.
pub fn follow(root: Pid, shot: Shot, program: bool) -> Result<(usize, WaitStatus)> {
    let mut calls = 0;
    let end = follow_by(root, program, &mut |_| {
        calls += 1;
        if calls == shot.at {
            kill(root, shot.signal)?;
        }
        Ok(())
    })?;
    Ok((calls, end))
}

/// Follows a process to its end; `entered` is told the thread that enters a call.
fn follow_by(
    root: Pid,
    mut program: bool,
    entered: &mut dyn FnMut(Pid) -> Result<()>,
) -> Result<WaitStatus> {
    loop {
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let status = waitpid(None, Some(flags))?;
        let (pid, signal) = match status {
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) if pid == root => {
                return Ok(status);
            }
            WaitStatus::PtraceEvent(pid, _, event) => {
                program |= event == libc::PTRACE_EVENT_EXEC;
                (pid, None)
            }
            WaitStatus::PtraceSyscall(pid) => {
                if program && enters(pid) {
                    entered(pid)?;
                }
                (pid, None)
            }
            WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
            _ => continue,
        };
        match ptrace::syscall(pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error).context("ptrace"),
        }
    }
}

fn enters(pid: Pid) -> bool {
    ptrace::syscall_info(pid).is_ok_and(|info| info.op == libc::PTRACE_SYSCALL_INFO_ENTRY)
}

/// Call that brings something to the disk, or gives it a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flush {
    /// fsync(2) of the file or directory with this path.
    Sync(PathBuf),
    /// rename(2) of this path.
    Rename(PathBuf),
}

/// Runs a command, and returns its flushes in their order.
pub fn flushes(host: &Host, line: &str) -> Result<Vec<Flush>> {
    let mut list = Vec::new();
    let end = follow_by(start(host, line)?, false, &mut |pid| {
        list.extend(flush(pid)?);
        Ok(())
    })?;
    ensure!(matches!(end, WaitStatus::Exited(_, 0)), "{line}: {end:?}");
    Ok(list)
}

/// Returns the flush that a thread is about to make, if its call is one.
fn flush(pid: Pid) -> Result<Option<Flush>> {
    // Number and arguments of the call that the thread is in (proc(5)).
    let text = fs::read_to_string(format!("/proc/{pid}/syscall"))?;
    let mut words = text.split(' ');
    let number: i64 = words.next().context("no number")?.parse()?;
    let first = words.next().context("no argument")?;
    let first = u64::from_str_radix(first.trim_start_matches("0x"), 16)?;
    Ok(match number {
        libc::SYS_fsync => Some(Flush::Sync(fs::read_link(format!(
            "/proc/{pid}/fd/{first}"
        ))?)),
        libc::SYS_rename => {
            let mut path = vec![0; 4096];
            let len = fs::File::open(format!("/proc/{pid}/mem"))?.read_at(&mut path, first)?;
            path.truncate(len);
            let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
            Some(Flush::Rename(OsStr::from_bytes(path).into()))
        }
        _ => None,
    })
}
