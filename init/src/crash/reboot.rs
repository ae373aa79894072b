// SPDX-License-Identifier: Apache-2.0
//! The end of a machine whose PID 1 crashes in its shutdown, without memory and without a
//! descriptor.
#![expect(unsafe_code, reason = "async-signal-safe system calls alone")]

use control::ShutdownKind;
use sys::syscall;

use super::seconds;

/// Time limit for sync(2), in seconds.
const SYNC_LIMIT_S: u32 = 30;

/// Syncs for a limited time and calls reboot(2). If the kernel refuses, returns, or ends the container of which this
/// is PID 1.
pub(super) fn reboot_now(kind: ShutdownKind) {
    sync_in_child();
    // SAFETY: integers.
    unsafe { libc::reboot(kind.reboot_mode() as libc::c_int) };
    if syscall::in_other_pid_namespace() {
        syscall::exit(0);
    }
}

/// Syncs in a child, because a server that is gone can block sync(2) for ever. Without memory for a
/// child, PID 1 calls sync(2) itself, as the shutdown does. The system call itself: fork(3) takes
/// locks, which the crash may have left taken.
fn sync_in_child() {
    // SAFETY: integers. The child has a copy of the stack, and only makes system calls.
    let pid = unsafe {
        let pid = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
        if pid <= 0 {
            libc::sync();
        }
        if pid == 0 {
            libc::_exit(0);
        }
        pid as libc::pid_t
    };
    let start = seconds();
    while pid > 0 && !has_ended(pid) && seconds().saturating_sub(start) < SYNC_LIMIT_S {
        wait_for_a_second(&[libc::SIGCHLD]);
    }
}

/// Reaps the child if it has ended. Without a descriptor: there may be none.
fn has_ended(pid: libc::pid_t) -> bool {
    // SAFETY: integers.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) != 0 }
}

/// Waits for one of the signals, which stay blocked, for one second; returns its number, or -1.
fn wait_for_a_second(signals: &[libc::c_int]) -> libc::c_int {
    let second = libc::timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    // SAFETY: local buffers and integers only.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const second)
    }
}
