// SPDX-License-Identifier: Apache-2.0
//! Symbolic links in the place of a user's file, which are followed if their target is on the same
//! disk.
//!
//! A link may lead to a device, to a share that hangs, or into /proc. openat2(2) resolves the link
//! without leaving the mount that the link is on, and without magic links.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

/// Opens the target of the symbolic link at `path`. An absolute link may begin with the path of the
/// mount, such as `/var/lib/boot2podman/…` on the data disk.
///
/// # Errors
/// EXDEV for a link that leads off the mount, ELOOP for one in a circle or a magic one, ENOENT for one
/// that leads nowhere.
pub fn open(path: &Path) -> io::Result<File> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or_else(|| Path::new("."));
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    match below(dir, Path::new(name)) {
        Err(Errno::EXDEV) => {
            let (mount, rest) = absolute(path)?.ok_or(Errno::EXDEV)?;
            Ok(below(&mount, &rest)?)
        }
        opened => Ok(opened?),
    }
}

/// Opens a path that begins in `dir`, without leaving the mount that `dir` is on.
fn below(dir: &Path, path: &Path) -> nix::Result<File> {
    let dir = File::open(dir).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)))?;
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let resolve = ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    openat2(dir, path, OpenHow::new().flags(flags).resolve(resolve)).map(File::from)
}

/// Splits the target of an absolute link into the directory that the file system of the link begins
/// with, and the rest; `None` if the target does not begin there.
fn absolute(link: &Path) -> io::Result<Option<(PathBuf, PathBuf)>> {
    let target = fs::read_link(link)?;
    let dir = fs::canonicalize(link.parent().unwrap_or(Path::new(".")))?;
    let device = dir.metadata()?.dev();
    let same = |dir: &&Path| dir.metadata().is_ok_and(|d| d.dev() == device);
    let mount = dir.ancestors().take_while(same).last();
    Ok(mount.and_then(|mount| {
        let rest = target.strip_prefix(mount).ok()?;
        Some((mount.to_owned(), rest.to_owned()))
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_on_their_mount_alone() {
        let dir = std::env::temp_dir().join(format!("b2p-links-{}", std::process::id()));
        fs::create_dir_all(dir.join("scripts")).unwrap();
        fs::write(dir.join("scripts/boot.sh"), "x").unwrap();
        let own = dir.join("scripts/boot.sh");
        for (target, errno) in [
            ("scripts/boot.sh", None),
            ("./scripts/../scripts/boot.sh", None),
            (own.to_str().unwrap(), None),
            ("nowhere", Some(Errno::ENOENT)),
            ("link", Some(Errno::ELOOP)),
            ("/dev/null", Some(Errno::EXDEV)),
            ("/proc/self/fd/0", Some(Errno::EXDEV)),
            ("/proc/self/root/etc/passwd", Some(Errno::EXDEV)),
            ("../../../../../../../../proc/version", Some(Errno::EXDEV)),
        ] {
            let link = dir.join("link");
            symlink(target, &link).unwrap();
            let found = open(&link).err().and_then(|e| e.raw_os_error());
            assert_eq!(found.map(Errno::from_raw), errno, "{target}");
            fs::remove_file(link).unwrap();
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
