// SPDX-License-Identifier: Apache-2.0
//! Path by which podman of a user other than root finds the socket: `systemd/private` in the user's runtime
//! directory (coreos/go-systemd, dbus).
//!
//! The runtime directory is the user's, and this process is root's: no symbolic link in that directory is
//! followed, and only a directory that is made here gets an owner.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{Gid, Uid, fchown, symlinkat};
use sys::error::{Doing, Result};
use sys::paths::UNIT_BUS;

use super::specifiers::Owner;

/// Directory in the runtime directory.
const DIR: &str = "systemd";
/// Name of the link.
const LINK: &str = "private";
/// Flags for a directory that is no link.
const NO_LINK: OFlag = OFlag::O_DIRECTORY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// Makes the path for a user.
///
/// # Errors
/// The errno of open(2), mkdir(2), symlink(2) or chown(2): ENOTDIR or ELOOP where the user has put something else
/// in the place of the directory.
pub fn link_for(owner: &Owner) -> Result<()> {
    let runtime = owner.runtime_dir();
    link_in(Path::new(&runtime), owner).on(format!("{runtime}/{DIR}"))
}

fn link_in(runtime: &Path, owner: &Owner) -> nix::Result<()> {
    let runtime = open(runtime, NO_LINK, Mode::empty())?;
    let dir = match mkdirat(&runtime, DIR, Mode::S_IRWXU) {
        Ok(()) => {
            let dir = directory(&runtime)?;
            fchown(&dir, Some(Uid::from(owner.uid)), Some(Gid::from(owner.gid)))?;
            dir
        }
        Err(Errno::EEXIST) => directory(&runtime)?,
        Err(why) => return Err(why),
    };
    match symlinkat(UNIT_BUS, &dir, LINK) {
        Err(Errno::EEXIST) => Ok(()),
        done => done,
    }
}

fn directory(runtime: &impl AsFd) -> nix::Result<OwnedFd> {
    openat(runtime, DIR, NO_LINK, Mode::empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;
    use crate::common::testing::Temp;

    /// The user of the test process.
    fn owner() -> Owner {
        Owner {
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            ..Owner::default()
        }
    }

    #[test]
    fn the_link_is_made_once() {
        let temp = Temp::new();
        for _ in 0..2 {
            link_in(temp.dir(), &owner()).unwrap();
        }
        let link = temp.path("systemd/private");
        assert_eq!(fs::read_link(link).unwrap(), Path::new(UNIT_BUS));
        let mode = fs::metadata(temp.path("systemd")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn no_link_of_the_user_is_followed() {
        let temp = Temp::new();
        let (runtime, other) = (temp.path("run"), temp.path("etc"));
        fs::create_dir_all(&runtime).unwrap();
        fs::create_dir_all(&other).unwrap();
        symlink(&other, runtime.join("systemd")).unwrap();
        let refused = link_in(&runtime, &owner());
        assert!(matches!(refused, Err(Errno::ENOTDIR | Errno::ELOOP)));
        assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
    }
}
