// SPDX-License-Identifier: Apache-2.0
//! Containers that are paused because they take the machine's room, by the freezer of their cgroups
//! (cgroup-v2.rst, cgroup.freeze). A signal that kills ends a process that is frozen, so `podman rm
//! -f`, `podman kill` and the machine's end work as with any other container. podman itself would
//! record the pause in its database, for which there is no room.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::warn;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::error::{Doing, Error, Result};
use sys::files::replace;
use sys::paths::RUNTIME_DIR;

use super::writers::{name, short_id};

/// Files with the paths of their cgroups, a line each, because a cgroup does not record the program that froze it:
/// those that wrote to a full store, and those that filled the file system of their files in /run.
pub const OF_STORE: &str = "store.paused";
pub const OF_FILES: &str = "files.paused";
/// Time that the processes of a container may take to stop.
const FREEZE_LIMIT: Duration = Duration::from_secs(2);

/// The containers that are paused.
#[derive(Debug)]
pub struct Paused {
    list: PathBuf,
    cgroups: Vec<PathBuf>,
}

impl Paused {
    /// The containers in a list of this name that an earlier run of this service has paused.
    pub fn load(list: &str) -> Paused {
        Paused::of(&Path::new(RUNTIME_DIR).join(list))
    }

    pub fn of(list: &Path) -> Paused {
        let text = fs::read_to_string(list).unwrap_or_default();
        let cgroups = text.lines().map(PathBuf::from);
        Paused {
            list: list.to_owned(),
            cgroups: cgroups.filter(|path| short_id(path).is_some()).collect(),
        }
    }

    /// Cgroups of the containers.
    pub fn cgroups(&self) -> &[PathBuf] {
        &self.cgroups
    }

    /// Pauses a container, and returns true once it is paused. The list is written first, so that
    /// the container is resumed in any case. One that does not stop runs on, and may be paused later.
    pub fn add(&mut self, cgroup: &Path) -> bool {
        self.cgroups.push(cgroup.to_owned());
        let paused = self.write().and_then(|()| freeze(cgroup, "1"));
        let paused = paused.and_then(|()| wait_frozen(cgroup));
        match &paused {
            Ok(()) => warn!("store: {} is paused: it takes all room", shown(cgroup)),
            Err(e) => {
                warn!("store: {} is not paused: {e}", shown(cgroup));
                let _ = freeze(cgroup, "0");
                self.forget();
            }
        }
        paused.is_ok()
    }

    /// Resumes all. A container that was removed has no cgroup any more.
    pub fn resume(&mut self) {
        if self.cgroups.is_empty() {
            return;
        }
        for cgroup in std::mem::take(&mut self.cgroups) {
            match freeze(&cgroup, "0") {
                Ok(()) => warn!("store: {} is resumed: there is room", shown(&cgroup)),
                Err(_) if !cgroup.exists() => {}
                Err(e) => warn!("store: {} is not resumed: {e}", shown(&cgroup)),
            }
        }
        self.write().unwrap_or_else(|e| warn!("store: {e}"));
    }

    /// Forgets containers that are not paused any more: one that was restarted has a new cgroup of the same name.
    pub fn forget(&mut self) {
        let count = self.cgroups.len();
        self.cgroups.retain(|cgroup| is_frozen(cgroup));
        if self.cgroups.len() < count {
            self.write().unwrap_or_else(|e| warn!("store: {e}"));
        }
    }

    /// Forgets containers that are not paused any more, and returns the names of the others, if there are any.
    pub fn names(&mut self) -> Option<String> {
        self.forget();
        let names: Vec<_> = self.cgroups.iter().filter_map(|c| name(c)).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    fn write(&self) -> Result<()> {
        let lines = self.cgroups.iter();
        let text: String = lines.map(|path| format!("{}\n", path.display())).collect();
        replace(&self.list, text.as_bytes(), 0o600)
    }
}

/// Returns true if the processes of a cgroup are to stop, and stay so. `cgroup.events` has the same answer only after
/// the last process has stopped.
fn is_frozen(cgroup: &Path) -> bool {
    let value = fs::read_to_string(cgroup.join("cgroup.freeze"));
    value.is_ok_and(|value| value.trim_ascii() == "1")
}

fn freeze(cgroup: &Path, value: &str) -> Result<()> {
    let file = cgroup.join("cgroup.freeze");
    fs::write(&file, value).on(file)
}

/// Waits until no process of a cgroup runs: a process in a system call first finishes the call. The
/// kernel reports changes of cgroup.events by `POLLPRI`.
fn wait_frozen(cgroup: &Path) -> Result<()> {
    let path = cgroup.join("cgroup.events");
    let mut file = File::open(&path).on(&path)?;
    let until = Instant::now() + FREEZE_LIMIT;
    loop {
        let mut text = String::new();
        file.rewind()
            .and_then(|()| file.read_to_string(&mut text))
            .on(&path)?;
        if text.lines().any(|line| line == "frozen 1") {
            return Ok(());
        }
        let left = until.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLPRI)];
        match poll(&mut fds, left) {
            Ok(0) => return Err(Error::invalid("its processes do not stop")).on(&path),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

fn shown(cgroup: &Path) -> String {
    name(cgroup).map_or_else(
        || cgroup.display().to_string(),
        |name| format!("container {name}"),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn a_restarted_service_resumes_what_it_has_paused() {
        let temp = Temp::new();
        let list = temp.path("list");
        let dir = temp.path(&format!("user/libpod-{}", "c".repeat(64)));
        fs::create_dir_all(&dir).unwrap();
        let frozen = || fs::read_to_string(dir.join("cgroup.freeze")).unwrap();
        let mut paused = Paused::of(&list);
        assert_eq!(paused.names(), None);
        fs::write(dir.join("cgroup.events"), "populated 1\nfrozen 1\n").unwrap();
        assert!(paused.add(&dir));
        assert_eq!(frozen(), "1");
        let mut paused = Paused::of(&list);
        assert_eq!(paused.names().as_deref(), Some("cccccccccccc"));
        paused.resume();
        assert_eq!((frozen().as_str(), paused.cgroups().len()), ("0", 0));
        assert_eq!(Paused::of(&list).cgroups().len(), 0);
        fs::remove_file(dir.join("cgroup.events")).unwrap();
        assert!(!paused.add(&dir));
        assert_eq!((frozen().as_str(), paused.cgroups().len()), ("0", 0));
        assert_eq!(Paused::of(&list).cgroups().len(), 0);
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(paused.names(), None);
        paused.resume();
        fs::write(&list, "../../etc\nlibpod-x\n").unwrap();
        assert_eq!(Paused::of(&list).cgroups().len(), 0);
    }

    #[test]
    fn a_restarted_container_is_not_paused_any_more() {
        let temp = Temp::new();
        let list = temp.path("list");
        let dir = temp.path(&format!("root/libpod-{}", "c".repeat(64)));
        let start = || {
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("cgroup.events"), "populated 1\nfrozen 1\n").unwrap();
        };
        start();
        let mut paused = Paused::of(&list);
        assert!(paused.add(&dir));
        paused.forget();
        assert_eq!(paused.cgroups().len(), 1);
        fs::remove_dir_all(&dir).unwrap();
        start();
        fs::write(dir.join("cgroup.freeze"), "0\n").unwrap();
        assert_eq!(Paused::of(&list).names(), None, "by another watch");
        assert_eq!(paused.names(), None);
        assert!(paused.add(&dir));
        assert_eq!(paused.names().as_deref(), Some("cccccccccccc"));
    }
}
