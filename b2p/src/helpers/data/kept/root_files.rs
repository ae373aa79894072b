// SPDX-License-Identifier: Apache-2.0
//! Files of root's podman outside of its store that the disk keeps: log-ins at registries, and the short names of
//! images that were once completed. podman writes them to RAM, and replaces each by rename(2), so that the directory
//! is a link.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;

use sys::error::{Doing, Error, Result};

use super::super::errors::combine;
use super::DIR;
use crate::common::atomic_file;
use crate::common::paths::Paths;

/// Directories: path in the root, name on the disk, mode.
const LINKS: &[(&str, &str, u32)] = &[
    // containers-auth.json(5)
    ("/run/containers/0", "logins", 0o700),
    // containers-registries.conf(5), "SHORT NAME ALIASING"
    ("/var/cache/containers", "aliases", 0o755),
];

/// Makes the links.
///
/// # Errors
/// Some cannot be made, or podman has written to RAM already; the others are made.
pub(super) fn link(paths: &Paths) -> Result<()> {
    combine(
        LINKS
            .iter()
            .filter_map(|row| link_one(paths, row).err())
            .collect(),
    )
}

fn link_one(paths: &Paths, (path, name, mode): &(&str, &str, u32)) -> Result<()> {
    let (link, target) = (paths.at(path), paths.data_disk().join(DIR).join(name));
    atomic_file::directory(&target, *mode, 0)?;
    match fs::remove_dir(&link) {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty => {
            let why = "there are files in RAM already; the disk keeps those of the next boot";
            return Err(Error::invalid(why)).on(&link);
        }
        // A link of an earlier run.
        Err(e) if e.kind() == ErrorKind::NotADirectory => return Ok(()),
        removed => removed.on(&link)?,
    }
    if let Some(parent) = link.parent() {
        fs::create_dir_all(parent).on(parent)?;
    }
    symlink(&target, &link).on(link)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_in_these_directories_are_on_the_disk() {
        let temp = Temp::new();
        let paths = Paths::below(temp.dir());
        let kept = paths.data_disk().join(DIR);
        fs::create_dir_all(&kept).unwrap();
        fs::create_dir_all(paths.at("/run/containers/0")).unwrap();
        let uid = nix::unistd::getuid().as_raw();
        if uid != 0 {
            return; // The directories are root's.
        }
        link(&paths).unwrap();
        link(&paths).unwrap();
        fs::write(paths.at("/run/containers/0/auth.json"), "{}").unwrap();
        assert_eq!(fs::read(kept.join("logins/auth.json")).unwrap(), b"{}");
        let mode = fs::metadata(kept.join("logins"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(paths.at("/var/cache/containers").is_dir());
    }

    #[test]
    fn files_in_ram_stay() {
        let temp = Temp::new();
        let paths = Paths::below(temp.dir());
        fs::create_dir_all(paths.data_disk().join(DIR)).unwrap();
        let auth = paths.at("/run/containers/0/auth.json");
        fs::create_dir_all(auth.parent().unwrap()).unwrap();
        fs::write(&auth, "{}").unwrap();
        link(&paths).unwrap_err();
        assert!(auth.exists());
    }
}
