// SPDX-License-Identifier: Apache-2.0
//! Directories, files and links of the document (`storage`).

use std::collections::{BTreeMap, BTreeSet};

use sys::error::Result;

use super::data_url::{Content, content};
use super::document::Object;
use crate::helpers::cloud::diagnostics::Diagnostics;

/// Longest path, less than Linux `PATH_MAX`.
const MAX_PATH: usize = 1024;

/// Trees in which nothing is written, and why.
#[rustfmt::skip]
const RESERVED: &[(&str, &str)] = &[
    ("/dev",                  "the kernel's devices"),
    ("/proc",                 "the kernel's processes and settings; a file in /etc/sysctl.d sets them"),
    ("/sys",                  "the kernel's devices and settings"),
    ("/run/boot2podman",      "the machine's own state; kernel flags set it"),
    ("/usr/lib/boot2podman",  "the machine's own programs"),
    ("/mnt/data",             "the data disk; /var/lib/boot2podman and /var/lib/containers are on it"),
];

/// Owner as the document names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// None: that of the file or directory that exists, else root.
    #[default]
    Unnamed,
    /// A number.
    Id(u32),
    /// A name.
    Name(String),
}

/// A path with its owner, and the place of the row in the document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Path in the document, for diagnostics.
    pub row: String,
    /// Absolute path, without `.` and `..`.
    pub path: String,
    /// User.
    pub user: Owner,
    /// Group.
    pub group: Owner,
    /// True if what exists is replaced, if the row says so or not.
    pub overwrite: Option<bool>,
}

/// A directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Path and owner.
    pub node: Node,
    /// Permission bits, if it names any.
    pub mode: Option<u32>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path and owner.
    pub node: Node,
    /// Permission bits, if it names any.
    pub mode: Option<u32>,
    /// Content; `None` leaves that of a file that exists.
    pub content: Option<Content>,
    /// Contents that are appended.
    pub append: Vec<Content>,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Path and owner.
    pub node: Node,
    /// Text of a symbolic link, or path of the file that gets another name.
    pub target: String,
    /// True for another name of a file, if the row says so or not.
    pub hard: Option<bool>,
}

/// All rows, each kind in the order of the document, directories and links by their paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// Directories.
    pub directories: Vec<Directory>,
    /// Files.
    pub files: Vec<File>,
    /// Links.
    pub links: Vec<Link>,
}

impl Storage {
    /// Adds the rows of `above`. Of two rows of one kind with the same path, members that `above` names count, and
    /// appended contents follow those before; a row of another kind takes the place of the one below.
    pub fn merge(&mut self, above: Storage) {
        self.remove_other_kinds(&above);
        merge_rows(
            &mut self.directories,
            above.directories,
            |row| &row.node,
            |row, above| {
                row.node.merge(above.node);
                row.mode = above.mode.or(row.mode);
            },
        );
        merge_rows(
            &mut self.files,
            above.files,
            |row| &row.node,
            |row, above| {
                row.node.merge(above.node);
                row.mode = above.mode.or(row.mode);
                row.content = above.content.or(row.content.take());
                row.append.extend(above.append);
            },
        );
        merge_rows(
            &mut self.links,
            above.links,
            |row| &row.node,
            |row, above| {
                row.node.merge(above.node);
                row.target = above.target;
                row.hard = above.hard.or(row.hard);
            },
        );
        sys::sort::sort_by(&mut self.directories, |a, b| a.node.path.cmp(&b.node.path));
    }

    /// Removes rows whose path is that of a row of another kind.
    fn remove_other_kinds(&mut self, other: &Storage) {
        fn paths<T>(rows: &[T], node: fn(&T) -> &Node) -> BTreeSet<String> {
            sys::sort::inserted(rows.iter().map(|row| node(row).path.clone()))
        }
        let directories = paths(&other.directories, |row| &row.node);
        let files = paths(&other.files, |row| &row.node);
        let links = paths(&other.links, |row| &row.node);
        let is_in =
            |node: &Node, of: [&BTreeSet<String>; 2]| of.iter().any(|all| all.contains(&node.path));
        self.directories
            .retain(|row| !is_in(&row.node, [&files, &links]));
        self.files
            .retain(|row| !is_in(&row.node, [&directories, &links]));
        self.links
            .retain(|row| !is_in(&row.node, [&directories, &files]));
    }
}

