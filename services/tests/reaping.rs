// SPDX-License-Identifier: Apache-2.0
//! Reaping of real children. The test is a separate program, because it reaps every child of its
//! process.
#![expect(unsafe_code, reason = "fork")]

use std::fs;

use services::{ExitStatus, Pid, reap};

/// Returns a child that has ended with `code` and is not reaped.
fn zombie(code: i32) -> Pid {
    // SAFETY: the child only exits.
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

#[test]
fn each_child_is_reported_once_and_has_been_reaped() {
    let children: Vec<(Pid, ExitStatus)> = (0..50)
        .map(|n| (zombie(n), ExitStatus::Exited(n)))
        .collect();
    let mut seen = Vec::new();
    let more = reap::drain_until(|pid, status| {
        seen.push((pid, status));
        seen.len() == 20
    });
    assert!(more && seen.len() == 20);
    assert!(!reap::drain(|pid, status| seen.push((pid, status))));
    assert_eq!(seen, children);
    assert!(children.iter().all(|(pid, _)| !is_zombie(*pid)));
    assert!(!reap::drain(|pid, _| panic!("{pid} is seen twice")));
}
