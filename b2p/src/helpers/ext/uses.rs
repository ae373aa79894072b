// SPDX-License-Identifier: Apache-2.0
//! Processes and containers that use an extension: while there is one, it is not removed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sys::error::{Doing, Result};

use crate::common::cgroups;

/// Links of a process to its program and directories (proc(5)).
const LINKS: &[&str] = &["exe", "cwd", "root"];
/// Most processes that are named.
const MAX_NAMED: usize = 5;

/// Returns the processes that use the file system at `target`, in words, without those of the services `services`; at
/// most [`MAX_NAMED`].
///
/// # Errors
/// The mount point cannot be read.
pub fn blockers(target: &Path, services: &[&str]) -> Result<Vec<String>> {
    let device = fs::metadata(target).on(target)?.dev();
    let device = (libc::major(device), libc::minor(device));
    let own_namespace = fs::read_link("/proc/self/ns/mnt").ok();
    let mut users = Vec::new();
    for entry in fs::read_dir("/proc").on("/proc")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_pid = name.bytes().all(|b| b.is_ascii_digit());
        if !is_pid || name == std::process::id().to_string() {
            continue;
        }
        let dir = entry.path();
        let read = |file: &str| fs::read_to_string(dir.join(file)).unwrap_or_default();
        let cgroup = read("cgroup");
        if cgroups::service_in(&cgroup).is_some_and(|service| services.contains(&service)) {
            continue;
        }
        // Other namespaces, such as that of rootless podman, have copies of all mounts, which end with ours.
        let copy = container_of(&cgroup).is_none().then_some(target);
        let is_elsewhere = || fs::read_link(dir.join("ns/mnt")).ok() != own_namespace;
        let uses = has_open(&dir, target)
            || maps_device(&read("maps"), device)
            || is_elsewhere() && has_mount(&read("mountinfo"), device, copy);
        if uses {
            users.push(describe(&name, read("comm").trim(), &cgroup));
        }
        if users.len() == MAX_NAMED {
            break;
        }
    }
    Ok(users)
}

/// Returns true if a descriptor, the program or a directory of the process is below `target`. Links are
/// read and not followed: they may lead to a disk that hangs.
fn has_open(process: &Path, target: &Path) -> bool {
    let fds = fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten();
    let links = LINKS.iter().map(|link| process.join(link));
    let mut links = links.chain(fds.map(|fd| fd.path()));
    links.any(|link| fs::read_link(link).is_ok_and(|path| path.starts_with(target)))
}

fn describe(pid: &str, name: &str, cgroup: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    match container_of(cgroup) {
        Some(container) => format!("pid {pid} ({name}) of the container {container}"),
        None => format!("pid {pid} ({name})"),
    }
}

/// Returns the short id of the container of a process, by the cgroup that podman makes for it.
fn container_of(cgroup: &str) -> Option<&str> {
    let (_, rest) = cgroup.split_once("libpod-")?;
    let id = rest
        .get(..64)
        .filter(|id| id.bytes().all(|b| b.is_ascii_hexdigit()))?;
    id.get(..12)
}

/// Returns true if a line of proc_pid_maps(5) is of a file on this device, `major:minor` in hexadecimal.
fn maps_device(maps: &str, (major, minor): (u32, u32)) -> bool {
    let device = format!("{major:02x}:{minor:02x}");
    let mut lines = maps.lines();
    lines.any(|line| line.split_ascii_whitespace().nth(3) == Some(device.as_str()))
}

/// Returns true if the device is mounted (proc_pid_mountinfo(5)), at another place than `copy` if that is given.
fn has_mount(mountinfo: &str, (major, minor): (u32, u32), copy: Option<&Path>) -> bool {
    let device = format!("{major}:{minor}");
    mountinfo.lines().any(|line| {
        let mut fields = line.split(' ').skip(2);
        let (found, place) = (fields.next(), fields.nth(1).unwrap_or_default());
        found == Some(device.as_str()) && copy.is_none_or(|copy| Path::new(place) != copy)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn users_of_an_extension_are_found_by_device_and_cgroup() {
        let maps = "5581-5582 r-xp 00001000 00:2f 1209 /usr/bin/strace\n7f00-7f01 rw-p 00000000 00:00 0 \n";
        assert!(maps_device(maps, (0, 0x2f)) && !maps_device(maps, (0, 0x30)));
        let mounts = "61 58 0:47 / /run/boot2podman/ext/debug ro,nosuid - erofs x ro\n";
        assert!(has_mount(mounts, (0, 47), None) && !has_mount(mounts, (0, 4), None));
        let copy = |path| has_mount(mounts, (0, 47), Some(Path::new(path)));
        assert!(!copy("/run/boot2podman/ext/debug") && copy("/run/boot2podman/ext/other"));
        let id = "ab".repeat(32);
        let cgroup = format!("0::/machine/libpod-{id}/container\n");
        let said = describe("12", "httpd", &cgroup);
        assert_eq!(said, "pid 12 (httpd) of the container abababababab");
        assert_eq!(describe("12", "a\nb", "0::/\n"), "pid 12 (ab)");
    }

    #[test]
    fn a_process_with_an_open_file_is_found() {
        let temp = Temp::new();
        assert!(!has_open(Path::new("/proc/self"), temp.dir()));
        let file = fs::File::create(temp.path("x")).unwrap();
        assert!(has_open(Path::new("/proc/self"), temp.dir()));
        drop(file);
    }
}
