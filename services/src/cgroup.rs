//! The cgroup of a service (Documentation/admin-guide/cgroup-v2.rst): made,
//! limited, joined, told to end, emptied.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use log::warn;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid as NixPid;

use crate::Pid;

/// So many groups below a service's are looked into, and so many of their
/// processes told: a fork bomb must not keep PID 1 from its other work, and what
/// is left over is killed at once at the deadline.
const MOST_GROUPS: usize = 64;
const MOST_PROCESSES: usize = 4_096;

/// The group of one service.
#[derive(Debug)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// That of the service `name`, in the directory of all services.
    #[must_use]
    pub fn of(services: &Path, name: &str) -> Cgroup {
        Cgroup(services.join(name))
    }

    /// Makes it, sets its limits, and opens the directory, which a process begins in or
    /// joins by. A limit that cannot be set is said, and no reason not to start.
    ///
    /// # Errors
    /// Of the system; the service then runs in PID 1's group.
    pub fn open(&self, limits: &[(&str, &str)]) -> io::Result<File> {
        let dir = leaf_of(self.0.clone());
        fs::create_dir_all(&dir)?;
        for (file, value) in limits {
            let path = self.0.join(file);
            put(&path, value).unwrap_or_else(|e| warn!("{} <- {value:?}: {e}", path.display()));
        }
        File::open(dir)
    }

    /// A frozen process dies of SIGKILL and of nothing else.
    pub fn thaw(&self) {
        for dir in [&self.0, &leaf_of(self.0.clone())] {
            let _ = put(&dir.join("cgroup.freeze"), "0"); // not there: not frozen
        }
    }

    /// Sends `signals` to every process in it but `main`, which has its own word,
    /// and thaws those groups below it that are frozen.
    pub fn signal(&self, main: Pid, signals: &[Signal]) {
        let mut left = MOST_PROCESSES;
        for dir in self.all() {
            let _ = put(&dir.join("cgroup.freeze"), "0");
            let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            for pid in others(&text, main).take(left) {
                left -= 1;
                let pid = NixPid::from_raw(pid);
                for signal in signals {
                    let _ = kill(pid, *signal); // gone meanwhile
                }
            }
        }
    }

    /// Ends every process in it and below, those that fork meanwhile included
    /// (`cgroup.kill`, since Linux 5.14).
    pub fn kill(&self) {
        match put(&self.0.join("cgroup.kill"), "1") {
            // No cgroup at all: nothing was ever in it.
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                warn!("{}: cgroup.kill: {e}", self.0.display());
            }
            _ => {}
        }
    }

    /// Takes it away, so that the next one has no limit of this one; where a
    /// process is left it stays.
    pub fn remove(&self) {
        let _ = fs::remove_dir(&self.0);
    }

    /// It and the groups below it.
    fn all(&self) -> Vec<PathBuf> {
        let mut found = vec![self.0.clone()];
        let mut next = 0;
        while let Some(dir) = found.get(next).cloned() {
            next += 1;
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                let path = entry.path();
                if found.len() < MOST_GROUPS && path.is_dir() {
                    found.push(path);
                }
            }
        }
        found
    }
}

/// The processes in the text of a `cgroup.procs`, but for `main`. 0 is one that
/// this pid namespace does not see, and to kill(2) a whole group; 1 is us.
fn others(text: &str, main: Pid) -> impl Iterator<Item = Pid> {
    let pids = text.lines().filter_map(|l| l.parse().ok());
    pids.filter(move |p| *p > 1 && *p != main)
}

/// Writes to a file that is there: none is made where there is no cgroup.
fn put(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    io::Write::write_all(&mut file, text.as_bytes())
}

/// The group below `dir` that can take a process. `podman run --cgroups=split`
/// turns the group it is called from into an inner one, and an inner group takes
/// none (cgroup-v2.rst, "No Internal Process Constraint").
fn leaf_of(mut dir: PathBuf) -> PathBuf {
    for _ in 0..8 {
        let control = fs::read_to_string(dir.join("cgroup.subtree_control"));
        if !control.is_ok_and(|c| !c.trim_ascii().is_empty()) {
            break;
        }
        dir.push("main");
    }
    dir
}

#[cfg(test)]
mod tests;
