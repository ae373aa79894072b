//! fork and exec: what a child of PID 1 inherits is decided here, all of it.
//!
//! Everything that allocates happens before the fork; the child calls only
//! async-signal-safe functions. When a step fails it says which one and the
//! errno through a close-on-exec pipe, so that "sshd does not start" becomes
//! "sshd: exec: No such file or directory".
#![expect(unsafe_code, reason = "fork, exec and what lies between them")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::null;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use crate::{Pid, Service};

/// The whole environment of a service, but for its row's additions: constants,
/// never what the kernel's command line left in PID 1's own (finit#442).
const ENVIRONMENT: &[&str] = &[
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "USER=root",
    "LOGNAME=root",
    "SHELL=/bin/bash",
    "LANG=C.UTF-8",
];

/// Open files: the soft limit that `select(2)` users survive, the hard one that
/// container engines raise theirs to.
static NOFILE: libc::rlimit = libc::rlimit {
    rlim_cur: 1024,
    rlim_max: 1_048_576,
};

/// The steps between fork and exec, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Default dispositions, empty mask.
    Signals = 1,
    /// A session of its own.
    Session,
    /// Its cgroup.
    Cgroup,
    /// Its terminal.
    Terminal,
    /// Descriptors 0, 1, 2 and the listening socket.
    Descriptors,
    /// `RLIMIT_NOFILE`.
    Limits,
    /// `oom_score_adj`.
    Priority,
    /// Working directory.
    Directory,
    /// The program itself.
    Exec,
}

const STAGES: [Stage; 9] = [
    Stage::Signals,
    Stage::Session,
    Stage::Cgroup,
    Stage::Terminal,
    Stage::Descriptors,
    Stage::Limits,
    Stage::Priority,
    Stage::Directory,
    Stage::Exec,
];

/// What a start is given besides the row.
#[derive(Debug, Default)]
pub struct Inherit<'a> {
    /// Becomes descriptor 3, announced by `LISTEN_FDS=1` (`sd_listen_fds(3)`).
    pub listen: Option<BorrowedFd<'a>>,
    /// Becomes descriptors 1 and 2 where the row has no terminal.
    pub output: Option<BorrowedFd<'a>>,
    /// An open `cgroup.procs` of the leaf it is to live in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Value of `NOTIFY_SOCKET`, for services that say when they are ready.
    pub notify: Option<&'static str>,
}

/// A started process.
#[derive(Debug)]
pub struct Child {
    /// Its pid.
    pub pid: Pid,
    /// Reads a [`failure`] record when a step before exec failed, else end of file.
    pub failure: OwnedFd,
}

/// Forks and execs `row`.
///
/// # Errors
/// When the pipe or the fork fails; a failing step in the child comes through
/// [`Child::failure`].
pub fn spawn(row: &Service, inherit: &Inherit<'_>) -> io::Result<Child> {
    let mut image = Image::prepare(row, inherit)?;
    let (failure, report) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    // SAFETY: PID 1 is single-threaded, so the child's copy is consistent;
    // it goes straight into `become_service`, which never returns.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => image.become_service(report.as_raw_fd()),
        pid => Ok(Child { pid, failure }),
    }
}

/// Reads what a child wrote before it gave up: the step and why.
#[must_use]
pub fn failure(record: &[u8]) -> Option<(Stage, Errno)> {
    let (&stage, errno) = record.get(..5)?.split_first()?;
    let stage = STAGES.iter().copied().find(|s| *s as u8 == stage)?;
    let errno = i32::from_le_bytes(errno.try_into().ok()?);
    Some((stage, Errno::from_raw(errno)))
}

/// Everything the child needs, allocated before the fork.
struct Image {
    argv: Vec<CString>,
    env: Vec<CString>,
    /// `LISTEN_PID=` with room for the digits, known only after the fork.
    listen_pid: Vec<u8>,
    /// Pointer arrays with room for everything, so that filling them after the
    /// fork does not allocate.
    argv_ptrs: Vec<*const libc::c_char>,
    env_ptrs: Vec<*const libc::c_char>,
    tty: Option<CString>,
    oom: Vec<u8>,
    listen: RawFd,
    output: RawFd,
    cgroup: RawFd,
}

