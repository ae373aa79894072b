// SPDX-License-Identifier: Apache-2.0
//! Files below one directory, changed by root on behalf of the machine's user, without leaving the
//! named path: a directory of another user may have symbolic links that lead anywhere. Only a link
//! of root's own is followed (as /var/run is); each step is relative to an open directory, so that
//! nothing can be replaced in between.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, LinkatFlags, Uid, UnlinkatFlags};
use nix::unistd::{fchown, fchownat, geteuid, linkat, symlinkat, unlinkat};
use sys::error::{Doing, Error, Result};

/// Most links that one path may lead through, as in the kernel (path_resolution(7)).
const MAX_LINKS: usize = 40;
/// Permission bits of directories that are made on the way.
const DIRECTORY_MODE: u32 = 0o755;

/// Owner and permission bits of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits; unused for links.
    pub mode: u32,
    /// Number of the user.
    pub uid: u32,
    /// Number of the group.
    pub gid: u32,
}

/// A directory as the root of paths.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    /// User whose links are followed: the one of this process.
    trusted: u32,
}

impl Tree {
    /// Opens the directory.
    ///
    /// # Errors
    /// The path is no directory, or no descriptor is left.
    pub fn open(root: &Path) -> Result<Tree> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = nix::fcntl::open(root, flags, Mode::empty()).on(root)?;
        let trusted = geteuid().as_raw();
        Ok(Tree { root, trusted })
    }

    /// Returns a tree in which links of this process' user do not count, as for root those of other users.
    #[cfg(test)]
    pub fn trusting_another(mut self) -> Tree {
        self.trusted += 1;
        self
    }

    /// Returns the kind of the file at `path`, without following a link there; `None` if there is no file.
    ///
    /// # Errors
    /// A directory on the way is missing, is a link of another user, or cannot be searched.
    pub fn kind(&self, path: &str) -> Result<Option<SFlag>> {
        Ok(self.stat(path)?.map(|stat| format_of(&stat)))
    }

    /// Returns owner and permission bits of the file at `path`; `None` if there is no file.
    ///
    /// # Errors
    /// The errors of [`Tree::kind`].
    pub fn attributes(&self, path: &str) -> Result<Option<Attributes>> {
        let of = |stat: FileStat| Attributes {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
        };
        Ok(self.stat(path)?.map(of))
    }

    fn stat(&self, path: &str) -> Result<Option<FileStat>> {
        let (dir, name) = match self.parent(path, false) {
            Err(e) if e.errno() == Some(Errno::ENOENT) => return Ok(None),
            parent => parent?,
        };
        match fstatat(&dir, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => Ok(None),
            stat => Ok(Some(stat.on(path)?)),
        }
    }

    /// Reads a regular file of at most `max_bytes`; `None` if there is none.
    ///
    /// # Errors
    /// The path leads to another kind of file, or the file is longer.
    pub fn read(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>> {
        match self.kind(path)? {
            None => return Ok(None),
            Some(SFlag::S_IFREG) => {}
            Some(kind) => return Err(not_a(path, "file", kind)),
        }
        let (dir, name) = self.parent(path, false)?;
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file: File = openat(&dir, name.as_os_str(), flags, Mode::empty())
            .on(path)?
            .into();
        let mut bytes = Vec::new();
        file.take(max_bytes + 1).read_to_end(&mut bytes).on(path)?;
        match bytes.len() as u64 > max_bytes {
            true => Err(Error::invalid(format!("longer than {max_bytes} bytes"))).on(path),
            false => Ok(Some(bytes)),
        }
    }

    /// Replaces the file or link at `path` in one step, and durably: where a file system writes the new name
    /// before the content, as xfs and btrfs may, a power cut would leave an empty file.
    ///
    /// # Errors
    /// A directory is in its place, or the file cannot be written.
    pub fn replace(&self, path: &str, bytes: &[u8], attributes: Attributes) -> Result<()> {
        let (dir, name) = self.parent(path, true)?;
        let temporary = temporary(&name);
        let write = || {
            let _ = unlinkat(&dir, temporary.as_os_str(), UnlinkatFlags::NoRemoveDir);
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            let fd = openat(&dir, temporary.as_os_str(), flags, Mode::S_IRUSR)?;
            let mut file: File = fd.into();
            file.write_all(bytes)?;
            set(&file, attributes)?;
            file.sync_all()?;
            renameat(&dir, temporary.as_os_str(), &dir, name.as_os_str())?;
            sync_directory(&dir)
        };
        let written: std::io::Result<()> = write();
        if written.is_err() {
            let _ = unlinkat(&dir, temporary.as_os_str(), UnlinkatFlags::NoRemoveDir);
        }
        written.on(path)
    }

    /// Removes a file or link, if there is one.
    ///
    /// # Errors
    /// A directory is in its place, or the kernel refuses the removal.
    pub fn remove(&self, path: &str) -> Result<()> {
        let (dir, name) = self.parent(path, false)?;
        match unlinkat(&dir, name.as_os_str(), UnlinkatFlags::NoRemoveDir) {
            Err(Errno::ENOENT) => Ok(()),
            done => done.on(path),
        }
    }

    /// Makes a directory, or gives the one that exists these attributes.
    ///
    /// # Errors
    /// Another kind of file is in its place, or the kernel refuses the directory.
    pub fn directory(&self, path: &str, attributes: Attributes) -> Result<()> {
        let (dir, name) = self.parent(path, true)?;
        match mkdirat(&dir, name.as_os_str(), Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno).on(path),
        }
        match self.kind(path)? {
            Some(SFlag::S_IFDIR) | None => self.set_attributes(path, attributes),
            Some(kind) => Err(not_a(path, "directory", kind)),
        }
    }

    /// Makes a directory and its missing ancestors.
    ///
    /// # Errors
    /// Another kind of file is in the place of one, or a link of another user.
    pub fn ensure_directory(&self, path: &str) -> Result<()> {
        self.walk(names(OsStr::new(path)), true).map(drop).on(path)
    }

    /// Sets owner and permission bits of a file or directory.
    ///
    /// # Errors
    /// The path leads to a link or a device, or the file cannot be opened.
    pub fn set_attributes(&self, path: &str, attributes: Attributes) -> Result<()> {
        match self.kind(path)? {
            Some(SFlag::S_IFREG | SFlag::S_IFDIR) => {}
            None => return Err(Errno::ENOENT).on(path),
            Some(kind) => return Err(not_a(path, "file or directory", kind)),
        }
        let (dir, name) = self.parent(path, false)?;
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let fd = openat(&dir, name.as_os_str(), flags, Mode::empty()).on(path)?;
        set(fd, attributes).on(path)
    }

    /// Makes a symbolic link, in the place of a file or link in one step.
    ///
    /// # Errors
    /// A directory is in its place, or the link cannot be made.
    pub fn symlink(&self, path: &str, target: &str, attributes: Attributes) -> Result<()> {
        let make = |dir: &OwnedFd, temporary: &OsStr| {
            symlinkat(target, dir, temporary)?;
            let (uid, gid) = ids(attributes);
            fchownat(dir, temporary, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)
        };
        self.put_in_place(path, make)
    }

    /// Makes another name of a file, in the place of a file or link in one step.
    ///
    /// # Errors
    /// The target is missing, or on another file system.
    pub fn hard_link(&self, path: &str, target: &str) -> Result<()> {
        let (from_dir, from) = self.parent(target, false)?;
        let make = |dir: &OwnedFd, temporary: &OsStr| {
            linkat(
                &from_dir,
                from.as_os_str(),
                dir,
                temporary,
                LinkatFlags::empty(),
            )
        };
        self.put_in_place(path, make)
    }

    fn put_in_place(
        &self,
        path: &str,
        make: impl FnOnce(&OwnedFd, &OsStr) -> nix::Result<()>,
    ) -> Result<()> {
        let (dir, name) = self.parent(path, true)?;
        let temporary = temporary(&name);
        let _ = unlinkat(&dir, temporary.as_os_str(), UnlinkatFlags::NoRemoveDir);
        let made = make(&dir, &temporary)
            .and_then(|()| renameat(&dir, temporary.as_os_str(), &dir, name.as_os_str()));
        // rename(2) does nothing where both names are the same file already.
        let _ = unlinkat(&dir, temporary.as_os_str(), UnlinkatFlags::NoRemoveDir);
        made.on(path)
    }

    /// Opens the directory of `path`, making it if `make` is true; returns the directory and the
    /// last name.
    fn parent(&self, path: &str, make: bool) -> Result<(OwnedFd, OsString)> {
        let mut names: VecDeque<OsString> = names(OsStr::new(path));
        let last = names.pop_back();
        let last = last.filter(|name| name != "..");
        let last = last.ok_or_else(|| Error::invalid("must be a path with a name at its end"));
        let last = last.on(path)?;
        Ok((self.walk(names, make).on(path)?, last))
    }

    fn walk(&self, mut names: VecDeque<OsString>, make: bool) -> Result<OwnedFd> {
        let mut dir = self.root.try_clone()?;
        let mut links = 0;
        while let Some(name) = names.pop_front() {
            let next = open_entry(&dir, &name, make)?;
            let stat = fstat(&next)?;
            match format_of(&stat) {
                SFlag::S_IFDIR => dir = next,
                SFlag::S_IFLNK if stat.st_uid != self.trusted => {
                    return Err(Error::invalid(format!(
                        "{} is a symbolic link of user {}; use a path without it",
                        name.display(),
                        stat.st_uid
                    )));
                }
                SFlag::S_IFLNK if links < MAX_LINKS => {
                    links += 1;
                    let target = readlinkat(&next, "")?;
                    if Path::new(&target).is_absolute() {
                        dir = self.root.try_clone()?;
                    }
                    for part in self::names(&target).into_iter().rev() {
                        names.push_front(part);
                    }
                }
                SFlag::S_IFLNK => return Err(Errno::ELOOP.into()),
                _ => return Err(Errno::ENOTDIR).on(name),
            }
        }
        Ok(dir)
    }
}

