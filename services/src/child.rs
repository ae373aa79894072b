// SPDX-License-Identifier: Apache-2.0
//! The steps of a child between fork(2) and execve(2). The child is a copy of a process whose locks may be held, so no
//! step allocates, locks or panics.
#![expect(unsafe_code, reason = "system calls between fork and exec")]

use std::ffi::{CStr, CString};
use std::fmt;
use std::os::fd::RawFd;
use std::ptr::null;

use nix::errno::Errno;

use crate::service::User;
use crate::{Pid, script};

/// A step between fork(2) and execve(2). The variants are in the order of the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Default dispositions and an empty mask of all signals.
    Signals = 1,
    /// Become the leader of a session.
    Session,
    /// Join the cgroup.
    Cgroup,
    /// Join the cgroup of a user other than root. The user may have made the cgroup unfit for
    /// processes.
    UserCgroup,
    /// Open the terminal.
    Terminal,
    /// Assign descriptors 0, 1 and 2, the listening socket and the readiness pipe.
    Descriptors,
    /// Set the supplementary groups of the user.
    Groups,
    /// Set the group of the user.
    Gid,
    /// Set the user.
    Uid,
    /// Enter the working directory.
    Directory,
    /// Read the first bytes of the program. A script that was saved on Windows is reported, and executed all the same:
    /// perl accepts such scripts.
    Script,
    /// Execute the program.
    Exec,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Signals => "signals",
            Step::Session => "setsid(2)",
            Step::Cgroup => "cgroup",
            Step::UserCgroup => "cgroup of the user",
            Step::Terminal => "terminal",
            Step::Descriptors => "descriptors",
            Step::Groups => "setgroups(2)",
            Step::Gid => "setresgid(2)",
            Step::Uid => "setresuid(2)",
            Step::Directory => "working directory",
            Step::Script => "script",
            Step::Exec => "execve(2)",
        })
    }
}

/// `CLONE_INTO_CGROUP` of linux/sched.h, since Linux 5.7; the constant in libc is too narrow.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

pub(crate) const STEPS: [Step; 12] = [
    Step::Signals,
    Step::Session,
    Step::Cgroup,
    Step::UserCgroup,
    Step::Terminal,
    Step::Descriptors,
    Step::Groups,
    Step::Gid,
    Step::Uid,
    Step::Directory,
    Step::Script,
    Step::Exec,
];

/// Arguments of all steps, prepared before fork(2).
pub(crate) struct ExecPlan {
    pub(crate) argv: Vec<CString>,
    pub(crate) env: Vec<CString>,
    /// `LISTEN_PID=` with room for the digits, which are known only in the child.
    pub(crate) listen_pid: Vec<u8>,
    /// Pointer arrays with enough capacity, so that the child fills them without allocating.
    pub(crate) argv_ptrs: Vec<*const libc::c_char>,
    pub(crate) env_ptrs: Vec<*const libc::c_char>,
    pub(crate) tty: Option<CString>,
    pub(crate) dir: CString,
    pub(crate) oom_score_adj: Vec<u8>,
    pub(crate) umask: u32,
    pub(crate) nofile: (u64, u64),
    pub(crate) user: Option<User>,
    // Descriptors; -1 for none.
    pub(crate) listen: RawFd,
    pub(crate) output: RawFd,
    pub(crate) ready: RawFd,
    /// Number that `ready` has in the program.
    pub(crate) ready_as: RawFd,
    pub(crate) cgroup: RawFd,
}

impl ExecPlan {
    /// Forks into the cgroup. Returns the pid, 0 in the child, or -1 if there is no cgroup or
    /// the kernel refuses. A child that joins by `cgroup.procs` instead waits for a grace period
    /// of RCU, 10 ms on one processor (cgroup_attach_lock() in kernel/cgroup/cgroup.c).
    pub(crate) fn clone_into_cgroup(&self) -> Pid {
        if self.cgroup < 0 {
            return -1;
        }
        // SAFETY: all zero is a valid value: no separate stack, no descriptor.
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = CLONE_INTO_CGROUP;
        args.exit_signal = libc::SIGCHLD as u64;
        args.cgroup = self.cgroup as u64;
        // SAFETY: a live struct of that size; otherwise as fork(2) in a single-threaded process.
        let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
        pid as Pid
    }