impl Image {
    fn prepare(row: &Service, inherit: &Inherit<'_>) -> io::Result<Image> {
        let c = |s: &str| CString::new(s).map_err(io::Error::from);
        let mut env: Vec<CString> = ENVIRONMENT
            .iter()
            .chain(row.env)
            .map(|s| c(s))
            .collect::<Result<_, _>>()?;
        if let Some(path) = inherit.notify {
            env.push(c(&format!("NOTIFY_SOCKET={path}"))?);
        }
        if inherit.listen.is_some() {
            env.push(c("LISTEN_FDS=1")?);
        }
        if row.tty.is_some() {
            env.push(c("TERM=linux")?);
        }
        let argv: Vec<CString> = row.argv.iter().map(|s| c(s)).collect::<Result<_, _>>()?;
        let raw = |fd: Option<BorrowedFd<'_>>| fd.map_or(-1, |f| f.as_raw_fd());
        Ok(Image {
            argv_ptrs: Vec::with_capacity(argv.len() + 1),
            env_ptrs: Vec::with_capacity(env.len() + 2),
            argv,
            env,
            listen_pid: b"LISTEN_PID=0000000000\0".to_vec(),
            tty: row.tty.map(|t| c(t.path)).transpose()?,
            oom: row.oom_score_adj.to_string().into_bytes(),
            listen: raw(inherit.listen),
            output: raw(inherit.output),
            cgroup: raw(inherit.cgroup),
        })
    }

    /// Runs in the child; each step or its failure.
    fn become_service(&mut self, report: RawFd) -> ! {
        let (stage, errno) = self.steps(report);
        tell(report, stage, errno);
        // SAFETY: ends the child.
        unsafe { libc::_exit(127) }
    }

    fn steps(&mut self, report: RawFd) -> (Stage, Errno) {
        let run = || -> Result<(), (Stage, Errno)> {
            signals().map_err(|e| (Stage::Signals, e))?;
            // SAFETY: no memory involved. A child of PID 1 leads no group yet.
            check(unsafe { libc::setsid() }).map_err(|e| (Stage::Session, e))?;
            // Said, and no reason not to start: a service in the wrong cgroup is
            // better than none, when that service is the way in.
            self.join_cgroup()
                .unwrap_or_else(|e| tell(report, Stage::Cgroup, e));
            let terminal = self.terminal().map_err(|e| (Stage::Terminal, e))?;
            self.descriptors(terminal)
                .map_err(|e| (Stage::Descriptors, e))?;
            limits().map_err(|e| (Stage::Limits, e))?;
            self.priority().map_err(|e| (Stage::Priority, e))?;
            directory().map_err(|e| (Stage::Directory, e))
        };
        match run() {
            Err(failed) => failed,
            Ok(()) => (Stage::Exec, self.exec()),
        }
    }

    fn join_cgroup(&self) -> Result<(), Errno> {
        if self.cgroup < 0 {
            return Ok(());
        }
        // SAFETY: "0" means the writer itself (cgroup-v2.rst, cgroup.procs).
        check(unsafe { libc::write(self.cgroup, c"0".as_ptr().cast(), 1) } as i32)
    }

    /// Opens the terminal and makes it the controlling one; -1 without one.
    fn terminal(&self) -> Result<RawFd, Errno> {
        let Some(path) = &self.tty else { return Ok(-1) };
        // Non-blocking, or a serial line without carrier holds the open.
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK;
        // SAFETY: a NUL-terminated path; the ioctl and fcntl take integers.
        unsafe {
            let fd = libc::open(path.as_ptr(), flags);
            check(fd)?;
            check(libc::ioctl(fd, libc::TIOCSCTTY, 1))?;
            check(libc::fcntl(fd, libc::F_SETFL, libc::O_RDWR))?;
            Ok(fd)
        }
    }

    /// 0, 1, 2, the listening socket on 3, and nothing else past the exec.
    fn descriptors(&self, terminal: RawFd) -> Result<(), Errno> {
        let mut first_other = 3;
        // SAFETY: all arguments are integers or constants.
        unsafe {
            if self.listen >= 0 {
                // Out of the way of 0..=3 first: dup2 onto itself would keep
                // close-on-exec, and an earlier dup2 could overwrite it.
                let aside = libc::fcntl(self.listen, libc::F_DUPFD_CLOEXEC, 10);
                check(aside)?;
                check(libc::dup2(aside, 3))?;
                first_other = 4;
            }
            if terminal >= 0 {
                for fd in 0..3 {
                    check(libc::dup2(terminal, fd))?;
                }
            } else {
                let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
                check(null)?;
                check(libc::dup2(null, 0))?;
                let out = if self.output >= 0 { self.output } else { null };
                check(libc::dup2(out, 1))?;
                check(libc::dup2(out, 2))?;
            }
            let all = libc::c_uint::MAX;
            let cloexec = libc::CLOSE_RANGE_CLOEXEC as libc::c_uint;
            check(libc::syscall(libc::SYS_close_range, first_other, all, cloexec) as i32)
        }
    }

