// SPDX-License-Identifier: Apache-2.0
//! File trees in memory, the content of tar and cpio archives. Only this module sets owner, mode
//! and order, so that neither the user of the build nor the file system with the packages affects
//! the image.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::fsutil;

/// Content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// File of the host, which is read when the archive is written.
    Path(PathBuf),
    /// Bytes in memory.
    Bytes(Vec<u8>),
}

impl Source {
    /// Returns the bytes.
    pub fn read(&self) -> Result<Vec<u8>> {
        match self {
            Source::Path(path) => {
                fs::read(path).with_context(|| format!("read {}", path.display()))
            }
            Source::Bytes(bytes) => Ok(bytes.clone()),
        }
    }

    /// Returns the number of bytes.
    pub fn size(&self) -> Result<u64> {
        match self {
            Source::Path(path) => fsutil::size(path),
            Source::Bytes(bytes) => Ok(bytes.len() as u64),
        }
    }
}

/// Kind of a node with its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Directory.
    Dir,
    /// Regular file.
    File(Source),
    /// Symbolic link with its target.
    Link(String),
    /// Character device with major and minor number.
    Char(u32, u32),
}

/// Node with its mode and owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Kind and content.
    pub node: Node,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Entries by path, without a leading slash. Parents precede their children.
#[derive(Clone, Debug, Default)]
pub struct Tree(BTreeMap<String, Entry>);

impl Tree {
    /// Returns an empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `node` at `path`, in place of an existing entry. Missing parents are added with mode
    /// 0755.
    pub fn put(&mut self, path: &str, node: Node, mode: u32) {
        let path = path.trim_matches('/');
        for (end, _) in path.match_indices('/') {
            self.0
                .entry(path[..end].to_string())
                .or_insert(Entry::owned_by_root(Node::Dir, 0o755));
        }
        self.0
            .insert(path.to_string(), Entry::owned_by_root(node, mode));
    }

    /// Adds a directory unless one exists.
    pub fn dir(&mut self, path: &str) {
        if !matches!(
            self.get(path),
            Some(Entry {
                node: Node::Dir,
                ..
            })
        ) {
            self.put(path, Node::Dir, 0o755);
        }
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.put(path, Node::Link(target.to_string()), 0o777);
    }

    /// Adds a file with these bytes.
    pub fn bytes(&mut self, path: &str, bytes: impl Into<Vec<u8>>, mode: u32) {
        self.put(path, Node::File(Source::Bytes(bytes.into())), mode);
    }

    /// Adds a file of the host.
    pub fn file(&mut self, path: &str, from: &Path, mode: u32) {
        self.put(path, Node::File(Source::Path(from.to_path_buf())), mode);
    }

    /// Sets mode and owner of an existing entry.
    pub fn set_mode_and_owner(&mut self, path: &str, mode: u32, uid: u32, gid: u32) -> Result<()> {
        let entry = self
            .0
            .get_mut(path.trim_matches('/'))
            .with_context(|| format!("there is no /{path}"))?;
        (entry.mode, entry.uid, entry.gid) = (mode, uid, gid);
        Ok(())
    }

    /// Removes the entries at these paths and below them.
    pub fn remove_all(&mut self, paths: &[&str]) {
        let is_below = |path: &str, root: &str| {
            let rest = path.strip_prefix(root.trim_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.0
            .retain(|path, _| !paths.iter().any(|root| is_below(path, root)));
    }

    /// Adds the entries of the other tree whose paths this one does not have.
    pub fn add_missing(&mut self, other: Tree) {
        for (path, entry) in other.0 {
            self.0.entry(path).or_insert(entry);
        }
    }

    /// Removes every entry that is no directory and whose path the other tree has.
    pub fn remove_common(&mut self, other: &Tree) {
        self.0
            .retain(|path, entry| entry.node == Node::Dir || !other.has(path));
    }

    /// Returns the entry at `path`.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.0.get(path.trim_matches('/'))
    }

    /// Returns true if there is an entry at `path`.
    pub fn has(&self, path: &str) -> bool {
        self.get(path).is_some()
    }

    /// Refuses an entry below one that is no directory: an unpacking program would follow the link, or
    /// fail.
    pub fn check_parents(&self) -> Result<()> {
        for path in self.0.keys() {
            if let Some((parent, _)) = path.rsplit_once('/')
                && self.get(parent).is_none_or(|entry| entry.node != Node::Dir)
            {
                bail!("/{path} is below /{parent}, which is no directory");
            }
        }
        Ok(())
    }

    /// Returns all entries, parents before children.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// Returns the size of all files in bytes.
    pub fn size(&self) -> Result<u64> {
        self.iter()
            .try_fold(0, |sum, (_, entry)| match &entry.node {
                Node::File(source) => Ok(sum + source.size()?),
                _ => Ok(sum),
            })
    }
}

impl Entry {
    fn owned_by_root(node: Node, mode: u32) -> Self {
        Entry {
            node,
            mode,
            uid: 0,
            gid: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_added_and_taken_apart() {
        let tree = |paths: &[&str]| {
            let mut tree = Tree::new();
            paths.iter().for_each(|path| tree.bytes(path, *path, 0o644));
            tree
        };
        let paths = |tree: &Tree| tree.iter().map(|(p, _)| p.to_owned()).collect::<Vec<_>>();
        let mut changed = tree(&["a/b", "a/c/d", "ab"]);
        changed.remove_all(&["/a/c/", "x"]);
        assert_eq!(paths(&changed), ["a", "a/b", "ab"]);
        changed.add_missing(tree(&["ab", "n"]));
        assert_eq!(paths(&changed), ["a", "a/b", "ab", "n"]);
        changed.remove_common(&tree(&["a/b", "n"]));
        assert_eq!(paths(&changed), ["a", "ab"]);
    }

    #[test]
    fn parents_come_first_and_are_made_once() {
        let mut tree = Tree::new();
        tree.put("a", Node::Dir, 0o700);
        tree.bytes("/a/b/c", "x", 0o644);
        let paths: Vec<_> = tree.iter().map(|(path, e)| (path, e.mode)).collect();
        assert_eq!(paths, [("a", 0o700), ("a/b", 0o755), ("a/b/c", 0o644)]);
    }

    #[test]
    fn a_parent_is_a_directory() {
        let mut tree = Tree::new();
        tree.link("bin", "usr/bin");
        tree.bytes("usr/bin/sh", "x", 0o755);
        assert!(tree.check_parents().is_ok());
        tree.bytes("bin/sh", "x", 0o755);
        let error = tree.check_parents().map_err(|e| e.to_string());
        assert_eq!(
            error,
            Err("/bin/sh is below /bin, which is no directory".into())
        );
    }

    #[test]
    fn the_owner_of_a_missing_entry_cannot_be_set() {
        let error = Tree::new()
            .set_mode_and_owner("usr/bin/sudo", 0o4755, 0, 0)
            .map_err(|e| e.to_string());
        assert_eq!(error, Err("there is no /usr/bin/sudo".into()));
    }
}