    /// Turns the child into the service, or reports the step that failed and exits.
    pub(crate) fn become_service(&mut self, report: RawFd) -> ! {
        // `assign_descriptors` overwrites low numbers, so the pipe is moved above them. If the move fails,
        // `assign_descriptors` fails for the same reason, and is reported.
        let report = self.move_above_assigned(report).unwrap_or(report);
        let (step, errno) = match self.run_steps(report) {
            Err(failed) => failed,
            Ok(()) => {
                if self
                    .argv
                    .first()
                    .is_some_and(|p| script::was_saved_on_windows(p))
                {
                    report_failure(report, Step::Script, Errno::EILSEQ);
                }
                (Step::Exec, self.exec())
            }
        };
        report_failure(report, step, errno);
        // SAFETY: ends the child.
        unsafe { libc::_exit(127) }
    }

    fn run_steps(&mut self, report: RawFd) -> Result<(), (Step, Errno)> {
        reset_signals().map_err(|e| (Step::Signals, e))?;
        // SAFETY: no memory is involved. A child of PID 1 leads no process group yet.
        check(unsafe { libc::setsid() }).map_err(|e| (Step::Session, e))?;
        match self.join_cgroup() {
            // The child is still in PID 1's cgroup, where processes of users must not run.
            Err(e) if self.user.is_some_and(|user| user.uid != 0) => {
                return Err((Step::UserCgroup, e));
            }
            Err(e) => report_failure(report, Step::Cgroup, e),
            Ok(()) => {}
        }
        let terminal = self.open_terminal().map_err(|e| (Step::Terminal, e))?;
        self.assign_descriptors(terminal)
            .map_err(|e| (Step::Descriptors, e))?;
        self.limit_open_files();
        self.set_oom_score_adj();
        self.become_user()?;
        self.enter_directory().map_err(|e| (Step::Directory, e))
    }

    /// Joins the cgroup if clone3(2) did not: the kernel is older than 5.7, or refused CLONE_INTO_CGROUP.
    fn join_cgroup(&self) -> Result<(), Errno> {
        if self.cgroup < 0 {
            return Ok(());
        }
        let flags = libc::O_WRONLY | libc::O_CLOEXEC;
        // SAFETY: a NUL-terminated name; "0" stands for the writer (cgroup-v2.rst, cgroup.procs).
        unsafe {
            let fd = check(libc::openat(self.cgroup, c"cgroup.procs".as_ptr(), flags))?;
            check(libc::write(fd, c"0".as_ptr().cast(), 1) as i32).map(drop)
        }
    }

    /// Opens the terminal as the controlling one. Returns -1 if the service has none.
    fn open_terminal(&self) -> Result<RawFd, Errno> {
        let Some(path) = &self.tty else { return Ok(-1) };
        // Non-blocking, because the open of a serial line waits for the carrier of the line.
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK;
        // SAFETY: a NUL-terminated path; the ioctl and fcntl take integers.
        unsafe {
            let fd = check(libc::open(path.as_ptr(), flags))?;
            check(libc::ioctl(fd, libc::TIOCSCTTY, 1))?;
            check(libc::fcntl(fd, libc::F_SETFL, libc::O_RDWR))?;
            Ok(fd)
        }
    }

    /// Assigns 0, 1 and 2, 3 to the listening socket, and the defined number to the readiness
    /// pipe. The program inherits no other descriptor.
    fn assign_descriptors(&self, terminal: RawFd) -> Result<(), Errno> {
        let listen = self.move_above_assigned(self.listen)?;
        let ready = self.move_above_assigned(self.ready)?;
        let output = self.move_above_assigned(self.output)?;
        // SAFETY: all arguments are integers or constants.
        unsafe {
            let input = match terminal {
                -1 => check(libc::open(c"/dev/null".as_ptr(), libc::O_RDWR))?,
                fd => fd,
            };
            let input = self.move_above_assigned(input)?;
            let output = if terminal < 0 && output >= 0 {
                output
            } else {
                input
            };
            for (from, to) in [(input, 0), (output, 1), (output, 2)] {
                check(libc::dup2(from, to))?;
            }
            let last = libc::c_uint::MAX;
            let cloexec = libc::CLOSE_RANGE_CLOEXEC as libc::c_uint;
            check(libc::syscall(libc::SYS_close_range, 3, last, cloexec) as i32)?;
            // dup2(2) clears close-on-exec in the copy.
            for (from, to) in [(listen, 3), (ready, self.ready_as)] {
                if from >= 0 {
                    check(libc::dup2(from, to))?;
                }
            }
        }
        Ok(())
    }

