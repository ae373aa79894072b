//! Containers that have just begun: podman writes `healthcheck.log` for those that
//! have a check, when their runtime has done its work.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use crate::engine::{Owner, is_id};

/// Its name, in the container's directory below /run (libpod/healthcheck.go).
const LOG: &str = "healthcheck.log";
/// Who has not got one by then has no check.
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
        self.dir().join(LOG).exists()
    }
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
            let stays = !has && *until > now;
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
