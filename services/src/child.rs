//! Between fork and exec: the steps of the child, in their order. Nothing here
//! allocates, locks or panics.
#![expect(unsafe_code, reason = "system calls between fork and exec")]

use std::ffi::{CStr, CString};
use std::os::fd::RawFd;
use std::ptr::null;

use nix::errno::Errno;

use crate::Pid;
use crate::service::User;

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
    /// Descriptors 0, 1, 2, the listening socket and the one for readiness.
    Descriptors,
    /// The other groups of its user.
    Groups,
    /// The group of its user.
    Gid,
    /// Its user.
    Uid,
    /// Working directory.
    Directory,
    /// The program itself.
    Exec,
}

/// `CLONE_INTO_CGROUP` of linux/sched.h, since Linux 5.7; libc has it in too narrow a type.
const INTO_CGROUP: u64 = 0x2_0000_0000;

pub(crate) const STAGES: [Stage; 10] = [
    Stage::Signals,
    Stage::Session,
    Stage::Cgroup,
    Stage::Terminal,
    Stage::Descriptors,
    Stage::Groups,
    Stage::Gid,
    Stage::Uid,
    Stage::Directory,
    Stage::Exec,
];

/// Everything that the child needs, made before the fork.
pub(crate) struct ExecPlan {
    pub(crate) argv: Vec<CString>,
    pub(crate) env: Vec<CString>,
    /// `LISTEN_PID=` with room for the digits, known only after the fork.
    pub(crate) listen_pid: Vec<u8>,
    /// Pointer arrays with room for everything, so that filling them after the
    /// fork does not allocate.
    pub(crate) argv_ptrs: Vec<*const libc::c_char>,
    pub(crate) env_ptrs: Vec<*const libc::c_char>,
    pub(crate) tty: Option<CString>,
    pub(crate) dir: CString,
    pub(crate) oom: Vec<u8>,
    pub(crate) umask: u32,
    pub(crate) nofile: (u64, u64),
    pub(crate) user: Option<User>,
    // Descriptors, or -1.
    pub(crate) listen: RawFd,
    pub(crate) output: RawFd,
    pub(crate) ready: RawFd,
    /// The number that `ready` is to have.
    pub(crate) ready_as: RawFd,
    pub(crate) cgroup: RawFd,
}

