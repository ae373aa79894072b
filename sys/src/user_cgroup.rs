// SPDX-License-Identifier: Apache-2.0
//! Cgroups of users (cgroup-v2.rst, "Delegation").
//!
//! ```text
//! /sys/fs/cgroup/user/<uid>     the user's: rootless podman makes a cgroup here for each container
//! ├── session                   what the user started over ssh
//! ├── session-<pid>             the same, while the user has made the former unfit for processes
//! ├── containers                what the machine starts as the user
//! └── <service>                 a service that runs as the user
//! ```
//! crun takes the parent of its own cgroup for a container that has no path, so limits hold for
//! a podman that runs in a leaf of this tree, and are left out without an error elsewhere.
//! The process that places the first member in a cgroup makes the delegation; the boot makes none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use log::warn;

use crate::error::{Doing, Error, Result};

/// Directory of the cgroups of all users.
pub const USERS: &str = "/sys/fs/cgroup/user";
/// Limit of memory of all of root's containers together.
const ROOTS_LIMIT: &str = "/sys/fs/cgroup/libpod_parent/memory.max";
/// Leaf of sessions.
pub const SESSION: &str = "session";
/// Leaf of the processes that the machine runs as the user.
pub const CONTAINERS: &str = "containers";

/// Files that the user owns (cgroup-v2.rst, "Model of Delegation"). root owns the files of limits, which
/// belong to the cgroup above.
const DELEGATED: &[&str] = &[PROCS, "cgroup.subtree_control", "cgroup.threads"];
/// File with the processes of a cgroup.
const PROCS: &str = "cgroup.procs";
/// Maximum number of directories of a user that are looked at for unused leaves.
const MAX_ENTRIES: usize = 1_024;
/// Maximum depth at which a cgroup for processes is looked for.
const MAX_DEPTH: usize = 8;

/// Creates the leaf `name` of a user below `users`, and returns the cgroup at or below it that
/// can contain processes. root's cgroups need no delegation, and are made alike.
///
/// # Errors
/// A directory cannot be created or given to the user, or the user has made the leaf one that no process can
/// enter.
pub fn leaf(users: &Path, uid: u32, gid: u32, name: &str) -> Result<PathBuf> {
    let user = users.join(uid.to_string());
    let leaf = user.join(name);
    if fs::metadata(&leaf).is_err() {
        make_user(&user, uid, gid)?;
        delegate(&leaf, uid, gid)?;
    }
    let inner = leaf_of(leaf.clone());
    let inner = inner.ok_or_else(|| Error::invalid("contains no cgroup for processes"));
    let inner = inner.on(&leaf)?;
    if fs::metadata(&inner).is_err() {
        delegate(&inner, uid, gid)?;
    }
    match has_domain(&inner) {
        true => Ok(inner),
        false => Err(Error::invalid("is for threads alone")).on(&inner),
    }
}

/// Creates a leaf beside the leaf `name` for the calling process, for a user whose own leaf cannot be entered:
/// without a leaf, a session would count to sshd. Leaves of processes that have ended are removed.
///
/// # Errors
/// The directory cannot be created or given to the user, or the user has made one of that name that no process
/// can enter.
pub fn fresh_leaf(users: &Path, uid: u32, gid: u32, name: &str) -> Result<PathBuf> {
    let user = users.join(uid.to_string());
    make_user(&user, uid, gid)?;
    remove_unused(&user, name);
    let leaf = user.join(format!("{name}-{}", std::process::id()));
    delegate(&leaf, uid, gid)?;
    match leaf_of(leaf.clone()).as_ref() == Some(&leaf) && has_domain(&leaf) {
        true => Ok(leaf),
        false => Err(Error::invalid("no process can enter it")).on(&leaf),
    }
}

