// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;
use crate::common::testing::why;

const GOOD: &str = "# x\nformat 1\nname debug\narchitecture amd64\nsuite trixie\n\
    libc 2.41\nsize 4096\nsha256 ab\n\nneeds libc.so.6\nlater true\n\
    package strace 6.13+ds-1\npackage lsof 4\n";

fn check(text: &str) -> Result<()> {
    let has_library = |name: &str| name == "libc.so.6";
    let platform = Platform {
        libc: "2.41",
        kernel: "6.12.1-cloud",
        has_library: &has_library,
    };
    Manifest::parse(text.as_bytes())?.check("debug", &platform)
}

#[test]
fn a_manifest_that_matches_the_machine_is_accepted() {
    assert_eq!(check(GOOD), Ok(()));
    let manifest = Manifest::parse(GOOD.as_bytes()).unwrap();
    assert_eq!(manifest.packages(), "strace 6.13+ds-1, lsof 4");
    assert_eq!(
        (manifest.value("size"), manifest.value("sha256")),
        ("4096", "ab")
    );
}

#[test]
fn users_modules_services_and_needs_are_told_apart() {
    let more = "needs git\nkernel 6.12.1-cloud\nmodule nfs\nservice statd\nuser _rpc\nuser statd 104\n\
        lines 9\n";
    let text = format!("{GOOD}{more}# a comment of a person\n");
    assert_eq!(check(&text), Ok(()));
    let manifest = Manifest::parse(text.as_bytes()).unwrap();
    assert_eq!(manifest.needed_extensions().collect::<Vec<_>>(), ["git"]);
    assert_eq!(
        manifest.needed_libraries().collect::<Vec<_>>(),
        ["libc.so.6"]
    );
    assert_eq!(manifest.modules().collect::<Vec<_>>(), ["nfs"]);
    let users: Vec<_> = manifest.users().map(|u| (u.name, u.uid)).collect();
    assert_eq!(users, [("_rpc", None), ("statd", Some(104))]);
}

/// Parts of [`GOOD`], what replaces them, and the reason for refusal.
#[rustfmt::skip]
const MISTAKES: &[(&str, &str, &str)] = &[
    ("format 1", "format 2", "format 2"),
    ("debug", "debag", "that of debag"),
    ("amd64", "arm64", "made for arm64"),
    ("2.41", "2.36", "the C library 2.36 of Debian trixie"),
    ("libc.so.6", "libx.so.1", "needs libx.so.1"),
    ("libc.so.6", "../libc.so.6", "needs: ../libc.so.6 is no name"),
    ("later true", "user a:b", "a:b is no name of a user"),
    ("later true", "user a 0", "from 100 to 999"),
    ("later true", "user a 1000", "from 100 to 999"),
    ("later true", "user a\nuser a 200", "user a is there twice"),
    ("later true", "module a/b", "a/b is no name of a kernel module"),
    ("later true", "module nfs", "the module nfs and no kernel"),
    ("later true", "service Web", "Web is no name of a service"),
    ("later true", "service ../x", "../x is no name of a service"),
    ("later true", "kernel 6.1/x", "6.1/x is no name of a release"),
    ("later true", "kernel 6.1.0-9", "for the kernel 6.1.0-9, this machine runs 6.12.1-cloud"),
    ("later true", "kernel a\nkernel a", "line 12: kernel is there twice"),
    ("later true", "needs libc.so.6", "line 11: needs is there twice"),
    ("later true", "lines 14", "truncated"),
    ("# x", "lines 15", "truncated"),
    ("later true", "La/ter true", "line 11: the first word"),
    ("later true", "\u{e9}tat x", "line 11: the first word"),
    ("later true\n", "later true\r\n", "line 11: it has Windows line ends"),
    ("# x\n", "# x\r\n", "line 1: it has Windows line ends"),
    ("lsof 4\n", "lsof 4", "truncated"),
    ("format 1", "format 2\nformat 2", "line 3: format is there twice"),
    ("sha256 ab", "", "has no sha256"),
    ("later true", "size 1", "line 11: size is there twice"),
    ("later true", "later", "line 11: must be a word"),
    ("later true", "later \x1b", "line 11: there is a control"),
    ("later true", "later a\tb", "line 11: there is a control"),
    ("lsof 4", "lsof \u{202e}4", "line 13: there is a control"),
    ("# x", "# \u{2066}x", "line 1: there is a control"),
    ("later true", "lines abc", "truncated"),
];

#[test]
fn a_manifest_with_a_mistake_is_refused_with_the_reason() {
    for (from, to, reason) in MISTAKES {
        let refused = why(check(&GOOD.replacen(from, to, 1)));
        assert!(refused.contains(reason), "{to}: {refused}");
    }
    let long = format!("{GOOD}later {}\n", "x".repeat(300));
    assert!(why(check(&long)).contains("line 14: longer"));
    let long = format!("{GOOD}#{}", "x".repeat(70_000));
    assert!(why(check(&long)).contains("longer"));
    let user = |n: usize| format!("user u{n}\n");
    let users = |count| format!("{GOOD}{}", (0..count).map(user).collect::<String>());
    assert_eq!(check(&users(MAX_USERS)), Ok(()));
    assert!(why(check(&users(MAX_USERS + 1))).contains("more than 64 users"));
    assert!(why(Manifest::parse(&[0xff])).contains("not text"));
    // A later format need not have the keys of this one.
    assert!(why(Manifest::parse(b"format 7\n")).contains("format 7"));
}
