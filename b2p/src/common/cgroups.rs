// SPDX-License-Identifier: Apache-2.0
//! Processes of cgroups (cgroup-v2.rst). PID 1 gives each service a cgroup: `/system/<service>`, or, for a service of a
//! user, `/user/<uid>/<service>`. The processes of a service may be in cgroups below.

use std::fs;
use std::path::{Path, PathBuf};

/// Directory of the cgroups.
const ROOT: &str = "/sys/fs/cgroup";

/// Returns the directory of a cgroup that has this path below the root.
#[must_use]
pub fn dir(path: &str) -> PathBuf {
    PathBuf::from(format!("{ROOT}{path}"))
}

/// Returns the directory of the cgroup of the service `name`, in which this process is.
#[must_use]
pub fn of_service(name: &str) -> Option<PathBuf> {
    let text = sys::files::read_text("/proc/self/cgroup").ok()?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    part_of_service(own, name).map(dir)
}

/// Returns the cgroup of the service `name` from the path of the cgroup of one of its processes.
fn part_of_service<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    let (cgroup, service) = split(path)?;
    (service == name).then_some(cgroup)
}

/// Returns the cgroup of the service to which a path belongs, and the name of the service.
fn split(path: &str) -> Option<(&str, &str)> {
    let levels_above = match path.split('/').nth(1)? {
        "system" => 1,
        "user" => 2,
        _ => return None,
    };
    // The first slash begins the first level; each other slash ends a level, as the end of the path does.
    let slashes = path.match_indices('/').map(|(at, _)| at);
    let mut ends = slashes.skip(1).chain([path.len()]);
    let cgroup = path.get(..ends.nth(levels_above)?)?;
    let name = cgroup.rsplit('/').next()?;
    (!name.is_empty()).then_some((cgroup, name))
}

/// Returns the service in whose cgroup a process is, by the text of its /proc/<pid>/cgroup: `web` of
/// `0::/system/web/runtime` and of `0::/user/1000/web`.
#[must_use]
pub fn service_in(text: &str) -> Option<&str> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    split(path).map(|(_, name)| name)
}

/// Returns the user in one of whose services a process is, by the text of its /proc/<pid>/cgroup; 0 for a service of
/// the machine.
#[must_use]
pub fn user_in(text: &str) -> u32 {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/user/"));
    let uid = path.and_then(|path| path.split('/').next()?.parse().ok());
    uid.unwrap_or(0)
}

/// Returns the processes of a cgroup and of those below.
#[must_use]
pub fn processes(dir: &Path) -> Vec<u32> {
    let text = sys::files::read_text(dir.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            pids.extend(processes(&entry.path()));
        }
    }
    pids
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_processes_of_a_cgroup_and_of_those_below() {
        let temp = crate::common::testing::Temp::new();
        fs::create_dir_all(temp.path("a/b")).unwrap();
        fs::write(temp.path("cgroup.procs"), "7\n8\n").unwrap();
        fs::write(temp.path("a/b/cgroup.procs"), "9\n").unwrap();
        assert_eq!(processes(temp.dir()), [7, 8, 9]);
        assert!(processes(&temp.path("none")).is_empty());
    }

    #[test]
    fn the_service_of_a_process() {
        for (text, right) in [
            ("0::/system/web/runtime\n", Some("web")),
            ("0::/user/1000/web\n", Some("web")),
            ("1:cpu:/x\n0::/system/web\n", Some("web")),
            ("0::/system/", None),
            ("0::/user/1000\n", None),
            ("0::/init\n", None),
            ("", None),
        ] {
            assert_eq!(service_in(text), right, "{text}");
        }
        assert_eq!(user_in("1:cpu:/x\n0::/user/1000/core-web/main\n"), 1_000);
        assert_eq!(user_in("0::/system/web\n"), 0);
    }

    #[test]
    fn only_the_cgroup_of_the_service_counts() {
        for (own, right) in [
            ("/system/web", Some("/system/web")),
            ("/system/web/main/main", Some("/system/web")),
            ("/user/1000/web/main", Some("/user/1000/web")),
            ("/user/1000/core-web/main", None),
            ("/system/core-web/web", None),
            ("/web", None),
            ("/", None),
            ("/init", None),
        ] {
            assert_eq!(part_of_service(own, "web"), right, "{own}");
        }
    }
}
