// SPDX-License-Identifier: Apache-2.0
//! Directory of one run's files. Several runs at the same time have different ones.

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Maximum number of runs at the same time; a larger number counts as a mistake.
const MAX_RUNS: usize = 16;

/// Directory and socket under `out/` that no other run uses.
pub struct RunDir {
    /// Directory of the machine: `run`, `run-2`, …
    pub dir: PathBuf,
    /// Socket of podman's API: `podman.sock`, `podman-2.sock`, …
    pub socket: PathBuf,
    /// Lock that is held during the run, and released by the kernel with the process.
    _lock: Flock<File>,
}

impl RunDir {
    /// Claims the first free directory.
    pub fn claim(out: &Path) -> Result<Self> {
        fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        for n in 1..=MAX_RUNS {
            let suffix = if n == 1 {
                String::new()
            } else {
                format!("-{n}")
            };
            // The lock is beside the directory, which is emptied when the machine starts.
            let lock = out.join(format!(".run{suffix}.lock"));
            let lock =
                File::create(&lock).with_context(|| format!("cannot write {}", lock.display()))?;
            if let Ok(lock) = Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
                let socket = out.join(format!("podman{suffix}.sock"));
                return Ok(Self {
                    dir: out.join(format!("run{suffix}")),
                    socket,
                    _lock: lock,
                });
            }
        }
        bail!("{MAX_RUNS} machines run already")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_at_once_get_two_directories() {
        let out = tempfile::tempdir().expect("a directory");
        let first = RunDir::claim(out.path()).expect("free");
        let second = RunDir::claim(out.path()).expect("free");
        assert_eq!(first.dir, out.path().join("run"));
        assert_eq!(second.dir, out.path().join("run-2"));
        assert_eq!(second.socket, out.path().join("podman-2.sock"));
        drop(first);
        let third = RunDir::claim(out.path()).expect("free again");
        assert_eq!(third.socket, out.path().join("podman.sock"));
    }
}
