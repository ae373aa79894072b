// SPDX-License-Identifier: Apache-2.0
//! File systems in RAM besides podman's store, which programs, users and containers fill. Each has a limit of
//! its own (init/src/ram.rs, init/src/mounts.rs).

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sys::paths::CONTAINER_FILES;

use super::space::{self, Usage};

/// File systems: a directory of each, and how room is made there.
const OTHERS: &[(&str, &str)] = &[
    ("/", "remove files of /root, /home, /etc or /var"),
    ("/tmp", "remove files of /tmp and /var/tmp"),
    ("/run", "remove files of /run"),
    (
        "/run/user",
        "remove files of /run/user, or containers of users",
    ),
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
    remedy: &'static str,
    is_full: bool,
}

/// The file systems in RAM that the store is not on.
pub struct Others(Vec<Other>);

impl Others {
    /// The machine's, without that of `store`.
    pub fn beside(store: &Path) -> Others {
        Others::of(OTHERS, store)
    }

    fn of(rows: &[(&str, &'static str)], store: &Path) -> Others {
        let device = |path: &Path| path.metadata().map(|m| m.dev()).ok();
        let mut known = vec![device(store)];
        let mut others = Vec::new();
        for (dir, remedy) in rows {
            let dir = PathBuf::from(dir);
            let on = device(&dir);
            if on.is_some() && !known.contains(&on) {
                known.push(on);
                others.push(Other {
                    dir,
                    remedy,
                    is_full: false,
                });
            }
        }
        Others(others)
    }

    /// Returns a reason for each file system that is full, and the time until the next look.
    pub fn look(&mut self) -> (Vec<String>, Duration) {
        let mut next_look = space::LOOK;
        let mut reasons = Vec::new();
        for other in &mut self.0 {
            let Ok(usage) = Usage::of(&other.dir) else {
                continue;
            };
            other.is_full = space::is_full(&usage, other.is_full, 0);
            next_look = next_look.min(space::next_look(&usage, other.is_full));
            if other.is_full {
                let (dir, lacking) = (other.dir.display(), space::lacking(&usage));
                let remedy = other.remedy;
                reasons.push(format!("{dir} is full: {lacking}; {remedy}"));
            }
        }
        (reasons, next_look)
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
        let dirs = |others: Others| others.0.into_iter().map(|o| o.dir).collect::<Vec<_>>();
        let rows = [("/proc", ""), ("/proc/self", ""), (same, ""), (none, "")];
        assert_eq!(dirs(Others::of(&rows, temp.dir())), [Path::new("/proc")]);
        let (said, next_look) = Others::of(&rows, temp.dir()).look();
        assert_eq!((said, next_look), (vec![], space::LOOK));
    }
}
