// SPDX-License-Identifier: Apache-2.0
//! Containers by the amount that they write: from the counters of their cgroups (cgroup-v2.rst), and those of
//! conmon, which writes their logs and is in another cgroup.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sys::files::read_bounded;
use sys::paths::SERVICE_CGROUPS;
use sys::user_cgroup;

use crate::helpers::engine::conmon::Machine;

/// Cgroup of root's containers (podman's cgroupfs manager).
pub const ROOTS: &str = "/sys/fs/cgroup/libpod_parent";
/// Depth below these cgroups at which containers are looked for: pods have a cgroup of their own.
const MAX_DEPTH: usize = 3;
/// Limit for reads of arguments.
const MAX_ARGUMENTS_BYTES: u64 = 64 << 10;
/// Length of a container's id, and of its short form.
const ID_DIGITS: usize = 64;
const SHORT_ID: usize = 12;
/// Bytes between two looks that a container which waits for room does not write.
const WRITES_ON: u64 = 64 << 10;

/// Resource that a store lacks, and the counter of a container's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// Blocks of a disk: bytes that were written to the disk, or will be.
    DiskBytes,
    /// Pages of RAM: bytes in tmpfs.
    RamBytes,
    /// Inodes: the kernel's memory for those that are in use, which is the container's.
    Inodes,
}

impl Lack {
    const ALL: [Lack; 3] = [Lack::DiskBytes, Lack::RamBytes, Lack::Inodes];

    fn count(self, cgroup: &Path) -> u64 {
        let read = |file| fs::read_to_string(cgroup.join(file)).unwrap_or_default();
        let memory = read("memory.stat");
        match self {
            Lack::DiskBytes => disk_bytes(&read("io.stat"))
                .saturating_add(field(&memory, "file_dirty"))
                .saturating_add(field(&memory, "file_writeback")),
            Lack::RamBytes => field(&memory, "shmem"),
            Lack::Inodes => field(&memory, "slab_reclaimable"),
        }
    }
}

/// The containers of root and of users, with their counters at the last two looks.
#[derive(Debug)]
pub struct Writers {
    /// Directories of root's containers, of the users and of root's services: quadlets have their containers there.
    cgroups: [PathBuf; 3],
    before: Counters,
    now: Counters,
}

/// Counters by resource and cgroup.
type Counters = BTreeMap<(Lack, PathBuf), u64>;

impl Writers {
    /// The machine's containers, before the first look.
    pub fn new() -> Writers {
        Writers::of([ROOTS, user_cgroup::USERS, SERVICE_CGROUPS].map(PathBuf::from))
    }

    pub fn of(cgroups: [PathBuf; 3]) -> Writers {
        Writers {
            cgroups,
            before: Counters::new(),
            now: Counters::new(),
        }
    }

    /// Returns the cgroups of the containers that run.
    pub fn containers(&self) -> Vec<PathBuf> {
        let mut containers = Vec::new();
        for dir in &self.cgroups {
            find(dir, 0, &mut containers);
        }
        containers
    }

    /// Returns the cgroup of the container of user `owner` with this short id, if it runs.
    pub fn of_owner(&self, owner: u32, id: &str) -> Option<PathBuf> {
        let [roots, users, services] = &self.cgroups;
        let mut containers = Vec::new();
        match owner {
            0 => [roots, services]
                .into_iter()
                .for_each(|dir| find(dir, 0, &mut containers)),
            uid => find(&users.join(uid.to_string()), 1, &mut containers),
        }
        let has_id = |cgroup: &PathBuf| short_id(cgroup).as_deref() == Some(id);
        containers.into_iter().find(has_id)
    }

    /// Reads all counters.
    pub fn look(&mut self) {
        let containers = self.containers();
        let counters = containers
            .into_iter()
            .flat_map(|cgroup| Lack::ALL.map(|lack| ((lack, cgroup.clone()), lack.count(&cgroup))));
        let mut counters: Counters = sys::sort::inserted(counters);
        for (id, bytes) in logged(Path::new("/proc"), Machine::detect().as_ref()) {
            add_log(&mut counters, &id, bytes);
        }
        self.before = std::mem::replace(&mut self.now, counters);
    }

    /// Returns the part of a line about the container that has written most, unless this is less than `least` bytes: an
    /// image or a user's files have then filled the store. A user gives cgroups any names,
    /// including that of another's container: the line names the user.
    pub fn most(&self, lack: Lack, least: u64) -> Option<String> {
        let (_, cgroup) = self.of_lack(lack).max().filter(|(now, _)| *now >= least)?;
        let id = short_id(cgroup)?;
        let [_, users, _] = &self.cgroups;
        let is_roots = |(_, other): &(Lack, PathBuf)| {
            !other.starts_with(users) && id_of(other) == id_of(cgroup)
        };
        Some(match user_of(users, cgroup) {
            None => format!("container {id} has written most: `podman rm -f {id}`"),
            Some(uid) if self.now.keys().any(is_roots) => format!("user {uid} has written most"),
            Some(uid) => format!("container {id} of user {uid} has written most"),
        })
    }

