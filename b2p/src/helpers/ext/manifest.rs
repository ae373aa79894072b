// SPDX-License-Identifier: Apache-2.0
//! The manifest beside the image of an extension (initramfs/src/ext/manifest.rs writes it), and
//! whether the extension is for this machine.
//!
//! A manifest is text: a line for each fact, with a key, a space and a value. `#` begins a
//! comment. Unknown keys are ignored.

use std::io::ErrorKind;
use std::path::Path;

use sys::error::{Doing, Error, Result};

/// Longest manifest that is read, in bytes.
pub const MAX_BYTES: u64 = 64 * 1024;
/// Longest line, in bytes: values are shown on one line of a terminal.
const MAX_LINE: usize = 256;
/// The only format so far.
const FORMAT: &str = "1";
/// Architecture of this machine by Debian's name.
const ARCHITECTURE: &str = sys::arch::ARCH.debian;
/// Keys that a manifest has exactly once.
const REQUIRED_KEYS: &[&str] = &[
    "format",
    "name",
    "architecture",
    "suite",
    "libc",
    "size",
    "sha256",
];

/// A parsed manifest.
#[derive(Debug)]
pub struct Manifest<'a> {
    lines: Vec<(&'a str, &'a str)>,
}

/// Facts about a machine that an extension depends on.
pub struct Platform<'a> {
    /// Version of its C library.
    pub libc: &'a str,
    /// Returns true if the machine has a library of this name.
    pub has_library: &'a dyn Fn(&str) -> bool,
}

/// Reads the text of a manifest.
///
/// # Errors
/// The manifest is missing, or cannot be read.
pub fn read_text(path: &Path) -> Result<Vec<u8>> {
    match sys::files::read_bounded(path, MAX_BYTES) {
        Err(e) if e.kind() == ErrorKind::NotFound => Err(Error::invalid(format!(
            "foreign: it has no manifest: {} is made with the image and stays beside it",
            path.display()
        ))),
        read => read.on(path),
    }
}

impl<'a> Manifest<'a> {
    /// Parses a manifest.
    ///
    /// # Errors
    /// A line is wrong, a key is missing, or the text is too long.
    pub fn parse(text: &'a [u8]) -> Result<Manifest<'a>> {
        if text.len() as u64 >= MAX_BYTES {
            let kib = MAX_BYTES >> 10;
            return Err(Error::invalid(format!(
                "its manifest is longer than {kib} KiB"
            )));
        }
        let text =
            std::str::from_utf8(text).map_err(|e| Error::invalid(format!("its manifest: {e}")))?;
        let mut manifest = Manifest { lines: Vec::new() };
        for (number, line) in (1..).zip(text.lines()) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let pair = manifest.parse_line(line);
            let pair = pair.doing(format!("its manifest: line {number}"))?;
            manifest.lines.push(pair);
        }
        let is_missing = |key: &&&str| manifest.value(key).is_empty();
        match REQUIRED_KEYS.iter().find(is_missing) {
            Some(key) => Err(Error::invalid(format!("its manifest has no {key}"))),
            None => Ok(manifest),
        }
    }

    fn parse_line(&self, line: &'a str) -> Result<(&'a str, &'a str)> {
        let wrong = |reason: String| Err(Error::invalid(reason));
        let pair = line.split_once(' ').filter(|(_, value)| !value.is_empty());
        let Some((key, value)) = pair else {
            return wrong("a word, a space and a value are right".into());
        };
        if line.len() > MAX_LINE {
            return wrong(format!("longer than {MAX_LINE} bytes"));
        }
        if line.contains(char::is_control) {
            return wrong("there is a control character".into());
        }
        if REQUIRED_KEYS.contains(&key) && self.values(key).next().is_some() {
            return wrong(format!("{key} is there twice"));
        }
        Ok((key, value))
    }

    /// Returns all values of a key.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &'a str> {
        let lines = self.lines.iter().filter(move |(known, _)| *known == key);
        lines.map(|(_, value)| *value)
    }

    /// Returns the value of a required key.
    pub fn value(&self, key: &str) -> &'a str {
        self.values(key).next().unwrap_or_default()
    }

    /// Checks that the extension has this name and is made for this platform.
    ///
    /// # Errors
    /// The extension does not fit; the error says what would be right.
    pub fn check(&self, name: &str, platform: &Platform<'_>) -> Result<()> {
        match self.mismatch(name, platform) {
            Some(reason) => Err(Error::invalid(reason)).doing("foreign"),
            None => Ok(()),
        }
    }

    fn mismatch(&self, name: &str, platform: &Platform<'_>) -> Option<String> {
        let remake = "`make ext` makes one that fits, where this machine's image is made";
        let [format, own_name, architecture, libc] =
            ["format", "name", "architecture", "libc"].map(|key| self.value(key));
        if format != FORMAT {
            return Some(format!(
                "its manifest has format {format}, this machine reads {FORMAT}; {remake}"
            ));
        }
        if own_name != name {
            return Some(format!(
                "its manifest is that of {own_name}; both files keep the name they were made with"
            ));
        }
        if architecture != ARCHITECTURE {
            return Some(format!(
                "it is made for {architecture}, this machine is {ARCHITECTURE}; {remake}"
            ));
        }
        if libc != platform.libc {
            return Some(format!(
                "it is made for the C library {libc} of Debian {}, this machine has {}; {remake}",
                self.value("suite"),
                platform.libc
            ));
        }
        let is_no_user = |user: &&str| !config::is_extension_name(user);
        if let Some(user) = self.values("user").find(is_no_user) {
            return Some(format!("{user} is no name of a user"));
        }
        let is_missing = |name: &&str| name.contains('/') || !(platform.has_library)(name);
        let missing = self.values("needs").find(is_missing)?;
        Some(format!(
            "it needs {missing}, which this machine does not have; {remake}"
        ))
    }

    /// Returns its packages in one line.
    pub fn packages(&self) -> String {
        self.values("package").collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
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
            has_library: &has_library,
        };
        Manifest::parse(text.as_bytes())?.check("debug", &platform)
    }

    #[test]
    fn one_that_fits() {
        assert_eq!(check(GOOD), Ok(()));
        let manifest = Manifest::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(manifest.packages(), "strace 6.13+ds-1, lsof 4");
        assert_eq!(
            (manifest.value("size"), manifest.value("sha256")),
            ("4096", "ab")
        );
    }

    #[test]
    fn one_that_does_not_is_told_why() {
        for (from, to, reason) in [
            ("format 1", "format 2", "format 2"),
            ("debug", "debag", "that of debag"),
            ("amd64", "arm64", "made for arm64"),
            ("2.41", "2.36", "the C library 2.36 of Debian trixie"),
            ("libc.so.6", "libx.so.1", "needs libx.so.1"),
            ("libc.so.6", "../libc.so.6", "needs ../libc.so.6"),
            ("later true", "user a:b", "a:b is no name"),
            ("sha256 ab", "", "has no sha256"),
            ("later true", "size 1", "line 11: size is there twice"),
            ("later true", "later", "line 11: a word"),
            ("later true", "later \x1b", "line 11: there is a control"),
        ] {
            let refused = why(check(&GOOD.replacen(from, to, 1)));
            assert!(refused.contains(reason), "{to}: {refused}");
        }
        let long = format!("{GOOD}later {}\n", "x".repeat(300));
        assert!(why(check(&long)).contains("line 14: longer"));
        let long = format!("{GOOD}#{}", "x".repeat(70_000));
        assert!(why(check(&long)).contains("longer"));
        assert!(Manifest::parse(&[0xff]).is_err());
    }
}
