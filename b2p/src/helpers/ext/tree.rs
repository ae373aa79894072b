// SPDX-License-Identifier: Apache-2.0
//! Entries of an image, read before any of them is in the root.
#![expect(unsafe_code, reason = "nix has no wrapper for llistxattr(2)")]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use sys::error::{Doing, Error, Result};

/// Deepest tree of a package.
pub const MAX_DEPTH: usize = 32;
/// Largest number of files: each link takes memory.
pub const MAX_FILES: usize = 50_000;
/// Maximum length of all names, link targets and attribute names of an image together, in bytes: they are held in
/// memory. The extension of rustc, cargo and the C compiler has a twentieth of this.
const MAX_TEXT: usize = 16 << 20;

/// Kind of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Directory.
    Dir,
    /// Regular file.
    File {
        /// Permission bits, with set-user-ID and set-group-ID.
        mode: u32,
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
    /// Names of its extended attributes (xattr(7)).
    pub attributes: Vec<String>,
}

/// Returns the entries of the tree at `root`, parents before their children.
///
/// # Errors
/// The tree cannot be read, is too deep, or has too many files or too long names.
pub fn read(root: &Path) -> Result<Vec<Entry>> {
    let mut reader = Reader {
        root,
        entries: Vec::new(),
        files: 0,
        text: 0,
    };
    reader.read_dir(Path::new(""), 0)?;
    Ok(reader.entries)
}

struct Reader<'a> {
    root: &'a Path,
    entries: Vec<Entry>,
    /// Number of names that were read.
    files: usize,
    /// Bytes of the text that was read.
    text: usize,
}

impl Reader<'_> {
    fn read_dir(&mut self, dir: &Path, depth: usize) -> Result<()> {
        let shown = Path::new("/").join(dir);
        if depth > MAX_DEPTH {
            return Err(Error::invalid("too deep")).on(shown);
        }
        let mut found: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(self.root.join(dir)).on(&shown)? {
            let path = dir.join(entry.on(&shown)?.file_name());
            self.files += 1;
            self.count(path.as_os_str().len())?;
            found.push(path);
        }
        sys::sort::sort(&mut found);
        for path in found {
            let entry = self.entry(&path).on(Path::new("/").join(&path))?;
            let is_dir = entry.kind == Kind::Dir;
            self.entries.push(entry);
            if is_dir {
                self.read_dir(&path, depth + 1)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path) -> Result<Entry> {
        let place = self.root.join(path);
        let (kind, attributes) = (kind(&place)?, attributes(&place)?);
        let target = match &kind {
            Kind::Link(target) => target.as_os_str().len(),
            _ => 0,
        };
        self.count(target + attributes.iter().map(String::len).sum::<usize>())?;
        Ok(Entry {
            path: path.to_owned(),
            kind,
            attributes,
        })
    }

    /// Refuses an image with more than a machine has memory for, before it is read to its end.
    fn count(&mut self, bytes: usize) -> Result<()> {
        self.text += bytes;
        if self.files > MAX_FILES {
            let reason = format!("it has more than {MAX_FILES} files");
            return Err(Error::invalid(reason));
        }
        if self.text > MAX_TEXT {
            let mib = MAX_TEXT >> 20;
            let reason = format!("the names of its files have more than {mib} MiB together");
            return Err(Error::invalid(reason));
        }
        Ok(())
    }
}

fn kind(path: &Path) -> io::Result<Kind> {
    let metadata = fs::symlink_metadata(path)?;
    let file_type = metadata.file_type();
    Ok(match sys::files::kind(file_type) {
        None => Kind::File {
            mode: metadata.permissions().mode() & 0o7777,
        },
        Some(_) if file_type.is_dir() => Kind::Dir,
        Some(_) if file_type.is_symlink() => Kind::Link(fs::read_link(path)?),
        Some(other) => Kind::Other(other),
    })
}

/// Returns the names of the extended attributes of a file, which is not followed.
fn attributes(path: &Path) -> io::Result<Vec<String>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path ends in NUL, and a size of 0 asks for the size of the list only.
    let size = unsafe { libc::llistxattr(path.as_ptr(), std::ptr::null_mut(), 0) };
    let mut names = vec![0_u8; usize::try_from(size).unwrap_or(0)];
    let size = match Errno::result(size) {
        Ok(0) | Err(Errno::EOPNOTSUPP) => return Ok(Vec::new()),
        // SAFETY: the path ends in NUL, and the list has room for the given number of bytes.
        Ok(_) => unsafe { libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) },
        Err(why) => return Err(why.into()),
    };
    names.truncate(usize::try_from(Errno::result(size)?).unwrap_or(0));
    let names = names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    Ok(names
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect())
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
        let su = Kind::File { mode: 0o4755 };
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
    fn extended_attributes_are_read() {
        let temp = Temp::new();
        let file = temp.path("x");
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink("x", temp.path("link")).unwrap();
        let path = CString::new(file.as_os_str().as_bytes()).unwrap();
        for name in [c"user.b2p", c"user.c"] {
            let value = c"1".as_ptr().cast();
            // SAFETY: both strings end in NUL, and the value has the length that is given.
            let set = unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value, 1, 0) };
            assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
        }
        let read = read(temp.dir()).unwrap();
        let [link, file] = &read[..] else {
            panic!("{read:?}")
        };
        let mut names = file.attributes.clone();
        names.sort();
        names.retain(|name| name.starts_with("user."));
        assert_eq!(names, ["user.b2p", "user.c"]);
        assert!(
            link.attributes
                .iter()
                .all(|name| !name.starts_with("user."))
        );
        assert!(attributes(&temp.path("none")).is_err());
    }

    #[test]
    fn a_directory_that_is_too_deep_is_refused() {
        let temp = Temp::new();
        fs::create_dir_all(temp.path(&"d/".repeat(MAX_DEPTH + 1))).unwrap();
        assert!(why(read(temp.dir())).ends_with(": too deep"));
        assert!(read(&temp.path("none")).is_err());
    }

    #[test]
    fn files_and_names_are_counted_before_they_are_kept() {
        let limits = |files, text| Reader {
            root: Path::new("/"),
            entries: Vec::new(),
            files,
            text,
        };
        assert_eq!(limits(MAX_FILES, MAX_TEXT - 9).count(9), Ok(()));
        assert!(why(limits(MAX_FILES + 1, 0).count(0)).contains("more than 50000 files"));
        assert!(why(limits(0, MAX_TEXT - 9).count(10)).contains("16 MiB together"));
        let temp = Temp::new();
        for name in ["a", "b", "c"] {
            std::os::unix::fs::symlink("x".repeat(4000), temp.path(name)).unwrap();
        }
        let mut reader = Reader {
            root: temp.dir(),
            ..limits(0, MAX_TEXT - 9000)
        };
        assert!(why(reader.read_dir(Path::new(""), 0)).ends_with("16 MiB together"));
        assert_eq!((reader.files, reader.entries.len()), (3, 2));
        let mut reader = Reader {
            root: temp.dir(),
            ..limits(MAX_FILES - 2, 0)
        };
        assert!(why(reader.read_dir(Path::new(""), 0)).ends_with("50000 files"));
        assert_eq!(reader.entries.len(), 0);
    }
}
