// SPDX-License-Identifier: Apache-2.0
//! Bytes that the processes of containers have written, with those of their children that have ended
//! (kernel/exit.c, wait_task_zombie), and the logs of containers: conmon writes them, which is in another cgroup.

use std::fs;
use std::path::{Path, PathBuf};

use sys::files::read_bounded;

use super::counters::{Counters, Lack, field, id_of, user_of};
use crate::helpers::engine::conmon::Machine;

/// Root of the cgroups.
const CGROUPS: &str = "/sys/fs/cgroup";
/// Limit for reads of arguments.
const MAX_ARGUMENTS_BYTES: u64 = 64 << 10;

/// Log that a conmon writes: owner and id of the container, the bytes that count as written to a disk, and all bytes.
struct Log {
    owner: u32,
    id: String,
    to_disk: u64,
    all: u64,
}

/// Adds the bytes that the conmon of a container has written to its log. Another user's container may have the same id.
fn add_log(counters: &mut Counters, users: &Path, log: &Log) {
    for ((lack, cgroup), written) in counters {
        let is_its =
            id_of(cgroup) == Some(&log.id) && user_of(users, cgroup).unwrap_or(0) == log.owner;
        *written = written.saturating_add(match lack {
            Lack::DiskBytes if is_its => log.to_disk,
            Lack::RamBytes if is_its => log.all,
            _ => 0,
        });
    }
}

/// Adds the bytes to the counters of the containers; those of users are below the cgroup `users`.
pub fn add(counters: &mut Counters, users: &Path, proc: &Path) {
    let machine = Machine::detect();
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for pid in pids {
        let dir = proc.join(pid.to_string());
        let owner = machine.as_ref().and_then(|m| m.conmon_of(proc, pid));
        if let Some(log) = owner.and_then(|owner| log_in(&dir, owner)) {
            add_log(counters, users, &log);
        } else if let Some(key) = container_of(&dir, counters) {
            let io = fs::read_to_string(dir.join("io")).unwrap_or_default();
            *counters.entry(key).or_default() += field(&io, "write_bytes:");
        }
    }
}

/// Returns the log that a conmon writes.
fn log_in(conmon: &Path, owner: u32) -> Option<Log> {
    let arguments = read_bounded(&conmon.join("cmdline"), MAX_ARGUMENTS_BYTES).ok()?;
    let io = fs::read_to_string(conmon.join("io")).ok()?;
    Some(Log {
        owner,
        id: id_in(&String::from_utf8_lossy(&arguments))?.to_owned(),
        to_disk: field(&io, "write_bytes:"),
        // Pages of a tmpfs do not count as written to a disk (proc_pid_io(5)).
        all: field(&io, "wchar:"),
    })
}

/// Returns the counter of the container with a process.
fn container_of(process: &Path, counters: &Counters) -> Option<(Lack, PathBuf)> {
    let text = fs::read_to_string(process.join("cgroup")).ok()?;
    let cgroup = Path::new(CGROUPS).join(text.trim_ascii().strip_prefix("0::/")?);
    let mut keys = cgroup
        .ancestors()
        .map(|dir| (Lack::DiskBytes, dir.to_owned()));
    keys.find(|key| counters.contains_key(key))
}

/// Returns the container's id in the arguments of a conmon: `-c ID`.
fn id_in(arguments: &str) -> Option<&str> {
    let mut words = arguments.split('\0').skip_while(|word| *word != "-c");
    words.nth(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::counters::ID_DIGITS;
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn a_log_is_its_containers() {
        let ids = ["a", "b"].map(|digit| digit.repeat(ID_DIGITS));
        let arguments = format!(
            "/usr/bin/conmon\0--api-version\x001\0-c\0{}\0-u\0x\0",
            ids[0]
        );
        assert_eq!(id_in(&arguments), Some(&*ids[0]));
        assert_eq!((id_in("/usr/bin/conmon\0-c"), id_in("")), (None, None));
        let io = "rchar: 1\nwrite_bytes: 4096\ncancelled_write_bytes: 7\n";
        assert_eq!(field(io, "write_bytes:"), 4096);
        let key = |lack, id: &str| (lack, PathBuf::from(format!("/c/libpod-{id}")));
        let (log, other, slab) = (
            key(Lack::DiskBytes, &ids[0]),
            key(Lack::DiskBytes, &ids[1]),
            key(Lack::Inodes, &ids[0]),
        );
        let (ram, of_user) = (
            key(Lack::RamBytes, &ids[0]),
            (Lack::RamBytes, PathBuf::from(format!("/u/1000/{}", ids[0]))),
        );
        let keys = [log, ram, of_user, other, slab];
        let mut counters = keys.clone().map(|key| (key, 5)).into();
        for (owner, to_disk, all) in [(0, 100, 200), (1000, 10, 20), (1001, 1, 2)] {
            let id = ids[0].clone();
            let log = Log {
                owner,
                id,
                to_disk,
                all,
            };
            add_log(&mut counters, Path::new("/u"), &log);
        }
        assert_eq!(keys.map(|key| counters[&key]), [105, 205, 25, 5, 5]);
    }

    #[test]
    fn a_process_is_counted_to_its_container() {
        let temp = Temp::new();
        let container = PathBuf::from("/sys/fs/cgroup/user/1000/c");
        let key = (Lack::DiskBytes, container.clone());
        let mut counters = Counters::from([(key.clone(), 0), ((Lack::RamBytes, container), 0)]);
        for (pid, cgroup, written) in [
            ("7", "0::/user/1000/c\n", 5),
            ("8", "0::/user/1000/c/a/b\n", 70),
            ("9", "0::/user/1000/cc\n", 600),
            ("self", "0::/user/1000/c\n", 600),
        ] {
            fs::create_dir(temp.path(pid)).unwrap();
            fs::write(temp.path(pid).join("cgroup"), cgroup).unwrap();
            let io = format!("wchar: 1\nwrite_bytes: {written}\n");
            fs::write(temp.path(pid).join("io"), io).unwrap();
        }
        add(&mut counters, Path::new("/sys/fs/cgroup/user"), temp.dir());
        assert_eq!(counters.values().sum::<u64>(), 75);
        assert_eq!(counters[&key], 75);
    }
}