    /// Returns the cgroups that have written between the last two checks and are not in `paused`. The
    /// use of inodes that are given back takes too little memory to show, so without such a cgroup,
    /// the result is the one that has taken most.
    pub fn still(&self, lack: Lack, paused: &[PathBuf]) -> Vec<PathBuf> {
        let others = || {
            let all = self.of_lack(lack);
            all.filter(|(_, cgroup)| !paused.contains(cgroup))
        };
        let writes_on = |&(now, cgroup): &(u64, &PathBuf)| {
            let before = self.before.get(&(lack, cgroup.clone()));
            now.saturating_sub(before.copied().unwrap_or(0)) >= WRITES_ON
        };
        let writing: Vec<_> = others().filter(writes_on).map(|c| c.1.clone()).collect();
        match lack {
            Lack::Inodes if writing.is_empty() => {
                others().max().map(|c| c.1.clone()).into_iter().collect()
            }
            _ => writing,
        }
    }

    /// Counters that are not zero.
    fn of_lack(&self, lack: Lack) -> impl Iterator<Item = (u64, &PathBuf)> {
        let all = self.now.iter();
        let some = all.filter(move |((of, _), now)| *of == lack && **now > 0);
        some.map(|((_, cgroup), now)| (*now, cgroup))
    }
}

/// Adds the cgroups of containers at or below `dir`.
fn find(dir: &Path, depth: usize, containers: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
        } else if short_id(&path).is_some() {
            containers.push(path);
        } else if depth < MAX_DEPTH {
            find(&path, depth + 1, containers);
        }
    }
}

/// Adds the bytes that the conmon of the container `id` has written to its log.
fn add_log(counters: &mut Counters, id: &str, bytes: u64) {
    let is_its = |lack: Lack, cgroup: &Path| lack == Lack::DiskBytes && id_of(cgroup) == Some(id);
    for ((lack, cgroup), written) in counters {
        if is_its(*lack, cgroup) {
            *written = written.saturating_add(bytes);
        }
    }
}

/// Returns the ids of root's containers, each with the number of bytes that its conmon has written.
fn logged(proc: &Path, machine: Option<&Machine>) -> Vec<(String, u64)> {
    let Some(machine) = machine else {
        return Vec::new();
    };
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let of_root = pids.filter(|pid: &i32| machine.conmon_of(proc, *pid) == Some(0));
    let written = |pid: i32| {
        let dir = proc.join(pid.to_string());
        let arguments = read_bounded(&dir.join("cmdline"), MAX_ARGUMENTS_BYTES).ok()?;
        let id = id_in(&String::from_utf8_lossy(&arguments))?.to_owned();
        let io = fs::read_to_string(dir.join("io")).ok()?;
        Some((id, field(&io, "write_bytes:")))
    };
    of_root.filter_map(written).collect()
}

/// Returns the container's id in the arguments of a conmon: `-c ID`.
fn id_in(arguments: &str) -> Option<&str> {
    let mut words = arguments.split('\0').skip_while(|word| *word != "-c");
    words.nth(1)
}

/// Returns the short id of the container with this cgroup.
pub fn short_id(cgroup: &Path) -> Option<String> {
    id_of(cgroup).map(|id| id[..SHORT_ID].to_owned())
}

/// Returns the name of the container with this cgroup in a line, with its user other than root.
pub fn name(cgroup: &Path) -> Option<String> {
    let id = short_id(cgroup)?;
    Some(match user_of(Path::new(user_cgroup::USERS), cgroup) {
        Some(uid) => format!("{id} of user {uid}"),
        None => id,
    })
}

/// Returns the user among whose cgroups, below the directory `users`, this one is.
fn user_of(users: &Path, cgroup: &Path) -> Option<u32> {
    let below = cgroup.strip_prefix(users).ok()?;
    below
        .components()
        .next()?
        .as_os_str()
        .to_str()?
        .parse()
        .ok()
}

