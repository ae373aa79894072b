// SPDX-License-Identifier: Apache-2.0
//! Faults at the boundary between PID 1 and the kernel, by ptrace(2).
//!
//! Every system call of PID 1 is counted from its exec on, and those that the
//! plan names are not made: at entry the call's number becomes one that does not
//! exist, at exit its result becomes the errno (close(2) is made, and only said to
//! have failed: Linux always closes). Of its children, and theirs, it is
//! the calls before they execute something: those are PID 1's own program.
#![expect(unsafe_code, reason = "ptrace")]

use std::ffi::{c_int, c_void};

use anyhow::{Result, bail};

use super::running::{End, end};
use super::step::errno;
use super::syscalls::{self, Class};

/// What is to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: the calls are written down.
    Record,
    /// The call of this number alone, with the errno that is at this place (of
    /// as many as there are) in the call's row.
    One(usize, usize),
    /// From the call of this number on, every one of a class.
    From(usize, Class),
    /// Nothing: the calls of the children are written down.
    RecordChildren,
    /// Of the child of this number (of all, in the order in which they come) the
    /// call of this number, with the errno at this place.
    Child(usize, usize, usize),
}

impl Plan {
    /// Whether children are of interest.
    fn children(&self) -> bool {
        matches!(self, Plan::RecordChildren | Plan::Child(..))
    }
}

/// A call as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number in the kernel's table.
    pub number: i64,
    /// The path, or the first bytes, that it was about.
    pub about: String,
    /// What it was made to fail with; 0 if it was not.
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

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// How many calls were made, as far as they were counted.
    pub count: usize,
    /// All of them with [`Plan::Record`]; else the first sixteen that failed.
    pub calls: Vec<Call>,
    /// How often PID 1 executed itself again.
    pub execs: usize,
    /// With [`Plan::RecordChildren`] those of each child.
    pub children: Vec<Vec<Call>>,
}

/// Takes hold of a child that has not been executed yet.
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

/// Follows it to its end. Of the thread that seized it.
pub(super) fn run(pid: libc::pid_t, plan: &Plan) -> (End, Trace) {
    let mut tracer = Tracer {
        plan: *plan,
        trace: Trace::default(),
        tasks: vec![Task::new(pid)],
    };
    // Not what other threads trace.
    let flags = libc::__WALL | libc::__WNOTHREAD;
    loop {
        let mut status = 0;
        // SAFETY: a place for the status.
        let got = unsafe { libc::waitpid(-1, &raw mut status, flags) };
        let over = libc::WIFEXITED(status) || libc::WIFSIGNALED(status);
        match got {
            1.. if over && got == pid => return (end(status), tracer.trace),
            1.. if !over => tracer.stop(got, status),
            _ => {} // a child's end, or EINTR
        }
    }
}

/// A process that is followed.
struct Task {
    pid: libc::pid_t,
    /// The errno of the call that is being made to fail.
    failing: Option<c_int>,
    /// PID 1 is of interest from its exec on, a child until then.
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
    /// PID 1, and then all that came from it.
    tasks: Vec<Task>,
}

impl Tracer {
    /// Looks at a stop and lets it go on.
    fn stop(&mut self, pid: libc::pid_t, status: c_int) {
        // A child is first seen here: its parent's word on it says no more.
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
        // SAFETY: integers. ESRCH: killed meanwhile, which the next wait tells.
        unsafe { libc::ptrace(how, pid, 0usize, signal as usize) };
    }

    /// Whether system calls of a task are of interest yet, and still.
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

    /// What a stop is about; the signal to deliver, if it was one.
    fn stopped(&mut self, at: usize, status: c_int) -> c_int {
        let signal = libc::WSTOPSIG(status);
        match (signal, status >> 16) {
            (_, libc::PTRACE_EVENT_EXEC) => {
                if let Some(task) = self.tasks.get_mut(at) {
                    // A call that was to fail and was an exec does not come back.
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
                    // A close(2) that says EIO or EINTR has closed all the same.
                    if info.words[0] as i64 != libc::SYS_close {
                        set_number(pid);
                    }
                }
            }
            (EXIT, Some(errno)) => set_result(task.pid, errno),
            _ => {}
        }
    }

    /// A call begins; what it is to fail with, if it is to fail.
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

/// The text that a call is about: its path, or what it writes.
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

/// `struct ptrace_syscall_info` (include/uapi/linux/ptrace.h), with the union as
/// what an entry has in it: number and six words.
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
    bytes.truncate(read.unwrap_or(0)); // it may end at the end of a mapping
    bytes
}

#[cfg(target_arch = "x86_64")]
fn registers(pid: libc::pid_t, change: impl FnOnce(&mut libc::user_regs_struct)) {
    // SAFETY: a structure of the kernel's layout, for a stopped tracee of ours.
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
