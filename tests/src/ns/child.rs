// SPDX-License-Identifier: Apache-2.0
//! The first moments of a PID 1: clone, users, mounts, exec.
#![expect(unsafe_code, reason = "clone, and system calls until exec")]

use std::ffi::{CStr, CString, c_int};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result, bail};

use super::step::{Step, am_root, errno};
use super::{Namespace, Users, inject};

/// First user id of the range that root maps into a namespace.
pub(super) const BASE: u32 = 200_000;

/// Prepared input of the child, complete so that the child allocates nothing.
pub(super) struct Child {
    flags: c_int,
    users: Users,
    steps: Vec<Step>,
    limits: Vec<(u32, u64)>,
    stdio: bool,
    ignored: Vec<c_int>,
    docker: bool,
    program: &'static CStr,
    argv: Vec<CString>,
}

impl Child {
    pub(super) fn prepare(ns: &Namespace) -> Result<Child> {
        super::possible()?;
        let cgroup = if ns.cgroup { libc::CLONE_NEWCGROUP } else { 0 };
        Ok(Child {
            flags: libc::CLONE_NEWUSER
                | libc::CLONE_NEWPID
                | libc::CLONE_NEWNS
                | libc::CLONE_NEWUTS
                | libc::CLONE_NEWIPC
                | libc::CLONE_NEWNET
                | cgroup,
            users: ns.users,
            steps: ns.steps(),
            limits: ns.limits.clone(),
            stdio: ns.stdio,
            ignored: ns.ignored.clone(),
            docker: ns.docker,
            program: ns.program(),
            argv: ns.argv()?,
        })
    }

