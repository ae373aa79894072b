// SPDX-License-Identifier: Apache-2.0
//! Links the files of an image into the root, as Tiny Core's tce-load does: a link to each file,
//! in directories that belong to the root. Existing files stay, except for commands of busybox,
//! which make room for the programs themselves.

use std::fs::{self, FileType};
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sys::error::{Doing, Error, Result};

/// Deepest tree of a package.
const MAX_DEPTH: usize = 32;
/// Largest number of files: each link takes memory.
const MAX_FILES: usize = 50_000;

/// Result of linking an image.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Linked {
    /// Number of files of the image in the root.
    pub added: usize,
    /// Number of files that another extension has put there.
    pub shared: usize,
    /// Other files that were in the place of one, and stay.
    pub existing: Vec<PathBuf>,
}

struct Linker<'a> {
    /// Mount point of the image, beside those of other extensions.
    image: &'a Path,
    root: &'a Path,
    linked: Linked,
}

/// Makes the links; a second call changes nothing.
///
/// # Errors
/// A link or directory cannot be made; those made before stay.
pub fn make(image: &Path, root: &Path) -> Result<Linked> {
    let mut linker = Linker {
        image,
        root,
        linked: Linked::default(),
    };
    linker.link_dir(Path::new(""), 0)?;
    Ok(linker.linked)
}

impl Linker<'_> {
    /// Links the files below `dir`, a path relative to both image and root.
    fn link_dir(&mut self, dir: &Path, depth: usize) -> Result<()> {
        let source = self.image.join(dir);
        if depth > MAX_DEPTH {
            return Err(Error::invalid("too deep")).on(source);
        }
        for entry in fs::read_dir(&source).on(&source)? {
            let entry = entry.on(&source)?;
            let path = dir.join(entry.file_name());
            let file_type = entry.file_type().on(&source)?;
            let in_root = || Path::new("/").join(&path);
            match file_type.is_dir() {
                true if self.make_dir(&path).on(in_root())? => self.link_dir(&path, depth + 1)?,
                true => {}
                false => self.link_file(&path, file_type).on(in_root())?,
            }
            if self.linked.added > MAX_FILES {
                let reason = format!("it has more than {MAX_FILES} files");
                return Err(Error::invalid(reason));
            }
        }
        Ok(())
    }

    /// Makes a directory in the root; returns false if a file is in its place. A link to a
    /// directory is one (/lib).
    fn make_dir(&mut self, path: &Path) -> io::Result<bool> {
        let in_root = self.root.join(path);
        match fs::create_dir(&in_root) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
            Ok(()) => return Ok(true),
        }
        let is_dir = in_root.is_dir();
        if !is_dir {
            self.keep_existing(path);
        }
        Ok(is_dir)
    }

    fn link_file(&mut self, path: &Path, file_type: FileType) -> io::Result<()> {
        let in_root = self.root.join(path);
        // A link is copied as it is: its target may be in the root.
        let target = match file_type {
            _ if file_type.is_symlink() => fs::read_link(self.image.join(path))?,
            _ if file_type.is_file() => self.image.join(path),
            _ => return Ok(()), // Packages have no other types.
        };
        match fs::read_link(&in_root) {
            Ok(existing) if existing == target => {}
            Ok(existing) if existing.file_name().is_some_and(|name| name == "busybox") => {
                replace_link(&in_root, &target)?;
            }
            Ok(existing) if self.is_in_an_extension(&existing) => {
                self.linked.shared += 1;
                return Ok(());
            }
            Err(e) if e.kind() == ErrorKind::NotFound => symlink(&target, &in_root)?,
            Ok(_) | Err(_) => {
                self.keep_existing(path);
                return Ok(());
            }
        }
        self.linked.added += 1;
        Ok(())
    }

    fn is_in_an_extension(&self, target: &Path) -> bool {
        let dir = self.image.parent();
        dir.is_some_and(|dir| target.starts_with(dir))
    }

    fn keep_existing(&mut self, path: &Path) {
        self.linked.existing.push(Path::new("/").join(path));
    }
}

