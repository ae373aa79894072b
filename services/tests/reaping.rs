//! The one waiter, with real children. A program of its own: what is reaped here
//! is every child of the process.
#![expect(unsafe_code, reason = "fork")]

use std::fs;

use services::{ExitStatus, Pid, reap};

/// A child that ends at once with `code`, and has ended.
fn ended(code: i32) -> Pid {
    // SAFETY: the child only ends.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        // SAFETY: as above.
        unsafe { libc::_exit(code) };
    }
    while !is_zombie(pid) {
        std::thread::yield_now();
    }
    pid
}

fn is_zombie(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| s.contains(") Z "))
}

/// Whoever decides on a signal meanwhile cannot hit a stranger: the pid is still
/// that of the one that has ended. And each is told of once, with its status.
#[test]
fn a_pid_is_its_own_until_its_end_is_known() {
    let children: Vec<(Pid, ExitStatus)> =
        (0..50).map(|n| (ended(n), ExitStatus::Exited(n))).collect();
    let mut seen = Vec::new();
    let more = reap::drain(|pid, status| {
        assert!(is_zombie(pid), "{pid} is reaped already");
        seen.push((pid, status));
    });
    assert!(!more);
    assert_eq!(seen, children);
    assert!(children.iter().all(|(pid, _)| !is_zombie(*pid)));
    assert!(!reap::drain(|pid, _| panic!("{pid} is seen twice")));
}
