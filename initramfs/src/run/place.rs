//! Where one run keeps its files. Several may go on at the same time.

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// More than this at once is a mistake.
const MOST: usize = 16;

/// The first place under `out/` that nobody else has.
pub struct Place {
    /// The machine's directory: `run`, `run-2`, …
    pub dir: PathBuf,
    /// The API's socket: `podman.sock`, `podman-2.sock`, …
    pub socket: PathBuf,
    /// Held as long as the run goes on; the kernel lets go of it for us.
    _lock: Flock<File>,
}

impl Place {
    /// Takes it.
    pub fn claim(out: &Path) -> Result<Self> {
        fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        for n in 1..=MOST {
            let suffix = if n == 1 {
                String::new()
            } else {
                format!("-{n}")
            };
            // Beside the directory, which is emptied when the machine starts.
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
        bail!("{MOST} machines run already")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_at_once_get_two_places() {
        let out = tempfile::tempdir().expect("a directory");
        let first = Place::claim(out.path()).expect("free");
        let second = Place::claim(out.path()).expect("free");
        assert_eq!(first.dir, out.path().join("run"));
        assert_eq!(second.dir, out.path().join("run-2"));
        assert_eq!(second.socket, out.path().join("podman-2.sock"));
        drop(first);
        let third = Place::claim(out.path()).expect("free again");
        assert_eq!(third.socket, out.path().join("podman.sock"));
    }
}