    /// Returns a copy of `fd` above every number that is assigned. dup2(2) of a descriptor onto
    /// itself would keep close-on-exec, and an earlier dup2(2) could overwrite it.
    fn move_above_assigned(&self, fd: RawFd) -> Result<RawFd, Errno> {
        if fd < 0 {
            return Ok(fd);
        }
        let first = self.ready_as.max(3) + 1;
        // SAFETY: integers only.
        check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, first) })
    }

    /// Sets the limits of open files, or those nearest to them: without CAP_SYS_RESOURCE, as in a
    /// user namespace, the hard limit cannot be raised.
    fn limit_open_files(&self) {
        let (soft, hard) = self.nofile;
        let mut limit = libc::rlimit {
            rlim_cur: soft,
            rlim_max: hard,
        };
        // SAFETY: a local struct that is valid for all calls.
        unsafe {
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) < 0 {
                libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
                limit.rlim_max = limit.rlim_max.min(hard);
                limit.rlim_cur = limit.rlim_max.min(soft);
                libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            }
        }
    }

    /// Sets `oom_score_adj`. Errors are ignored: a service without its score is better than none.
    fn set_oom_score_adj(&self) {
        let flags = libc::O_WRONLY | libc::O_CLOEXEC;
        // SAFETY: constants and a prepared buffer.
        unsafe {
            let fd = libc::open(c"/proc/self/oom_score_adj".as_ptr(), flags);
            if fd >= 0 {
                libc::write(
                    fd,
                    self.oom_score_adj.as_ptr().cast(),
                    self.oom_score_adj.len(),
                );
            }
        }
    }

    /// Sets the groups, then the gid, then the uid: without uid 0, the other two could not be set any more. The
    /// system calls are made directly: the wrappers in libc signal the process's other threads,
    /// and a forked child has none.
    fn become_user(&self) -> Result<(), (Step, Errno)> {
        let Some(user) = self.user else { return Ok(()) };
        let (uid, gid) = (user.uid, user.gid);
        let (count, groups) = (user.groups.len(), user.groups.as_ptr());
        let check = |step, result: libc::c_long| match result {
            0 => Ok(()),
            _ => Err((step, Errno::last())),
        };
        // SAFETY: `groups` points to `count` numbers; the others take integers.
        unsafe {
            check(
                Step::Groups,
                libc::syscall(libc::SYS_setgroups, count, groups),
            )?;
            check(Step::Gid, libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
            check(Step::Uid, libc::syscall(libc::SYS_setresuid, uid, uid, uid))
        }
    }

    /// Enters the working directory, with the permissions of the user.
    fn enter_directory(&self) -> Result<(), Errno> {
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

/// Writes the record that [`crate::spawn::Failure::read`] reads.
fn report_failure(report: RawFd, step: Step, errno: Errno) {
    let mut record = [step as u8, 0, 0, 0, 0];
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

/// Sets the default disposition of all 64 signals, then an empty mask. In the other order a
/// pending signal would run PID 1's handler.
fn reset_signals() -> Result<(), Errno> {
    // The system call is made directly: the wrapper in libc refuses the two or three signals that
    // it keeps for threads, and an ancestor may have left these signals ignored. SAFETY: a zeroed
    // kernel_sigaction (four words) is SIG_DFL without flags. The kernel refuses SIGKILL and
    // SIGSTOP, whose disposition is the default anyway.
    unsafe {
        let default = [0u64; 4];
        for sig in 1..=64 {
            let none = std::ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, sig, default.as_ptr(), none, 8);
        }
        // The call is direct again: musl's sigprocmask() does not change the signals that are kept
        // for threads.
        let empty = 0u64;
        let none = std::ptr::null_mut::<u64>();
        let set = libc::SIG_SETMASK;
        let result = libc::syscall(libc::SYS_rt_sigprocmask, set, &raw const empty, none, 8);
        check(result as i32).map(drop)
    }
}

/// Writes `pid` over the zeros at the end of `LISTEN_PID=0000000000`, without allocating. There
/// are no leading zeros: sd_listen_fds(3) would read an octal number.
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
