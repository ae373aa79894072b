// SPDX-License-Identifier: Apache-2.0
//! Limits of the memory of containers (init/src/cgroups.rs) in a memory that grows or shrinks while the machine runs:
//! hosts add memory (virtio-mem, Hyper-V's dynamic memory) when programs want it, and take memory (balloons). A list
//! of the limits that the machine has set tells them from those of root, also if the memory changes between PID 1 and
//! the start of this service.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use log::{info, warn};
use sys::files::replace;
use sys::memory::containers_limit;
use sys::paths::CONTAINERS_LIMITS;
use sys::user_cgroup::USERS;

use super::writers::ROOTS;

/// Maximum number of limits in the list: the last ones are those of cgroups.
const MAX_SET: usize = 64;

/// The limits.
pub struct Limit {
    /// Cgroup of root's containers, and the directory of those of users.
    roots: PathBuf,
    users: PathBuf,
    list: PathBuf,
    /// Limits that the machine has set, in bytes; the last one is the newest.
    set: Vec<u64>,
}

impl Limit {
    /// The machine's, with the list of this boot. Without a list, the limit of the memory of now is the machine's.
    pub fn new() -> Limit {
        let limit = Limit::of(ROOTS, USERS, CONTAINERS_LIMITS);
        match limit.set.is_empty() {
            true => Limit {
                set: containers_limit().into_iter().collect(),
                ..limit
            },
            false => limit,
        }
    }

    pub fn of(
        roots: impl Into<PathBuf>,
        users: impl Into<PathBuf>,
        list: impl Into<PathBuf>,
    ) -> Limit {
        let list = list.into();
        let text = fs::read_to_string(&list).unwrap_or_default();
        Limit {
            roots: roots.into(),
            users: users.into(),
            list,
            set: text.lines().filter_map(|line| line.parse().ok()).collect(),
        }
    }

    /// Changes the limits to that of the memory of now.
    pub fn look(&mut self) {
        if let Some(now) = containers_limit() {
            self.follow(now);
        }
    }

    /// Changes the limits to `now`. A user's cgroup takes the limit of root's containers when it is made, so that
    /// these are the first.
    fn follow(&mut self, now: u64) {
        self.change(&self.roots.clone(), now);
        for user in fs::read_dir(&self.users).into_iter().flatten().flatten() {
            self.change(&user.path(), now);
        }
    }

    /// Changes the limit of a cgroup, unless root has set another one. Below the memory in use, the kernel would
    /// kill (cgroup-v2.rst, memory.max): the limit then falls with the use, at later looks.
    fn change(&mut self, cgroup: &Path, now: u64) {
        let file = cgroup.join("memory.max");
        let found = number(&file).filter(|found| self.set.contains(found));
        let Some(found) = found else { return };
        let in_use: Option<u64> = number(&cgroup.join("memory.current"));
        let limit = match now < found {
            true => now.max(in_use.unwrap_or(found)).min(found),
            false => now,
        };
        self.remember(limit);
        if limit == found {
            return;
        }
        match fs::write(&file, limit.to_string()) {
            Ok(()) => info!("store: {} is now {limit}", file.display()),
            Err(e) => warn!("store: {}: {e}", file.display()),
        }
    }

    /// Puts a limit at the end of the list. The list is written before the limit is.
    fn remember(&mut self, limit: u64) {
        if self.set.last() == Some(&limit) {
            return;
        }
        self.set.retain(|set| *set != limit);
        self.set.push(limit);
        let excess = self.set.len().saturating_sub(MAX_SET);
        self.set.drain(..excess);
        let text: String = self.set.iter().map(|limit| format!("{limit}\n")).collect();
        let written = replace(&self.list, text.as_bytes(), 0o600);
        written.unwrap_or_else(|e| warn!("store: {e}"));
    }
}

fn number<T: FromStr>(file: &Path) -> Option<T> {
    let text = fs::read_to_string(file).ok()?;
    text.trim_ascii().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    /// Limits in a directory, with this list, and root's containers that use 100 bytes.
    fn limits(temp: &Temp, list: &str) -> Limit {
        fs::write(temp.path("list"), list).unwrap();
        for dir in ["roots", "users/1000"] {
            fs::create_dir_all(temp.path(dir)).unwrap();
            fs::write(temp.path(&format!("{dir}/memory.current")), "100\n").unwrap();
        }
        Limit::of(temp.path("roots"), temp.path("users"), temp.path("list"))
    }

    #[test]
    fn a_limit_that_root_has_set_stays() {
        let temp = Temp::new();
        let mut limits = limits(&temp, "4096\n");
        let file = temp.path("roots/memory.max");
        for (found, left) in [("4096\n", "8192"), ("max\n", "max\n"), ("1\n", "1\n")] {
            fs::write(&file, found).unwrap();
            limits.follow(8192);
            assert_eq!(fs::read_to_string(&file).unwrap(), left);
        }
        limits.change(&temp.path("none"), 8192);
        assert!(!temp.path("none").exists());
    }

    #[test]
    fn a_memory_that_changed_before_the_start_is_followed() {
        let temp = Temp::new();
        let files = ["roots/memory.max", "users/1000/memory.max"].map(|name| temp.path(name));
        let mut list = "4096\n".to_owned();
        limits(&temp, &list);
        files
            .iter()
            .for_each(|file| fs::write(file, &list).unwrap());
        for now in [8192, 2048, 512] {
            limits(&temp, &list).follow(now);
            for file in &files {
                assert_eq!(number(file), Some(now));
            }
            list = fs::read_to_string(temp.path("list")).unwrap();
        }
        assert_eq!(list, "4096\n8192\n2048\n512\n");
    }

    #[test]
    fn a_memory_that_shrinks_kills_nothing() {
        let temp = Temp::new();
        let mut limits = limits(&temp, "4096\n");
        let (max, current) = (temp.path("roots/memory.max"), "roots/memory.current");
        fs::write(&max, "4096\n").unwrap();
        for (in_use, now, left) in [
            (3000, 2048, 3000),
            (3500, 2048, 3000),
            (2500, 2048, 2500),
            (2500, 2700, 2700),
            (2500, 2048, 2500),
            (2000, 2048, 2048),
        ] {
            fs::write(temp.path(current), format!("{in_use}\n")).unwrap();
            limits.follow(now);
            assert_eq!(number(&max), Some(left), "{in_use} {now}");
        }
        fs::remove_file(temp.path(current)).unwrap();
        limits.follow(1024);
        assert_eq!(number(&max), Some(2048), "the use is not known");
    }

    #[test]
    fn at_most_max_set_limits_are_remembered() {
        let temp = Temp::new();
        let mut limits = limits(&temp, "1\n");
        (0..100).for_each(|limit| limits.remember(limit));
        assert_eq!((limits.set.len(), limits.set.last()), (MAX_SET, Some(&99)));
    }
}
