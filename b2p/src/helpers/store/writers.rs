// SPDX-License-Identifier: Apache-2.0
//! Containers by the amount that they write ([`super::counters`]).

use std::fs;
use std::path::{Path, PathBuf};

use sys::paths::SERVICE_CGROUPS;
use sys::user_cgroup;

use super::counters::{Counters, Lack, counters_of, id_of, user_of};
use super::search::Search;
use super::written;

/// Cgroup of root's containers (podman's cgroupfs manager).
pub const ROOTS: &str = "/sys/fs/cgroup/libpod_parent";
/// Depth below these cgroups at which containers are looked for: pods have a cgroup of their own.
const MAX_DEPTH: usize = 3;
/// Length of the short form of an id.
const SHORT_ID: usize = 12;

/// The containers of root and of users, with their counters at the last look.
#[derive(Debug)]
pub struct Writers {
    /// Directories of root's containers, of the users and of root's services: quadlets have their containers there.
    cgroups: [PathBuf; 3],
    now: Counters,
    search: Search,
}

impl Writers {
    /// The machine's containers, before the first look.
    pub fn new() -> Writers {
        Writers::of([ROOTS, user_cgroup::USERS, SERVICE_CGROUPS].map(PathBuf::from))
    }

    pub fn of(cgroups: [PathBuf; 3]) -> Writers {
        Writers {
            cgroups,
            now: Counters::new(),
            search: Search::default(),
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
        let [_, users, _] = &self.cgroups;
        written::add(&mut counters, users, Path::new("/proc"));
        self.now = counters;
    }

    /// Begins a search for those that use up the room from now on.
    pub fn begin_search(&mut self) {
        self.look();
        self.search = Search::since(&self.now);
    }

    /// Continues the search ([`Search::look`]).
    pub fn search(
        &mut self,
        lack: Lack,
        paused: &[PathBuf],
        has_last: bool,
    ) -> Option<Vec<PathBuf>> {
        self.look();
        self.search.look(&self.now, lack, paused, has_last)
    }

    /// Returns true if the search has lasted for some looks.
    pub fn search_is_late(&self) -> bool {
        self.search.is_late()
    }

    /// Returns the part of a line about the container that has written most, unless this is less than `least` bytes: an
    /// image or a user's files have then filled the store. A user gives cgroups any names,
    /// including that of another's container: the line names the user.
    pub fn most(&self, lack: Lack, least: u64) -> Option<String> {
        let (_, cgroup) = counters_of(&self.now, lack)
            .max()
            .filter(|(now, _)| *now >= least)?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::counters::ID_DIGITS;
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn current_writers_are_told_from_the_largest_writers() {
        let temp = Temp::new();
        let dir = |name: &str| temp.path(&format!("{name}{}", name[name.len() - 1..].repeat(63)));
        let write = |name: &str, kib: u64, slab: u64| {
            let dir = dir(name);
            fs::create_dir_all(&dir).unwrap();
            let memory = format!("shmem {}\nslab_reclaimable {}\n", kib << 10, slab << 10);
            fs::write(dir.join("memory.stat"), memory).unwrap();
        };
        let (a, b) = ("root/libpod-a", "user/1000/pod/b");
        fs::create_dir_all(temp.path("root/conmon")).unwrap();
        let mut writers = Writers::of(["root", "user", "system"].map(|dir| temp.path(dir)));
        writers.look();
        let most = |writers: &Writers| writers.most(Lack::RamBytes, 0);
        assert_eq!(most(&writers), None);
        assert_eq!(writers.containers().len(), 0);
        write(a, 900, 10);
        write(b, 100, 10);
        for more in [64, 65] {
            writers.look();
            let line = "container aaaaaaaaaaaa has written most: `podman rm -f aaaaaaaaaaaa`";
            assert_eq!(most(&writers).as_deref(), Some(line));
            write(b, 100 + more, 10);
        }
        writers.begin_search();
        let search = |writers: &mut Writers| writers.search(Lack::RamBytes, &[], true);
        let named = |least| writers.most(Lack::RamBytes, least).is_some();
        assert!(named(900 << 10) && !named(901 << 10));
        assert_eq!(search(&mut writers), None, "nobody wrote on");
        write(b, 300, 10);
        assert_eq!(search(&mut writers), Some(vec![dir(b)]));
        assert!(!writers.search_is_late());
        writers.begin_search();
        write(a, 1000, 4096);
        write(b, 1000, 11);
        let inodes = writers.search(Lack::Inodes, &[], true);
        assert_eq!(inodes, Some(vec![dir(a)]));
        assert_eq!(search(&mut writers), Some(vec![dir(a), dir(b)]));
        assert_eq!(writers.most(Lack::DiskBytes, 0), None);
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
