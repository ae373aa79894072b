// SPDX-License-Identifier: Apache-2.0
//! Containers that have just started and may have a health check.
//!
//! podman writes `healthcheck.log` for every container before it runs, with the status `reset`;
//! after the start, podman writes another status for a container with a check
//! (libpod/container_internal.go, `init` and `start`).

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use sys::files::read_bounded;

use crate::helpers::engine::{PodmanUser, is_id};

/// Name of the file in the container's directory (libpod/healthcheck.go).
const LOG: &str = "healthcheck.log";
/// Number of bytes of the file that are read; the status is at its start.
const STATUS_BYTES: u64 = 64;
/// Time after which a container that still has the first status counts as one without a check.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Number of containers of one user that are awaited at once.
const MAX_PENDING_OF_USER: usize = 256;

/// A container and its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// User of the container.
    pub user: PodmanUser,
    /// Id, 64 hexadecimal digits.
    pub id: String,
}

impl Container {
    fn dir(&self) -> PathBuf {
        self.user.run_dir().join(&self.id)
    }

    fn has_check(&self) -> bool {
        let log = read_bounded(&self.dir().join(LOG), STATUS_BYTES);
        log.is_ok_and(|text| may_have_check(&text))
    }
}

/// Returns true if the text of a `healthcheck.log` may be that of a container with a check:
/// a text in an unknown form counts as one.
fn may_have_check(log: &[u8]) -> bool {
    let reset: &[u8] = br#""Status":"reset""#;
    !log.is_empty() && !log.windows(reset.len()).any(|bytes| bytes == reset)
}

/// Returns the containers of a user that have had a check already, running or not.
pub fn with_check(user: &PodmanUser) -> Vec<Container> {
    let entries = fs::read_dir(user.run_dir()).into_iter().flatten();
    let names = entries.flatten().map(|entry| entry.file_name());
    let ids = names.filter_map(|name| name.into_string().ok().filter(|name| is_id(name)));
    let containers = ids.map(|id| Container {
        user: user.clone(),
        id,
    });
    containers.filter(Container::has_check).collect()
}

/// Containers that may have a check.
pub struct NewContainers {
    inotify: Inotify,
    pending: Vec<Pending>,
}

struct Pending {
    container: Container,
    /// Watch on the container's directory, unless no watch is left.
    watch: Option<WatchDescriptor>,
    until: Instant,
}

impl NewContainers {
    /// Returns a list without containers.
    ///
    /// # Errors
    /// The errno of inotify_init1(2).
    pub fn new() -> nix::Result<NewContainers> {
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        Ok(NewContainers {
            inotify: Inotify::init(flags)?,
            pending: Vec::new(),
        })
    }

    /// Adds a container that has just started.
    pub fn add(&mut self, container: Container) {
        let same_user = |p: &&Pending| p.container.user == container.user;
        let of_user = self.pending.iter().filter(same_user).count();
        let known = self.pending.iter().any(|p| p.container == container);
        if of_user < MAX_PENDING_OF_USER && !known && container.dir().exists() {
            let flags = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO;
            self.pending.push(Pending {
                watch: self.inotify.add_watch(&container.dir(), flags).ok(),
                container,
                until: Instant::now() + TIMEOUT,
            });
        }
    }

    /// Removes and returns the containers that have a check; removes those that are gone or whose
    /// time is over.
    pub fn take_checked(&mut self) -> Vec<Container> {
        let _ = self.inotify.read_events(); // every container is looked at
        let now = Instant::now();
        let mut checked = Vec::new();
        let inotify = &self.inotify;
        self.pending.retain(|pending| {
            let container = &pending.container;
            let has_check = container.has_check();
            if has_check {
                checked.push(container.clone());
            }
            let stays = !has_check && pending.until > now && container.dir().exists();
            if let (false, Some(watch)) = (stays, pending.watch) {
                let _ = inotify.rm_watch(watch);
            }
            stays
        });
        checked
    }

    /// Returns when the first container has had its time.
    pub fn deadline(&self) -> Option<Instant> {
        self.pending.iter().map(|pending| pending.until).min()
    }
}

impl AsFd for NewContainers {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_container_has_the_file_and_few_have_a_check() {
        let log = |status| format!(r#"{{"Status":"{status}","FailingStreak":0,"Log":null}}"#);
        for with in ["starting", "healthy", "unhealthy", "stopped", ""] {
            assert!(may_have_check(log(with).as_bytes()), "{with}");
        }
        assert!(may_have_check(b"{\n  \"status\": 7}"), "another podman's");
        for without in [log("reset"), String::new()] {
            assert!(!may_have_check(without.as_bytes()), "{without}");
        }
    }
}
