// SPDX-License-Identifier: Apache-2.0
//! Target `varlink_path`: paths that a client names for files that root reads, writes and removes.

use std::path::{Component, Path};

use b2p::helpers::varlink::podman::paths::{is_public, is_spooled};

/// Directory of the spool.
const DIR: &str = "/var/lib/boot2podman/varlink";

pub(crate) const DICTIONARY: &[&str] = &[
    "/var/lib/boot2podman/varlink/",
    "0123456789abcdef0123456789abcdef",
    "/tmp/",
    "/var/tmp/",
    "../",
    "/./",
    "//",
    "\0",
    "/etc/shadow",
];

/// - A path of the spool is the directory and one name of 32 digits.
/// - A public path is one of two directories and one name.
/// - Neither has a component that leads to another place, or a byte that ends a path early.
pub fn varlink_path(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let path = Path::new(&*text);
    let is_own = is_spooled(Path::new(DIR), &text);
    if is_own {
        let name = text.strip_prefix("/var/lib/boot2podman/varlink/");
        let name = name.expect("the directory");
        assert!(name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit()));
    }
    if is_public(&text) {
        let parent = path.parent().expect("a directory");
        assert!(parent == Path::new("/tmp") || parent == Path::new("/var/tmp"));
    }
    if is_own || is_public(&text) {
        let normal =
            |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
        assert!(path.components().all(normal) && !text.contains('\0'));
        // As many parts as slashes: none is empty or a dot, which components() passes over.
        assert_eq!(path.components().count(), text.matches('/').count() + 1);
    }
}
