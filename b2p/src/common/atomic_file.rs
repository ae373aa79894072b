// SPDX-License-Identifier: Apache-2.0
//! Files that are the old or the new ones, whole, after a power cut.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{
    DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown,
};
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use sys::error::{Doing, Result};

/// Largest number of attempts to make a directory that another process makes at the same time.
const MAX_ATTEMPTS: u32 = 250;
/// Pause after an attempt, which together are five seconds: a disk may take long to fsync.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(20);

/// Replaces the file at `path` by `bytes` with permission bits `mode`: writes, fsyncs and renames a
/// temporary file, and fsyncs the directory.
///
/// # Errors
/// The file cannot be written; the previous one is unchanged then.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    replace_as(path, bytes, mode, None)
}

/// Replaces a file as [`replace`] does, with a user and a group as owners. The new name has the owners
/// from the first moment: a power cut after the rename leaves no file that its readers cannot open.
///
/// # Errors
/// The file cannot be written, or the owner cannot be set; the previous one is unchanged then.
pub fn replace_as(path: &Path, bytes: &[u8], mode: u32, owner: Option<(u32, u32)>) -> Result<()> {
    let temporary = path.with_extension("b2p-new");
    let _ = fs::remove_file(&temporary); // Left by a power cut.
    let written = write(&temporary, bytes, mode, owner)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| sync(parent(path)));
    if written.is_err() {
        let _ = fs::remove_file(&temporary); // The file would take room on a full disk.
    }
    written.on(path)
}

/// Replaces a file of root's as [`replace`] does, for a group if one is given: the way of a helper where
/// PID 1 has [`sys::files::replace_at_once`].
///
/// # Errors
/// The file cannot be written, or its group cannot be set.
pub fn replace_for(path: &Path, bytes: &[u8], mode: u32, gid: Option<u32>) -> Result<()> {
    replace_as(path, bytes, mode, gid.map(|gid| (0, gid)))
}

fn write(temporary: &Path, bytes: &[u8], mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode & 0o700)
        .open(temporary)?;
    if let Some((uid, gid)) = owner {
        fchown(&file, Some(uid), Some(gid))?;
    }
    // The permission bits are set last, because chown(2) clears the set-user-ID bits. The umask has
    // no effect on fchmod(2).
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a directory with permission bits `mode` and `owner` as user and group, and fsyncs the
/// directory and its parent. The directory gets its name last: after a power cut, none has another
/// owner, which would stay. An existing directory is not changed.
///
/// # Errors
/// The directory cannot be made.
pub fn directory(path: &Path, mode: u32, owner: u32) -> Result<()> {
    directory_by(path, |temporary| {
        fs::set_permissions(temporary, fs::Permissions::from_mode(mode))?;
        chown(temporary, Some(owner), Some(owner))
    })
}

/// Two processes may make the same directory at once, such as two units that start. The temporary directory is locked
/// (flock(2)) by the process that finishes it; without a lock, it was left by a power cut. The attempts do not wait for
/// the lock: the owner of a directory that was left may hold its lock for ever.
fn directory_by(path: &Path, finish: impl Fn(&Path) -> io::Result<()>) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".b2p-new");
    let temporary = &path.with_file_name(name);
    let make = || {
        finish(temporary)?;
        sync(temporary)?;
        fs::rename(temporary, path)?;
        sync(parent(path))
    };
    for _ in 0..MAX_ATTEMPTS {
        if path.is_dir() {
            return Ok(());
        }
        let is_new = create_if_missing(temporary).on(path)?;
        match (lock(temporary), is_new) {
            (None, _) => thread::sleep(ATTEMPT_PAUSE),
            (Some(_lock), false) => remove_if_there(temporary).on(path)?,
            (Some(_lock), true) => {
                return make()
                    .inspect_err(|_| drop(fs::remove_dir(temporary)))
                    .on(path);
            }
        }
    }
    Err(io::Error::from(io::ErrorKind::WouldBlock)).on(path)
}

/// Returns false if the directory exists.
fn create_if_missing(directory: &Path) -> io::Result<bool> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn remove_if_there(directory: &Path) -> io::Result<()> {
    match fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Locks a directory; `None` if another process has the lock, or has renamed or removed the directory meanwhile.
fn lock(directory: &Path) -> Option<Flock<File>> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(flags)
        .open(directory)
        .ok()?;
    let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()?;
    let (own, named) = (
        locked.metadata().ok()?,
        fs::symlink_metadata(directory).ok()?,
    );
    ((own.dev(), own.ino()) == (named.dev(), named.ino())).then_some(locked)
}

/// Writes a directory to its disk (fsync(2)).
///
/// # Errors
/// The directory cannot be opened, or its disk fails.
pub fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn replace_leaves_the_old_or_the_new_file_only() {
        let temp = Temp::new();
        let path = temp.path("seed");
        fs::write(path.with_extension("b2p-new"), "half").unwrap();
        replace(&path, b"one", 0o644).unwrap();
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let own = (
            nix::unistd::geteuid().as_raw(),
            nix::unistd::getegid().as_raw(),
        );
        replace_as(&path, b"three", 0o4755, Some(own)).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o4755, "the bits are set after the owner");
        assert_eq!(fs::read_dir(temp.dir()).unwrap().count(), 1);
        let missing = temp.path("no/such");
        let error = replace(&missing, b"x", 0o600).unwrap_err();
        assert_eq!(error.path(), Some(missing.as_path()));
    }
    #[test]
    fn a_directory_has_its_name_when_it_is_finished() {
        let temp = Temp::new();
        let path = temp.path("1000");
        let cut = |_: &Path| Err(io::Error::other("no power"));
        assert!(directory_by(&path, cut).is_err() && !path.exists());
        let own = nix::unistd::geteuid().as_raw();
        directory(&path, 0o700, own).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(), 0o700);
        directory(&path, 0o755, own).unwrap();
        assert_eq!(mode(), 0o700, "it is left as it is");
        // Form of a path with an empty last component.
        directory(&temp.path("kept").join(""), 0o755, own).unwrap();
        let file = temp.path("file");
        fs::write(&file, "mine").unwrap();
        assert!(directory(&file, 0o700, own).is_err());
        assert_eq!(fs::read(&file).unwrap(), b"mine");
        assert_eq!(fs::read_dir(temp.dir()).unwrap().count(), 3);
    }

    #[test]
    fn a_directory_may_be_made_by_several_at_once_and_after_a_power_cut() {
        let temp = Temp::new();
        for round in 0..50 {
            let path = temp.path(&format!("d{round}"));
            if round % 2 == 0 {
                fs::create_dir(temp.path(&format!("d{round}.b2p-new"))).unwrap();
            }
            let finish = |made: &Path| {
                thread::yield_now();
                fs::set_permissions(made, fs::Permissions::from_mode(0o751))
            };
            thread::scope(|scope| {
                let makers = [(); 4].map(|()| scope.spawn(|| directory_by(&path, finish)));
                for maker in makers {
                    maker.join().unwrap().unwrap();
                }
            });
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o751);
        }
        assert_eq!(fs::read_dir(temp.dir()).unwrap().count(), 50);
    }
}
