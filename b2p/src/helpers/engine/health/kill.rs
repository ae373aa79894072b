//! A check's command that takes too long is killed: podman then writes down that it
//! has failed.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::helpers::containers::comm_and_parent;

/// Kills the commands of health checks in this container.
pub fn command(id: &str) {
    let proc = Path::new("/proc");
    let read = fs::read_dir(proc).into_iter().flatten().flatten();
    let pids: Vec<i32> = read
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .collect();
    let is_check = |pid: i32| {
        let words = fs::read(proc.join(format!("{pid}/cmdline"))).unwrap_or_default();
        is_check(&String::from_utf8_lossy(&words), id)
    };
    for pid in &pids {
        let stat = fs::read_to_string(proc.join(format!("{pid}/stat"))).unwrap_or_default();
        let parent = comm_and_parent(&stat).map(|(_, parent)| parent);
        if parent.is_some_and(is_check) {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
    }
}

/// Whether this is the conmon of a check. One of `podman exec` has a command to call
/// at the end, one of a check has not: podman itself waits for it.
fn is_check(cmdline: &str, id: &str) -> bool {
    let words: Vec<&str> = cmdline.split('\0').collect();
    let conmon = words.first().is_some_and(|w| w.ends_with("/conmon"));
    let has = |word: &str| words.contains(&word);
    conmon && has(id) && has("--exec-process-spec") && !has("--exit-command")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_and_what_people_run() {
        let check = "/usr/bin/conmon\0-c\0abc\0--exec-process-spec\0/x\0";
        assert!(is_check(check, "abc") && !is_check(check, "ab"));
        assert!(!is_check(
            &format!("{check}--exit-command\0podman\0"),
            "abc"
        ));
        assert!(!is_check("/usr/bin/conmon\0-c\0abc\0", "abc"));
        assert!(!is_check(&check.replace("/conmon", "/vi"), "abc"));
    }
}