/// Removes fresh leaves that were made by processes that have ended. One with processes stays (rmdir(2), EBUSY).
fn remove_unused(user: &Path, name: &str) {
    let entries = fs::read_dir(user).into_iter().flatten().flatten();
    for entry in entries.take(MAX_ENTRIES) {
        let file = entry.file_name();
        let maker = file.to_str().and_then(|file| file.strip_prefix(name));
        let maker = maker.and_then(|rest| rest.strip_prefix('-')?.parse::<u32>().ok());
        if maker.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Opens the `cgroup.procs` of a user's leaf below [`USERS`]. The kernel checks a move by the credentials of the process that has
/// opened the file (`cgroup_procs_write` in kernel/cgroup/cgroup.c), so that a child writes "0" to the file after the
/// change to the user. A leaf that cannot be entered is replaced by a [`fresh_leaf`].
///
/// # Errors
/// No leaf can be created, or the file cannot be opened.
pub fn open_procs(uid: u32, gid: u32, name: &str) -> Result<File> {
    let users = Path::new(USERS);
    let leaf = leaf(users, uid, gid, name).or_else(|why| {
        warn!("{why}: another cgroup takes its place");
        fresh_leaf(users, uid, gid, name)
    })?;
    open(&leaf)
}

/// Moves a process into a user's leaf below [`USERS`], or into a [`fresh_leaf`].
///
/// # Errors
/// No leaf can be created, or none takes the process.
pub fn enter(uid: u32, gid: u32, name: &str, pid: u32) -> Result<()> {
    let enter = |leaf: PathBuf| write!(open(&leaf)?, "{pid}").on(leaf.join(PROCS));
    let users = Path::new(USERS);
    leaf(users, uid, gid, name).and_then(enter).or_else(|why| {
        warn!("{why}: another cgroup takes its place");
        fresh_leaf(users, uid, gid, name).and_then(enter)
    })
}

fn open(leaf: &Path) -> Result<File> {
    let procs = leaf.join(PROCS);
    OpenOptions::new().write(true).open(&procs).on(&procs)
}

/// Returns the cgroup at or below `dir` that can contain processes, or `None` if there is none down to a
/// depth of eight. `podman run --cgroups=split` enables controllers below the cgroup of its caller, and such
/// a cgroup contains no process (cgroup-v2.rst, "No Internal Process Constraint").
#[must_use]
pub fn leaf_of(mut dir: PathBuf) -> Option<PathBuf> {
    for _ in 0..MAX_DEPTH {
        let control = fs::read_to_string(dir.join("cgroup.subtree_control"));
        if !control.is_ok_and(|c| !c.trim_ascii().is_empty()) {
            return Some(dir);
        }
        dir.push("main");
    }
    None
}

/// Returns false for a cgroup that takes only threads, or nothing because a sibling takes threads
/// (cgroup-v2.rst, "Threads").
fn has_domain(dir: &Path) -> bool {
    let kind = fs::read_to_string(dir.join("cgroup.type")).unwrap_or_default();
    !matches!(kind.trim_ascii(), "threaded" | "domain invalid")
}

/// Creates the cgroup of a user, with the controllers and the limit of memory that root's containers have
/// (init/src/cgroups.rs). root's own processes have no such limit, and a limit that root has set stays.
fn make_user(user: &Path, uid: u32, gid: u32) -> Result<()> {
    let is_new = fs::metadata(user).is_err();
    delegate(user, uid, gid)?;
    if is_new
        && uid != 0
        && let Ok(limit) = fs::read(ROOTS_LIMIT)
    {
        let max = user.join("memory.max");
        fs::write(&max, limit).unwrap_or_else(|e| warn!("{}: {e}", max.display()));
    }
    enable_controllers(user);
    Ok(())
}

/// Creates a cgroup that belongs to the user.
fn delegate(dir: &Path, uid: u32, gid: u32) -> Result<()> {
    fs::create_dir_all(dir).on(dir)?;
    chown(dir, Some(uid), Some(gid)).on(dir)?;
    for file in DELEGATED {
        let path = dir.join(file);
        match chown(&path, Some(uid), Some(gid)) {
            // A threaded cgroup has not all of them (cgroup-v2.rst, "Threads").
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => other.on(&path)?,
        }
    }
    Ok(())
}

/// Enables every controller below `dir`. Each by itself: a controller that the kernel refuses does
/// not hold back the others.
pub fn enable_controllers(dir: &Path) {
    let available = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
    let path = dir.join("cgroup.subtree_control");
    for name in available.split_whitespace() {
        let enabled = fs::write(&path, format!("+{name}"));
        enabled.unwrap_or_else(|e| warn!("{} <- +{name}: {e}", path.display()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::MetadataExt;

    /// Returns the user of the test process, and a directory that looks like a cgroup of that user.
    fn users(name: &str) -> (PathBuf, u32, u32) {
        let dir = std::env::temp_dir().join(format!("b2p-users-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let own = fs::metadata(&dir).unwrap();
        (dir, own.uid(), own.gid())
    }

    #[test]
    fn a_leaf_is_made_once() {
        let (dir, uid, gid) = users("once");
        let session = leaf(&dir, uid, gid, SESSION).unwrap();
        assert_eq!(session, dir.join(uid.to_string()).join("session"));
        assert!(session.is_dir());
        assert_eq!(leaf(&dir, uid, gid, SESSION).unwrap(), session);
        assert!(leaf(Path::new("/dev/null"), uid, gid, SESSION).is_err());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_leaf_with_controllers_gets_a_leaf_below() {
        let (dir, uid, gid) = users("split");
        let own = dir.join(uid.to_string()).join("session");
        fs::create_dir_all(&own).unwrap();
        for (control, want) in [("", own.clone()), ("memory pids\n", own.join("main"))] {
            fs::write(own.join("cgroup.subtree_control"), control).unwrap();
            let made = leaf(&dir, uid, gid, SESSION).unwrap();
            assert!(made == want && made.is_dir(), "{control}");
        }
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn an_unusable_leaf_is_refused() {
        let (dir, uid, gid) = users("chain");
        let user = dir.join(uid.to_string());
        let mut inner = user.join("session");
        for _ in 0..9 {
            fs::create_dir_all(&inner).unwrap();
            fs::write(inner.join("cgroup.subtree_control"), "pids\n").unwrap();
            inner.push("main");
        }
        let why = leaf(&dir, uid, gid, SESSION).unwrap_err().to_string();
        assert!(
            why.ends_with("session: contains no cgroup for processes"),
            "{why}"
        );
        // A cgroup beside one for threads has no type that takes processes.
        let containers = user.join(CONTAINERS);
        fs::create_dir_all(&containers).unwrap();
        for (kind, is_fit) in [
            ("domain", true),
            ("domain threaded", true),
            ("domain invalid", false),
            ("threaded", false),
        ] {
            fs::write(containers.join("cgroup.type"), format!("{kind}\n")).unwrap();
            assert_eq!(leaf(&dir, uid, gid, CONTAINERS).is_ok(), is_fit, "{kind}");
        }
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_fresh_leaf_is_nobodys_before() {
        let (dir, uid, gid) = users("fresh");
        let user = dir.join(uid.to_string());
        // Above the largest pid (proc(5), pid_max), so that its maker has ended.
        let (unused, live) = (user.join("session-4194305"), user.join("session-1"));
        for dir in [&unused, &live] {
            fs::create_dir_all(dir).unwrap();
        }
        let fresh = fresh_leaf(&dir, uid, gid, SESSION).unwrap();
        assert_eq!(fresh, user.join(format!("session-{}", std::process::id())));
        assert!(fresh.is_dir() && live.is_dir() && !unused.exists());
        assert_eq!(fresh_leaf(&dir, uid, gid, SESSION).unwrap(), fresh);
        fs::write(fresh.join("cgroup.subtree_control"), "pids\n").unwrap();
        assert!(
            fresh_leaf(&dir, uid, gid, SESSION).is_err(),
            "split by the user"
        );
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn each_controller_is_asked_for() {
        let (dir, ..) = users("controllers");
        fs::write(dir.join("cgroup.controllers"), "cpu memory\n").unwrap();
        enable_controllers(&dir);
        let last = fs::read_to_string(dir.join("cgroup.subtree_control")).unwrap();
        assert_eq!(last, "+memory");
        fs::remove_dir_all(dir).unwrap();
    }
}
