// SPDX-License-Identifier: Apache-2.0
//! Processes in proc(5) and the cgroup tree.

use std::fs;
use std::path::Path;

/// Returns every process in a cgroup and its descendants.
pub fn members(cgroup: &Path) -> Vec<i32> {
    let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let mut all: Vec<i32> = text.lines().filter_map(|l| l.parse().ok()).collect();
    for dir in directories(cgroup) {
        all.extend(members(&dir));
    }
    all.sort_unstable();
    all
}

/// Removes an empty cgroup and its descendants.
pub fn remove(cgroup: &Path) {
    directories(cgroup).iter().for_each(|dir| remove(dir));
    let _ = fs::remove_dir(cgroup);
}

fn directories(cgroup: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    let dirs = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    dirs.map(|e| e.path()).collect()
}

/// Returns the first number of a field in a process's file, such as `voluntary_ctxt_switches` of
/// status.
pub fn field(text: &str, name: &str) -> Option<u64> {
    let value = |line| str::strip_prefix(line, name)?.strip_prefix(':');
    let value = text.lines().find_map(value)?;
    value.split_whitespace().next()?.parse().ok()
}

fn read(pid: i32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
}

/// Returns the number of times that a process was scheduled.
pub fn switches(pid: i32) -> u64 {
    let text = read(pid, "status");
    let get = |name| field(&text, name).unwrap_or(0);
    get("voluntary_ctxt_switches") + get("nonvoluntary_ctxt_switches")
}

/// Returns resident memory in KiB: total, and anonymous.
pub fn memory(pid: i32) -> (u64, u64) {
    let text = read(pid, "status");
    let get = |name| field(&text, name).unwrap_or(0);
    (get("VmRSS"), get("RssAnon"))
}

/// Returns the processor time of a process in nanoseconds (sched-stats.rst).
pub fn runtime(pid: i32) -> u64 {
    let text = read(pid, "schedstat");
    let first = text.split(' ').next();
    first.and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_whole_name() {
        let text = "nonvoluntary_ctxt_switches:\t3\nvoluntary_ctxt_switches:\t12\nVmRSS:\t 44 kB\n";
        assert_eq!(field(text, "voluntary_ctxt_switches"), Some(12));
        assert_eq!(field(text, "VmRSS"), Some(44));
        assert_eq!(field(text, "Vm"), None);
    }

    #[test]
    fn this_process_has_run_and_has_memory() {
        let me = std::process::id() as i32;
        assert!(switches(me) > 0 && memory(me).0 > memory(me).1);
    }
}