    fn priority(&self) -> Result<(), Errno> {
        // EACCES cannot stop a service from starting, so the result is not looked at.
        // SAFETY: constants and a prepared buffer.
        unsafe {
            let fd = libc::open(
                c"/proc/self/oom_score_adj".as_ptr(),
                libc::O_WRONLY | libc::O_CLOEXEC,
            );
            if fd >= 0 {
                libc::write(fd, self.oom.as_ptr().cast(), self.oom.len());
            }
        }
        Ok(())
    }

    fn exec(&mut self) -> Errno {
        // SAFETY: getpid has no preconditions.
        write_digits(&mut self.listen_pid, unsafe { libc::getpid() });
        let ptr = |s: &CString| CStr::as_ptr(s);
        self.argv_ptrs.extend(self.argv.iter().map(ptr));
        self.argv_ptrs.push(null());
        self.env_ptrs.extend(self.env.iter().map(ptr));
        if self.listen >= 0 {
            self.env_ptrs.push(self.listen_pid.as_ptr().cast());
        }
        self.env_ptrs.push(null());
        let Some(program) = self.argv.first() else {
            return Errno::EINVAL;
        };
        // SAFETY: both arrays are NULL-terminated and point to live C strings.
        unsafe {
            libc::execve(
                program.as_ptr(),
                self.argv_ptrs.as_ptr(),
                self.env_ptrs.as_ptr(),
            )
        };
        Errno::last()
    }
}

/// Sends the record that [`failure`] reads.
fn tell(report: RawFd, stage: Stage, errno: Errno) {
    let mut record = [stage as u8, 0, 0, 0, 0];
    record[1..].copy_from_slice(&(errno as i32).to_le_bytes());
    // SAFETY: writes a local buffer to an open descriptor.
    unsafe { libc::write(report, record.as_ptr().cast(), record.len()) };
}

fn check(result: i32) -> Result<(), Errno> {
    if result < 0 {
        Err(Errno::last())
    } else {
        Ok(())
    }
}

/// Default dispositions for all 64 signals, then an empty mask: in this order,
/// or a pending one would meet PID 1's handler.
fn signals() -> Result<(), Errno> {
    // The system call itself: libc's wrapper refuses the two or three signals
    // it keeps for its threads, which an ancestor may have left ignored.
    // SAFETY: a zeroed kernel_sigaction (four words) is SIG_DFL without flags;
    // the kernel refuses SIGKILL and SIGSTOP, which are default anyway.
    unsafe {
        let default = [0u64; 4];
        for sig in 1..=64 {
            let none = std::ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, sig, default.as_ptr(), none, 8);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        check(libc::sigprocmask(
            libc::SIG_SETMASK,
            &raw const none,
            std::ptr::null_mut(),
        ))
    }
}

fn limits() -> Result<(), Errno> {
    // SAFETY: a constant struct; in a namespace without CAP_SYS_RESOURCE the
    // hard limit cannot be raised, which is no reason not to start.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const NOFILE) };
    Ok(())
}

fn directory() -> Result<(), Errno> {
    // SAFETY: constants.
    unsafe {
        libc::umask(0o022);
        check(libc::chdir(c"/".as_ptr()))
    }
}

/// Writes `pid` over the zeros that `LISTEN_PID=` ends in, without allocating and
/// without leading zeros: sd_listen_fds(3) would read those as octal.
fn write_digits(buffer: &mut [u8], pid: Pid) {
    let (mut digits, mut count, mut left) = ([0u8; 10], 0, pid.unsigned_abs());
    while count == 0 || left > 0 {
        digits[count] = b'0' + (left % 10) as u8;
        left /= 10;
        count += 1;
    }
    let start = buffer.len() - 11;
    let places = buffer[start..].iter_mut();
    let text = digits[..count].iter().rev().chain(&[0; 11]);
    places.zip(text).for_each(|(place, digit)| *place = *digit);
}

#[cfg(test)]
#[path = "spawn_tests.rs"]
mod tests;
