// SPDX-License-Identifier: Apache-2.0
//! Links the files of an image into the root, as Tiny Core's tce-load does: a link to each file,
//! in directories that belong to the root. Existing files stay, except for commands of busybox,
//! which make room for the programs themselves.

use std::fs::{self, FileType};
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sys::error::{Doing, Error, Result};

use super::record::{Change, Record};
use super::tree::{MAX_DEPTH, MAX_FILES};

/// Result of linking an image.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Linked {
    /// Number of files of the image that are in the root, by this call or an earlier one.
    pub in_root: usize,
    /// Number of files that another extension has put there.
    pub shared: usize,
    /// Other files that were in the place of one, and stay.
    pub existing: Vec<PathBuf>,
}

struct Linker<'a> {
    /// Mount point of the image, beside those of other extensions.
    image: &'a Path,
    root: &'a Path,
    record: &'a Record,
    linked: Linked,
}

/// Makes the links, and records each before it is made; a second call changes nothing.
///
/// # Errors
/// A link or directory cannot be made; those made before stay.
pub fn make(image: &Path, root: &Path, record: &Record) -> Result<Linked> {
    let mut linker = Linker {
        image,
        root,
        record,
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
            if self.linked.in_root > MAX_FILES {
                let reason = format!("it has more than {MAX_FILES} files");
                return Err(Error::invalid(reason));
            }
        }
        Ok(())
    }

    /// Makes a directory in the root; returns false if something else is in its place, such as a link of
    /// another extension: what it leads to is not what was judged ([`super::vet`]).
    fn make_dir(&mut self, path: &Path) -> io::Result<bool> {
        let in_root = self.root.join(path);
        let Ok(existing) = fs::symlink_metadata(&in_root) else {
            self.record.add(&Change::Dir(path.to_owned()))?;
            return fs::create_dir(&in_root).map(|()| true);
        };
        let is_dir = existing.is_dir();
        if !is_dir {
            self.keep_existing(path);
        }
        Ok(is_dir)
    }

    fn link_file(&mut self, path: &Path, file_type: FileType) -> io::Result<()> {
        let in_root = self.root.join(path);
        if !file_type.is_symlink() && !file_type.is_file() {
            return Ok(()); // Extensions have no other types.
        }
        let target = target(self.image, path)?;
        match fs::read_link(&in_root) {
            Ok(existing) if existing == target => {}
            Ok(existing) if existing.file_name().is_some_and(|name| name == "busybox") => {
                let change = Change::Replaced(path.to_owned(), existing);
                self.record.add(&change)?;
                replace_link(&in_root, &target)?;
            }
            Ok(existing) if self.is_in_an_extension(&existing) => {
                self.linked.shared += 1;
                return Ok(());
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                self.record.add(&Change::Link(path.to_owned()))?;
                symlink(&target, &in_root)?;
            }
            Ok(_) | Err(_) => {
                self.keep_existing(path);
                return Ok(());
            }
        }
        self.linked.in_root += 1;
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

/// Returns the target that a link in the root to this file of an image has. A link of the image is copied as
/// it is: its target may be in the root.
fn target(image: &Path, path: &Path) -> io::Result<PathBuf> {
    let source = image.join(path);
    match fs::symlink_metadata(&source)?.is_symlink() {
        true => fs::read_link(source),
        false => Ok(source),
    }
}

/// Takes the changes of an extension back. A file that another of the extensions `others` has as well becomes
/// that one's, commands of busybox return, and what the user has put in the place of a link stays.
///
/// # Errors
/// The record cannot be read, or a link cannot be changed; the record stays then.
pub fn remove(
    image: &Path,
    root: &Path,
    record: &Record,
    others: &[(PathBuf, Record)],
) -> Result<()> {
    let changes = record.read()?;
    for change in &changes {
        let (path, was) = match change {
            Change::Link(path) => (path, None),
            Change::Replaced(path, was) => (path, Some(was.as_path())),
            Change::Dir(_) => continue,
        };
        let in_root = Path::new("/").join(path);
        take_back(image, root, (path, was), others).on(in_root)?;
    }
    let mut dirs: Vec<&Change> = changes
        .iter()
        .filter(|c| matches!(c, Change::Dir(_)))
        .collect();
    // The deepest come first, also those that another extension has passed on.
    let depth = |change: &Change| change.path().components().count();
    sys::sort::sort_by(&mut dirs, |a, b| depth(b).cmp(&depth(a)));
    for change in dirs {
        let path = change.path();
        let mut users = others.iter().filter(|(other, _)| other.join(path).is_dir());
        match users.next() {
            Some((_, record)) => record.add(change).on(Path::new("/").join(path))?,
            // A directory with other files stays.
            None => drop(fs::remove_dir(root.join(path))),
        }
    }
    record.remove();
    Ok(())
}

/// Takes one link back; `was` is the target of the link that it replaced.
fn take_back(
    image: &Path,
    root: &Path,
    (path, was): (&Path, Option<&Path>),
    others: &[(PathBuf, Record)],
) -> io::Result<()> {
    let link = root.join(path);
    let own = match target(image, path) {
        // The image has no such file, and so no link to it.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        // The image is damaged. A link that it has itself stays then.
        Err(_) => image.join(path),
        Ok(own) => own,
    };
    if fs::read_link(&link).ok() != Some(own) {
        return Ok(());
    }
    for (other, record) in others {
        if let Ok(target) = target(other, path) {
            record.add(&match was {
                Some(was) => Change::Replaced(path.to_owned(), was.to_owned()),
                None => Change::Link(path.to_owned()),
            })?;
            return replace_link(&link, &target);
        }
    }
    match was {
        Some(was) => replace_link(&link, was),
        None => fs::remove_file(link),
    }
}

#[cfg(test)]
mod tests;
