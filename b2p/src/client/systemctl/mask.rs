// SPDX-License-Identifier: Apache-2.0
//! `systemctl mask` and `unmask`: links to /dev/null in the place of units.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sys::error::{Doing, Error, Result};

use super::units::full_name;
use crate::common::terminal::print_plain_error as print_error;
use crate::helpers::quadlet::plain::{self, DISK_DIR, leads_to_null};
use crate::helpers::quadlet::specifiers::Owner;

/// Directory of links until the end of the machine (`--runtime`).
const RUNTIME_DIR: &str = "/run/systemd/system";

/// Masks a unit. The link is on the data disk, or in the home of the user.
///
/// # Errors
/// A file has precedence over the link, or the link cannot be made.
pub fn mask(owner: &Owner, word: &str, is_runtime: bool) -> Result<bool> {
    let dirs = plain::dirs(owner);
    let home = dirs.first().cloned().unwrap_or_default();
    let dir = match owner.uid {
        0 if is_runtime => PathBuf::from(RUNTIME_DIR),
        0 => PathBuf::from(DISK_DIR),
        _ => home,
    };
    mask_in(&dirs, &dir, &full_name(word))
}

fn mask_in(dirs: &[PathBuf], dir: &Path, name: &str) -> Result<bool> {
    if name.contains('/') {
        return Err(Error::invalid(format!(
            "Failed to mask unit: {name}: a name without a slash"
        )));
    }
    let link = dir.join(name);
    // A file of a later directory has no effect beside the link.
    let end = dirs.iter().position(|d| d == dir).map_or(0, |at| at + 1);
    let paths = dirs.iter().take(end).map(|dir| dir.join(name));
    let mut files = paths.filter(|path| path.symlink_metadata().is_ok());
    match files.next() {
        Some(path) if leads_to_null(&path) => return Ok(true),
        Some(path) => {
            let path = path.display();
            return Err(Error::invalid(format!(
                "Failed to mask unit: File '{path}' already exists: `systemctl disable {name}` keeps the boot from starting it"
            )));
        }
        None => {}
    }
    fs::create_dir_all(dir).on(dir)?;
    symlink("/dev/null", &link).on(&link)?;
    let link = link.display();
    print_error(&format!("Created symlink '{link}' \u{2192} '/dev/null'."));
    Ok(true)
}

/// Removes the links of a masked unit.
///
/// # Errors
/// A link cannot be removed.
pub fn unmask(owner: &Owner, word: &str) -> Result<bool> {
    unmask_in(&plain::dirs(owner), &full_name(word))
}

fn unmask_in(dirs: &[PathBuf], name: &str) -> Result<bool> {
    for link in dirs.iter().map(|dir| dir.join(name)) {
        if link.is_symlink() && leads_to_null(&link) {
            fs::remove_file(&link).on(&link)?;
            print_error(&format!("Removed '{}'.", link.display()));
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn a_link_masks_a_unit_unless_a_file_has_precedence() {
        let temp = Temp::new();
        let dirs = ["etc", "run", "disk"].map(|dir| temp.path(dir));
        let [etc, run, disk] = &dirs;
        for dir in &dirs {
            fs::create_dir_all(dir).unwrap();
        }
        let (web, own) = ("web.service", "own.service");
        fs::write(etc.join(own), "").unwrap();
        assert!(mask_in(&dirs, disk, own).is_err() && !disk.join(own).exists());
        for _ in 0..2 {
            assert!(mask_in(&dirs, disk, web).unwrap() && leads_to_null(&disk.join(web)));
        }
        // A file on the disk is behind a link in memory.
        fs::write(disk.join("db.service"), "").unwrap();
        assert!(mask_in(&dirs, run, "db.service").unwrap());
        assert!(mask_in(&dirs, disk, "../x.service").is_err());
        for name in [web, own, "db.service"] {
            assert!(unmask_in(&dirs, name).unwrap());
        }
        assert!(disk.join(web).symlink_metadata().is_err() && etc.join(own).exists());
        assert!(
            disk.join("db.service").exists() && run.join("db.service").symlink_metadata().is_err()
        );
    }
}
