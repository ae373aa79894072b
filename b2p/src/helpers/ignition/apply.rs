// SPDX-License-Identifier: Apache-2.0
//! Applies a plan, at every boot: files that exist already stay as they are.

use std::path::Path;
use std::time::Instant;

use config::{Config, Etc};
use log::info;
use nix::sys::stat::SFlag;
use sys::error::{Doing, Error, Result};

use super::apply_units;
use super::data_url::Content;
use super::known_paths::{self, Handler};
use super::plan::Plan;
use super::storage::{Directory, File, Link, Node, Owner};
use crate::common::confined::{Attributes, Tree};
use crate::helpers::cloud::diagnostics::Diagnostics;
use crate::helpers::cloud::files::{appended, gunzip};
use crate::helpers::cloud::users;

/// Attributes of files and directories that name none and do not exist.
const OF_FILES: Attributes = Attributes {
    mode: 0o644,
    uid: 0,
    gid: 0,
};
const OF_DIRECTORIES: Attributes = Attributes {
    mode: 0o755,
    ..OF_FILES
};
/// Longest file to which contents are appended, in bytes.
const MAX_APPENDED_TO: u64 = 64 << 20;
/// Trees that a data disk may keep: a file there may be that of an earlier boot, which its user
/// has changed since.
const KEPT_TREES: &[&str] = &["/home/", "/root/", "/var/"];
/// Trees of /etc of the same kind, by `b2p.etc=`.
const KEPT_OF_ETC: &[(Etc, &[&str])] = &[
    (Etc::Containers, &["/etc/containers/", "/etc/tmpfiles.d/"]),
    (Etc::All, &["/etc/"]),
    (Etc::Ram, &[]),
];

/// Applies everything; mounts until `deadline`.
pub fn apply(plan: &Plan, config: &Config, deadline: Instant, diagnostics: &mut Diagnostics) {
    users::add_groups(&plan.accounts.groups, diagnostics);
    let accounts = &plan.accounts;
    users::add_all(&accounts.users, &accounts.removed, diagnostics);
    users::remove_all(&accounts.removed, diagnostics);
    let root = match Tree::open(Path::new("/")) {
        Ok(root) => root,
        Err(why) => return diagnostics.failed(why),
    };
    let ids = Ids::read();
    for row in &plan.storage.directories {
        named(&row.node, directory(&root, row, &ids), diagnostics);
    }
    for row in &plan.storage.files {
        named(&row.node, file(&root, row, &ids, config.etc), diagnostics);
        if let Some(right) = known_paths::unread(&row.node.path) {
            let (row, path) = (&row.node.row, &row.node.path);
            diagnostics.failed(format_args!("{row}: {path} has no effect: {right}"));
        }
    }
    for row in &plan.storage.links {
        named(&row.node, link(&root, row, &ids, config), diagnostics);
    }
    apply_units::apply(&plan.units, &root, deadline, diagnostics);
    for row in &plan.storage.files {
        let (name, path) = (&row.node.row, &row.node.path);
        if let Some(unit) = apply_units::missing_unit(&root, path) {
            diagnostics.failed(format_args!(
                "{name}: {path} has no effect: there is no {unit}; `b2p status` lists the services"
            ));
        }
        if let Some(Handler::AfterWrite(act)) = known_paths::handler(&row.node.path) {
            named(&row.node, act(&row.node.path), diagnostics);
        }
    }
}

/// Reports a failure with the row's place in the document.
fn named(node: &Node, outcome: Result<()>, diagnostics: &mut Diagnostics) {
    if let Err(why) = outcome {
        diagnostics.failed(format_args!("{}: {why}", node.row));
    }
}

/// Texts of the files that have the numbers of users and groups.
struct Ids {
    passwd: String,
    group: String,
}

impl Ids {
    fn read() -> Ids {
        let read = |path: &str| sys::files::read_text(path).unwrap_or_default();
        Ids {
            passwd: read("/etc/passwd"),
            group: read("/etc/group"),
        }
    }

    /// Returns the attributes that a row names, and those of `other` in place of the missing ones.
    fn attributes(&self, node: &Node, mode: Option<u32>, other: Attributes) -> Result<Attributes> {
        let uid = number(&self.passwd, &node.user, other.uid).doing("user.name")?;
        let gid = number(&self.group, &node.group, other.gid).doing("group.name")?;
        let mode = mode.unwrap_or(other.mode);
        Ok(Attributes { mode, uid, gid })
    }
}

fn number(text: &str, owner: &Owner, other: u32) -> Result<u32> {
    let name = match owner {
        Owner::Unnamed => return Ok(other),
        Owner::Id(id) => return Ok(*id),
        Owner::Name(name) => name,
    };
    let line = text.lines().find(|l| l.split(':').next() == Some(name));
    let number = line.and_then(|l| l.split(':').nth(2)?.parse().ok());
    number.ok_or_else(|| Error::invalid(format!("there is no {name}; passwd can make it")))
}

