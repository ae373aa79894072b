// SPDX-License-Identifier: Apache-2.0
//! Files that are the old or the new ones, whole, after a power cut.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, fchown};
use std::path::Path;

use sys::error::{Doing, Result};

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

fn directory_by(path: &Path, finish: impl Fn(&Path) -> io::Result<()>) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".b2p-new");
    let temporary = &path.with_file_name(name);
    let _ = fs::remove_dir(temporary); // Left by a power cut.
    let make = || {
        fs::create_dir(temporary)?;
        finish(temporary)?;
        sync(temporary)?;
        fs::rename(temporary, path)?;
        sync(parent(path))
    };
    make()
        .inspect_err(|_| drop(fs::remove_dir(temporary)))
        .on(path)
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
}