impl Node {
    fn merge(&mut self, above: Node) {
        self.row = above.row;
        self.overwrite = above.overwrite.or(self.overwrite);
        for (owner, above) in [(&mut self.user, above.user), (&mut self.group, above.group)] {
            if above != Owner::Unnamed {
                *owner = above;
            }
        }
    }
}

/// Adds rows, and merges those whose path is there.
fn merge_rows<T>(rows: &mut Vec<T>, above: Vec<T>, node: fn(&T) -> &Node, merge: fn(&mut T, T)) {
    let paths = rows.iter().enumerate();
    let paths = paths.map(|(at, row)| (node(row).path.clone(), at));
    let paths: BTreeMap<String, usize> = sys::sort::inserted(paths);
    for row in above {
        let at = paths.get(&node(&row).path);
        match at.and_then(|at| rows.get_mut(*at)) {
            Some(below) => merge(below, row),
            None => rows.push(row),
        }
    }
}

/// Parses `storage`.
pub fn parse(mut storage: Object<'_>, diagnostics: &mut Diagnostics) -> Storage {
    let mut found = Storage::default();
    for object in storage.objects("directories", diagnostics) {
        found.directories.extend(directory(object, diagnostics));
    }
    for object in storage.objects("files", diagnostics) {
        found.files.extend(file(object, diagnostics));
    }
    for object in storage.objects("links", diagnostics) {
        found.links.extend(link(object, diagnostics));
    }
    for (name, right) in [
        ("disks", "b2p.data= and b2p.format= choose the disk"),
        ("raid", "one disk has the data"),
        ("luks", "the data disk is not encrypted"),
        (
            "filesystems",
            "a mount unit mounts a file system that exists",
        ),
    ] {
        if !storage.items(name, diagnostics).is_empty() {
            diagnostics.failed(format_args!("storage.{name}: not supported: {right}"));
        }
    }
    storage.finish(diagnostics);
    // A directory before those in it.
    sys::sort::sort_by(&mut found.directories, |a, b| a.node.path.cmp(&b.node.path));
    found
}

fn directory(mut object: Object<'_>, diagnostics: &mut Diagnostics) -> Option<Directory> {
    let node = node(&mut object, diagnostics);
    let mode = mode(&mut object, diagnostics);
    object.finish(diagnostics);
    Some(Directory {
        node: node?,
        mode: mode?,
    })
}

fn file(mut object: Object<'_>, diagnostics: &mut Diagnostics) -> Option<File> {
    let node = node(&mut object, diagnostics);
    let mode = mode(&mut object, diagnostics);
    let whole = content(object.object("contents", diagnostics), diagnostics);
    let appended = object.objects("append", diagnostics).into_iter();
    let appended: Vec<_> = appended.map(|part| content(part, diagnostics)).collect();
    object.finish(diagnostics);
    // A file of which a part is wrong is not written.
    let append: Result<Vec<Option<Content>>> = appended.into_iter().collect();
    let contents = whole.and_then(|whole| Ok((whole, append?)));
    let (content, append) = contents.map_err(|why| diagnostics.failed(why)).ok()?;
    Some(File {
        node: node?,
        mode: mode?,
        content,
        append: append.into_iter().flatten().collect(),
    })
}

fn link(mut object: Object<'_>, diagnostics: &mut Diagnostics) -> Option<Link> {
    let node = node(&mut object, diagnostics);
    let target = object.text("target", diagnostics).map(str::to_owned);
    let hard = object.flag("hard", diagnostics);
    let target_path = object.path_of("target");
    object.finish(diagnostics);
    let is_right = |target: &String| match hard {
        Some(true) => is_right_path(target),
        _ => target.len() <= MAX_PATH && !target.contains('\0'),
    };
    let target = target.filter(is_right);
    if target.is_none() {
        diagnostics.failed(format_args!("{target_path}: must be a path"));
    }
    Some(Link {
        node: node?,
        target: target?,
        hard,
    })
}

fn node(object: &mut Object<'_>, diagnostics: &mut Diagnostics) -> Option<Node> {
    let user = owner(object, "user", diagnostics);
    let group = owner(object, "group", diagnostics);
    let overwrite = object.flag("overwrite", diagnostics);
    let path = object.text("path", diagnostics).unwrap_or_default();
    let path_of_path = object.path_of("path");
    if !is_right_path(path) {
        diagnostics.failed(format_args!(
            "{path_of_path}: {path:?}: must be an absolute path without . and .."
        ));
        return None;
    }
    let below = |tree: &str| path == tree || path.starts_with(&format!("{tree}/"));
    if let Some((tree, why)) = RESERVED.iter().find(|(tree, _)| below(tree)) {
        diagnostics.failed(format_args!("{path_of_path}: {path}: {tree} has {why}"));
        return None;
    }
    Some(Node {
        row: object.path.clone(),
        path: path.to_owned(),
        user: user?,
        group: group?,
        overwrite,
    })
}

