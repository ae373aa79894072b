// SPDX-License-Identifier: Apache-2.0
//! Reaps the children of PID 1 in the event loop. Two other places wait for a child:
//! [`sys::syscall::Child::exit_status`] for the child of a call with a time limit, and `init::crash` without memory.
//!
//! Once a child is reaped, its pid may be used again: the caller records the end of a child before it
//! sends any signal. One waitid(2) for each child is enough, because PID 1 is single-threaded and
//! sends signals only when it settles the services. The other processes of a cgroup may be reaped by their own
//! parents at any time, so [`crate::cgroup`] signals them by pidfd.
#![expect(
    unsafe_code,
    reason = "waitid(2) through libc: nix loses real-time signals"
)]

use nix::errno::Errno;

use crate::{ExitStatus, Pid};

/// Maximum number of children that one call reaps: a storm of orphans must not keep PID 1 from
/// its other work.
const MAX_REAPED: usize = 4096;
/// Number of attempts at a failing waitid(2).
const MAX_TRIES: u32 = 8;

/// Reaps every child that has ended, and calls `each` for the child. `each` sends no signals. SIGCHLD
/// coalesces, so one signal may stand for any number of children. Returns true if more may have ended.
#[must_use]
pub fn drain(mut each: impl FnMut(Pid, ExitStatus)) -> bool {
    drain_until(|pid, status| {
        each(pid, status);
        false
    })
}

/// Reaps children that have ended until `each` returns true for one of them, or none is left. Returns
/// true if more may have ended.
#[must_use]
pub fn drain_until(mut each: impl FnMut(Pid, ExitStatus) -> bool) -> bool {
    for _ in 0..MAX_REAPED {
        let Some((pid, status)) = wait(libc::P_ALL, 0) else {
            return false;
        };
        if each(pid, status) {
            break;
        }
    }
    true
}

/// Reaps the child `pid` if it has ended, and returns its status; `None` also for a child that is
/// reaped already.
#[must_use]
pub fn take(pid: Pid) -> Option<ExitStatus> {
    let (_, status) = wait(libc::P_PID, pid.unsigned_abs())?;
    Some(status)
}

/// Returns true if `pid` is a child of this process, running or not reaped yet.
#[must_use]
pub fn is_child(pid: Pid) -> bool {
    // SAFETY: siginfo_t is plain data and outlives the call.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        pid > 1 && libc::waitid(libc::P_PID, pid.unsigned_abs(), &raw mut info, options) == 0
    }
}

fn wait(idtype: libc::idtype_t, id: libc::id_t) -> Option<(Pid, ExitStatus)> {
    // SAFETY: siginfo_t is plain data, and all zero is a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG;
    // One SIGCHLD may stand for several children, so an end that is missed here is missed until the
    // next signal. Only ECHILD, "no children", is final at once.
    let mut tries = 0;
    // SAFETY: `info` outlives the call, which writes to nothing else.
    while unsafe { libc::waitid(idtype, id, &raw mut info, options) } != 0 {
        tries += 1;
        if Errno::last() == Errno::ECHILD || tries >= MAX_TRIES {
            return None;
        }
    }
    // SAFETY: waitid(2) set the members for SIGCHLD, or left them zero.
    let (pid, value) = unsafe { (info.si_pid(), info.si_status()) };
    let status = match info.si_code {
        libc::CLD_EXITED => ExitStatus::Exited(value),
        _ => ExitStatus::Killed(value),
    };
    (pid != 0).then_some((pid, status))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The tests of this module fork, and `cargo test` may run them beside others: each waits
    // only for its own child.
    fn child(body: impl Fn()) -> Pid {
        // SAFETY: the child calls only async-signal-safe functions and _exit.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            body();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(99) };
        }
        pid
    }

    fn status_of(pid: Pid) -> ExitStatus {
        for _ in 0..5000 {
            if let Some(status) = take(pid) {
                return status;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("child {pid} did not end");
    }

    #[test]
    fn exit_status_survives() {
        // SAFETY: _exit in a forked child.
        let pid = child(|| unsafe { libc::_exit(7) });
        assert_eq!(status_of(pid), ExitStatus::Exited(7));
    }

    #[test]
    fn a_child_is_one_until_it_is_reaped() {
        // SAFETY: _exit in a forked child.
        let pid = child(|| unsafe { libc::_exit(7) });
        assert!(is_child(pid));
        status_of(pid);
        assert_eq!(take(pid), None);
        assert!(!is_child(pid) && !is_child(0) && !is_child(1) && !is_child(-1));
    }

    #[test]
    fn real_time_signal_survives() {
        let sig = libc::SIGRTMIN() + 3;
        // SAFETY: kill and getpid in a forked child.
        let pid = child(|| unsafe {
            libc::kill(libc::getpid(), sig);
        });
        assert_eq!(status_of(pid), ExitStatus::Killed(sig));
    }
}
