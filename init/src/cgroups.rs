// SPDX-License-Identifier: Apache-2.0
//! The cgroup tree (Documentation/admin-guide/cgroup-v2.rst).
//!
//! ```text
//! /sys/fs/cgroup          controllers delegated from here, top-down
//! ├── init                PID 1 alone
//! ├── system/<service>    one leaf for each service
//! ├── user/<uid>/…        a user's sessions, services and containers (`sys::user_cgroup`)
//! └── libpod_parent/…     podman's containers (its cgroupfs manager creates those below)
//! ```
//! Containers may fill memory with files in tmpfs of their own (`--tmpfs`, `--read-only`, /dev/shm), each up to half of
//! the memory, and no kill of a process frees them. The containers of root, and those of each user, therefore have
//! a limit together ([`sys::memory`]): beyond it, the kernel reclaims and kills among these containers alone.
//! No process stays in the root: podman would take all of them, PID 1 included, for its own and
//! move them (podman#24737).

use std::fs;
use std::path::Path;

use log::{debug, warn};
use sys::error::{Doing, Error, Result};
use sys::memory::containers_limit;
use sys::paths::CONTAINERS_LIMITS;

/// Mount point of the tree.
pub const ROOT: &str = "/sys/fs/cgroup";

/// Memory that the kernel does not take back for others (`memory.min`, cgroup-v2.rst): file, value,
/// why. The children of a group share its protection (mount option memory_recursiveprot).
const PROTECTED: &[(&str, &str, &str)] = &[
    (
        "init/memory.min",
        "8M",
        "PID 1 answers however full the memory is",
    ),
    (
        "system/memory.min",
        "32M",
        "sshd and podman still run, so that a user can free memory",
    ),
    (
        "user/memory.min",
        "16M",
        "the claim of the next row, which cannot exceed it",
    ),
    (
        "user/0/memory.min",
        "16M",
        "root's shell still runs, so that a user can free memory",
    ),
];

/// Files that enable controllers, top-down.
const SUBTREES: &[&str] = &[
    "cgroup.subtree_control",
    "system/cgroup.subtree_control",
    "user/cgroup.subtree_control",
];

/// Controllers that podman's limits depend on.
const REQUIRED_CONTROLLERS: &[&str] = &["cpu", "memory", "pids", "io"];

/// Creates the tree under `root` and moves PID 1 into its leaf.
///
/// # Errors
/// A directory or a file of the tree cannot be created or written; a required controller is
/// missing.
pub fn create(root: &Path) -> Result<()> {
    for dir in ["init", "system", "user/0", "libpod_parent"] {
        let path = root.join(dir);
        fs::create_dir_all(&path).on(&path)?;
    }
    write(&root.join("init/cgroup.procs"), "1")?;
    let controllers = root.join("cgroup.controllers");
    let available = fs::read_to_string(&controllers).on(&controllers)?;
    for file in SUBTREES {
        enable(&root.join(file), &available);
    }
    for (file, bytes, _) in PROTECTED {
        write(&root.join(file), bytes).unwrap_or_else(|e| debug!("{e}"));
    }
    limit(root).unwrap_or_else(|e| debug!("{e}"));
    let enabled = fs::read_to_string(root.join("system/cgroup.subtree_control"));
    check(&enabled.unwrap_or_default())
}

/// Limits the memory of root's containers; a user's cgroup gets the same limit when it is made (`sys::user_cgroup`).
fn limit(root: &Path) -> Result<()> {
    let Some(bytes) = containers_limit() else {
        return Ok(());
    };
    write(&root.join("libpod_parent/memory.max"), &bytes.to_string())?;
    write(Path::new(CONTAINERS_LIMITS), &format!("{bytes}\n"))
}

/// Enables the controllers of `available` at once, because the kernel walks the tree for each write; or each by
/// itself if the kernel refuses: a controller that is refused does not prevent the others.
fn enable(file: &Path, available: &str) {
    let names = || available.split_whitespace();
    let mut all = String::with_capacity(2 * available.len());
    names().for_each(|name| all.extend(["+", name, " "]));
    if write(file, &all).is_ok() {
        return;
    }
    for name in names() {
        write(file, &format!("+{name}")).unwrap_or_else(|e| warn!("{e}"));
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    match fs::write(path, text) {
        Ok(()) => Ok(()),
        failed => failed.on(path).doing(format!("write {text:?}")),
    }
}

fn check(enabled: &str) -> Result<()> {
    let missing = |name: &&str| !enabled.split_whitespace().any(|c| c == *name);
    let required = REQUIRED_CONTROLLERS.iter().copied();
    let missing: Vec<&str> = required.filter(missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "no {} controller: such limits do not hold",
        missing.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn controllers_are_whole_words() {
        assert_eq!(check("cpuset cpu io memory pids\n"), Ok(()));
        let missing = check("cpuset io memory pids").unwrap_err();
        assert!(missing.to_string().starts_with("no cpu controller"));
    }
}
