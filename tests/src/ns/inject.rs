// SPDX-License-Identifier: Apache-2.0
//! Faults at the boundary between PID 1 and the kernel, by ptrace(2).
//!
//! Every system call of PID 1 is counted from its exec on, and those that the plan names are not
//! made: at entry the call's number is replaced by one that does not exist, at exit its result is
//! replaced by the errno. (close(2) is made and only reported as failed: Linux always closes.) In
//! children of PID 1, and in further descendants, the calls before execve(2) count, because until
//! then a child runs PID 1's own program.
#![expect(unsafe_code, reason = "ptrace")]

use std::ffi::{c_int, c_void};

use anyhow::{Result, bail};

use super::end::{End, end};
use super::step::errno;
use super::syscalls::{self, Class};

/// Faults to inject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// No fault; every call is recorded.
    Record,
    /// The call of this number alone, with the errno at this index (modulo the count) of the call's
    /// row.
    One(usize, usize),
    /// Every call of a class, from the call of this number on.
    From(usize, Class),
    /// No fault; the calls of children are recorded.
    RecordChildren,
    /// In the child of this number (in order of appearance), the call of this number, with the
    /// errno at this index.
    Child(usize, usize, usize),
}

impl Plan {
    /// Returns true if the plan concerns children.
    fn children(&self) -> bool {
        matches!(self, Plan::RecordChildren | Plan::Child(..))
    }
}

/// A system call of PID 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Number in the kernel's table.
    pub number: i64,
    /// Path or first bytes of the call's argument.
    pub about: String,
    /// Injected errno; 0 if none.
    pub errno: c_int,
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({})", syscalls::name(self.number), self.about)?;
        if self.errno != 0 {
            write!(f, " = {}", std::io::Error::from_raw_os_error(self.errno))?;
        }
        Ok(())
    }
}

/// Record of a traced PID 1.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Number of calls that were counted.
    pub count: usize,
    /// All calls with [`Plan::Record`]; otherwise the first sixteen that failed.
    pub calls: Vec<Call>,
    /// Number of times that PID 1 executed itself again.
    pub execs: usize,
    /// With [`Plan::RecordChildren`], the calls of each child.
    pub children: Vec<Vec<Call>>,
}

/// Attaches to a child that has not executed PID 1 yet.
pub(super) fn seize(pid: libc::pid_t, plan: &Plan) -> Result<()> {
    let mut options =
        libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_EXITKILL;
    if plan.children() {
        options |= libc::PTRACE_O_TRACEFORK;
    }
    // SAFETY: integers.
    let done = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0usize, options as usize) };
    if done < 0 {
        bail!("ptrace: {}", std::io::Error::from_raw_os_error(errno()));
    }
    Ok(())
}

/// Traces PID 1 to its end. The thread that attached to PID 1 calls the function.
pub(super) fn run(pid: libc::pid_t, plan: &Plan) -> (End, Trace) {
    let mut tracer = Tracer {
        plan: *plan,
        trace: Trace::default(),
        tasks: vec![Task::new(pid)],
    };
    // Without __WNOTHREAD, tracees of other threads would be reported, too.
    let flags = libc::__WALL | libc::__WNOTHREAD;
    loop {
        let mut status = 0;
        // SAFETY: a valid place for the status.
        let got = unsafe { libc::waitpid(-1, &raw mut status, flags) };
        let over = libc::WIFEXITED(status) || libc::WIFSIGNALED(status);
        match got {
            1.. if over && got == pid => return (end(status), tracer.trace),
            1.. if !over => tracer.stop(got, status),
            _ => {} // a child's end, or EINTR
        }
    }
}

/// A traced process.
struct Task {
    pid: libc::pid_t,
    /// Errno of the call that is being made to fail.
    failing: Option<c_int>,
    /// True for PID 1 after its exec; for a child, until its exec.
    started: bool,
    count: usize,
}

impl Task {
    fn new(pid: libc::pid_t) -> Task {
        Task {
            pid,
            failing: None,
            started: false,
            count: 0,
        }
    }
}

struct Tracer {
    plan: Plan,
    trace: Trace,
    /// PID 1 first, then all its descendants.
    tasks: Vec<Task>,
}

impl Tracer {
    /// Handles a stop and resumes the process.
    fn stop(&mut self, pid: libc::pid_t, status: c_int) {
        // A child is first seen at its own stop; the fork event of its parent adds nothing.
        let known = self.tasks.iter().position(|t| t.pid == pid);
        let at = known.unwrap_or_else(|| {
            self.tasks.push(Task::new(pid));
            self.tasks.len() - 1
        });
        let signal = self.stopped(at, status);
        let how = match status >> 16 {
            libc::PTRACE_EVENT_EXEC if at > 0 => libc::PTRACE_DETACH,
            _ if self.watching(at) => libc::PTRACE_SYSCALL,
            _ => libc::PTRACE_CONT,
        };
        // SAFETY: integers. On ESRCH, the process was killed meanwhile, which the next wait
        // reports.
        unsafe { libc::ptrace(how, pid, 0usize, signal as usize) };
    }

    /// Returns true while system calls of a task count.
    fn watching(&self, at: usize) -> bool {
        let Some(task) = self.tasks.get(at) else {
            return false;
        };
        let done = |call| task.count >= call && task.failing.is_none();
        match self.plan {
            Plan::Record | Plan::From(..) => task.started,
            Plan::One(call, _) => task.started && !done(call),
            Plan::RecordChildren => at > 0,
            Plan::Child(child, call, _) => at == child && !done(call),
        }
    }

