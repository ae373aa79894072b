// SPDX-License-Identifier: Apache-2.0
//! Cgroup of a service (Documentation/admin-guide/cgroup-v2.rst): its limits and its processes.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use log::warn;
use nix::sys::signal::Signal;
use sys::error::{Doing, Error, Result};
use sys::syscall::Process;
use sys::user_cgroup::{self, leaf_of};

use crate::Pid;
use crate::service::{ServiceDef, User};

/// Maximum number of cgroups, the service's included, whose processes are signalled. A fork bomb
/// must not keep PID 1 from its other work; the remaining processes are killed at the deadline.
const MAX_CGROUPS: usize = 64;
/// Maximum number of processes that are signalled, for the same reason.
const MAX_PROCESSES: usize = 4_096;

/// Cgroup of one service.
#[derive(Debug)]
pub struct Cgroup {
    dir: PathBuf,
    /// User that the cgroup belongs to.
    user: Option<User>,
}

impl Cgroup {
    /// Returns the cgroup of a service: in the directory of all services, or in the neighbouring
    /// directory of its user, where containers that the service starts are the user's.
    #[must_use]
    pub fn of(services: &Path, def: &ServiceDef) -> Cgroup {
        let user = def.user.filter(|_| !def.runs_as_root());
        let dir = match user {
            Some(user) => users(services).join(user.uid.to_string()),
            None => services.to_path_buf(),
        };
        let dir = dir.join(def.name);
        Cgroup { dir, user }
    }

    /// Creates the cgroup, sets its limits, and opens the directory by which a process enters.
    /// A limit that cannot be set is logged, and the service starts without the limit.
    ///
    /// # Errors
    /// The directory cannot be created or opened: a service of root then runs in PID 1's cgroup, a service of
    /// another user does not start.
    pub fn open(&self, limits: &[(&str, &str)]) -> Result<File> {
        let leaf = self.create()?;
        for (file, value) in limits {
            let path = self.dir.join(file);
            write_existing(&path, value)
                .unwrap_or_else(|e| warn!("{} <- {value:?}: {e}", path.display()));
        }
        File::open(&leaf).on(&leaf)
    }

    fn create(&self) -> Result<PathBuf> {
        if let (Some(user), Some(users)) = (self.user, self.dir.ancestors().nth(2))
            && let Some(name) = self.dir.file_name().and_then(|name| name.to_str())
        {
            user_cgroup::leaf(users, user.uid, user.gid, name)?;
        }
        let leaf = leaf_of(self.dir.clone());
        let leaf = leaf.ok_or_else(|| Error::invalid("contains no cgroup for processes"));
        let leaf = leaf.on(&self.dir)?;
        fs::create_dir_all(&leaf).on(&leaf)?;
        Ok(leaf)
    }

    /// Thaws the cgroup: of all signals, a frozen process handles only SIGKILL.
    pub fn thaw(&self) {
        for dir in [Some(self.dir.clone()), leaf_of(self.dir.clone())]
            .iter()
            .flatten()
        {
            // Without the file nothing is frozen.
            let _ = write_existing(&dir.join("cgroup.freeze"), "0");
        }
    }

    /// Sends `signals` to every process of the cgroup and of those below except `main`, which is
    /// signalled separately. Frozen cgroups are thawed.
    pub fn signal(&self, main: Pid, signals: &[Signal]) {
        let mut left = MAX_PROCESSES;
        for dir in self.subtree() {
            let _ = write_existing(&dir.join("cgroup.freeze"), "0");
            let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            for pid in others(&text, main).take(left) {
                left -= 1;
                self.signal_member(pid, signals);
            }
        }
    }

    /// Sends `signals` to a process of the cgroup. The process may have ended, and its parent may have reaped it:
    /// the membership of the process that has the number now is checked after that process was opened.
    fn signal_member(&self, pid: Pid, signals: &[Signal]) {
        let Some(process) = Process::open(pid) else {
            return;
        };
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        if is_below(&text, &self.dir) {
            signals.iter().for_each(|s| process.signal(*s as i32));
        }
    }

    /// Kills every process of the cgroup and of those below, including processes that fork in
    /// the meantime (`cgroup.kill`, since Linux 5.14).
    pub fn kill(&self) {
        match write_existing(&self.dir.join("cgroup.kill"), "1") {
            // A cgroup that was never made has had no process.
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                warn!("{}: cgroup.kill: {e}", self.dir.display());
            }
            _ => {}
        }
    }

    /// Returns the processes of the cgroup and of those below.
    #[must_use]
    pub fn processes(&self) -> Vec<Pid> {
        let read = |dir: PathBuf| fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        let texts: Vec<String> = self.subtree().into_iter().map(read).collect();
        let all = texts.iter().flat_map(|text| others(text, 0));
        all.take(MAX_PROCESSES).collect()
    }

    /// Returns true if the process is in the cgroup or in a descendant, even if the process has
    /// ended and is not reaped; true if the cgroup does not exist, because membership cannot be checked then.
    #[must_use]
    pub fn holds(&self, pid: Pid) -> bool {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        !self.dir.exists() || is_below(&text, &self.dir)
    }

    /// Removes the cgroup, so that its limits do not apply to the next cgroup of this name. A cgroup that has a
    /// process or a child cgroup stays, with its limits.
    pub fn remove(&self) {
        let _ = fs::remove_dir(&self.dir);
    }

    /// Returns the directories of the cgroup and of those below, up to [`MAX_CGROUPS`].
    fn subtree(&self) -> Vec<PathBuf> {
        let mut found = vec![self.dir.clone()];
        let mut next = 0;
        while let Some(dir) = found.get(next).cloned() {
            next += 1;
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                let path = entry.path();
                if found.len() < MAX_CGROUPS && path.is_dir() {
                    found.push(path);
                }
            }
        }
        found
    }
}

/// Returns the directory of the cgroups of users, which is beside that of services.
fn users(services: &Path) -> PathBuf {
    services.with_file_name("user")
}

/// Returns true if the text of a /proc/PID/cgroup (cgroups(7)) names the cgroup at `dir` or one
/// below. The root of the text is that of the cgroup namespace, so the last two names count.
fn is_below(text: &str, dir: &Path) -> bool {
    let name = |dir: Option<&Path>| dir?.file_name()?.to_str().map(str::to_owned);
    let (Some(parent), Some(own)) = (name(dir.parent()), name(Some(dir))) else {
        return false;
    };
    let path = text.lines().find_map(|line| line.strip_prefix("0::"));
    let path = path.map(|path| path.trim_end_matches(" (deleted)"));
    path.is_some_and(|path| format!("{path}/").contains(&format!("/{parent}/{own}/")))
}

/// Returns the processes in the text of a `cgroup.procs`, except `main`. 0 stands for a process
/// outside this pid namespace, and to kill(2) for a process group; 1 is PID 1.
fn others(text: &str, main: Pid) -> impl Iterator<Item = Pid> {
    let pids = text.lines().filter_map(|l| l.parse().ok());
    pids.filter(move |p| *p > 1 && *p != main)
}

/// Writes to an existing file, and creates none where there is no cgroup.
fn write_existing(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    io::Write::write_all(&mut file, text.as_bytes())
}

#[cfg(test)]
mod tests;
