// SPDX-License-Identifier: Apache-2.0
//! Processes that a shutdown has to end: all but PID 1, kernel threads and zombies.

use std::fs;
use std::io;
use std::path::Path;

use nix::errno::Errno;

/// Flag of kernel threads in the stat file of a process (include/linux/sched.h).
const PF_KTHREAD: u32 = 0x0020_0000;

/// Returns `name[pid]` of every process except PID 1, kernel threads and zombies; `None` if there
/// is none, or if /proc cannot be read in three attempts.
#[must_use]
pub fn user_processes() -> Option<String> {
    // A single error must not be taken for an empty list, which would cut short the time that
    // programs have to end.
    let pids = (0..3).find_map(|_| pids(Path::new("/proc")).ok())?;
    let names: Vec<String> = pids.into_iter().filter_map(process_name).collect();
    (!names.is_empty()).then(|| names.join(" "))
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

/// Returns `name[pid]` unless the process is a kernel thread, or has ended (ESRCH if its file was
/// open already).
fn process_name(pid: u32) -> Option<String> {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => user_process(&stat).map(|name| format!("{name}[{pid}]")),
        Err(e) => match e.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ESRCH) => None,
            _ => Some(format!("?[{pid}]")),
        },
    }
}

/// Returns the name in a line of proc_pid_stat(5), unless the process is a kernel thread or a
/// zombie.
fn user_process(stat: &str) -> Option<&str> {
    let (head, tail) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1;
    let mut fields = tail.split_whitespace();
    let state = fields.next()?;
    let flags: u32 = fields.nth(5)?.parse().ok()?;
    (state != "Z" && flags & PF_KTHREAD == 0).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_threads_and_zombies_do_not_count() {
        assert_eq!(
            user_process("7 (a) b) S 1 1 1 0 -1 4194304 0"),
            Some("a) b")
        );
        assert_eq!(user_process("7 (kworker/0:1) I 2 0 0 0 -1 2129984 0"), None);
        assert_eq!(user_process("7 (sh) Z 1 1 1 0 -1 4194304 0"), None);
        assert_eq!(user_process("nonsense"), None);
    }

    #[test]
    fn processes_are_the_numbers_but_1() {
        let dir = std::env::temp_dir().join(format!("b2p-pids-{}", std::process::id()));
        for name in ["1", "7", "self", "30x"] {
            fs::create_dir_all(dir.join(name)).expect("a directory");
        }
        assert_eq!(pids(&dir).ok(), Some(vec![7]));
        fs::remove_dir_all(&dir).expect("it is there");
        assert!(pids(&dir).is_err());
    }
}
