// SPDX-License-Identifier: Apache-2.0
//! Log-ins of users at registries, from one boot to the next. podman writes them to the runtime directory, which is in
//! RAM, and replaces the file by rename(2), so that neither a link nor a mount in its place stays
//! (containers-auth.json(5); containers/storage, `AtomicWriteFile`). A copy in the home follows each change, and the
//! first program of the user in a boot finds the copy in podman's place.
//!
//! The user may have put anything into both directories: reads and writes have the user's rights, and follow
//! no link at the file itself.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use log::warn;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use sys::error::{Doing, Error, Result};
use sys::paths::USER_RUNTIME_DIRS;

use super::PodmanUser;
use crate::common::atomic_file;

/// podman's file below the runtime directory.
const AUTH: &str = "containers/auth.json";
/// File below the runtime directory that exists once the log-ins of earlier boots are there: from then on, a
/// missing [`AUTH`] is one that the user has removed.
const RESTORED: &str = "containers/.logins";
/// Copy below the home.
const COPY: &str = ".local/state/boot2podman/auth.json";
/// Pause before the next attempt to write a copy that failed, in milliseconds.
const RETRY: u16 = 60_000;
/// Longest file that is copied, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Gives a user the log-ins of earlier boots, with the rights of the user. In the rest of the boot there is nothing
/// to do.
///
/// # Errors
/// The copy cannot be read, or podman's file cannot be written.
pub fn restore(user: &PodmanUser) -> Result<()> {
    as_user(user, || {
        restore_in(Path::new(user.home()), &user.runtime_dir())
    })
}

/// Copies the log-ins of users after each change, until the process ends. A home may be on a file system that hangs:
/// this function has a thread of its own.
pub fn keep_all() {
    let keep = || -> nix::Result<()> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
        loop {
            watch(&inotify, Path::new(USER_RUNTIME_DIRS));
            let limit = match keep_each() {
                true => PollTimeout::NONE,
                // A disk that is full has room again without an event in these directories.
                false => PollTimeout::from(RETRY),
            };
            if poll(
                &mut [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)],
                limit,
            )? > 0
            {
                inotify.read_events()?;
            }
        }
    };
    keep().unwrap_or_else(|why| warn!("log-ins of users end with this boot: {why}"));
}

/// Watches for new users, and for changes in the directories of [`AUTH`].
fn watch(inotify: &Inotify, users: &Path) {
    let created = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ONLYDIR;
    let changed = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_ONLYDIR;
    let _ = inotify.add_watch(users, created); // Each of them may be missing.
    for user in fs::read_dir(users).into_iter().flatten().flatten() {
        let _ = inotify.add_watch(&user.path(), created);
        let _ = inotify.add_watch(&user.path().join("containers"), changed);
    }
}

/// Returns true if each user's copy is there.
fn keep_each() -> bool {
    let mut all = true;
    let passwd = sys::files::read_text("/etc/passwd").unwrap_or_default();
    for dir in fs::read_dir(USER_RUNTIME_DIRS)
        .into_iter()
        .flatten()
        .flatten()
    {
        let uid = dir.file_name().to_str().and_then(|uid| uid.parse().ok());
        let Some(user) = uid.and_then(|uid| PodmanUser::with_uid(&passwd, uid)) else {
            continue;
        };
        let kept = as_user(&user, || keep_in(Path::new(user.home()), &dir.path()));
        if let Err(why) = kept {
            warn!("log-ins of {} are not kept: {why}", user.name);
            all = false;
        }
    }
    all
}

/// Runs `work` with the rights of the user for files.
fn as_user(user: &PodmanUser, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = (
        setfsgid(Gid::from_raw(user.gid)),
        setfsuid(Uid::from_raw(user.uid)),
    );
    let done = work();
    setfsuid(before.1);
    setfsgid(before.0);
    done
}

fn restore_in(home: &Path, runtime_dir: &Path) -> Result<()> {
    let (auth, restored) = (runtime_dir.join(AUTH), runtime_dir.join(RESTORED));
    if exists(&restored) {
        return Ok(());
    }
    make_parent(&auth)?;
    if let Some(text) = read(&home.join(COPY))?
        && !exists(&auth)
    {
        sys::files::replace(&auth, &text, 0o600)?;
    }
    sys::files::replace(&restored, b"", 0o600)
}

/// Makes the copy equal to podman's file.
fn keep_in(home: &Path, runtime_dir: &Path) -> Result<()> {
    let copy = home.join(COPY);
    if !exists(&runtime_dir.join(RESTORED)) {
        return Ok(());
    }
    let (auth, kept) = (read(&runtime_dir.join(AUTH))?, read(&copy)?);
    match auth {
        _ if auth == kept => Ok(()),
        None => fs::remove_file(&copy).on(&copy),
        Some(text) => {
            make_parent(&copy)?;
            atomic_file::replace(&copy, &text, 0o600)
        }
    }
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn make_parent(path: &Path) -> Result<()> {
    let parent: PathBuf = path.parent().unwrap_or(path).to_owned();
    let mut builder = DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(&parent)
        .on(parent)
}

/// Reads a plain file; `None` if there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    let file = match opened {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.on(path)?,
    };
    if !file.metadata().on(path)?.is_file() {
        return Err(Error::invalid("not a plain file")).on(path);
    }
    let mut text = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut text).on(path)?;
    match text.len() as u64 > MAX_BYTES {
        true => Err(Error::invalid("longer than 1 MiB")).on(path),
        false => Ok(Some(text)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn log_ins_are_those_of_the_last_boot() {
        let temp = Temp::new();
        let (home, first, second) = (temp.path("home"), temp.path("1"), temp.path("2"));
        let (auth, copy) = (first.join(AUTH), home.join(COPY));
        fs::create_dir(&home).unwrap();
        restore_in(&home, &first).unwrap();
        keep_in(&home, &first).unwrap();
        assert!(!auth.exists() && !copy.exists());
        fs::write(&auth, "one").unwrap();
        keep_in(&home, &first).unwrap();
        let mode = fs::metadata(&copy).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // Nothing is taken away before the next boot has its log-ins.
        keep_in(&home, &second).unwrap();
        restore_in(&home, &second).unwrap();
        let again = second.join(AUTH);
        assert_eq!(fs::read(&again).unwrap(), b"one");
        let mode = fs::metadata(&again).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_file(&again).unwrap();
        restore_in(&home, &second).unwrap();
        assert!(!again.exists(), "the user has removed it");
        keep_in(&home, &second).unwrap();
        assert!(!copy.exists());
    }

    #[test]
    fn links_and_long_files_are_not_copied() {
        let temp = Temp::new();
        let (home, run) = (temp.path("home"), temp.path("run"));
        fs::create_dir(&home).unwrap();
        restore_in(&home, &run).unwrap();
        fs::write(temp.path("other"), "other").unwrap();
        symlink(temp.path("other"), run.join(AUTH)).unwrap();
        keep_in(&home, &run).unwrap_err();
        fs::remove_file(run.join(AUTH)).unwrap();
        fs::create_dir(run.join(AUTH)).unwrap();
        keep_in(&home, &run).unwrap_err();
        fs::remove_dir(run.join(AUTH)).unwrap();
        fs::write(run.join(AUTH), vec![0; 1 + (1 << 20)]).unwrap();
        keep_in(&home, &run).unwrap_err();
        assert!(!home.join(COPY).exists());
    }
}