/// Opens an entry of a directory without following a link; makes a directory if there is none and `make` is true.
fn open_entry(dir: &OwnedFd, name: &OsStr, make: bool) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(dir, name, flags, Mode::empty()) {
        Err(Errno::ENOENT) if make => {
            mkdirat(dir, name, Mode::from_bits_truncate(DIRECTORY_MODE))?;
            openat(dir, name, flags, Mode::empty())
        }
        opened => opened,
    }
}

/// Writes a directory, opened by O_PATH, to its disk.
fn sync_directory(dir: &OwnedFd) -> std::io::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    File::from(openat(dir, ".", flags, Mode::empty())?).sync_all()
}

/// Splits a path into its names.
fn names(path: &OsStr) -> VecDeque<OsString> {
    let components = Path::new(path).components();
    let name = |c: std::path::Component<'_>| match c {
        std::path::Component::Normal(name) => Some(name.to_owned()),
        std::path::Component::ParentDir => Some("..".into()),
        _ => None,
    };
    components.filter_map(name).collect()
}

/// Name of a new file until the rename to `name`, within NAME_MAX.
fn temporary(name: &OsStr) -> OsString {
    let mut bytes = name.to_owned().into_vec();
    bytes.truncate(200);
    bytes.extend(b".b2p-new");
    OsString::from_vec(bytes)
}

fn format_of(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn ids(attributes: Attributes) -> (Option<Uid>, Option<Gid>) {
    let (uid, gid) = (attributes.uid, attributes.gid);
    (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

/// Sets the owner and then the mode: a change of the owner clears the set-user-ID bit.
fn set(file: impl AsFd, attributes: Attributes) -> nix::Result<()> {
    let (uid, gid) = ids(attributes);
    fchown(&file, uid, gid)?;
    fchmod(&file, Mode::from_bits_truncate(attributes.mode))
}

fn not_a(path: &str, wanted: &str, found: SFlag) -> Error {
    let found = match found {
        SFlag::S_IFDIR => "a directory",
        SFlag::S_IFREG => "a file",
        SFlag::S_IFLNK => "a symbolic link",
        SFlag::S_IFIFO => "a fifo",
        SFlag::S_IFSOCK => "a socket",
        _ => "a device",
    };
    Error::invalid(format!("{path}: not a {wanted}: {found} is in its place"))
}

#[cfg(test)]
mod tests;
