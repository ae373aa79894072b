// SPDX-License-Identifier: Apache-2.0
//! Directories: what stays (storage) and what ends with the host's uptime (runtime).

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::Uid;
use sha2::{Digest, Sha256};
use std::env;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Longest name in bytes of a unix socket: `sun_path` of unix(7) without its NUL.
const SOCKET_NAME: usize = 107;
/// Bytes that a machine adds to the runtime directory: `/`, the hash, and the longest file name.
const SOCKET_TAIL: usize = 1 + 8 + 1 + 16;

/// Time in which killed processes end, on a busy host.
const LAST_CALLS: Duration = Duration::from_secs(10);
/// Pause between two removals of a directory that gets new files.
const PAUSE: Duration = Duration::from_millis(10);

/// Directories of all machines of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirs {
    /// Directory of configuration, disks and images.
    pub storage: PathBuf,
    /// Directory of sockets and pid files.
    pub runtime: PathBuf,
}

impl Dirs {
    /// Returns the directories by the environment; `storage` is the one of `--storage-path`.
    pub fn new(storage: Option<&Path>) -> Result<Self> {
        let storage = match storage {
            Some(path) if path.as_os_str().is_empty() => {
                bail!("--storage-path: must be the path of a directory")
            }
            Some(path) => path.to_owned(),
            None => default_storage(|name| env::var_os(name).map(PathBuf::from))
                .context("neither XDG_DATA_HOME nor HOME is set: use --storage-path DIR")?,
        };
        let storage = canonical(&std::path::absolute(&storage)?);
        ensure!(
            storage.to_str().is_some(),
            "{}: the directory of machines must have a name of UTF-8: use --storage-path DIR",
            storage.display()
        );
        let dirs = Self {
            storage,
            runtime: runtime(env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)),
        };
        // Checked for every command, also for those that create nothing: files in a directory of another user cannot be
        // trusted.
        if dirs.runtime.symlink_metadata().is_ok() {
            check_owner(&dirs.runtime)?;
        }
        Ok(dirs)
    }

    /// Returns the directory of all machines.
    #[must_use]
    pub fn machines(&self) -> PathBuf {
        self.storage.join("machines")
    }

    /// Returns the directory of images.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.storage.join("cache")
    }

    /// Returns the directory of disks that are kept without their machine.
    #[must_use]
    pub fn disks(&self) -> PathBuf {
        self.storage.join("disks")
    }

    /// Returns the runtime directory of a machine. Its name is a hash, because the name of a socket
    /// is limited and that of a machine is not as short.
    #[must_use]
    pub fn run(&self, name: &str) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(self.storage.as_os_str().as_bytes());
        hash.update([0]);
        hash.update(name);
        let hex = disk::uuid::hex(&hash.finalize()[..4]);
        self.runtime.join(hex)
    }

    /// Creates the directories, for their owner alone.
    pub fn create(&self) -> Result<()> {
        make_private(&self.machines())?;
        make_private(&self.cache())?;
        make_private(&self.runtime)?;
        check_owner(&self.runtime)
    }
}

/// Returns the one name of a path, of which the last parts may not exist. Runtime directories are
/// found by it.
fn canonical(path: &Path) -> PathBuf {
    if let Ok(path) = fs::canonicalize(path) {
        return path;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => canonical(parent).join(name),
        _ => path.to_owned(),
    }
}

fn default_storage(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    if let Some(path) = variable("MACHINE_STORAGE_PATH").filter(|path| !path.as_os_str().is_empty())
    {
        return Some(path);
    }
    // The specification of the XDG directories says to ignore a path that is not absolute.
    let data = variable("XDG_DATA_HOME").filter(absolute);
    let data = data.or_else(|| Some(variable("HOME").filter(absolute)?.join(".local/share")))?;
    Some(data.join("podman-machine"))
}

/// Returns true for a directory of this user, and for one that is not there. `su` and `sudo -E` keep the
/// `XDG_RUNTIME_DIR` of another user, which the specification of the XDG directories does not allow.
fn is_own(path: &Path) -> bool {
    let owner = fs::symlink_metadata(path).map(|meta| meta.uid());
    owner.map_or(true, |owner| owner == Uid::effective().as_raw())
}

/// Returns true for a path that every program gets as it is: ssh(1) ends the first path of `-L` at a colon.
fn is_plain(path: &Path) -> bool {
    path.to_str().is_some_and(|text| !text.contains(':'))
}

/// Returns the directory of sockets: below `XDG_RUNTIME_DIR` where it exists, belongs to this user, and is short enough.
fn runtime(xdg: Option<PathBuf>) -> PathBuf {
    let own = xdg.filter(|path| path.is_absolute() && path.is_dir() && is_own(path));
    let fits = |path: &PathBuf| path.as_os_str().len() + SOCKET_TAIL <= SOCKET_NAME;
    own.map(|path| path.join("pm"))
        .filter(|path| fits(path) && is_own(path) && is_plain(path))
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/pm-{}", Uid::current())))
}

/// Creates a directory of mode 0700 with its parents.
pub fn make_private(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("create {}", path.display()))
}

