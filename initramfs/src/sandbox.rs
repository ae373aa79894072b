// SPDX-License-Identifier: Apache-2.0
//! Sandbox for commands of another Debian system: a fetched tree as root, with bind mounts of
//! directories of the host and three devices. The mounts are made in a mount namespace, which ends
//! with the command; a caller that is not root gets a user namespace as well.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// Script of `sh -c`; its arguments are the tree, pairs of a host directory and its path in the
/// tree, `--`, and the environment and the command for env(1).
const SCRIPT: &str = "\
set -eu
tree=$1; shift
mount -t tmpfs -o mode=0755 dev \"$tree/dev\"
for node in null zero urandom; do
    : > \"$tree/dev/$node\"
    mount --bind \"/dev/$node\" \"$tree/dev/$node\"
done
while [ \"$1\" != -- ]; do
    mount --rbind \"$1\" \"$tree$2\"
    shift 2
done
shift
exec chroot \"$tree\" /usr/bin/env -i \"$@\"";

/// Root directory with bind mounts of directories of the host.
pub struct Sandbox {
    tree: PathBuf,
    binds: Vec<(PathBuf, String)>,
}

impl Sandbox {
    /// Returns a sandbox with `tree` as root.
    pub fn new(tree: &Path) -> Result<Self> {
        create_dir(&tree.join("dev"))?;
        Ok(Sandbox {
            tree: tree.to_path_buf(),
            binds: Vec::new(),
        })
    }

    /// Binds the host's directory `from` at the absolute path `to` of the sandbox.
    pub fn bind(mut self, from: &Path, to: &str) -> Result<Self> {
        create_dir(&self.tree.join(to.trim_start_matches('/')))?;
        self.binds.push((from.to_path_buf(), to.to_owned()));
        Ok(self)
    }

    /// Returns a command that runs `argv` in the directory `dir` of the sandbox with this
    /// environment, entries of which have the form `NAME=value`.
    pub fn command(&self, environment: &[impl AsRef<str>], dir: &str, argv: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if !nix::unistd::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command
            .args(["sh", "-c", SCRIPT, "sandbox"])
            .arg(&self.tree);
        let binds = self.binds.iter();
        command.args(binds.flat_map(|(from, to)| [OsString::from(from), OsString::from(to)]));
        command
            .arg("--")
            .args(environment.iter().map(AsRef::as_ref));
        command.args(["env", "-C", dir]).args(argv);
        command
    }
}

fn create_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))
}
