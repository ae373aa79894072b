// SPDX-License-Identifier: Apache-2.0
//! Manifests for which an extension is refused.

/// Change of a manifest, and the reason for which it is refused.
pub type Changed = (&'static str, fn(&str) -> Vec<u8>, &'static str);

pub const MANIFESTS: &[Changed] = &[
    (
        "m-crlf",
        |text| text.replace('\n', "\r\n").into(),
        "line 1: it has Windows line ends",
    ),
    (
        "m-twice",
        |text| format!("{text}suite sid\n").into(),
        "suite is there twice",
    ),
    (
        "m-huge",
        |text| format!("{text}{}", "# x\n".repeat(20_000)).into(),
        "longer than 64 KiB",
    ),
    ("m-binary", |_| vec![0xff; 300], "not text"),
    (
        "m-cut",
        |text| {
            text.lines()
                .take(9)
                .map(|l| format!("{l}\n"))
                .collect::<String>()
                .into()
        },
        "truncated",
    ),
    (
        "m-half",
        |text| text.as_bytes().get(..200).unwrap_or_default().into(),
        "its manifest",
    ),
    ("m-empty", |_| Vec::new(), "truncated"),
    (
        "m-format",
        |text| text.replace("format 1", "format 9").into(),
        "format 9, this machine reads 1",
    ),
    (
        "m-control",
        |text| format!("{text}later \x1b[2J\n").into(),
        "there is a control character",
    ),
    (
        "m-odd",
        |text| format!("{text}user ../etc\n").into(),
        "../etc is no name of a user",
    ),
    (
        "m-key",
        |text| format!("{text}La/ter x\n").into(),
        "the first word",
    ),
    (
        "m-user",
        |text| format!("{text}user podman-x 100\n").into(),
        "another user than podman-x has the number",
    ),
    (
        "m-root",
        |text| format!("{text}user toor 0\n").into(),
        "toor 0 is no name of a user, with a number from 100 to 999",
    ),
    (
        "m-size",
        |text| with_value(text, "size", "4096000000000"),
        "bytes, its manifest says 4096000000000: damaged",
    ),
    (
        "m-sshd",
        |text| format!("{text}service sshd\n").into(),
        "service sshd: a built-in service has this name",
    ),
    (
        "m-users",
        |text| {
            (0..65)
                .fold(text.to_owned(), |text, n| format!("{text}user u{n}\n"))
                .into()
        },
        "more than 64 users",
    ),
    (
        "m-arch",
        |text| with_value(text, "architecture", "s390x"),
        "not for this machine: it is made for s390x",
    ),
    (
        "m-name",
        |text| with_value(text, "name", "../later"),
        "its manifest is that of ../later",
    ),
    (
        "m-library",
        |text| format!("{text}needs libgone.so.1\n").into(),
        "not for this machine: it needs libgone.so.1",
    ),
    (
        "m-path",
        |text| format!("{text}needs ../later\n").into(),
        "needs: ../later is no name of a library or an extension",
    ),
    (
        "m-upper",
        |text| format!("{text}needs Later\n").into(),
        "not for this machine: it needs Later",
    ),
    (
        "m-self",
        |text| format!("{text}needs m-self\n").into(),
        "m-self, which needs m-self: none of them",
    ),
    (
        "m-gone",
        |text| format!("{text}needs gone\n").into(),
        "m-gone needs the extension gone: no such extension",
    ),
    (
        "m-group",
        |text| format!("{text}user sudo\n").into(),
        "a group sudo is there",
    ),
    (
        "m-kernel",
        |text| format!("{text}kernel 6.1.0-1-amd64\n").into(),
        "for the kernel 6.1.0-1-amd64, this machine runs",
    ),
    (
        "m-line",
        |text| format!("{text}later {}\n", "x".repeat(300)).into(),
        "longer than 256 bytes",
    ),
    (
        "m-lost",
        |text| with_module(text).into(),
        "needs no_such, which neither",
    ),
];

/// Asks for a module that no kernel has; the manifest has the release of the kernel in its first comment
/// without a space.
fn with_module(text: &str) -> String {
    let release = text
        .lines()
        .find_map(|l| l.strip_prefix('#').filter(|l| !l.starts_with(' ')));
    format!(
        "{text}kernel {}\nmodule no-such\n",
        release.unwrap_or_default()
    )
}

/// Changes the value of a key.
fn with_value(text: &str, key: &str, value: &str) -> Vec<u8> {
    let line = |line: &str| match line.split_once(' ') {
        Some((known, _)) if known == key => format!("{key} {value}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect::<String>().into()
}
