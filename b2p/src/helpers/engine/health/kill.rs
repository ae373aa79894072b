// SPDX-License-Identifier: Apache-2.0
//! End of a check's command that takes too long: podman then records that the check failed.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::helpers::engine::conmon::Machine;
use crate::helpers::engine::stop::comm_and_parent;

/// Kills the commands of health checks in this container; returns true if there was one.
pub fn check_commands(id: &str) -> bool {
    let proc = Path::new("/proc");
    let read = fs::read_dir(proc).into_iter().flatten().flatten();
    let pids: Vec<i32> = read
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .collect();
    let machine = Machine::detect();
    let is_check = |pid: i32| {
        let is_conmon = machine.as_ref().and_then(|m| m.conmon_of(proc, pid));
        if is_conmon.is_none() {
            return false;
        }
        let cmdline = fs::read(proc.join(format!("{pid}/cmdline"))).unwrap_or_default();
        is_check(&String::from_utf8_lossy(&cmdline), id)
    };
    let mut found = false;
    for pid in &pids {
        let stat = fs::read_to_string(proc.join(format!("{pid}/stat"))).unwrap_or_default();
        let parent = comm_and_parent(&stat).map(|(_, parent)| parent);
        if parent.is_some_and(is_check) {
            found |= kill(Pid::from_raw(*pid), Signal::SIGKILL).is_ok();
        }
    }
    found
}

/// Returns true for the conmon of a check. The conmon of `podman exec` has a command to call at the
/// end; the conmon of a check has none, because podman itself waits for its end.
fn is_check(cmdline: &str, id: &str) -> bool {
    let args: Vec<&str> = cmdline.split('\0').collect();
    let conmon = args.first().is_some_and(|path| path.ends_with("/conmon"));
    let has = |arg: &str| args.contains(&arg);
    conmon && has(id) && has("--exec-process-spec") && !has("--exit-command")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conmon_of_a_health_check_is_told_from_that_of_podman_exec() {
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