fn directory(root: &Tree, row: &Directory, ids: &Ids) -> Result<()> {
    let path = &row.node.path;
    let other = root.attributes(path)?.unwrap_or(OF_DIRECTORIES);
    let attributes = ids.attributes(&row.node, row.mode, other)?;
    match root.kind(path)? {
        // Of a link to a directory, as /var/run is, the directory stays as it is.
        Some(SFlag::S_IFLNK) if Path::new(path).is_dir() && row.node.overwrite != Some(true) => {
            Ok(())
        }
        _ => root.directory(path, attributes),
    }
}

fn file(root: &Tree, row: &File, ids: &Ids, etc: Etc) -> Result<()> {
    let node = &row.node;
    let path = node.path.as_str();
    let exists = root.kind(path)?.is_some();
    let whole = row.content.as_ref().map(expand).transpose()?;
    // A content of the document is a new file (Ignition 3.x, `mode`).
    let existing = root.attributes(path)?.filter(|_| whole.is_none());
    let attributes = ids.attributes(node, row.mode, existing.unwrap_or(OF_FILES))?;
    let mut bytes = match (&whole, exists) {
        (None, true) if row.append.is_empty() => return root.set_attributes(path, attributes),
        (None, true) => root.read(path, MAX_APPENDED_TO)?.unwrap_or_default(),
        (None, false) => Vec::new(),
        (Some(bytes), _) => bytes.clone(),
    };
    for part in &row.append {
        let part = expand(part)?;
        match whole {
            Some(_) => bytes.extend(part),
            // It is there already where the file is kept from an earlier boot.
            None => bytes = appended(bytes, &part),
        }
    }
    match known_paths::handler(path) {
        Some(Handler::Content(change, judge)) => {
            let existing = root.read(path, MAX_APPENDED_TO)?.unwrap_or_default();
            let bytes = change(&existing, &bytes);
            root.replace(path, &bytes, attributes)?;
            return judge(&bytes).on(path);
        }
        Some(Handler::Text(act)) => return act(&String::from_utf8_lossy(&bytes)).on(path),
        _ => {}
    }
    if exists && whole.is_some() && node.overwrite != Some(true) {
        let existing = root.read(path, MAX_APPENDED_TO)?.unwrap_or_default();
        if existing != bytes {
            return stays(path, etc);
        }
    }
    root.replace(path, &bytes, attributes)
}

/// Reports what exists and must not be replaced.
fn stays(path: &str, etc: Etc) -> Result<()> {
    let of_etc = KEPT_OF_ETC.iter().filter(|(setting, _)| *setting == etc);
    let mut trees = of_etc.flat_map(|(_, trees)| *trees).chain(KEPT_TREES);
    if trees.any(|tree| path.starts_with(tree)) {
        info!("ignition: {path} exists and stays as it is");
        return Ok(());
    }
    let why = "it exists with another content; overwrite: true replaces it";
    Err(Error::invalid(format!("{path}: {why}")))
}

/// Returns the decompressed bytes, if they have the right checksum.
fn expand(content: &Content) -> Result<Vec<u8>> {
    let bytes = match content.is_gzip {
        true => gunzip(&content.bytes)?,
        false => content.bytes.clone(),
    };
    content.verify(&bytes)?;
    Ok(bytes)
}

