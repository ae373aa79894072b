//! An image's files in the root: a link to each, as Tiny Core's tce-load made them, in
//! directories that are the root's own. What is there stays, except for commands of
//! busybox, which give way to real ones.

use std::fs::{self, FileType};
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// No package has a deeper tree.
const DEEPEST: usize = 32;
/// Nor more files: each link is memory.
const MOST: usize = 50_000;

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// So many files of the image are in the root.
    pub linked: usize,
    /// So many are there by another extension.
    pub shared: usize,
    /// What else was in their places, and stays.
    pub kept: Vec<PathBuf>,
}

struct Linker<'a> {
    /// Where the image is mounted; beside it are the others.
    image: &'a Path,
    root: &'a Path,
    done: Done,
}

/// Makes the links. It may be done again.
///
/// # Errors
/// What failed; what was made until then is there.
pub fn make(image: &Path, root: &Path) -> Result<Done, String> {
    let mut linker = Linker {
        image,
        root,
        done: Done::default(),
    };
    linker.inside(Path::new(""), 0)?;
    Ok(linker.done)
}

impl Linker<'_> {
    fn inside(&mut self, dir: &Path, depth: usize) -> Result<(), String> {
        let from = self.image.join(dir);
        let failed = |e: io::Error| format!("{}: {e}", from.display());
        if depth > DEEPEST {
            return Err(format!("{}: too deep", from.display()));
        }
        for entry in fs::read_dir(&from).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = dir.join(entry.file_name());
            let kind = entry.file_type().map_err(failed)?;
            let said = |e: io::Error| format!("/{}: {e}", path.display());
            match kind.is_dir() {
                true if self.directory(&path).map_err(said)? => self.inside(&path, depth + 1)?,
                true => {}
                false => self.file(&path, kind).map_err(said)?,
            }
            if self.done.linked > MOST {
                return Err(format!("it has more than {MOST} files"));
            }
        }
        Ok(())
    }

    /// Whether there is such a directory now. A link to one is one (/lib).
    fn directory(&mut self, path: &Path) -> io::Result<bool> {
        let here = self.root.join(path);
        match fs::create_dir(&here) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
            Ok(()) => return Ok(true),
        }
        let there = here.is_dir();
        if !there {
            self.keep(path);
        }
        Ok(there)
    }

    fn file(&mut self, path: &Path, kind: FileType) -> io::Result<()> {
        let here = self.root.join(path);
        // A link is taken as it is: what it leads to may be the root's.
        let to = match kind {
            _ if kind.is_symlink() => fs::read_link(self.image.join(path))?,
            _ if kind.is_file() => self.image.join(path),
            _ => return Ok(()), // no package has any other
        };
        match fs::read_link(&here) {
            Ok(old) if old == to => {}
            Ok(old) if old.file_name().is_some_and(|name| name == "busybox") => {
                replace(&here, &to)?;
            }
            Ok(old) if self.image.parent().is_some_and(|dir| old.starts_with(dir)) => {
                self.done.shared += 1;
                return Ok(());
            }
            Err(e) if e.kind() == ErrorKind::NotFound => symlink(&to, &here)?,
            Ok(_) | Err(_) => {
                self.keep(path);
                return Ok(());
            }
        }
        self.done.linked += 1;
        Ok(())
    }

    fn keep(&mut self, path: &Path) {
        self.done.kept.push(Path::new("/").join(path));
    }
}

/// At no moment is there nothing.
fn replace(here: &Path, to: &Path) -> io::Result<()> {
    let mut temporary = here.as_os_str().to_owned();
    temporary.push(".b2p-new");
    let _ = fs::remove_file(&temporary);
    symlink(to, &temporary)?;
    fs::rename(&temporary, here)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let dir = std::env::temp_dir().join(format!("b2p-links-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).unwrap();
            Place(dir)
        }

        fn file(&self, path: &str) -> &Place {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, path.to_str().unwrap()).unwrap();
            self
        }

        fn link(&self, path: &str, to: &str) -> &Place {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(to, path).unwrap();
            self
        }

        fn make(&self, name: &str) -> Result<Done, String> {
            make(&self.0.join("ext").join(name), &self.0.join("root"))
        }

        /// What a file of the root says, whatever leads there.
        fn read(&self, path: &str) -> String {
            fs::read_to_string(self.0.join("root").join(path)).unwrap()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn every_file_is_there_and_what_was_there_stays() {
        let at = Place::new("every");
        at.file("ext/a/usr/bin/strace").file("ext/a/usr/bin/bash");
        at.file("ext/a/usr/bin/ip").file("ext/a/usr/share/new/x");
        at.file("ext/a/lib/y").file("ext/a/etc/passwd/z");
        at.link("ext/a/usr/bin/tracer", "strace");
        at.file("root/usr/bin/bash").file("root/etc/passwd");
        at.file("root/usr/bin/busybox")
            .link("root/usr/bin/ip", "busybox");
        at.link("root/lib", "usr/lib").file("root/usr/lib/old");
        let done = at.make("a").unwrap();
        let mut kept = done.kept.clone();
        kept.sort_unstable();
        assert_eq!(kept, [Path::new("/etc/passwd"), Path::new("/usr/bin/bash")]);
        assert_eq!((done.linked, done.shared), (5, 0));
        for path in ["usr/bin/strace", "usr/bin/ip", "usr/share/new/x"] {
            assert!(at.read(path).ends_with(&format!("ext/a/{path}")), "{path}");
        }
        assert!(at.read("usr/bin/tracer").ends_with("strace"));
        assert!(at.read("usr/lib/y").ends_with("ext/a/lib/y"));
        assert!(at.read("usr/bin/bash").ends_with("root/usr/bin/bash"));
        // Once more, and nothing changes.
        let again = at.make("a").unwrap();
        assert_eq!((again.linked, again.kept.len()), (5, 2));
    }

    #[test]
    fn two_may_have_a_library_in_common() {
        let at = Place::new("two");
        fs::create_dir_all(at.0.join("root")).unwrap();
        at.file("ext/a/usr/lib/libx.so.1.2")
            .link("ext/a/usr/lib/libx.so.1", "libx.so.1.2");
        at.file("ext/b/usr/lib/libx.so.1.2")
            .link("ext/b/usr/lib/libx.so.1", "libx.so.1.2");
        at.file("ext/b/usr/bin/b");
        at.make("a").unwrap();
        let done = at.make("b").unwrap();
        assert_eq!((done.linked, done.shared), (2, 1));
        assert!(done.kept.is_empty());
        assert!(
            at.read("usr/lib/libx.so.1")
                .ends_with("ext/a/usr/lib/libx.so.1.2")
        );
    }

    #[test]
    fn a_tree_without_end_has_one() {
        let at = Place::new("deep");
        fs::create_dir_all(at.0.join("root")).unwrap();
        at.file(&format!("ext/a/{}x", "d/".repeat(DEEPEST + 1)));
        assert!(at.make("a").unwrap_err().contains("too deep"));
        assert!(at.make("none").is_err());
    }
}
