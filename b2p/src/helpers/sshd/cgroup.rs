// SPDX-License-Identifier: Apache-2.0
//! Limits of the cgroup of sshd (cgroup-v2.rst), which has the listener and the sessions without a
//! login: a login moves its session to its user's cgroup ([`super::login`]). [`super::admission`]
//! bounds the number of sessions; here the kernel bounds the processes and memory of sessions.

use std::fs;
use std::path::Path;

use log::warn;
use sys::error::{Doing, Result};

use super::admission::Limits;

/// Mount point of the tree.
const CGROUPS: &str = "/sys/fs/cgroup";
/// Cgroups of services, below which the limits are set: elsewhere, others would have them, too.
const SERVICES: &str = "/system/";
/// Processes of a session while it starts, twice: sshd, sshd-session, `b2p` and sshd-auth.
const PROCESSES: usize = 8;
/// Processes beside those of sessions without a login, such as root's sessions that could not be moved.
const SPARE_PROCESSES: usize = 64;
/// Share of the memory, and the least: 1,280 sockets and eight sessions take half of the least.
const MEMORY_SHARE: u64 = 4;
const MIN_MEMORY_MIB: u64 = 64;

/// Sets the limits for the process's own cgroup. A limit that cannot be set is logged.
pub fn limit(limits: Limits, memory_mib: u64) {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(own) = of_service(&own) else { return };
    let dir = Path::new(CGROUPS).join(own);
    let set = |(file, value): &(&str, String)| write(&dir.join(file), value);
    let all = values(limits, memory_mib);
    all.iter()
        .filter_map(|limit| set(limit).err())
        .for_each(|e| warn!("{e}"));
}

fn write(path: &Path, value: &str) -> Result<()> {
    fs::write(path, value).on(path)
}

/// Returns the cgroup of a service in proc_pid_cgroup(5), relative to the root of the tree.
pub fn of_service(text: &str) -> Option<&str> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    path.starts_with(SERVICES).then(|| &path[1..])
}

/// Returns the files and values. Where memory runs out, a session is killed: the listener cannot
/// be ([`super::limit::raise`]).
fn values(limits: Limits, memory_mib: u64) -> [(&'static str, String); 2] {
    let processes = limits.sessions * PROCESSES + SPARE_PROCESSES;
    let memory = (memory_mib / MEMORY_SHARE).max(MIN_MEMORY_MIB) << 20;
    [
        ("pids.max", processes.to_string()),
        ("memory.max", memory.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_the_memory() {
        for (mib, processes, memory_mib) in [
            (128, 96, 64),
            (256, 128, 64),
            (1024, 256, 256),
            (65_536, 256, 16_384),
        ] {
            let values = values(Limits::of_machine(mib, 2), mib);
            let memory: u64 = memory_mib << 20;
            assert_eq!(
                values.map(|v| v.1),
                [processes.to_string(), memory.to_string()],
                "{mib}"
            );
        }
    }

    #[test]
    fn limits_apply_only_in_the_cgroup_of_a_service() {
        assert_eq!(of_service("0::/system/sshd\n"), Some("system/sshd"));
        for other in [
            "",
            "0::/\n",
            "0::/user/0/session\n",
            "1:pids:/system/sshd\n",
        ] {
            assert_eq!(of_service(other), None, "{other}");
        }
    }
}
