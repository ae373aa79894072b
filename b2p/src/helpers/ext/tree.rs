// SPDX-License-Identifier: Apache-2.0
//! Entries of an image, read before any of them is in the root.
#![expect(unsafe_code, reason = "nix has no wrapper for lgetxattr(2)")]

use std::ffi::{CStr, CString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sys::error::{Doing, Error, Result};

/// Deepest tree of a package.
pub const MAX_DEPTH: usize = 32;
/// Largest number of files: each link takes memory.
pub const MAX_FILES: usize = 50_000;
/// Extended attribute of a program that has rights of root (capabilities(7)).
const CAPABILITIES: &CStr = c"security.capability";

/// Kind of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Directory.
    Dir,
    /// Regular file.
    File {
        /// Permission bits, with set-user-ID and set-group-ID.
        mode: u32,
        /// True if it has file capabilities.
        has_capabilities: bool,
    },
    /// Symbolic link with its target.
    Link(PathBuf),
    /// Another kind, by the name that [`sys::files::kind`] has for it.
    Other(&'static str),
}

/// Entry of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path from the root, without a leading slash.
    pub path: PathBuf,
    /// Kind.
    pub kind: Kind,
}

/// Returns the entries of the tree at `root`, parents before their children.
///
/// # Errors
/// The tree cannot be read, is too deep, or has too many files.
pub fn read(root: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    read_dir(root, Path::new(""), 0, &mut entries)?;
    Ok(entries)
}

fn read_dir(root: &Path, dir: &Path, depth: usize, entries: &mut Vec<Entry>) -> Result<()> {
    let shown = Path::new("/").join(dir);
    if depth > MAX_DEPTH {
        return Err(Error::invalid("too deep")).on(shown);
    }
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(root.join(dir)).on(&shown)? {
        found.push(dir.join(entry.on(&shown)?.file_name()));
    }
    sys::sort::sort(&mut found);
    for path in found {
        let kind = kind(&root.join(&path)).on(Path::new("/").join(&path))?;
        let is_dir = kind == Kind::Dir;
        entries.push(Entry {
            path: path.clone(),
            kind,
        });
        if entries.len() > MAX_FILES {
            let reason = format!("it has more than {MAX_FILES} files");
            return Err(Error::invalid(reason));
        }
        if is_dir {
            read_dir(root, &path, depth + 1, entries)?;
        }
    }
    Ok(())
}

fn kind(path: &Path) -> std::io::Result<Kind> {
    let metadata = fs::symlink_metadata(path)?;
    let file_type = metadata.file_type();
    Ok(match sys::files::kind(file_type) {
        None => Kind::File {
            mode: metadata.permissions().mode() & 0o7777,
            has_capabilities: has_attribute(path, CAPABILITIES),
        },
        Some(_) if file_type.is_dir() => Kind::Dir,
        Some(_) if file_type.is_symlink() => Kind::Link(fs::read_link(path)?),
        Some(other) => Kind::Other(other),
    })
}

/// Returns true if a file has an extended attribute of this name (xattr(7)).
fn has_attribute(path: &Path, name: &CStr) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: both strings end in NUL, and a size of 0 asks for the size of the value only.
    let size = unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) };
    size >= 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    #[test]
    fn every_kind_is_read() {
        let temp = Temp::new();
        fs::create_dir_all(temp.path("usr/bin")).unwrap();
        fs::write(temp.path("usr/bin/su"), "").unwrap();
        let mode = fs::Permissions::from_mode(0o4755);
        fs::set_permissions(temp.path("usr/bin/su"), mode).unwrap();
        std::os::unix::fs::symlink("su", temp.path("usr/bin/sudo")).unwrap();
        nix::unistd::mkfifo(&temp.path("usr/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let entries = read(temp.dir()).unwrap();
        let found: Vec<_> = entries
            .iter()
            .map(|e| (e.path.to_str().unwrap(), e.kind.clone()))
            .collect();
        let su = Kind::File {
            mode: 0o4755,
            has_capabilities: false,
        };
        let expected = [
            ("usr", Kind::Dir),
            ("usr/bin", Kind::Dir),
            ("usr/bin/su", su),
            ("usr/bin/sudo", Kind::Link("su".into())),
            ("usr/fifo", Kind::Other("a fifo")),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn an_extended_attribute_is_seen() {
        let temp = Temp::new();
        let file = temp.path("x");
        fs::write(&file, "").unwrap();
        let (name, path) = (
            c"user.b2p",
            CString::new(file.as_os_str().as_bytes()).unwrap(),
        );
        assert!(!has_attribute(&file, name));
        // SAFETY: both strings end in NUL, and the value has the length that is given.
        let set =
            unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), c"1".as_ptr().cast(), 1, 0) };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
        assert!(has_attribute(&file, name) && !has_attribute(&file, CAPABILITIES));
        assert!(!has_attribute(&temp.path("none"), name));
    }

    #[test]
    fn a_tree_without_end_has_one() {
        let temp = Temp::new();
        fs::create_dir_all(temp.path(&"d/".repeat(MAX_DEPTH + 1))).unwrap();
        assert!(why(read(temp.dir())).ends_with(": too deep"));
        assert!(read(&temp.path("none")).is_err());
    }
}