    /// Handles the cause of a stop; returns the signal to deliver, if a signal caused the stop.
    fn stopped(&mut self, at: usize, status: c_int) -> c_int {
        let signal = libc::WSTOPSIG(status);
        match (signal, status >> 16) {
            (_, libc::PTRACE_EVENT_EXEC) => {
                if let Some(task) = self.tasks.get_mut(at) {
                    // An exec that was to fail does not return with an error.
                    self.trace.execs += usize::from(at == 0 && task.started);
                    (task.started, task.failing) = (true, None);
                }
                0
            }
            (_, event) if event != 0 => 0,
            (s, _) if s == libc::SIGTRAP | 0x80 => {
                self.call(at);
                0
            }
            (s, _) => s,
        }
    }

    fn call(&mut self, at: usize) {
        let Some(task) = self.tasks.get_mut(at) else {
            return;
        };
        let Some(info) = info(task.pid) else { return };
        match (info.op, task.failing.take()) {
            (ENTRY, _) => {
                task.count += 1;
                let (pid, count) = (task.pid, task.count);
                let failing = self.entry(at, pid, count, &info);
                if let (Some(task), Some(_)) = (self.tasks.get_mut(at), failing) {
                    task.failing = failing;
                    // A close(2) that reports EIO or EINTR has still closed the descriptor.
                    if info.words[0] as i64 != libc::SYS_close {
                        set_number(pid);
                    }
                }
            }
            (EXIT, Some(errno)) => set_result(task.pid, errno),
            _ => {}
        }
    }

    /// Handles the entry of a call; returns the errno of an injected failure, if any.
    fn entry(&mut self, at: usize, pid: libc::pid_t, count: usize, info: &Info) -> Option<c_int> {
        let number = info.words[0] as i64;
        let errnos = syscalls::errnos(number);
        let one = |which: usize| errnos.get(which % errnos.len().max(1)).copied();
        let errno = match self.plan {
            Plan::One(call, which) if call == count => one(which),
            Plan::Child(_, call, which) if call == count => one(which),
            Plan::From(call, class) if count >= call && class.has(number) => Some(class.errno()),
            _ => None,
        };
        let call = || Call {
            number,
            about: about(pid, number, &info.words),
            errno: errno.unwrap_or(0),
        };
        match self.plan {
            Plan::Record => self.trace.calls.push(call()),
            Plan::RecordChildren => {
                let all = &mut self.trace.children;
                all.resize(all.len().max(at), Vec::new());
                all[at - 1].push(call());
            }
            _ if errno.is_some() && self.trace.calls.len() < 16 => self.trace.calls.push(call()),
            _ => {}
        }
        if at == 0 {
            self.trace.count = count;
        }
        errno
    }
}

/// Returns the text that a call refers to: its path, or the written data.
fn about(pid: libc::pid_t, number: i64, words: &[u64; 7]) -> String {
    let name = syscalls::name(number);
    let (at, length) = match name.as_str() {
        "write" => (words[2], words[3].min(120)),
        "open" | "stat" | "lstat" | "readlink" | "mkdir" | "rmdir" | "unlink" | "rename"
        | "mknod" | "chmod" | "chown" | "access" | "execve" | "statfs" | "chdir" => (words[1], 120),
        "mount" => (words[2], 120),
        "openat" | "statx" | "newfstatat" | "readlinkat" | "mkdirat" | "unlinkat" | "fchmodat"
        | "fchownat" | "mknodat" | "renameat" => (words[2], 120),
        "symlink" | "symlinkat" => (words[if name == "symlink" { 2 } else { 3 }], 120),
        _ => return String::new(),
    };
    let mut bytes = peek(pid, at, length as usize);
    if name != "write" {
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        bytes.truncate(end);
    }
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

/// Layout of `struct ptrace_syscall_info` (include/uapi/linux/ptrace.h), with the union as at an
/// entry: number and six arguments.
#[repr(C)]
#[derive(Default)]
struct Info {
    op: u8,
    arch: u32,
    instruction: u64,
    stack: u64,
    words: [u64; 7],
    rest: [u64; 2],
}
const ENTRY: u8 = 1;
const EXIT: u8 = 2;

fn info(pid: libc::pid_t) -> Option<Info> {
    let mut info = Info::default();
    let place = (&raw mut info).cast::<c_void>();
    // SAFETY: a structure of the size that is given.
    let got = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size_of::<Info>(), place) };
    (got > 0).then_some(info)
}

fn peek(pid: libc::pid_t, at: u64, length: usize) -> Vec<u8> {
    let path = format!("/proc/{pid}/mem");
    let mut bytes = vec![0; length];
    let read = std::fs::File::open(path)
        .and_then(|f| std::os::unix::fs::FileExt::read_at(&f, &mut bytes, at));
    bytes.truncate(read.unwrap_or(0)); // a read may end at the end of a mapping
    bytes
}

#[cfg(target_arch = "x86_64")]
fn registers(pid: libc::pid_t, change: impl FnOnce(&mut libc::user_regs_struct)) {
    // SAFETY: a structure of the kernel's layout, for a stopped tracee of this thread.
    unsafe {
        let mut all: libc::user_regs_struct = std::mem::zeroed();
        if libc::ptrace(libc::PTRACE_GETREGS, pid, 0usize, &raw mut all) == 0 {
            change(&mut all);
            libc::ptrace(libc::PTRACE_SETREGS, pid, 0usize, &raw const all);
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn set_number(pid: libc::pid_t) {
    registers(pid, |r| r.orig_rax = u64::MAX);
}

#[cfg(target_arch = "x86_64")]
fn set_result(pid: libc::pid_t, errno: c_int) {
    registers(pid, |r| r.rax = -i64::from(errno) as u64);
}

#[cfg(not(target_arch = "x86_64"))]
compile_error!("a register of system calls is to be written here: NT_ARM_SYSTEM_CALL and x0");