/// Returns true for an absolute path of which each part is a name.
fn is_right_path(path: &str) -> bool {
    let is_name = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    let parts = path.strip_prefix('/').unwrap_or_default();
    path.len() <= MAX_PATH && parts.split('/').all(is_name)
}

/// Returns the permission bits, if there are any; `None` for wrong ones, which are named.
fn mode(object: &mut Object<'_>, diagnostics: &mut Diagnostics) -> Option<Option<u32>> {
    if object.get("mode").is_none() {
        return Some(None);
    }
    object.number("mode", 0o7777, diagnostics).map(Some)
}

/// Returns the owner by name or number; `None` for a wrong one, which is named.
fn owner(
    object: &mut Object<'_>,
    kind: &'static str,
    diagnostics: &mut Diagnostics,
) -> Option<Owner> {
    let mut owner = object.object(kind, diagnostics);
    let is_given = owner.get("id").is_some();
    let id = owner.number("id", u32::MAX - 1, diagnostics);
    let name = owner.text("name", diagnostics).map(str::to_owned);
    let path = owner.path.clone();
    owner.finish(diagnostics);
    match (id, name) {
        (Some(_), Some(_)) => {
            diagnostics.failed(format_args!("{path}: must have id or name, not both"));
            None
        }
        (Some(id), None) => Some(Owner::Id(id)),
        (None, Some(name)) => Some(Owner::Name(name)),
        (None, None) => (!is_given).then_some(Owner::Unnamed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Storage {
        let members = super::super::document::parse(text.as_bytes()).unwrap_or_default();
        let mut diagnostics = Diagnostics::default();
        let storage = parse(Object::root(&members), &mut diagnostics);
        assert!(diagnostics.failed.is_empty(), "{diagnostics:?}");
        storage
    }

    #[test]
    fn rows_are_merged_member_by_member() {
        let mut storage = parsed(
            r#"{"files":[{"path":"/a","mode":384,"overwrite":true,"user":{"id":7},"contents":{"source":"data:,one"},
            "append":[{"source":"data:,1"}]},{"path":"/b","contents":{"source":"data:,b"}},{"path":"/c"},
            {"path":"/kept","overwrite":true}],
            "directories":[{"path":"/d","mode":448,"group":{"name":"g"}},{"path":"/e"}],
            "links":[{"path":"/l","target":"/x","user":{"name":"u"}},{"path":"/h","target":"/x","hard":true},
            {"path":"/s","target":"/x","hard":true}]}"#,
        );
        storage.merge(parsed(
            r#"{"files":[{"path":"/a","mode":420,"group":{"id":8},"append":[{"source":"data:,2"}]},{"path":"/e"},
            {"path":"/kept","overwrite":false}],
            "directories":[{"path":"/d","user":{"id":9}},{"path":"/c"}],"links":[{"path":"/l","target":"/y"},
            {"path":"/h","target":"/y"},{"path":"/s","target":"/y","hard":false}]}"#,
        ));
        let merged = parsed(
            r#"{"files":[{"path":"/a","mode":420,"overwrite":true,"user":{"id":7},"group":{"id":8},
            "contents":{"source":"data:,one"},"append":[{"source":"data:,1"},{"source":"data:,2"}]},
            {"path":"/b","contents":{"source":"data:,b"}},{"path":"/kept","overwrite":false},{"path":"/e"}],
            "directories":[{"path":"/c"},{"path":"/d","mode":448,"user":{"id":9},"group":{"name":"g"}}],
            "links":[{"path":"/l","target":"/y","user":{"name":"u"}},{"path":"/h","target":"/y","hard":true},
            {"path":"/s","target":"/y","hard":false}]}"#,
        );
        let without_places = |mut storage: Storage| {
            let files = storage.files.iter_mut().map(|row| &mut row.node);
            let directories = storage.directories.iter_mut().map(|row| &mut row.node);
            let links = storage.links.iter_mut().map(|row| &mut row.node);
            files
                .chain(directories)
                .chain(links)
                .for_each(|node| node.row.clear());
            storage
        };
        assert_eq!(without_places(storage), without_places(merged));
    }
}