impl ExecPlan {
    /// Forks into the cgroup, where there is one: the pid, 0 in the child, -1 where
    /// that cannot be. Who joins one later by `cgroup.procs` waits for a grace period of
    /// RCU first, 10 ms on one processor (cgroup_attach_lock() in kernel/cgroup/cgroup.c).
    pub(crate) fn born(&self) -> Pid {
        if self.cgroup < 0 {
            return -1;
        }
        // SAFETY: all zero is a valid value: no stack of its own, no descriptor.
        let mut how: libc::clone_args = unsafe { std::mem::zeroed() };
        how.flags = INTO_CGROUP;
        how.exit_signal = libc::SIGCHLD as u64;
        how.cgroup = self.cgroup as u64;
        // SAFETY: a live record of that size; otherwise as fork(2), of a single thread.
        let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const how, size_of_val(&how)) };
        pid as Pid
    }

    /// Runs in the child; each step or its failure.
    pub(crate) fn become_service(&mut self, report: RawFd) -> ! {
        // Out of the way of the numbers that are given away below. Where that
        // fails there is nowhere to say so, but the next step fails as well.
        let report = self.lift(report).unwrap_or(report);
        let (stage, errno) = match self.steps(report) {
            Err(failed) => failed,
            Ok(()) => (Stage::Exec, self.exec()),
        };
        tell(report, stage, errno);
        // SAFETY: ends the child.
        unsafe { libc::_exit(127) }
    }

    fn steps(&mut self, report: RawFd) -> Result<(), (Stage, Errno)> {
        signals().map_err(|e| (Stage::Signals, e))?;
        // SAFETY: no memory involved. A child of PID 1 leads no group yet.
        check(unsafe { libc::setsid() }).map_err(|e| (Stage::Session, e))?;
        self.join_cgroup()
            .unwrap_or_else(|e| tell(report, Stage::Cgroup, e));
        let terminal = self.terminal().map_err(|e| (Stage::Terminal, e))?;
        self.descriptors(terminal)
            .map_err(|e| (Stage::Descriptors, e))?;
        self.open_files();
        self.priority();
        self.user()?;
        self.directory().map_err(|e| (Stage::Directory, e))
    }

    /// Where it was not born in it: an older kernel, a group that is full.
    fn join_cgroup(&self) -> Result<(), Errno> {
        if self.cgroup < 0 {
            return Ok(());
        }
        let flags = libc::O_WRONLY | libc::O_CLOEXEC;
        // SAFETY: a NUL-terminated name; "0" means the writer itself (cgroup-v2.rst,
        // cgroup.procs).
        unsafe {
            let fd = check(libc::openat(self.cgroup, c"cgroup.procs".as_ptr(), flags))?;
            check(libc::write(fd, c"0".as_ptr().cast(), 1) as i32).map(drop)
        }
    }

    /// Opens the terminal and makes it the controlling one; -1 without one.
    fn terminal(&self) -> Result<RawFd, Errno> {
        let Some(path) = &self.tty else { return Ok(-1) };
        // Non-blocking, or a serial line without carrier holds the open.
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK;
        // SAFETY: a NUL-terminated path; the ioctl and fcntl take integers.
        unsafe {
            let fd = check(libc::open(path.as_ptr(), flags))?;
            check(libc::ioctl(fd, libc::TIOCSCTTY, 1))?;
            check(libc::fcntl(fd, libc::F_SETFL, libc::O_RDWR))?;
            Ok(fd)
        }
    }

    /// 0, 1, 2, the listening socket on 3, the one for readiness where the row
    /// wants it, and nothing else past the exec.
    fn descriptors(&self, terminal: RawFd) -> Result<(), Errno> {
        let listen = self.lift(self.listen)?;
        let ready = self.lift(self.ready)?;
        let output = self.lift(self.output)?;
        // SAFETY: all arguments are integers or constants.
        unsafe {
            let input = match terminal {
                -1 => check(libc::open(c"/dev/null".as_ptr(), libc::O_RDWR))?,
                fd => fd,
            };
            let input = self.lift(input)?;
            let output = if terminal < 0 && output >= 0 {
                output
            } else {
                input
            };
            for (from, to) in [(input, 0), (output, 1), (output, 2)] {
                check(libc::dup2(from, to))?;
            }
            let all = libc::c_uint::MAX;
            let cloexec = libc::CLOSE_RANGE_CLOEXEC as libc::c_uint;
            check(libc::syscall(libc::SYS_close_range, 3, all, cloexec) as i32)?;
            // A copy does not have the mark.
            for (from, to) in [(listen, 3), (ready, self.ready_as)] {
                if from >= 0 {
                    check(libc::dup2(from, to))?;
                }
            }
        }
        Ok(())
    }

    /// A copy of `fd` above all numbers that are given away: dup2 onto itself
    /// would keep close-on-exec, and an earlier one could overwrite it.
    fn lift(&self, fd: RawFd) -> Result<RawFd, Errno> {
        if fd < 0 {
            return Ok(fd);
        }
        let first = self.ready_as.max(3) + 1;
        // SAFETY: integers only.
        check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, first) })
    }

    /// Without CAP_SYS_RESOURCE, as in a namespace, the hard limit cannot be
    /// raised, which is no reason not to start: then as much as there is.
    fn open_files(&self) {
        let (soft, hard) = self.nofile;
        let mut limit = libc::rlimit {
            rlim_cur: soft,
            rlim_max: hard,
        };
        // SAFETY: a local struct, valid for both calls.
        unsafe {
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) < 0 {
                libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
                limit.rlim_max = limit.rlim_max.min(hard);
                limit.rlim_cur = limit.rlim_max.min(soft);
                libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            }
        }
    }

    /// EACCES cannot stop a service from starting, so nothing is looked at.
    fn priority(&self) {
        let flags = libc::O_WRONLY | libc::O_CLOEXEC;
        // SAFETY: constants and a prepared buffer.
        unsafe {
            let fd = libc::open(c"/proc/self/oom_score_adj".as_ptr(), flags);
            if fd >= 0 {
                libc::write(fd, self.oom.as_ptr().cast(), self.oom.len());
            }
        }
    }

    /// Groups, then gid, then uid: each needs the rights that the last one takes.
    /// The system calls themselves: libc's wrappers would tell other threads,
    /// which a forked child does not have.
    fn user(&self) -> Result<(), (Stage, Errno)> {
        let Some(user) = self.user else { return Ok(()) };
        let (uid, gid) = (user.uid, user.gid);
        let (count, groups) = (user.groups.len(), user.groups.as_ptr());
        let check = |stage, result: libc::c_long| match result {
            0 => Ok(()),
            _ => Err((stage, Errno::last())),
        };
        // SAFETY: `groups` points to `count` numbers; the others take integers.
        unsafe {
            check(
                Stage::Groups,
                libc::syscall(libc::SYS_setgroups, count, groups),
            )?;
            check(
                Stage::Gid,
                libc::syscall(libc::SYS_setresgid, gid, gid, gid),
            )?;
            check(
                Stage::Uid,
                libc::syscall(libc::SYS_setresuid, uid, uid, uid),
            )
        }
    }

    /// As its user, who may not be let in.
    fn directory(&self) -> Result<(), Errno> {
        // SAFETY: a NUL-terminated path.
        unsafe {
            libc::umask(self.umask);
            check(libc::chdir(self.dir.as_ptr())).map(drop)
        }
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

/// Sends the record that [`crate::spawn::Failure::read`] reads.
fn tell(report: RawFd, stage: Stage, errno: Errno) {
    let mut record = [stage as u8, 0, 0, 0, 0];
    record[1..].copy_from_slice(&(errno as i32).to_le_bytes());
    // SAFETY: writes a local buffer to an open descriptor.
    unsafe { libc::write(report, record.as_ptr().cast(), record.len()) };
}

fn check(result: i32) -> Result<i32, Errno> {
    if result < 0 {
        Err(Errno::last())
    } else {
        Ok(result)
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
        // Likewise: musl's sigprocmask leaves those signals as they are.
        let empty = 0u64;
        let none = std::ptr::null_mut::<u64>();
        let set = libc::SIG_SETMASK;
        let result = libc::syscall(libc::SYS_rt_sigprocmask, set, &raw const empty, none, 8);
        check(result as i32).map(drop)
    }
}

/// Writes `pid` over the zeros that `LISTEN_PID=` ends in, without allocating and
/// without leading zeros: sd_listen_fds(3) would read those as octal.
pub(crate) fn write_digits(buffer: &mut [u8], pid: Pid) {
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
