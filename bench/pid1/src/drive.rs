// SPDX-License-Identifier: Apache-2.0
//! PID 1 of the benchmark guest.

use std::fs;

use nix::mount::MsFlags;
use nix::sys::reboot::{RebootMode, reboot};

use crate::candidates::{ALL, Candidate};
use crate::measure::{self, Values};
use crate::namespaces;
use crate::say::say;

/// Controllers of each cgroup, as on a machine that runs containers.
const CONTROLLERS: &str = "+cpu +memory +pids +io";

/// Measures, prints the results, and powers the machine off.
pub fn main() -> ! {
    match prepare().and_then(|()| measure::all(&order())) {
        Ok(values) => tell(&values),
        Err(why) => say(&format!("failed {why}")),
    }
    let _ = reboot(RebootMode::RB_POWER_OFF);
    std::process::exit(1)
}

fn prepare() -> Result<(), String> {
    let none = MsFlags::empty();
    namespaces::mount_fs("devtmpfs", "/dev", none, "")?;
    namespaces::mount_fs("proc", "/proc", none, "")?;
    namespaces::mount_fs("sysfs", "/sys", none, "")?;
    namespaces::mount_fs("tmpfs", "/run", none, "mode=0755")?;
    namespaces::mount_fs("cgroup2", namespaces::CGROUPS, none, "")?;
    let set = [
        ("/proc/sys/kernel/printk_devkmsg", "on\n"),
        ("/proc/sys/kernel/printk", "1"),
        ("/proc/sys/kernel/pid_max", "4194304"),
        ("/sys/fs/cgroup/cgroup.subtree_control", CONTROLLERS),
    ];
    for (path, value) in set {
        fs::write(path, value).map_err(|e| format!("{path}: {e}"))?;
    }
    for dir in ["/bench", "/mnt", "/tmp", "/root"] {
        fs::create_dir_all(dir).map_err(|e| format!("{dir}: {e}"))?;
    }
    Ok(())
}

/// Returns the order of the candidates: each boot begins with another one, `bench.first=` on the
/// command line.
fn order() -> Vec<&'static Candidate> {
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let first = line
        .split_whitespace()
        .find_map(|w| w.strip_prefix("bench.first="));
    let first: usize = first.and_then(|n| n.parse().ok()).unwrap_or(0);
    let (head, tail) = ALL.split_at(first % ALL.len());
    tail.iter().chain(head).collect()
}

/// Prints a line for each candidate: `bench: pid1 tini start=1,2,3 rss=4`.
fn tell(values: &Values) {
    for candidate in ALL {
        let mut line = format!("pid1 {}", candidate.name);
        for ((_, figure), list) in values
            .iter()
            .filter(|((name, _), _)| *name == candidate.name)
        {
            let list: Vec<String> = list.iter().map(u64::to_string).collect();
            line += &format!(" {figure}={}", list.join(","));
        }
        say(&line);
    }
    say("done");
}
