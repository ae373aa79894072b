// SPDX-License-Identifier: Apache-2.0
//! File systems in RAM besides podman's store, which programs, users and containers fill. Each has a limit of
//! its own (init/src/ram.rs, init/src/mounts.rs).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sys::paths::{CONTAINER_FILES, USER_RUNTIME_DIRS};

use super::space::{self, Usage};

/// File systems: a directory of each, and how room is made there.
const OTHERS: &[(&str, &str)] = &[
    ("/", "remove files of /root, /home, /etc or /var"),
    ("/tmp", "remove files of /tmp and /var/tmp"),
    ("/run", "remove files of /run"),
    ("/run/user", "remove files of /run/user"),
    ("/run/lock", "remove files of /run/lock"),
    ("/dev/shm", "remove files of /dev/shm"),
    ("/var/lib/containers/db", "remove containers or images"),
    (
        CONTAINER_FILES,
        "it has the /etc/hosts and /etc/resolv.conf of containers",
    ),
];

/// File system in RAM.
struct Other {
    dir: PathBuf,
    remedy: String,
    is_full: bool,
}

impl Other {
    /// Returns a reason if the file system is full, and the time until the next look.
    fn look(&mut self) -> (Option<String>, Duration) {
        let Ok(usage) = Usage::of(&self.dir) else {
            return (None, space::LOOK);
        };
        self.is_full = space::is_full(&usage, self.is_full, 0);
        let (dir, remedy) = (self.dir.display(), &self.remedy);
        let reason = || format!("{dir} is full: {}; {remedy}", space::lacking(&usage));
        let next_look = space::next_look(&usage, self.is_full);
        (self.is_full.then(reason), next_look)
    }
}

/// The file systems in RAM that the store is not on.
pub struct Others {
    all: Vec<Other>,
    /// Directory of the runtime directories of users, each of which is one more.
    users: PathBuf,
    of_users: Vec<Other>,
}

impl Others {
    /// The machine's, without that of `store`.
    pub fn beside(store: &Path) -> Others {
        Others::of(OTHERS, Path::new(USER_RUNTIME_DIRS), store)
    }

    fn of(rows: &[(&str, &str)], users: &Path, store: &Path) -> Others {
        let device = |path: &Path| path.metadata().map(|m| m.dev()).ok();
        let mut known = vec![device(store)];
        let mut all = Vec::new();
        for (dir, remedy) in rows {
            let dir = PathBuf::from(dir);
            let on = device(&dir);
            if on.is_some() && !known.contains(&on) {
                known.push(on);
                all.push(Other {
                    dir,
                    remedy: (*remedy).to_owned(),
                    is_full: false,
                });
            }
        }
        let (users, of_users) = (users.to_owned(), Vec::new());
        Others {
            all,
            users,
            of_users,
        }
    }

    /// Returns a reason for each file system that is full, and the time until the next look.
    pub fn look(&mut self) -> (Vec<String>, Duration) {
        self.find_users();
        let all = self.all.iter_mut().chain(&mut self.of_users);
        let (reasons, next): (Vec<_>, Vec<_>) = all.map(Other::look).unzip();
        let next_look = next.into_iter().min().unwrap_or(space::LOOK);
        (reasons.into_iter().flatten().collect(), next_look)
    }

    /// Adds the runtime directories of users that are new: each is a file system ([`sys::runtime_dir`]).
    fn find_users(&mut self) {
        for entry in fs::read_dir(&self.users).into_iter().flatten().flatten() {
            let (dir, uid) = (entry.path(), entry.file_name());
            if self.of_users.iter().all(|other| other.dir != dir) {
                let uid = uid.display();
                let remedy = format!("remove files there, or containers of user {uid}");
                self.of_users.push(Other {
                    dir,
                    remedy,
                    is_full: false,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn each_file_system_is_looked_at_once_and_the_stores_never() {
        let temp = Temp::new();
        let (same, none) = (temp.dir().to_str().unwrap(), "/no/such/directory");
        let dirs = |others: Others| others.all.into_iter().map(|o| o.dir).collect::<Vec<_>>();
        let rows = [("/proc", ""), ("/proc/self", ""), (same, ""), (none, "")];
        let others = || Others::of(&rows, &temp.path("users"), temp.dir());
        assert_eq!(dirs(others()), [Path::new("/proc")]);
        let (said, next_look) = others().look();
        assert_eq!((said, next_look), (vec![], space::LOOK));
    }

    #[test]
    fn each_user_has_a_line() {
        let temp = Temp::new();
        let mut others = Others::of(&[], &temp.path("users"), temp.dir());
        assert!(others.look().0.is_empty());
        fs::create_dir_all(temp.path("users/1000")).unwrap();
        for _ in 0..2 {
            others.look();
            assert_eq!(others.of_users.len(), 1);
        }
        assert!(others.of_users[0].remedy.ends_with("of user 1000"));
    }
}