/// Refuses a directory in /tmp that another user has prepared.
pub(super) fn check_owner(path: &Path) -> Result<()> {
    let meta = fs::symlink_metadata(path).with_context(|| path.display().to_string())?;
    ensure!(
        meta.is_dir() && meta.uid() == Uid::current().as_raw() && meta.mode() & 0o077 == 0,
        "{} is not a directory of mode 0700 that belongs to you: remove it, or set XDG_RUNTIME_DIR",
        path.display()
    );
    Ok(())
}

/// Repeats a removal while the directory gets new files. A killed process completes its current system call, which may
/// create a file, and the end of a keeper's children is not reported to this process.
fn until_empty(limit: Duration, mut remove: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        match remove() {
            Err(error)
                if error.kind() == ErrorKind::DirectoryNotEmpty && Instant::now() < deadline =>
            {
                thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}

/// Removes a file or a tree that may not exist.
pub fn remove_all(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => until_empty(LAST_CALLS, || fs::remove_dir_all(path)),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_storage_follows_the_environment() {
        let with = |list: &'static [(&str, &str)]| {
            default_storage(move |name| {
                let found = list.iter().find(|(n, _)| *n == name);
                found.map(|(_, value)| PathBuf::from(value))
            })
        };
        for (list, expected) in [
            (
                &[("HOME", "/h")][..],
                Some("/h/.local/share/podman-machine"),
            ),
            (
                &[("HOME", "/h"), ("XDG_DATA_HOME", "/d")],
                Some("/d/podman-machine"),
            ),
            (
                &[("HOME", "/h"), ("XDG_DATA_HOME", "d")],
                Some("/h/.local/share/podman-machine"),
            ),
            (&[("MACHINE_STORAGE_PATH", "s"), ("HOME", "/h")], Some("s")),
            (
                &[("MACHINE_STORAGE_PATH", ""), ("HOME", "/h")],
                Some("/h/.local/share/podman-machine"),
            ),
            (&[], None),
        ] {
            assert_eq!(with(list), expected.map(PathBuf::from), "{list:?}");
        }
    }

    #[test]
    fn a_long_runtime_directory_is_not_used() {
        let dir = tempfile::tempdir().expect("a directory");
        let long = dir.path().join("x".repeat(90));
        fs::create_dir(&long).expect("made");
        assert!(runtime(Some(long)).starts_with("/tmp"));
        assert!(runtime(Some("/nonexistent".into())).starts_with("/tmp"));
        assert_eq!(runtime(Some(dir.path().into())), dir.path().join("pm"));
    }

    #[test]
    fn a_runtime_directory_that_ssh_would_split_is_not_used() {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, expected) in [
            (&b"a b"[..], true),
            (b"$a", true),
            (b"a:b", false),
            (b"%h", true),
            (b"\xe9", false),
        ] {
            let path = dir.path().join(std::ffi::OsStr::from_bytes(name));
            fs::create_dir(&path).expect("made");
            assert_eq!(runtime(Some(path.clone())).starts_with(&path), expected);
        }
    }

    #[test]
    fn a_runtime_directory_of_another_user_is_not_used() {
        let dir = tempfile::tempdir().expect("a directory");
        let other = Uid::from_raw(65_534);
        if !Uid::effective().is_root() {
            return;
        }
        // A directory that another user's command has made in one's own.
        let pm = dir.path().join("pm");
        fs::create_dir(&pm).expect("made");
        nix::unistd::chown(&pm, Some(other), None).expect("given");
        assert_ne!(runtime(Some(dir.path().into())), pm);
        fs::remove_dir(&pm).expect("removed");
        assert_eq!(runtime(Some(dir.path().into())), pm);
        nix::unistd::chown(dir.path(), Some(other), None).expect("given");
        assert!(runtime(Some(dir.path().into())).ends_with(format!("pm-{}", Uid::current())));
    }

    #[test]
    fn a_directory_that_gets_a_new_file_is_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("run");
        fs::create_dir(&path).expect("made");
        let mut late = [true, true, false].into_iter();
        let remove = || {
            // A removal that has listed the directory before the file was made.
            if late.next() == Some(true) {
                fs::write(path.join("tunnel.sock"), "").expect("written");
                return fs::remove_dir(&path);
            }
            fs::remove_dir_all(&path)
        };
        until_empty(LAST_CALLS, remove).expect("removed");
        assert!(!path.exists());
        let full = || Err(ErrorKind::DirectoryNotEmpty.into());
        let error = until_empty(Duration::ZERO, full).expect_err("full to the end");
        assert_eq!(error.kind(), ErrorKind::DirectoryNotEmpty);
    }

    #[test]
    fn names_of_sockets_fit() {
        let dirs = Dirs {
            storage: "/home/with a blank/é".into(),
            runtime: "/run/user/1000/pm".into(),
        };
        let run = dirs.run(&"n".repeat(63));
        assert!(run.join("tunnel.sock").as_os_str().len() < 50);
        assert_ne!(dirs.run("a"), dirs.run("b"));
    }
}
