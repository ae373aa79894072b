//! The cgroup tree (Documentation/admin-guide/cgroup-v2.rst).
//!
//! ```text
//! /sys/fs/cgroup          controllers delegated from here, top-down
//! ├── init                PID 1 alone
//! ├── system/<service>    one leaf a service
//! └── libpod_parent/…     podman's containers (its cgroupfs manager makes it)
//! ```
//! No process stays in the root: podman would take all of them, PID 1 included,
//! for its own and move them (podman#24737).

use std::fs;
use std::path::Path;

use log::warn;

/// Where the tree is.
pub const ROOT: &str = "/sys/fs/cgroup";

/// What podman's limits are made of.
const REQUIRED_CONTROLLERS: &[&str] = &["cpu", "memory", "pids", "io"];

/// Makes the tree under `root` and moves PID 1 into its leaf.
///
/// # Errors
/// What could not be done, with the path.
pub fn create(root: &Path) -> Result<(), String> {
    let put = |path: &str, text: &str| {
        let path = root.join(path);
        fs::write(&path, text).map_err(|e| format!("{} <- {text:?}: {e}", path.display()))
    };
    for dir in ["init", "system"] {
        let path = root.join(dir);
        fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    put("init/cgroup.procs", "1")?;
    let all = fs::read_to_string(root.join("cgroup.controllers")).map_err(|e| e.to_string())?;
    // One by one: a controller that the kernel refuses must not take the others along.
    for name in all.split_whitespace() {
        for file in ["cgroup.subtree_control", "system/cgroup.subtree_control"] {
            put(file, &format!("+{name}")).unwrap_or_else(|e| warn!("{e}"));
        }
    }
    let on = fs::read_to_string(root.join("system/cgroup.subtree_control")).unwrap_or_default();
    let missing: Vec<&str> = REQUIRED_CONTROLLERS
        .iter()
        .copied()
        .filter(|c| !has_controller(&on, c))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "no {} controller: such limits do not hold",
            missing.join(", ")
        ))
    }
}

fn has_controller(controllers: &str, name: &str) -> bool {
    controllers.split_whitespace().any(|c| c == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_whole_words() {
        assert!(has_controller("cpuset cpu", "cpu") && !has_controller("cpuset", "cpu"));
    }
}
