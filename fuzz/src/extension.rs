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
    "user tcpdump\n",
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
        Ok(()) => {
            assert_eq!(
                (manifest.value("name"), manifest.value("libc")),
                ("debug", "2.41")
            );
            let plain = |n: &str| !n.contains(['/', ':', '\n']);
            assert!(manifest.values("user").all(plain));
            assert!(
                manifest
                    .values("needs")
                    .all(|n| plain(n) || has_library(n) && !n.contains('/'))
            );
        }
        Err(why) => check_error(&why.to_string()),
    }
}

fn check_error(why: &str) {
    assert!(
        !why.is_empty() && !why.contains(char::is_control),
        "{why:?}"
    );
}
