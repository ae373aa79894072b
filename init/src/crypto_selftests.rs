//! The kernel's own self-tests, out of the way of the boot.
//!
//! A kernel tests its cryptography in threads (crypto/algapi.c,
//! `cryptomgr_test`); Debian's still runs four of them when PID 1 starts, for
//! 0.8 s on one processor, and at equal weight every step of ours takes twice as
//! long. They lose nothing by waiting for an idle moment: who needs an algorithm
//! waits for its test, and so makes that moment.

use std::fs;
use std::path::Path;

use sys::syscall;

/// The threads' name.
const NAME: &str = "cryptomgr_test";

/// Lets them run only when nothing else wants to. Until it is done there are four of
/// them to one of us.
pub fn deprioritize() {
    syscall::with_rt_priority(|| threads(Path::new("/proc")).for_each(syscall::set_sched_idle));
}

fn threads(proc: &Path) -> impl Iterator<Item = services::Pid> {
    let pids = fs::read_dir(proc).into_iter().flatten().flatten();
    let pids = pids.filter_map(|e| e.file_name().to_str()?.parse().ok());
    pids.filter(move |pid: &services::Pid| {
        let comm = fs::read_to_string(proc.join(pid.to_string()).join("comm"));
        comm.is_ok_and(|c| c.trim() == NAME)
    })
}