    /// Clones, and lets the child continue once its users are mapped and, with a `plan`, this
    /// thread traces the child.
    pub(super) fn start(self, plan: Option<&inject::Plan>) -> Result<(libc::pid_t, OwnedFd, File)> {
        let (output, theirs) = pipe()?;
        let (wait, go) = pipe()?;
        let (trouble, report) = pipe()?;
        let mut argv: Vec<_> = self.argv.iter().map(|w| w.as_ptr()).collect();
        argv.push(std::ptr::null());
        let mut pidfd: c_int = -1;
        let flags = self.flags | libc::CLONE_PIDFD | libc::SIGCHLD;
        // SAFETY: as fork(2): no new stack, and the third argument points to the place for the
        // pidfd. The child only makes system calls.
        let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, &raw mut pidfd, 0, 0) };
        match pid {
            -1 => bail!(
                "clone: {}: this machine makes no user namespaces (user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns)",
                std::io::Error::last_os_error()
            ),
            // SAFETY: this is the child.
            0 => unsafe { self.child(&argv, [&wait, &theirs, &report].map(AsRawFd::as_raw_fd)) },
            _ => {}
        }
        // SAFETY: clone opened this descriptor for this process.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        let pid = pid as libc::pid_t;
        drop((theirs, report, wait));
        self.map(pid)?;
        if let Some(plan) = plan {
            inject::seize(pid, plan)?;
        }
        File::from(go).write_all(b"g")?;
        // A traced child stops at its exec until its tracer resumes it, so its pipe cannot close
        // yet; errors before that point are still reported.
        if plan.is_none() {
            self.check(trouble)?;
        }
        Ok((pid, pidfd, File::from(output)))
    }

    /// Reads the child's report: end of file once PID 1 is executed, or the step that failed.
    fn check(&self, trouble: OwnedFd) -> Result<()> {
        let mut said = Vec::new();
        File::from(trouble).read_to_end(&mut said)?;
        if let &[step, a, b, c, d, ..] = said.as_slice() {
            let why = std::io::Error::from_raw_os_error(i32::from_le_bytes([a, b, c, d]));
            match self.steps.get(usize::from(step)) {
                Some(step) => bail!("in the new namespace: {step:?}: {why}"),
                None => bail!("in the new namespace, after its mounts: {why}"),
            }
        }
        Ok(())
    }

    /// Maps the users of the child (user_namespaces(7)).
    fn map(&self, pid: libc::pid_t) -> Result<()> {
        // SAFETY: no arguments.
        let own = unsafe { [libc::geteuid(), libc::getegid()] };
        let (first, count) = match (am_root(), self.users) {
            (true, Users::Many) => ([BASE; 2], 65_536),
            (true, Users::One) => ([BASE; 2], 1),
            (false, Users::One) => (own, 1),
            (false, Users::Many) => bail!("only root can give a namespace many users"),
        };
        let put = |name: &str, text: String| {
            let path = format!("/proc/{pid}/{name}");
            fs::write(&path, text).context(path)
        };
        if count == 1 {
            put("setgroups", "deny".into())?;
        }
        put("gid_map", format!("0 {} {count}", first[1]))?;
        put("uid_map", format!("0 {} {count}", first[0]))
    }

    /// # Safety
    /// The caller is the child of a clone.
    unsafe fn child(&self, argv: &[*const libc::c_char], fds: [RawFd; 3]) -> ! {
        let [wait, output, report] = fds;
        // SAFETY: integers, constants, and buffers that the parent prepared.
        unsafe {
            let mut go = 0u8;
            if libc::read(wait, (&raw mut go).cast(), 1) != 1 {
                libc::_exit(125); // the parent has given up
            }
            // libc's functions would synchronize with all threads, which do not exist in the child.
            libc::syscall(libc::SYS_setresgid, 0, 0, 0);
            libc::syscall(libc::SYS_setresuid, 0, 0, 0);
            // setresuid(2) clears PR_SET_PDEATHSIG, so this call follows it.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::umask(0);
            for (i, step) in self.steps.iter().enumerate() {
                if let Err(why) = step.run() {
                    give_up(report, i as u8, why);
                }
            }
            self.descriptors(output);
            self.limits_and_signals();
            filter_calls(self.docker);
            libc::execve(
                self.program.as_ptr(),
                argv.as_ptr(),
                [std::ptr::null()].as_ptr(),
            );
            give_up(report, u8::MAX, errno())
        }
    }

    /// # Safety
    /// The requirement of `child`.
    unsafe fn limits_and_signals(&self) {
        // SAFETY: integers and local buffers.
        unsafe {
            for (which, value) in &self.limits {
                let limit = libc::rlimit {
                    rlim_cur: *value,
                    rlim_max: *value,
                };
                libc::setrlimit(*which, &raw const limit);
            }
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            for signal in &self.ignored {
                libc::signal(*signal, libc::SIG_IGN);
            }
        }
    }

    /// # Safety
    /// The requirement of `child`.
    unsafe fn descriptors(&self, output: RawFd) {
        // SAFETY: integers and a constant.
        unsafe {
            if self.stdio {
                let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
                libc::dup2(if null < 0 { output } else { null }, 0);
                libc::dup2(output, 1);
                libc::dup2(output, 2);
            } else {
                (0..3).for_each(|fd| {
                    libc::close(fd);
                });
            }
            let cloexec = libc::CLOSE_RANGE_CLOEXEC;
            libc::syscall(libc::SYS_close_range, 3, u32::MAX, cloexec);
        }
    }
}

/// Makes sync(2) and syncfs(2) do nothing (seccomp(2)), because these would write all dirty pages
/// of the host, in thousands of trials. With `docker`, takes clone3(2) and the right to reboot(2)
/// as well.
///
/// # Safety
/// The requirement of `child`.
unsafe fn filter_calls(docker: bool) {
    const CAP_SYS_BOOT: libc::c_ulong = 22;
    let missing = match docker {
        true => libc::SYS_clone3 as u32,
        false => u32::MAX,
    };
    let step = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let mut filter = [
        // The system call number is the first field of seccomp_data.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(equal, 2, 0, libc::SYS_sync as u32),
        step(equal, 1, 0, libc::SYS_syncfs as u32),
        step(equal, 1, 2, missing),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO),
        step(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32,
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program outlives the call; root of a user namespace may set one.
    unsafe {
        if docker {
            libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0);
        }
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        );
    }
}

/// # Safety
/// The requirement of `child`.
unsafe fn give_up(report: RawFd, step: u8, why: c_int) -> ! {
    let mut record = [step, 0, 0, 0, 0];
    record[1..].copy_from_slice(&why.to_le_bytes());
    // SAFETY: a live buffer; the next call ends the child.
    unsafe {
        libc::write(report, record.as_ptr().cast(), record.len());
        libc::_exit(125)
    }
}

/// Makes a pipe and returns its readable and writable ends, both close-on-exec.
fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: room for two descriptors; both are owned if the call succeeds.
    unsafe {
        if libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) < 0 {
            bail!("pipe2: {}", std::io::Error::last_os_error());
        }
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}