/// Replaces a link in one step, so that the name exists at every moment.
fn replace_link(link: &Path, target: &Path) -> io::Result<()> {
    let mut temporary = link.as_os_str().to_owned();
    temporary.push(".b2p-new");
    let _ = fs::remove_file(&temporary);
    symlink(target, &temporary)?;
    fs::rename(&temporary, link)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    /// A directory with a root, and with images in `ext`.
    struct Tree(Temp);

    impl Tree {
        fn new() -> Tree {
            let tree = Tree(Temp::new());
            fs::create_dir(tree.0.path("root")).unwrap();
            tree
        }

        fn parent(&self, path: &str) -> PathBuf {
            let path = self.0.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        }

        /// Writes a file that contains its own path.
        fn file(&self, path: &str) -> &Tree {
            let path = self.parent(path);
            fs::write(&path, path.to_str().unwrap()).unwrap();
            self
        }

        fn link(&self, path: &str, target: &str) -> &Tree {
            symlink(target, self.parent(path)).unwrap();
            self
        }

        fn make(&self, name: &str) -> Result<Linked> {
            make(&self.0.path("ext").join(name), &self.0.path("root"))
        }

        /// Returns the content of a file of the root, whatever leads to it.
        fn read(&self, path: &str) -> String {
            fs::read_to_string(self.0.path("root").join(path)).unwrap()
        }
    }

    #[test]
    fn every_file_is_there_and_what_was_there_stays() {
        let tree = Tree::new();
        tree.file("ext/a/usr/bin/strace").file("ext/a/usr/bin/bash");
        tree.file("ext/a/usr/bin/ip").file("ext/a/usr/share/new/x");
        tree.file("ext/a/lib/y").file("ext/a/etc/passwd/z");
        tree.link("ext/a/usr/bin/tracer", "strace");
        tree.file("root/usr/bin/bash").file("root/etc/passwd");
        tree.file("root/usr/bin/busybox")
            .link("root/usr/bin/ip", "busybox");
        tree.link("root/lib", "usr/lib").file("root/usr/lib/old");
        let linked = tree.make("a").unwrap();
        let mut kept = linked.existing.clone();
        kept.sort_unstable();
        assert_eq!(kept, [Path::new("/etc/passwd"), Path::new("/usr/bin/bash")]);
        assert_eq!((linked.added, linked.shared), (5, 0));
        for path in ["usr/bin/strace", "usr/bin/ip", "usr/share/new/x"] {
            assert!(
                tree.read(path).ends_with(&format!("ext/a/{path}")),
                "{path}"
            );
        }
        assert!(tree.read("usr/bin/tracer").ends_with("strace"));
        assert!(tree.read("usr/lib/y").ends_with("ext/a/lib/y"));
        assert!(tree.read("usr/bin/bash").ends_with("root/usr/bin/bash"));
        // Once more, and nothing changes.
        let again = tree.make("a").unwrap();
        assert_eq!((again.added, again.existing.len()), (5, 2));
    }

    #[test]
    fn two_may_have_a_library_in_common() {
        let tree = Tree::new();
        tree.file("ext/a/usr/lib/libx.so.1.2")
            .link("ext/a/usr/lib/libx.so.1", "libx.so.1.2");
        tree.file("ext/b/usr/lib/libx.so.1.2")
            .link("ext/b/usr/lib/libx.so.1", "libx.so.1.2");
        tree.file("ext/b/usr/bin/b");
        tree.make("a").unwrap();
        let linked = tree.make("b").unwrap();
        assert_eq!((linked.added, linked.shared), (2, 1));
        assert!(linked.existing.is_empty());
        assert!(
            tree.read("usr/lib/libx.so.1")
                .ends_with("ext/a/usr/lib/libx.so.1.2")
        );
    }

    #[test]
    fn a_tree_without_end_has_one() {
        let tree = Tree::new();
        tree.file(&format!("ext/a/{}x", "d/".repeat(MAX_DEPTH + 1)));
        assert!(why(tree.make("a")).ends_with(": too deep"));
        assert!(tree.make("none").is_err());
    }
}
