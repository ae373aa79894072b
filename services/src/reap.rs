//! The one waiter: everybody else in PID 1 learns of an exit from here.
//!
//! An ended child is looked at with `WNOWAIT` first, handed to the caller, and
//! only then reaped: until that moment its pid cannot be used again, so a
//! signal decided on in between cannot hit a stranger.
#![expect(
    unsafe_code,
    reason = "waitid(2) through libc: nix loses real-time signals"
)]

use nix::errno::Errno;

use crate::{ExitStatus, Pid};

/// So many are reaped in one go: a storm of orphans must not keep PID 1 from
/// its other work.
const AT_ONCE: usize = 4096;
/// So often the kernel is asked, where it does not answer.
const TRIES: u32 = 8;

/// Calls `each` for every child that has ended. SIGCHLD coalesces, so one
/// signal may stand for any number of them. `true` if some may be left.
#[must_use]
pub fn drain(mut each: impl FnMut(Pid, ExitStatus)) -> bool {
    for _ in 0..AT_ONCE {
        let Some((pid, status)) = wait(libc::P_ALL, 0, libc::WNOWAIT) else {
            return false;
        };
        each(pid, status);
        // Reap exactly what was looked at. Were it gone (it cannot be: we are
        // the only waiter) the loop would still advance, by the next look.
        wait(libc::P_PID, pid.unsigned_abs(), 0);
    }
    true
}

fn wait(idtype: libc::idtype_t, id: libc::id_t, extra: i32) -> Option<(Pid, ExitStatus)> {
    // SAFETY: siginfo_t is plain data for which all zero is a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | extra;
    // One SIGCHLD stands for all of them, so an end that is missed here is missed
    // until the next one: only "no children at all" is believed at once.
    let mut tries = 0;
    // SAFETY: `info` outlives the call, which writes nothing else of ours.
    while unsafe { libc::waitid(idtype, id, &raw mut info, options) } != 0 {
        tries += 1;
        if Errno::last() == Errno::ECHILD || tries >= TRIES {
            return None;
        }
    }
    // SAFETY: waitid filled in the SIGCHLD members, or left them zero.
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

    // The tests of this module fork; nextest or `cargo test` may run them
    // beside others, so each looks only at its own child's status.
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
            if let Some((_, s)) = wait(libc::P_PID, pid.unsigned_abs(), 0) {
                return s;
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
    fn real_time_signal_survives() {
        let sig = libc::SIGRTMIN() + 3;
        // SAFETY: kill and getpid in a forked child.
        let pid = child(|| unsafe {
            libc::kill(libc::getpid(), sig);
        });
        assert_eq!(status_of(pid), ExitStatus::Killed(sig));
    }
}
