// SPDX-License-Identifier: Apache-2.0
//! Cgroups of users (cgroup-v2.rst, "Delegation").
//!
//! ```text
//! /sys/fs/cgroup/user/<uid>     the user's: rootless podman makes a cgroup here for each container
//! ├── session                   what the user started over ssh
//! ├── containers                what the machine starts as the user
//! └── <service>                 a service that runs as the user
//! ```
//! crun takes the parent of its own cgroup for a container that has no path, so limits hold for
//! whoever runs podman from a leaf of this tree, and are left out without an error elsewhere.
//! A delegation is made by whoever places the first process there: the boot makes none.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use log::warn;

use crate::error::{Doing, Result};

/// Directory of the cgroups of all users.
pub const USERS: &str = "/sys/fs/cgroup/user";
/// Leaf of sessions.
pub const SESSION: &str = "session";
/// Leaf of what the machine runs as the user.
pub const CONTAINERS: &str = "containers";

/// Files that are the user's (cgroup-v2.rst, "Model of Delegation"). Those of limits are not: they
/// belong to the cgroup above.
const DELEGATED: &[&str] = &["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"];
/// Maximum depth at which a cgroup for processes is looked for.
const MAX_DEPTH: usize = 8;

/// Creates the leaf `name` of a user below `users`, and returns the cgroup at or below it that
/// can contain processes. root's cgroups need no delegation, and are made alike.
///
/// # Errors
/// A directory cannot be created or given to the user.
pub fn leaf(users: &Path, uid: u32, gid: u32, name: &str) -> Result<PathBuf> {
    let user = users.join(uid.to_string());
    let leaf = user.join(name);
    if fs::metadata(&leaf).is_err() {
        delegate(&user, uid, gid)?;
        enable_controllers(&user);
        delegate(&leaf, uid, gid)?;
    }
    let inner = leaf_of(leaf);
    if fs::metadata(&inner).is_err() {
        delegate(&inner, uid, gid)?;
    }
    Ok(inner)
}

/// Opens the `cgroup.procs` of a user's leaf below [`USERS`]. The kernel judges a move by who has
/// opened the file (`cgroup_procs_write` in kernel/cgroup/cgroup.c), so that a child writes "0"
/// to it after it has become the user.
///
/// # Errors
/// The leaf cannot be created, or the file cannot be opened.
pub fn open_procs(uid: u32, gid: u32, name: &str) -> Result<File> {
    let procs = leaf(Path::new(USERS), uid, gid, name)?.join("cgroup.procs");
    OpenOptions::new().write(true).open(&procs).on(&procs)
}

/// Returns the cgroup at or below `dir` that can contain processes. `podman run --cgroups=split`
/// enables controllers below the cgroup that it is called from, and such a cgroup contains none
/// (cgroup-v2.rst, "No Internal Process Constraint").
#[must_use]
pub fn leaf_of(mut dir: PathBuf) -> PathBuf {
    for _ in 0..MAX_DEPTH {
        let control = fs::read_to_string(dir.join("cgroup.subtree_control"));
        if !control.is_ok_and(|c| !c.trim_ascii().is_empty()) {
            break;
        }
        dir.push("main");
    }
    dir
}

/// Creates a cgroup and gives it to the user.
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

    /// Returns the user who runs the test, and a directory that looks like a cgroup of theirs.
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
    fn a_leaf_that_was_split_has_another_below() {
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
    fn each_controller_is_asked_for() {
        let (dir, ..) = users("controllers");
        fs::write(dir.join("cgroup.controllers"), "cpu memory\n").unwrap();
        enable_controllers(&dir);
        let last = fs::read_to_string(dir.join("cgroup.subtree_control")).unwrap();
        assert_eq!(last, "+memory");
        fs::remove_dir_all(dir).unwrap();
    }
}
