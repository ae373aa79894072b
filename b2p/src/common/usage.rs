// SPDX-License-Identifier: Apache-2.0
//! Memory and processor time of a service, from its cgroup (cgroup-v2.rst). The client reads them,
//! because PID 1 has no use for them.

use std::fs;
use std::path::Path;

/// Memory and processor time of a cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory in bytes, including page cache (`memory.current`).
    pub memory: Option<u64>,
    /// Processor time in microseconds (`cpu.stat`, `usage_usec`).
    pub cpu_us: Option<u64>,
}

/// Returns the usage of a service's cgroup, which is below `system`, or below the cgroup of its user
/// beside `system`. The usage is empty for a name that no service can have.
#[must_use]
pub fn of(system: &Path, service: &control::Service<'_>) -> Usage {
    let Some(name) = control::Name::new(service.name) else {
        return Usage::default();
    };
    let dir = match service.user.filter(|uid| *uid != 0) {
        Some(uid) => system.with_file_name("user").join(uid.to_string()),
        None => system.to_path_buf(),
    };
    let cgroup = dir.join(name.as_str());
    let read = |file: &str| fs::read_to_string(cgroup.join(file)).unwrap_or_default();
    Usage {
        memory: read("memory.current").trim_ascii().parse().ok(),
        cpu_us: usage_usec(&read("cpu.stat")),
    }
}

fn usage_usec(stat: &str) -> Option<u64> {
    let value = |line: &str| line.strip_prefix("usage_usec ")?.trim_ascii().parse().ok();
    stat.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn usage_reads_the_files_that_exist() {
        let dir = std::env::temp_dir().join(format!("b2p-usage-{}", std::process::id()));
        let root = dir.join("system");
        fs::create_dir_all(root.join("sshd")).unwrap();
        let named = |name| control::Service::new(name, control::State::Up);
        assert_eq!(of(&root, &named("sshd")), Usage::default());
        fs::write(root.join("sshd/memory.current"), "1258291\n").unwrap();
        fs::write(root.join("sshd/cpu.stat"), "usage_usec 4200\nuser_usec 1\n").unwrap();
        let all = Usage {
            memory: Some(1_258_291),
            cpu_us: Some(4200),
        };
        assert_eq!(of(&root, &named("sshd")), all);
        assert_eq!(of(&root, &named("../sshd")), Usage::default());
        assert_eq!(of(&root, &named("none")), Usage::default());
        let users = root.with_file_name("user").join("1000/sshd");
        let of_user = control::Service {
            user: Some(1000),
            ..named("sshd")
        };
        assert_eq!(of(&root, &of_user), Usage::default());
        fs::create_dir_all(&users).unwrap();
        fs::write(users.join("memory.current"), "7\n").unwrap();
        assert_eq!(of(&root, &of_user).memory, Some(7));
        fs::remove_dir_all(dir).unwrap();
        assert_eq!(usage_usec("user_usec 1\n"), None);
    }
}
