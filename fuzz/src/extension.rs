// SPDX-License-Identifier: Apache-2.0
//! Target `extension`: manifest of an extension on a medium of unknown origin.

use b2p::helpers::ext::manifest::{Manifest, Platform};

pub(crate) const DICTIONARY: &[&str] = &[
    "#",
    "\n",
    " ",
    "format 1\n",
    "name debug\n",
    "architecture amd64\n",
    "suite trixie\n",
    "libc 2.41\n",
    "size 4096\n",
    "sha256 ab\n",
    "needs libc.so.6\n",
    "needs git\n",
    "user tcpdump\n",
    "user statd 104\n",
    "kernel 6.12.1-cloud\n",
    "module nfs\n",
    "service statd\n",
    "lines 12\n",
    "package strace 6.13\n",
    "../",
    "\x1b",
    "\r",
];

/// An accepted manifest is complete, printable and safe to use; an error is one line.
pub fn extension(data: &[u8]) {
    let has_library = |name: &str| name.starts_with("lib");
    let platform = Platform {
        libc: "2.41",
        kernel: "6.12.1-cloud",
        has_library: &has_library,
    };
    let manifest = match Manifest::parse(data) {
        Ok(manifest) => manifest,
        Err(why) => return check_error(&why.to_string()),
    };
    for key in ["name", "libc", "suite", "size", "sha256"] {
        assert_eq!(manifest.values(key).count(), 1, "{key}");
        assert!(!manifest.value(key).is_empty(), "{key}");
    }
    assert!(!manifest.packages().contains(char::is_control));
    match manifest.check("debug", &platform) {
        Ok(()) => check_manifest(&manifest, &platform),
        Err(why) => check_error(&why.to_string()),
    }
}

/// Checks the values of a manifest that the platform accepts.
fn check_manifest(manifest: &Manifest<'_>, platform: &Platform<'_>) {
    assert_eq!(manifest.value("name"), "debug");
    assert_eq!(manifest.value("libc"), "2.41");
    let plain = |n: &str| !n.is_empty() && !n.contains(['/', ':', '\n', ' ']);
    assert!(manifest.users().all(|user| plain(user.name)));
    let mut uids = manifest.users().filter_map(|user| user.uid);
    assert!(uids.all(|uid| uid >= 100));
    assert_eq!(manifest.users().count(), manifest.values("user").count());
    for key in ["needs", "module", "service", "kernel"] {
        assert!(manifest.values(key).all(plain), "{key}");
    }
    let mut libraries = manifest.needed_libraries();
    assert!(libraries.all(|name| (platform.has_library)(name)));
    assert!(manifest.modules().next().is_none() || manifest.value("kernel") == platform.kernel);
}

fn check_error(why: &str) {
    assert!(
        !why.is_empty() && !why.contains(char::is_control),
        "{why:?}"
    );
}
