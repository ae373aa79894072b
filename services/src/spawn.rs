// SPDX-License-Identifier: Apache-2.0
//! Starts a service's process, and decides everything that the process inherits.
//!
//! All allocation happens before fork(2); the child (`child.rs`) calls only async-signal-safe
//! functions. A step that fails in the child is reported with its errno
//! through a close-on-exec pipe, so that the log has "sshd: /usr/sbin/sshd: execve(2): ENOENT" and not
//! only the fact that sshd does not start.
#![expect(unsafe_code, reason = "fork")]

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use log::{error, warn};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use sys::error::{Doing, Error, Result};

use crate::child::{ExecPlan, STEPS, Step};
use crate::service::User;
use crate::{Pid, ReadyWhen, ServiceDef};

/// `PATH` of every service.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// User of a service whose definition names none.
const ROOT: User = User {
    uid: 0,
    gid: 0,
    groups: &[],
    name: "root",
    home: "/root",
    shell: "/bin/bash",
};

/// Descriptors and paths that a process inherits, besides its definition.
#[derive(Debug, Default)]
pub struct Inherit<'a> {
    /// Becomes descriptor 3, announced by `LISTEN_FDS=1` (`sd_listen_fds(3)`).
    pub listen: Option<BorrowedFd<'a>>,
    /// Becomes descriptors 1 and 2 if the service has no terminal.
    pub output: Option<BorrowedFd<'a>>,
    /// Becomes the descriptor that [`ReadyWhen::Fd`] names.
    pub ready: Option<BorrowedFd<'a>>,
    /// The open directory of the process's cgroup.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Value of `NOTIFY_SOCKET`, for [`ReadyWhen::Notify`].
    pub notify: Option<&'static str>,
}

/// A started process.
#[derive(Debug)]
pub struct Child {
    /// Process id.
    pub pid: Pid,
    /// Read end of the pipe for [`Failure`] records of steps before execve(2). End of file
    /// follows a successful execve(2) or the end of the child.
    pub failure: OwnedFd,
}

/// Maximum number of records from one child: joining the cgroup, the check of the script, and one fatal step.
pub(crate) const MAX_FAILURES: usize = 3;

/// A step before execve(2) that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step.
    pub step: Step,
    /// Errno of the system call.
    pub errno: Errno,
}

impl Failure {
    /// Length of a record in bytes.
    pub const LENGTH: usize = 5;

    /// Parses one record.
    #[must_use]
    pub fn read(record: &[u8]) -> Option<Failure> {
        let (step, errno) = record.split_first()?;
        let errno = i32::from_le_bytes(errno.try_into().ok()?);
        let step = *STEPS.iter().find(|s| **s as u8 == *step)?;
        Some(Failure {
            step,
            errno: Errno::from_raw(errno),
        })
    }

    /// Logs the failure of a service and its program.
    pub(crate) fn log(self, name: &str, program: &str) {
        match self.step {
            Step::Script => warn!("{name}: {program}: {}", sys::script::SAVED_ON_WINDOWS),
            step => error!("{name}: {program}: {step}: {}", self.errno),
        }
    }

    /// Returns true if the child ends because of the failure. A service of root in the wrong cgroup is
    /// better than none: the service may be the only way to log in. A script that was saved on Windows is executed
    /// all the same.
    #[must_use]
    pub fn fatal(self) -> bool {
        !matches!(self.step, Step::Cgroup | Step::Script)
    }
}

/// Starts a process of `def`.
///
/// # Errors
/// The definition cannot be executed (a string contains NUL, the readiness descriptor has another
/// use), or pipe2(2) or fork(2) fails. A step that fails in the child is read from
/// [`Child::failure`].
pub fn spawn(def: &ServiceDef, inherit: &Inherit<'_>) -> Result<Child> {
    let mut plan = prepare(def, inherit)?;
    let (failure, report) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).doing("pipe")?;
    let mut pid = plan.clone_into_cgroup();
    if pid < 0 {
        // SAFETY: PID 1 is single-threaded, so the child's copy is consistent. The child only
        // calls `become_service`, which never returns.
        pid = unsafe { libc::fork() };
    } else if pid == 0 {
        plan.cgroup = -1; // the child is in the cgroup already
    }
    match pid {
        -1 => Err(Errno::last()).doing("fork"),
        0 => plan.become_service(report.as_raw_fd()),
        pid => Ok(Child { pid, failure }),
    }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::invalid("a string of the definition contains NUL"))
}

fn c_strings(texts: &[&str]) -> Result<Vec<CString>> {
    texts.iter().map(|text| c_string(text)).collect()
}

fn prepare(def: &ServiceDef, inherit: &Inherit<'_>) -> Result<ExecPlan> {
    let raw = |fd: Option<BorrowedFd<'_>>| fd.map_or(-1, |f| f.as_raw_fd());
    let env = environment(def, inherit)?;
    let argv = c_strings(def.argv)?;
    let ready_as = match def.ready {
        // A lower number would overwrite a descriptor that has another use.
        ReadyWhen::Fd(n) if n < 3 + i32::from(inherit.listen.is_some()) => {
            return Err(Error::invalid("the readiness descriptor has another use"));
        }
        ReadyWhen::Fd(n) => n,
        _ => -1,
    };
    Ok(ExecPlan {
        argv_ptrs: Vec::with_capacity(argv.len() + 1),
        env_ptrs: Vec::with_capacity(env.len() + 2),
        argv,
        env,
        listen_pid: b"LISTEN_PID=0000000000\0".to_vec(),
        tty: def.tty.map(|t| c_string(t.path)).transpose()?,
        dir: c_string(def.dir)?,
        oom_score_adj: def.oom_score_adj.to_string().into_bytes(),
        umask: def.umask,
        nofile: def.nofile,
        user: def.user,
        listen: raw(inherit.listen),
        output: raw(inherit.output),
        ready: raw(inherit.ready),
        ready_as,
        cgroup: raw(inherit.cgroup),
    })
}

/// Returns the whole environment: constants and the definition, but not the variables that the
/// kernel's command line left in PID 1's environment (finit#442). A variable of the definition
/// replaces a constant of the same name, because programs differ in which of two variables they use.
fn environment(def: &ServiceDef, inherit: &Inherit<'_>) -> Result<Vec<CString>> {
    let user = def.user.unwrap_or(ROOT);
    let constants = [
        ("PATH=", PATH),
        ("LANG=", "C.UTF-8"),
        ("HOME=", user.home),
        ("USER=", user.name),
        ("LOGNAME=", user.name),
        ("SHELL=", user.shell),
        ("TERM=", if def.tty.is_some() { "linux" } else { "" }),
        ("NOTIFY_SOCKET=", inherit.notify.unwrap_or("")),
        (
            "LISTEN_FDS=",
            if inherit.listen.is_some() { "1" } else { "" },
        ),
    ];
    let mut env = c_strings(def.env)?;
    for (name, value) in constants {
        if !value.is_empty() && !def.env.iter().any(|own| own.starts_with(name)) {
            env.push(c_string(&[name, value].concat())?);
        }
    }
    Ok(env)
}

#[cfg(test)]
mod tests;
