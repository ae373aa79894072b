// SPDX-License-Identifier: Apache-2.0
//! Processes that a shutdown has to end: all but PID 1, kernel threads and zombies.

use std::fs;
use std::io;
use std::path::Path;

use nix::errno::Errno;

/// Flag of kernel threads in the stat file of a process (include/linux/sched.h).
const PF_KTHREAD: u32 = 0x0020_0000;

/// Directory of the processes.
const PROC: &str = "/proc";
/// Name of a process whose name cannot be read.
const UNKNOWN: &str = "?";

/// Returns true if a program of this name runs, or may run because /proc cannot be read.
#[must_use]
pub fn is_running(name: &str) -> bool {
    is_running_in(Path::new(PROC), name)
}

fn is_running_in(proc: &Path, name: &str) -> bool {
    let is = |processes: Vec<(u32, String)>| processes.iter().any(|(_, other)| other == name);
    processes(proc).map_or(true, is)
}

/// Returns the processes that remain besides PID 1, kernel threads and zombies, as `name[pid] name[pid]`; `None` if
/// there is none. If /proc cannot be read, the text says so: programs then have their whole time to end.
#[must_use]
pub fn list_remaining() -> Option<String> {
    let processes = match processes(Path::new(PROC)) {
        Ok(processes) => processes,
        Err(why) => return Some(format!("unknown processes ({PROC}: {why})")),
    };
    let texts = processes.iter().map(|(pid, name)| format!("{name}[{pid}]"));
    let texts: Vec<String> = texts.collect();
    (!texts.is_empty()).then(|| texts.join(" "))
}

/// Returns the pid and the name of each process besides PID 1, kernel threads and zombies.
///
/// # Errors
/// The directory cannot be read in three attempts.
fn processes(proc: &Path) -> io::Result<Vec<(u32, String)>> {
    let pids = pids(proc).or_else(|_| pids(proc)).or_else(|_| pids(proc))?;
    let named = |pid| Some((pid, process_name(proc, pid)?));
    Ok(pids.into_iter().filter_map(named).collect())
}

/// Returns the pids of all processes except PID 1.
fn pids(proc: &Path) -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir(proc)? {
        let pid = entry?
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<u32>().ok());
        pids.extend(pid.filter(|pid| *pid != 1));
    }
    Ok(pids)
}

/// Returns the name of a process unless the process is a kernel thread, or has ended (ESRCH if its file was
/// open already).
fn process_name(proc: &Path, pid: u32) -> Option<String> {
    match fs::read_to_string(proc.join(format!("{pid}/stat"))) {
        Ok(stat) => program_of(&stat).map(str::to_owned),
        Err(e) => match e.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ESRCH) => None,
            _ => Some(UNKNOWN.to_owned()),
        },
    }
}

/// Returns the name in a line of proc_pid_stat(5), unless the process is a kernel thread or has ended. The first
/// thread of a process is a zombie while other threads still end: the latter hold the program and the files of
/// the process, and so the disk of these files (kernel/exit.c, delay_group_leader).
fn program_of(stat: &str) -> Option<&str> {
    let (head, tail) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1;
    let mut fields = tail.split_whitespace();
    let state = fields.next()?;
    let flags: u32 = fields.nth(5)?.parse().ok()?;
    let threads = fields.nth(10).and_then(|n| n.parse::<u32>().ok());
    let has_ended = state == "Z" && threads.unwrap_or(0) <= 1;
    (!has_ended && flags & PF_KTHREAD == 0).then_some(name)
}

#[cfg(test)]
mod tests {
    #![expect(unsafe_code, reason = "threads of a child")]
    use std::ffi::{c_int, c_void};
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn kernel_threads_and_zombies_do_not_count() {
        assert_eq!(program_of("7 (a) b) S 1 1 1 0 -1 4194304 0"), Some("a) b"));
        assert_eq!(program_of("7 (kworker/0:1) I 2 0 0 0 -1 2129984 0"), None);
        assert_eq!(program_of("7 (sh) Z 1 1 1 0 -1 4194304 0"), None);
        let zombie = "7 (sh) Z 1 1 1 0 -1 4194304 0 0 0 0 0 0 0 0 20 0";
        assert_eq!(program_of(&format!("{zombie} 1 0 99")), None);
        assert_eq!(program_of(&format!("{zombie} 2 0 99")), Some("sh"));
        assert_eq!(program_of("nonsense"), None);
    }

    /// Stack of the second thread, in words.
    static STACK: [AtomicU64; 4096] = [const { AtomicU64::new(0) }; 4096];

    extern "C" fn wait_for_ever(_: *mut c_void) -> c_int {
        loop {
            // SAFETY: no arguments.
            unsafe { libc::pause() };
        }
    }

    /// Starts a child whose first thread ends while a second one continues.
    fn child_without_its_first_thread() -> libc::pid_t {
        let shared = libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES;
        let flags = shared | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
        // SAFETY: the child makes system calls alone; the second thread has a stack of its own, and the first
        // ends without a return.
        unsafe {
            let pid = libc::fork();
            if pid == 0 {
                let top = STACK.as_ptr_range().end.cast_mut().cast();
                libc::clone(wait_for_ever, top, flags, std::ptr::null_mut());
                libc::syscall(libc::SYS_exit, 0);
            }
            pid
        }
    }

    #[test]
    fn a_process_is_there_until_its_last_thread_has_ended() {
        let pid = child_without_its_first_thread();
        let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).expect("not reaped");
        while !stat().contains(") Z ") {
            std::thread::yield_now();
        }
        let name = process_name(Path::new(PROC), u32::try_from(pid).expect("a pid"));
        // SAFETY: a child of this process, which is reaped here.
        unsafe {
            libc::kill(pid, libc::SIGKILL);
            libc::waitid(
                libc::P_PID,
                pid as u32,
                std::ptr::null_mut(),
                libc::WEXITED | libc::WNOWAIT,
            );
        }
        let after = program_of(&stat()).map(str::to_owned);
        // SAFETY: as above.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        assert!(name.is_some(), "it still has a thread");
        assert_eq!(after, None, "a zombie");
    }

    #[test]
    fn a_program_may_run_if_proc_cannot_be_read_and_its_whole_name_counts() {
        let proc = std::env::temp_dir().join(format!("b2p-proc-{}", std::process::id()));
        assert!(is_running_in(&proc, "conmon"), "there is no such directory");
        fs::create_dir_all(proc.join("7")).expect("a directory");
        let is_conmon = |name: &str| {
            let stat = format!("7 ({name}) S 1 1 1 0 -1 4194304 0");
            fs::write(proc.join("7/stat"), stat).expect("a file");
            is_running_in(&proc, "conmon")
        };
        let found = ["conmon", "x conmon", "conmon[8] x", "conmo"].map(is_conmon);
        assert_eq!(found, [true, false, false, false]);
        fs::remove_dir_all(&proc).expect("it is there");
    }

    #[test]
    fn pids_are_the_numeric_names_in_proc_except_1() {
        let dir = std::env::temp_dir().join(format!("b2p-pids-{}", std::process::id()));
        for name in ["1", "7", "self", "30x"] {
            fs::create_dir_all(dir.join(name)).expect("a directory");
        }
        assert_eq!(pids(&dir).ok(), Some(vec![7]));
        fs::remove_dir_all(&dir).expect("it is there");
        assert!(pids(&dir).is_err());
    }
}