/// Returns the id in the name of a cgroup: `libpod-ID`, `libpod-payload-ID` below the cgroup of a service
/// (podman-run(1), `--cgroups=split`), or `ID` of a cgroup named by crun.
fn id_of(cgroup: &Path) -> Option<&str> {
    let name = cgroup.file_name()?.to_str()?;
    let prefixes = ["libpod-payload-", "libpod-"];
    let id = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
    let id = id.unwrap_or(name);
    (id.len() == ID_DIGITS && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}

/// Sums up the bytes written to all disks: `254:0 rbytes=1 wbytes=2 …`.
fn disk_bytes(stat: &str) -> u64 {
    let words = stat.split_whitespace();
    let numbers = words.filter_map(|word| word.strip_prefix("wbytes=")?.parse::<u64>().ok());
    numbers.fold(0, u64::saturating_add)
}

/// Returns the number of a field: `shmem 4096`.
fn field(stat: &str, name: &str) -> u64 {
    let mut lines = stat.lines();
    let number = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    number.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn counters_of_a_cgroup() {
        let io = "254:0 rbytes=5 wbytes=7 rios=1\n254:16 rbytes=1 wbytes=4096 dbytes=0\n";
        assert_eq!((disk_bytes(io), disk_bytes("")), (4103, 0));
        let memory = "anon 1\nfile 9\nshmem 4096\nshmem_thp 7\nfile_dirty 3\n";
        assert_eq!(field(memory, "shmem"), 4096);
        assert_eq!(field(memory, "file_dirty"), 3);
        assert_eq!(field("garbage", "shmem"), 0);
    }

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
        let mut counters = [&log, &other, &slab].map(|key| (key.clone(), 5)).into();
        add_log(&mut counters, &ids[0], 4096);
        assert_eq!([log, other, slab].map(|key| counters[&key]), [4101, 5, 5]);
        assert_eq!(logged(Path::new("/proc"), None), []);
    }

    #[test]
    fn current_writers_are_told_from_the_largest_writers() {
        let temp = Temp::new();
        let dir = |name: &str| temp.path(&format!("{name}{}", name[name.len() - 1..].repeat(63)));
        let write = |name: &str, kib: u64, slab: u64| {
            let dir = dir(name);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("io.stat"), format!("254:0 wbytes={}\n", kib << 10)).unwrap();
            let memory = format!("file_dirty 1\nslab_reclaimable {}\n", slab << 10);
            fs::write(dir.join("memory.stat"), memory).unwrap();
        };
        let (a, b) = ("root/libpod-a", "user/1000/pod/b");
        fs::create_dir_all(temp.path("root/conmon")).unwrap();
        let mut writers = Writers::of(["root", "user", "system"].map(|dir| temp.path(dir)));
        writers.look();
        let most = |writers: &Writers| writers.most(Lack::DiskBytes, 0);
        let still = |writers: &Writers, paused: &[PathBuf]| writers.still(Lack::DiskBytes, paused);
        assert_eq!((most(&writers), still(&writers, &[])), (None, vec![]));
        assert_eq!(writers.containers().len(), 0);
        write(a, 900, 10);
        write(b, 100, 10);
        for more in [64, 65] {
            writers.look();
            let line = "container aaaaaaaaaaaa has written most: `podman rm -f aaaaaaaaaaaa`";
            assert_eq!(most(&writers).as_deref(), Some(line));
            write(b, 100 + more, 10);
        }
        writers.look();
        // One byte was dirty at both looks.
        let none = <[PathBuf; 0]>::default();
        let named = |least| writers.most(Lack::DiskBytes, least).is_some();
        assert!(named(900 << 10) && !named(901 << 10));
        assert_eq!(still(&writers, &[]), none, "nobody wrote on");
        assert_eq!(writers.still(Lack::Inodes, &[]).len(), 1);
        write(b, 300, 10);
        writers.look();
        assert_eq!(still(&writers, &[]), [dir(b)]);
        assert_eq!(still(&writers, &[dir(b)]), none);
        write(a, 1000, 4096);
        write(b, 1000, 11);
        writers.look();
        assert_eq!(still(&writers, &[]), [dir(a), dir(b)]);
        assert_eq!(writers.still(Lack::Inodes, &[]), [dir(a)]);
        assert_eq!(writers.most(Lack::RamBytes, 0), None);
        // A user's cgroup with the name of root's container, and one with a name of its own.
        let forged = "user/1000/a";
        for (name, kib, line) in [
            (forged, 9_000, "user 1000 has written most"),
            (
                b,
                10_000,
                "container bbbbbbbbbbbb of user 1000 has written most",
            ),
        ] {
            write(name, kib, 10);
            writers.look();
            assert_eq!(most(&writers).as_deref(), Some(line));
        }
    }

    #[test]
    fn a_quadlets_container_is_below_its_service() {
        let temp = Temp::new();
        let id = "d".repeat(ID_DIGITS);
        let cgroup = temp.path(&format!("system/web/main/libpod-payload-{id}"));
        fs::create_dir_all(&cgroup).unwrap();
        fs::create_dir_all(temp.path("system/web/main/runtime")).unwrap();
        fs::write(cgroup.join("memory.stat"), "shmem 4096\n").unwrap();
        let mut writers = Writers::of(["root", "user", "system"].map(|dir| temp.path(dir)));
        assert_eq!(writers.of_owner(0, "dddddddddddd"), Some(cgroup));
        assert_eq!(writers.of_owner(0, "eeeeeeeeeeee"), None);
        assert_eq!(writers.of_owner(1000, "dddddddddddd"), None);
        writers.look();
        let line = "container dddddddddddd has written most: `podman rm -f dddddddddddd`";
        assert_eq!(writers.most(Lack::RamBytes, 0).as_deref(), Some(line));
    }

    #[test]
    fn a_users_container_is_named_with_its_user() {
        let id = "c".repeat(ID_DIGITS);
        for (dir, want) in [
            (ROOTS, "cccccccccccc"),
            ("/sys/fs/cgroup/user/1000/x", "cccccccccccc of user 1000"),
        ] {
            let cgroup = Path::new(dir).join(format!("libpod-{id}"));
            assert_eq!(name(&cgroup).as_deref(), Some(want));
        }
    }
}