fn link(root: &Tree, row: &Link, ids: &Ids, config: &Config) -> Result<()> {
    let (node, target) = (&row.node, row.target.as_str());
    let attributes = ids.attributes(node, None, OF_FILES)?;
    let path = node.path.as_str();
    if let Some(Handler::Link(act)) = known_paths::handler(path) {
        return act(target, config);
    }
    if row.hard == Some(true) {
        return root.hard_link(path, target);
    }
    match root.kind(path)? {
        Some(SFlag::S_IFLNK) | None => {}
        Some(_) if node.overwrite == Some(true) => {}
        Some(_) => return stays(path, config.etc),
    }
    root.symlink(path, target, attributes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};
    use nix::unistd::{getegid, geteuid};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn node(path: &str, overwrite: bool) -> Node {
        Node {
            row: "storage.files[0]".into(),
            path: path.into(),
            user: Owner::Id(geteuid().as_raw()),
            group: Owner::Id(getegid().as_raw()),
            overwrite: Some(overwrite),
        }
    }

    fn content(text: &str) -> Content {
        Content {
            bytes: text.as_bytes().to_vec(),
            ..Content::default()
        }
    }

    fn ids() -> Ids {
        Ids {
            passwd: "root:x:0:0::/root:/bin/sh\nann:x:7:8::/:/bin/sh\n".into(),
            group: "staff:x:50:\n".into(),
        }
    }

    #[test]
    fn a_file_is_written_once_and_what_exists_stays() {
        let temp = Temp::new();
        let root = Tree::open(temp.dir()).unwrap();
        let mut row = File {
            node: node("/etc/motd", false),
            mode: Some(0o600),
            content: Some(content("one\n")),
            append: vec![content("two\n")],
        };
        let write = |row: &File| file(&root, row, &ids(), Etc::Containers);
        let read = || fs::read_to_string(temp.path("etc/motd")).unwrap();
        write(&row).unwrap();
        write(&row).unwrap();
        assert_eq!(read(), "one\ntwo\n");
        row.content = Some(content("other\n"));
        assert!(why(write(&row)).contains("overwrite: true replaces it"));
        assert_eq!(read(), "one\ntwo\n");
        row.node.overwrite = Some(true);
        write(&row).unwrap();
        assert_eq!(read(), "other\ntwo\n");
        // Without a content, the appended text is written once.
        (row.content, row.append) = (None, vec![content("two\n"), content("three\n")]);
        write(&row).unwrap();
        write(&row).unwrap();
        assert_eq!(read(), "other\ntwo\nthree\n");
        (row.append, row.mode) = (Vec::new(), Some(0o640));
        write(&row).unwrap();
        assert_eq!(read(), "other\ntwo\nthree\n");
        let mode = fs::metadata(temp.path("etc/motd"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o640);
    }

    #[test]
    fn an_existing_entry_keeps_the_mode_and_owner_that_its_row_omits() {
        let temp = Temp::new();
        let root = Tree::open(temp.dir()).unwrap();
        let unnamed = |path: &str| Node {
            user: Owner::Unnamed,
            group: Owner::Unnamed,
            ..node(path, false)
        };
        let mode =
            |path: &str| fs::metadata(temp.path(path)).unwrap().permissions().mode() & 0o7777;
        fs::write(temp.path("secret"), "a\n").unwrap();
        fs::create_dir(temp.path("private")).unwrap();
        for (path, mode) in [("secret", 0o600), ("private", 0o700)] {
            fs::set_permissions(temp.path(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        let mut row = File {
            node: unnamed("/secret"),
            mode: None,
            content: None,
            append: vec![content("b\n")],
        };
        file(&root, &row, &ids(), Etc::Ram).unwrap();
        assert_eq!(fs::read(temp.path("secret")).unwrap(), b"a\nb\n");
        assert_eq!(mode("secret"), 0o600);
        let private = Directory {
            node: unnamed("/private"),
            mode: None,
        };
        directory(&root, &private, &ids()).unwrap();
        assert_eq!(mode("private"), 0o700);
        if geteuid().is_root() {
            std::os::unix::fs::chown(temp.path("secret"), Some(7), Some(50)).unwrap();
            file(&root, &row, &ids(), Etc::Ram).unwrap();
            let owner = root.attributes("/secret").unwrap().map(|a| (a.uid, a.gid));
            assert_eq!(owner, Some((7, 50)));
            // A content of the document is a new file.
            (row.content, row.node.overwrite) = (Some(content("c\n")), Some(true));
            file(&root, &row, &ids(), Etc::Ram).unwrap();
            assert_eq!(root.attributes("/secret").unwrap(), Some(OF_FILES));
            assert_eq!(fs::read(temp.path("secret")).unwrap(), b"c\nb\n");
        }
    }

    #[test]
    fn a_changed_file_of_a_kept_tree_stays_without_a_report() {
        for (path, etc, is_kept) in [
            ("home/core/.config/containers/a.conf", Etc::Ram, true),
            ("etc/containers/registries.conf", Etc::Containers, true),
            // After `podman machine set --rootful`.
            ("etc/tmpfiles.d/podman-docker.conf", Etc::Containers, true),
            ("etc/tmpfiles.d/podman-docker.conf", Etc::All, true),
            ("etc/tmpfiles.d/podman-docker.conf", Etc::Ram, false),
            ("etc/motd", Etc::Containers, false),
            ("etc/motd", Etc::All, true),
            ("srv/etc/motd", Etc::All, false),
        ] {
            let temp = Temp::new();
            let root = Tree::open(temp.dir()).unwrap();
            let row = File {
                node: node(&format!("/{path}"), false),
                mode: Some(0o744),
                content: Some(content("of the document")),
                append: Vec::new(),
            };
            file(&root, &row, &ids(), etc).unwrap();
            fs::write(temp.path(path), "mine").unwrap();
            let again = file(&root, &row, &ids(), etc);
            assert_eq!(again.is_ok(), is_kept, "{path} {etc:?}");
            assert_eq!(fs::read(temp.path(path)).unwrap(), b"mine");
        }
    }

    #[test]
    fn owners_by_name_and_number() {
        let ids = ids();
        let named = |name: &str| number(&ids.passwd, &Owner::Name(name.into()), 0);
        assert_eq!(named("ann"), Ok(7));
        assert!(why(named("bob")).contains("there is no bob"));
        assert_eq!(number("", &Owner::Unnamed, 5), Ok(5));
        assert_eq!(number("", &Owner::Id(9), 5), Ok(9));
    }
}
