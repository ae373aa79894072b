//! A file tree in memory: what a tar or a cpio archive will hold. Owner, mode and
//! order are decided here and nowhere else, so neither the user who builds nor the
//! file system that the packages were unpacked on leaves a trace in the image.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where a file's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file on the host, read when the archive is written.
    Path(PathBuf),
    /// Bytes made here.
    Bytes(Vec<u8>),
}

impl Source {
    /// The bytes.
    pub fn read(&self) -> Result<Vec<u8>> {
        match self {
            Source::Path(path) => {
                fs::read(path).with_context(|| format!("read {}", path.display()))
            }
            Source::Bytes(bytes) => Ok(bytes.clone()),
        }
    }

    /// How many bytes.
    pub fn size(&self) -> Result<u64> {
        match self {
            Source::Path(path) => Ok(fs::metadata(path)
                .with_context(|| format!("stat {}", path.display()))?
                .len()),
            Source::Bytes(bytes) => Ok(bytes.len() as u64),
        }
    }
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Dir,
    /// A regular file.
    File(Source),
    /// A symbolic link and what it says.
    Link(String),
    /// A character device: major, minor.
    Char(u32, u32),
}

/// A node with its mode (permission bits only) and owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub node: Node,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Paths without a leading slash, each with its entry; in order, parents first.
#[derive(Clone, Debug, Default)]
pub struct Tree(BTreeMap<String, Entry>);

impl Tree {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `node` at `path`, making the parents that are missing (0755, root). What
    /// stood there is replaced.
    pub fn put(&mut self, path: &str, node: Node, mode: u32) {
        let path = path.trim_matches('/');
        for (at, _) in path.match_indices('/') {
            self.0
                .entry(path[..at].to_string())
                .or_insert(Entry::root(Node::Dir, 0o755));
        }
        self.0.insert(path.to_string(), Entry::root(node, mode));
    }

    /// Makes a directory unless one stands there already.
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

    /// Puts a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.put(path, Node::Link(target.to_string()), 0o777);
    }

    /// Puts a file made here.
    pub fn bytes(&mut self, path: &str, bytes: impl Into<Vec<u8>>, mode: u32) {
        self.put(path, Node::File(Source::Bytes(bytes.into())), mode);
    }

    /// Puts a file of the host.
    pub fn file(&mut self, path: &str, from: &Path, mode: u32) {
        self.put(path, Node::File(Source::Path(from.to_path_buf())), mode);
    }

    /// Sets mode and owner of what must already stand at `path`.
    pub fn own(&mut self, path: &str, mode: u32, uid: u32, gid: u32) -> Result<()> {
        let entry = self
            .0
            .get_mut(path.trim_matches('/'))
            .with_context(|| format!("mode table: nothing stands at /{path}"))?;
        (entry.mode, entry.uid, entry.gid) = (mode, uid, gid);
        Ok(())
    }

    /// Takes out what stands at these paths and below them.
    pub fn remove_all(&mut self, paths: &[&str]) {
        let below = |path: &str, at: &str| {
            let rest = path.strip_prefix(at.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.0
            .retain(|path, _| !paths.iter().any(|at| below(path, at)));
    }

    /// Adds what the other tree has and this one has not.
    pub fn add_missing(&mut self, other: Tree) {
        for (path, entry) in other.0 {
            self.0.entry(path).or_insert(entry);
        }
    }

    /// Takes out what the other tree has as well, whatever it is there, but directories.
    pub fn remove_common(&mut self, other: &Tree) {
        self.0
            .retain(|path, entry| entry.node == Node::Dir || !other.has(path));
    }

    /// The entry at `path`.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.0.get(path.trim_matches('/'))
    }

    /// Whether anything stands at `path`.
    pub fn has(&self, path: &str) -> bool {
        self.get(path).is_some()
    }

    /// All entries, parents before children.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// Bytes of all files together.
    pub fn size(&self) -> Result<u64> {
        self.iter()
            .try_fold(0, |sum, (_, entry)| match &entry.node {
                Node::File(source) => Ok(sum + source.size()?),
                _ => Ok(sum),
            })
    }
}

impl Entry {
    fn root(node: Node, mode: u32) -> Self {
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
        let mut some = tree(&["a/b", "a/c/d", "ab"]);
        some.remove_all(&["a/c/", "x"]);
        assert_eq!(paths(&some), ["a", "a/b", "ab"]);
        some.add_missing(tree(&["ab", "n"]));
        assert_eq!(paths(&some), ["a", "a/b", "ab", "n"]);
        some.remove_common(&tree(&["a/b", "n"]));
        assert_eq!(paths(&some), ["a", "ab"]);
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
    fn owning_what_is_not_there_says_so() {
        let error = Tree::new()
            .own("usr/bin/sudo", 0o4755, 0, 0)
            .map_err(|e| e.to_string());
        assert_eq!(
            error,
            Err("mode table: nothing stands at /usr/bin/sudo".into())
        );
    }
}
