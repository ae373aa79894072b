// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;
use crate::common::testing::{Temp, why};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

fn own(mode: u32) -> Attributes {
    let uid = geteuid().as_raw();
    let gid = nix::unistd::getegid().as_raw();
    Attributes { mode, uid, gid }
}

#[test]
fn files_directories_and_links() {
    let temp = Temp::new();
    let tree = Tree::open(temp.dir()).unwrap();
    tree.replace("/a/b/file", b"one", own(0o4711)).unwrap();
    tree.replace("/a/b/file", b"two", own(0o640)).unwrap();
    assert_eq!(tree.read("/a/b/file", 9).unwrap().unwrap(), b"two");
    assert!(why(tree.read("/a/b/file", 2)).contains("longer than 2"));
    let mode = |path: &str| fs::metadata(temp.path(path)).unwrap().permissions().mode();
    assert_eq!(mode("a/b/file") & 0o7777, 0o640);
    assert_eq!(mode("a/b") & 0o7777, 0o755);
    tree.directory("/a/b", own(0o700)).unwrap();
    assert_eq!(mode("a/b") & 0o7777, 0o700);
    tree.symlink("/a/link", "b/file", own(0)).unwrap();
    tree.symlink("/a/link", "nowhere", own(0)).unwrap();
    assert_eq!(
        fs::read_link(temp.path("a/link")).unwrap(),
        Path::new("nowhere")
    );
    tree.hard_link("/a/hard", "/a/b/file").unwrap();
    tree.hard_link("/a/hard", "/a/b/file").unwrap();
    assert_eq!(fs::metadata(temp.path("a/hard")).unwrap().nlink(), 2);
    assert_eq!(fs::read_dir(temp.path("a")).unwrap().count(), 3);
    assert_eq!(tree.kind("/a/link").unwrap(), Some(SFlag::S_IFLNK));
    assert_eq!(tree.kind("/none/at/all").unwrap(), None);
    assert!(why(tree.replace("/a/b", b"", own(0o644))).contains("EISDIR"));
    assert!(why(tree.directory("/a/hard", own(0o755))).contains("/a/hard"));
    assert!(why(tree.replace("/a/hard/x", b"", own(0o644))).contains("ENOTDIR"));
    assert!(why(tree.replace("/", b"", own(0o644))).contains("a name at its end"));
}

#[test]
fn links_lead_only_where_their_owner_is_trusted() {
    let temp = Temp::new();
    fs::create_dir_all(temp.path("etc")).unwrap();
    symlink("/etc", temp.path("link")).unwrap();
    symlink("loop", temp.path("loop")).unwrap();
    symlink("../../../../..", temp.path("up")).unwrap();
    let tree = Tree::open(temp.dir()).unwrap();
    // An absolute link begins at the root of the tree.
    tree.replace("/link/file", b"x", own(0o644)).unwrap();
    assert_eq!(fs::read(temp.path("etc/file")).unwrap(), b"x");
    assert!(why(tree.read("/loop/x", 9)).contains("ELOOP"));
    let tree = tree.trusting_another();
    let refused = why(tree.replace("/link/file", b"y", own(0o644)));
    assert!(
        refused.contains("link is a symbolic link of user"),
        "{refused}"
    );
    assert!(why(tree.read("/link/file", 9)).contains("symbolic link"));
    // The last name is replaced, for any owner of the link.
    tree.replace("/link", b"y", own(0o644)).unwrap();
    assert_eq!(fs::read(temp.path("link")).unwrap(), b"y");
}
