//! fork and exec: what a child of PID 1 inherits is decided here, all of it.
//!
//! Everything that allocates happens before the fork; the child (`child.rs`)
//! calls only async-signal-safe functions. When a step fails it says which one
//! and the errno through a close-on-exec pipe, so that "sshd does not start"
//! becomes "sshd: exec: No such file or directory".
#![expect(unsafe_code, reason = "fork")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use crate::child::{ExecPlan, STAGES, Stage};
use crate::service::User;
use crate::{Pid, ReadyWhen, ServiceDef};

/// Where every service finds programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Who a service is whose row says nothing.
const ROOT: User = User {
    uid: 0,
    gid: 0,
    groups: &[],
    name: "root",
    home: "/root",
    shell: "/bin/bash",
};

/// What a start is given besides the row.
#[derive(Debug, Default)]
pub struct Inherit<'a> {
    /// Becomes descriptor 3, announced by `LISTEN_FDS=1` (`sd_listen_fds(3)`).
    pub listen: Option<BorrowedFd<'a>>,
    /// Becomes descriptors 1 and 2 where the row has no terminal.
    pub output: Option<BorrowedFd<'a>>,
    /// Becomes the descriptor that [`ReadyWhen::Fd`] names.
    pub ready: Option<BorrowedFd<'a>>,
    /// The open directory of the cgroup that it is to live in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Value of `NOTIFY_SOCKET`, for services that say when they are ready.
    pub notify: Option<&'static str>,
}

/// A started process.
#[derive(Debug)]
pub struct Child {
    /// Its pid.
    pub pid: Pid,
    /// Reads [`Failure`] records of steps that went wrong before exec, then end
    /// of file: at a successful exec, or when the child has ended.
    pub failure: OwnedFd,
}

/// A step before exec that went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub stage: Stage,
    /// Why.
    pub errno: Errno,
}

impl Failure {
    /// The length of a record.
    pub const LENGTH: usize = 5;

    /// Reads one record; `None` for what is none.
    #[must_use]
    pub fn read(record: &[u8]) -> Option<Failure> {
        let (stage, errno) = record.split_first()?;
        let errno = i32::from_le_bytes(errno.try_into().ok()?);
        let stage = *STAGES.iter().find(|s| **s as u8 == *stage)?;
        Some(Failure {
            stage,
            errno: Errno::from_raw(errno),
        })
    }

    /// Whether there is no service because of it: one in the wrong cgroup is
    /// better than none, when that service is the way in.
    #[must_use]
    pub fn fatal(self) -> bool {
        self.stage != Stage::Cgroup
    }
}

/// Forks and execs `row`.
///
/// # Errors
/// When the row cannot be, or the pipe or the fork fails; a failing step in the
/// child comes through [`Child::failure`].
pub fn spawn(row: &ServiceDef, inherit: &Inherit<'_>) -> io::Result<Child> {
    let mut image = prepare(row, inherit)?;
    let (failure, report) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    let mut pid = image.born();
    if pid < 0 {
        // SAFETY: PID 1 is single-threaded, so the child's copy is consistent;
        // it goes straight into `become_service`, which never returns.
        pid = unsafe { libc::fork() };
    } else if pid == 0 {
        image.cgroup = -1; // it is in there
    }
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => image.become_service(report.as_raw_fd()),
        pid => Ok(Child { pid, failure }),
    }
}

fn c(s: &str) -> io::Result<CString> {
    Ok(CString::new(s)?)
}

fn prepare(row: &ServiceDef, inherit: &Inherit<'_>) -> io::Result<ExecPlan> {
    let raw = |fd: Option<BorrowedFd<'_>>| fd.map_or(-1, |f| f.as_raw_fd());
    let env = environment(row, inherit)?;
    let argv: Vec<CString> = row.argv.iter().map(|s| c(s)).collect::<Result<_, _>>()?;
    let ready_as = match row.ready {
        // Anything else would overwrite a descriptor that has a meaning.
        ReadyWhen::Fd(n) if n < 3 + i32::from(inherit.listen.is_some()) => {
            return Err(io::ErrorKind::InvalidInput.into());
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
        tty: row.tty.map(|t| c(t.path)).transpose()?,
        dir: c(row.dir)?,
        oom: row.oom_score_adj.to_string().into_bytes(),
        umask: row.umask,
        nofile: row.nofile,
        user: row.user,
        listen: raw(inherit.listen),
        output: raw(inherit.output),
        ready: raw(inherit.ready),
        ready_as,
        cgroup: raw(inherit.cgroup),
    })
}

/// The whole environment: constants and the row, never what the kernel's command
/// line left in PID 1's own (finit#442). What the row says stands in place of a
/// constant, not beside it: programs differ in whether they take the first or the
/// last.
fn environment(row: &ServiceDef, inherit: &Inherit<'_>) -> io::Result<Vec<CString>> {
    let user = row.user.unwrap_or(ROOT);
    let all = [
        ("PATH=", PATH),
        ("LANG=", "C.UTF-8"),
        ("HOME=", user.home),
        ("USER=", user.name),
        ("LOGNAME=", user.name),
        ("SHELL=", user.shell),
        ("TERM=", if row.tty.is_some() { "linux" } else { "" }),
        ("NOTIFY_SOCKET=", inherit.notify.unwrap_or("")),
        (
            "LISTEN_FDS=",
            if inherit.listen.is_some() { "1" } else { "" },
        ),
    ];
    let mut env: Vec<CString> = row.env.iter().map(|s| c(s)).collect::<Result<_, _>>()?;
    for (name, value) in all {
        if !value.is_empty() && !row.env.iter().any(|r| r.starts_with(name)) {
            env.push(c(&[name, value].concat())?);
        }
    }
    Ok(env)
}

#[cfg(test)]
mod tests;
