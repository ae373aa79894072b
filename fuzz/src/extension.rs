//! The manifest of an extension, as it may lie on a disk or a disc that anybody made.
//! The reader is part of a program, so its file is taken as it is.

pub use b2p::helpers::ext::manifest;

use manifest::{Machine, Manifest};

pub(crate) const WORDS: &[&str] = &[
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

/// What is taken is whole, and can be shown and used as it is; a refusal is one line.
pub fn extension(data: &[u8]) {
    let has = |name: &str| name.starts_with("lib");
    let machine = Machine {
        libc: "2.41",
        has: &has,
    };
    let manifest = match Manifest::read(data) {
        Ok(manifest) => manifest,
        Err(why) => return told(&why),
    };
    for word in ["name", "libc", "suite", "size", "sha256"] {
        assert_eq!(manifest.all(word).count(), 1, "{word}");
        assert!(!manifest.one(word).is_empty(), "{word}");
    }
    assert!(!manifest.packages().contains(char::is_control));
    match manifest.fits("debug", &machine) {
        Ok(()) => {
            assert_eq!(
                (manifest.one("name"), manifest.one("libc")),
                ("debug", "2.41")
            );
            let plain = |n: &str| !n.contains(['/', ':', '\n']);
            assert!(manifest.all("user").all(plain));
            assert!(
                manifest
                    .all("needs")
                    .all(|n| plain(n) || has(n) && !n.contains('/'))
            );
        }
        Err(why) => told(&why),
    }
}

fn told(why: &str) {
    assert!(
        !why.is_empty() && !why.contains(char::is_control),
        "{why:?}"
    );
}
