// SPDX-License-Identifier: Apache-2.0
//! Lower priority for the kernel's own self-tests of cryptography.
//!
//! A kernel tests its algorithms in threads (crypto/algapi.c, `cryptomgr_test`). Debian's kernel
//! still runs four of them when PID 1 starts, for 0.8 s on one processor; at equal weight every
//! step of the boot takes twice as long. The tests lose nothing by waiting for an idle moment:
//! code that needs an algorithm waits for its test, which makes the processor idle.

use std::fs;
use std::path::Path;

use sys::syscall;

/// Name of the threads (proc_pid_comm(5)).
const THREAD_NAME: &str = "cryptomgr_test";

/// Lets the threads that exist now run only when nothing else wants the processor.
pub fn deprioritize() {
    threads(Path::new("/proc")).for_each(syscall::set_sched_idle);
}

fn threads(proc: &Path) -> impl Iterator<Item = services::Pid> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(move |pid: &services::Pid| {
        let name = fs::read_to_string(proc.join(pid.to_string()).join("comm"));
        name.is_ok_and(|name| name.trim() == THREAD_NAME)
    })
}
