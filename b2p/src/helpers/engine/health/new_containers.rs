//! Containers that have just begun. podman writes `healthcheck.log` for every one
//! before it runs, with the status `reset`, and once it runs with another for those that
//! have a check (libpod/container_internal.go, `init` and `start`).

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use sys::files::read_bounded;

use crate::helpers::engine::{Owner, is_id};

/// Its name, in the container's directory below /run (libpod/healthcheck.go).
const LOG: &str = "healthcheck.log";
/// No more of it is read: the status comes first.
const STATUS: u64 = 64;
/// Who has no other status by then has no check.
const LONGEST: Duration = Duration::from_secs(20);
/// More are not waited for at once.
const MOST: usize = 256;

/// A container, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The user.
    pub owner: Owner,
    /// 64 hexadecimal digits.
    pub id: String,
}

impl Named {
    fn dir(&self) -> PathBuf {
        self.owner.running().join(&self.id)
    }

    fn has_check(&self) -> bool {
        read_bounded(&self.dir().join(LOG), STATUS).is_ok_and(|text| checked(&text))
    }
}

/// Whether the text of a `healthcheck.log` can be that of a container with a check. What
/// is not known to be none is asked about.
fn checked(text: &[u8]) -> bool {
    let none: &[u8] = br#""Status":"reset""#;
    !text.is_empty() && !text.windows(none.len()).any(|w| w == none)
}

/// Those of one user that have had a check already, running or not.
pub fn known(owner: &Owner) -> Vec<Named> {
    let entries = fs::read_dir(owner.running()).into_iter().flatten();
    let names = entries
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok());
    let named = |id| Named {
        owner: owner.clone(),
        id,
    };
    let all = names.filter(|n| is_id(n)).map(named);
    all.filter(Named::has_check).collect()
}

/// Those of whom it is not known yet.
pub struct Looked {
    inotify: Inotify,
    waiting: Vec<(Named, Option<WatchDescriptor>, Instant)>,
}

impl Looked {
    /// None.
    ///
    /// # Errors
    /// The kernel gives no inotify.
    pub fn new() -> nix::Result<Looked> {
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        Ok(Looked {
            inotify: Inotify::init(flags)?,
            waiting: Vec::new(),
        })
    }

    /// One more.
    pub fn add(&mut self, named: Named) {
        if self.waiting.len() < MOST {
            let flags = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO;
            let watch = self.inotify.add_watch(&named.dir(), flags).ok();
            self.waiting.push((named, watch, Instant::now() + LONGEST));
        }
    }

    /// Those that are known now to have a check. Those that have had their time are
    /// forgotten.
    pub fn found(&mut self) -> Vec<Named> {
        let _ = self.inotify.read_events(); // all are looked at
        let now = Instant::now();
        let mut found = Vec::new();
        let inotify = &self.inotify;
        self.waiting.retain(|(named, watch, until)| {
            let has = named.has_check();
            if has {
                found.push(named.clone());
            }
            // A container that is gone takes nobody's place.
            let stays = !has && *until > now && named.dir().exists();
            if let (false, Some(watch)) = (stays, watch) {
                let _ = inotify.rm_watch(*watch);
            }
            stays
        });
        found
    }

    /// When the first of them has had its time.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|w| w.2).min()
    }
}

impl AsFd for Looked {
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
            assert!(checked(log(with).as_bytes()), "{with}");
        }
        assert!(checked(b"{\n  \"status\": 7}"), "another podman's");
        for without in [log("reset"), String::new()] {
            assert!(!checked(without.as_bytes()), "{without}");
        }
    }
}
