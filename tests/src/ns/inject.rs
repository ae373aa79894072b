//! Faults at the boundary between PID 1 and the kernel, by ptrace(2).
//!
//! Every system call of PID 1 (not of its children) is counted from its exec
//! on, and those that the plan names are not made: at entry the call's number
//! becomes one that does not exist, at exit its result becomes the errno.
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
}

/// Takes hold of a child that has not been executed yet.
pub(super) fn seize(pid: libc::pid_t) -> Result<()> {
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_EXITKILL;
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
        pid,
        plan: *plan,
        trace: Trace::default(),
        failing: None,
        started: false,
    };
    loop {
        let mut status = 0;
        // SAFETY: a place for the status.
        let got = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
        if got != pid {
            continue; // EINTR
        }
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            return (end(status), tracer.trace);
        }
        let signal = tracer.stopped(status);
        let how = if tracer.watching() {
            libc::PTRACE_SYSCALL
        } else {
            libc::PTRACE_CONT
        };
        // SAFETY: integers. ESRCH: killed meanwhile, which the next wait tells.
        unsafe { libc::ptrace(how, pid, 0usize, signal as usize) };
    }
}

struct Tracer {
    pid: libc::pid_t,
    plan: Plan,
    trace: Trace,
    /// The errno of the call that is being made to fail.
    failing: Option<c_int>,
    started: bool,
}

impl Tracer {
    /// Whether system calls are of interest yet, and still.
    fn watching(&self) -> bool {
        let done = matches!(self.plan, Plan::One(at, _) if self.trace.count >= at);
        self.started && !(done && self.failing.is_none())
    }

    /// Looks at a stop; the signal to deliver, if it was one.
    fn stopped(&mut self, status: c_int) -> c_int {
        let signal = libc::WSTOPSIG(status);
        match (signal, status >> 16) {
            (_, libc::PTRACE_EVENT_EXEC) => {
                // A call that was to fail and was an exec does not come back.
                self.trace.execs += usize::from(self.started);
                (self.started, self.failing) = (true, None);
                0
            }
            (_, event) if event != 0 => 0,
            (s, _) if s == libc::SIGTRAP | 0x80 => {
                self.call();
                0
            }
            (s, _) => s,
        }
    }

    fn call(&mut self) {
        let Some(info) = info(self.pid) else { return };
        match (info.op, self.failing.take()) {
            (ENTRY, _) => self.entry(&info),
            (EXIT, Some(errno)) => set_result(self.pid, errno),
            _ => {}
        }
    }

    fn entry(&mut self, info: &Info) {
        self.trace.count += 1;
        let number = info.words[0] as i64;
        let errnos = syscalls::errnos(number);
        let errno = match self.plan {
            Plan::One(at, which) if at == self.trace.count && !errnos.is_empty() => {
                Some(errnos[which % errnos.len()])
            }
            Plan::From(at, class) if self.trace.count >= at && class.has(number) => {
                Some(class.errno())
            }
            _ => None,
        };
        let record = self.plan == Plan::Record || self.trace.calls.len() < 16 && errno.is_some();
        if record {
            let about = self.about(number, &info.words);
            let errno = errno.unwrap_or(0);
            self.trace.calls.push(Call {
                number,
                about,
                errno,
            });
        }
        if errno.is_some() {
            self.failing = errno;
            set_number(self.pid);
        }
    }

    /// The text that a call is about: its path, or what it writes.
    fn about(&self, number: i64, words: &[u64; 7]) -> String {
        let name = syscalls::name(number);
        let (at, length) = match name.as_str() {
            "write" => (words[2], words[3].min(120)),
            "open" | "stat" | "lstat" | "readlink" | "mkdir" | "rmdir" | "unlink" | "rename"
            | "mknod" | "chmod" | "chown" | "access" | "execve" | "statfs" | "chdir" => {
                (words[1], 120)
            }
            "mount" => (words[2], 120),
            "openat" | "statx" | "newfstatat" | "readlinkat" | "mkdirat" | "unlinkat"
            | "fchmodat" | "fchownat" | "mknodat" | "renameat" => (words[2], 120),
            "symlink" | "symlinkat" => (words[if name == "symlink" { 2 } else { 3 }], 120),
            _ => return String::new(),
        };
        let mut bytes = peek(self.pid, at, length as usize);
        if name != "write" {
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            bytes.truncate(end);
        }
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }
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
