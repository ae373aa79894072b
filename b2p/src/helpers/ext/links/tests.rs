// SPDX-License-Identifier: Apache-2.0
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

    fn image(&self, name: &str) -> PathBuf {
        self.0.path("ext").join(name)
    }

    fn record(&self, name: &str) -> Record {
        Record::at(self.image(name).with_extension("links"))
    }

    fn remove(&self, name: &str, others: &[&str]) {
        let others: Vec<_> = others
            .iter()
            .map(|other| (self.image(other), self.record(other)))
            .collect();
        let (image, record) = (self.image(name), self.record(name));
        remove(&image, &self.0.path("root"), &record, &others).unwrap();
    }

    fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.0.path("root").join(path)).is_ok()
    }

    fn make(&self, name: &str) -> Result<Linked> {
        make(&self.image(name), &self.0.path("root"), &self.record(name))
    }

    /// Returns the content of a file of the root, whatever leads to it.
    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.path("root").join(path)).unwrap()
    }
}

#[test]
fn every_file_is_linked_and_existing_files_stay() {
    let tree = Tree::new();
    tree.file("ext/a/usr/bin/strace").file("ext/a/usr/bin/bash");
    tree.file("ext/a/usr/bin/ip").file("ext/a/usr/share/new/x");
    tree.file("ext/a/usr/lib/y").file("ext/a/etc/passwd/z");
    tree.link("ext/a/usr/bin/tracer", "strace");
    tree.file("root/usr/bin/bash").file("root/etc/passwd");
    tree.file("root/usr/bin/busybox")
        .link("root/usr/bin/ip", "busybox");
    // A link of another extension, which leads to a place that is not for this one.
    tree.file("ext/a/usr/share/link/z")
        .link("root/usr/share/link", "../../etc");
    tree.file("root/usr/lib/old");
    let linked = tree.make("a").unwrap();
    let mut kept = linked.existing.clone();
    kept.sort_unstable();
    let expected = ["/etc/passwd", "/usr/bin/bash", "/usr/share/link"];
    assert_eq!(kept, expected.map(Path::new));
    assert!(!tree.has("etc/z"));
    assert_eq!((linked.in_root, linked.shared), (5, 0));
    for path in ["usr/bin/strace", "usr/bin/ip", "usr/share/new/x"] {
        assert!(
            tree.read(path).ends_with(&format!("ext/a/{path}")),
            "{path}"
        );
    }
    assert!(tree.read("usr/bin/tracer").ends_with("strace"));
    assert!(tree.read("usr/lib/y").ends_with("ext/a/usr/lib/y"));
    assert!(tree.read("usr/bin/bash").ends_with("root/usr/bin/bash"));
    // Once more, and nothing changes.
    let again = tree.make("a").unwrap();
    assert_eq!((again.in_root, again.existing.len()), (5, 3));
}

#[test]
fn two_extensions_share_a_library() {
    let tree = Tree::new();
    tree.file("ext/a/usr/lib/libx.so.1.2")
        .link("ext/a/usr/lib/libx.so.1", "libx.so.1.2");
    tree.file("ext/b/usr/lib/libx.so.1.2")
        .link("ext/b/usr/lib/libx.so.1", "libx.so.1.2");
    tree.file("ext/b/usr/bin/b");
    tree.make("a").unwrap();
    let linked = tree.make("b").unwrap();
    assert_eq!((linked.in_root, linked.shared), (2, 1));
    assert!(linked.existing.is_empty());
    assert!(
        tree.read("usr/lib/libx.so.1")
            .ends_with("ext/a/usr/lib/libx.so.1.2")
    );
}

#[test]
fn a_tree_that_is_too_deep_is_refused() {
    let tree = Tree::new();
    tree.file(&format!("ext/a/{}x", "d/".repeat(MAX_DEPTH + 1)));
    assert!(why(tree.make("a")).ends_with(": too deep"));
    assert!(tree.make("none").is_err());
}

#[test]
fn a_recorded_file_that_the_image_lacks_does_not_stop_the_removal() {
    let tree = Tree::new();
    tree.file("ext/a/usr/bin/foo");
    fs::create_dir_all(tree.0.path("root/usr/bin")).unwrap();
    tree.make("a").unwrap();
    let torn = Change::Link("usr/bin/flink usr/bin/foo".into());
    tree.record("a").add(&torn).unwrap();
    tree.remove("a", &[]);
    assert!(!tree.has("usr/bin/foo"));
}

#[test]
fn a_removed_extension_leaves_the_root_as_it_was() {
    let tree = Tree::new();
    tree.file("ext/a/usr/bin/strace").file("ext/a/usr/bin/bash");
    tree.file("ext/a/usr/bin/ip").file("ext/a/usr/share/new/x");
    tree.file("ext/a/etc/own.conf")
        .link("ext/a/usr/bin/same", "strace");
    tree.file("root/usr/bin/bash").file("root/usr/bin/busybox");
    tree.link("root/usr/bin/ip", "busybox")
        .link("root/usr/bin/same", "strace");
    fs::create_dir(tree.0.path("root/etc")).unwrap();
    tree.make("a").unwrap();
    // The user replaces a link by a file.
    fs::remove_file(tree.0.path("root/etc/own.conf")).unwrap();
    tree.file("root/etc/own.conf");
    tree.remove("a", &[]);
    for path in ["usr/bin/strace", "usr/share/new", "usr/share"] {
        assert!(!tree.has(path), "{path}");
    }
    for path in ["usr/bin/same", "etc/own.conf", "usr/bin/bash", "usr/bin"] {
        assert!(tree.has(path), "{path}");
    }
    let ip = fs::read_link(tree.0.path("root/usr/bin/ip")).unwrap();
    assert_eq!(ip, Path::new("busybox"));
    assert!(!tree.0.path("ext/a.links").exists());
    assert_eq!(tree.make("a").unwrap().in_root, 4);
}

#[test]
fn a_shared_file_is_linked_to_the_remaining_extension() {
    let tree = Tree::new();
    for name in ["a", "b"] {
        tree.file(&format!("ext/{name}/usr/lib/x/libx.so.1.2"))
            .file(&format!("ext/{name}/usr/bin/ip"))
            .link(&format!("ext/{name}/usr/lib/x/libx.so.1"), "libx.so.1.2");
    }
    tree.link("root/usr/bin/ip", "busybox");
    tree.make("a").unwrap();
    tree.make("b").unwrap();
    tree.remove("a", &["b"]);
    for path in ["usr/lib/x/libx.so.1", "usr/bin/ip"] {
        assert!(tree.read(path).contains("/ext/b/"), "{path}");
    }
    tree.remove("b", &[]);
    assert!(!tree.has("usr/lib"));
    let ip = fs::read_link(tree.0.path("root/usr/bin/ip")).unwrap();
    assert_eq!(ip, Path::new("busybox"));
}
