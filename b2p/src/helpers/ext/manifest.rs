// SPDX-License-Identifier: Apache-2.0
//! The manifest beside the image of an extension (initramfs/src/ext/manifest.rs writes it), and
//! whether the extension is for this machine.
//!
//! A manifest is text: a line for each fact, with a key, a space and a value. `#` begins a
//! comment. Unknown keys are ignored, and no line is there twice.

use std::io::ErrorKind;
use std::path::Path;

use sys::error::{Doing, Error, Result};

/// Longest manifest that is read, in bytes.
pub const MAX_BYTES: u64 = 64 * 1024;
/// Longest line, in bytes: values are shown on one line of a terminal.
const MAX_LINE: usize = 256;
/// Remedy for an extension that is made for another machine.
const REMAKE: &str = "`make ext` makes one that fits, where this machine's image is made";
/// The only format so far.
const FORMAT: &str = "1";
/// Architecture of this machine by Debian's name.
const ARCHITECTURE: &str = sys::arch::ARCH.debian;
/// Lowest and highest number of a user that a manifest may fix: those of programs (Debian policy 9.2.2).
const SYSTEM_UIDS: std::ops::RangeInclusive<u32> = 100..=999;
/// Most users of an extension: the machine has numbers for 900 programs.
const MAX_USERS: usize = 64;
/// Keys that a manifest has once, if at all: the release of the kernel that its modules are for, and the
/// number of its lines.
const OPTIONAL_KEYS: &[&str] = &["kernel", "lines"];
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

/// User of an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User<'a> {
    /// Login name.
    pub name: &'a str,
    /// Number; `None` if the machine chooses one.
    pub uid: Option<u32>,
}

/// Facts about a machine that an extension depends on.
pub struct Platform<'a> {
    /// Version of its C library.
    pub libc: &'a str,
    /// Release of its kernel (uname(2)).
    pub kernel: &'a str,
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
            "not for this machine: it has no manifest: copy {} too, which is made with the image",
            path.display()
        ))),
        Err(e) if e.kind() == ErrorKind::InvalidInput => Err(Error::invalid(format!(
            "{}: no regular file",
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
        let Ok(text) = std::str::from_utf8(text) else {
            return Err(Error::invalid("its manifest is not text: it is damaged"));
        };
        let mut manifest = Manifest { lines: Vec::new() };
        for (number, line) in (1..).zip(text.split('\n')) {
            if line.is_empty() || line.starts_with('#') && !line.contains(is_unprintable) {
                continue;
            }
            let pair = manifest.parse_line(line);
            let pair = pair.doing(format!("its manifest: line {number}"))?;
            manifest.lines.push(pair);
        }
        manifest.check_format()?;
        // The user may add comments: only fewer lines than stated are too few.
        let stated = match manifest.value("lines") {
            "" => Some(0),
            number => number.parse::<usize>().ok(),
        };
        let is_short = stated.is_none_or(|stated| stated > text.lines().count());
        if !text.ends_with('\n') || is_short {
            return Err(Error::invalid("its manifest is truncated: copy it again"));
        }
        let is_missing = |key: &&&str| manifest.value(key).is_empty();
        if let Some(key) = REQUIRED_KEYS.iter().find(is_missing) {
            return Err(Error::invalid(format!("its manifest has no {key}")));
        }
        manifest.check_names()?;
        Ok(manifest)
    }

    /// Refuses a format that later versions may have: its keys are unknown here.
    fn check_format(&self) -> Result<()> {
        match self.value("format") {
            FORMAT | "" => Ok(()),
            format => Err(Error::invalid(format!(
                "not for this machine: its manifest has format {format}, this machine reads {FORMAT}; {REMAKE}"
            ))),
        }
    }

    /// Checks the values that become names of files, users, modules and services.
    fn check_names(&self) -> Result<()> {
        type Check = fn(&str) -> bool;
        let checks: [(&str, Check, &str); 5] = [
            ("needs", is_need, "a library or an extension"),
            ("kernel", is_release, "a release of a kernel"),
            ("module", is_module, "a kernel module"),
            ("service", services::service_file::is_name, "a service"),
            (
                "user",
                is_user,
                "a user, with a number from 100 to 999 or none",
            ),
        ];
        for (key, is_valid, right) in checks {
            if let Some(bad) = self.values(key).find(|value| !is_valid(value)) {
                let reason = format!("its manifest: {key}: {bad} is no name of {right}");
                return Err(Error::invalid(reason));
            }
        }
        let mut names: Vec<&str> = self.users().map(|user| user.name).collect();
        if names.len() > MAX_USERS {
            return Err(Error::invalid(format!(
                "its manifest has more than {MAX_USERS} users"
            )));
        }
        names.retain(|name| self.users().filter(|user| user.name == *name).count() > 1);
        match (names.first(), self.value("kernel"), self.modules().next()) {
            (Some(name), ..) => Err(Error::invalid(format!(
                "its manifest: user {name} is there twice"
            ))),
            (None, "", Some(module)) => Err(Error::invalid(format!(
                "its manifest has the module {module} and no kernel that it is for"
            ))),
            _ => Ok(()),
        }
    }

    fn parse_line(&self, line: &'a str) -> Result<(&'a str, &'a str)> {
        let wrong = |reason: String| Err(Error::invalid(reason));
        if line.ends_with('\r') {
            return wrong("it has Windows line ends: copy it again, without a conversion".into());
        }
        if line.contains(is_unprintable) {
            return wrong("there is a control character".into());
        }
        let pair = line.split_once(' ').filter(|(_, value)| !value.is_empty());
        let Some((key, value)) = pair else {
            return wrong("must be a word, a space and a value".into());
        };
        if line.len() > MAX_LINE {
            return wrong(format!("longer than {MAX_LINE} bytes"));
        }
        let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !key.bytes().all(is_word) {
            return wrong("the first word has a-z, digits and -".into());
        }
        let is_single = REQUIRED_KEYS.contains(&key) || OPTIONAL_KEYS.contains(&key);
        if self.values(key).any(|known| is_single || known == value) {
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

    /// Returns the extensions that it needs: their names have no dot, those of libraries do.
    pub fn needed_extensions(&self) -> impl Iterator<Item = &'a str> {
        self.values("needs")
            .filter(|need| config::is_extension_name(need))
    }

    /// Returns the libraries that it needs.
    pub fn needed_libraries(&self) -> impl Iterator<Item = &'a str> {
        self.values("needs")
            .filter(|need| !config::is_extension_name(need))
    }

    /// Returns the kernel modules that are loaded when it is added.
    pub fn modules(&self) -> impl Iterator<Item = &'a str> {
        self.values("module")
    }

    /// Returns its users.
    pub fn users(&self) -> impl Iterator<Item = User<'a>> {
        self.values("user").filter_map(user)
    }

    /// Checks that the extension has this name and is made for this platform.
    ///
    /// # Errors
    /// The extension does not fit; the error says what would be right.
    pub fn check(&self, name: &str, platform: &Platform<'_>) -> Result<()> {
        match self.mismatch(name, platform) {
            Some(reason) => Err(Error::invalid(reason)).doing("not for this machine"),
            None => Ok(()),
        }
    }

    fn mismatch(&self, name: &str, platform: &Platform<'_>) -> Option<String> {
        let [own_name, architecture, libc, kernel] =
            ["name", "architecture", "libc", "kernel"].map(|key| self.value(key));
        if own_name != name {
            return Some(format!(
                "its manifest is that of {own_name}; both files keep the name they were made with"
            ));
        }
        if architecture != ARCHITECTURE {
            return Some(format!(
                "it is made for {architecture}, this machine is {ARCHITECTURE}; {REMAKE}"
            ));
        }
        if libc != platform.libc {
            return Some(format!(
                "it is made for the C library {libc} of Debian {}, this machine has {}; {REMAKE}",
                self.value("suite"),
                platform.libc
            ));
        }
        if !kernel.is_empty() && kernel != platform.kernel {
            return Some(format!(
                "its modules are for the kernel {kernel}, this machine runs {}; {REMAKE}",
                platform.kernel
            ));
        }
        let missing = self.needed_libraries();
        let missing = missing
            .into_iter()
            .find(|name| !(platform.has_library)(name))?;
        Some(format!(
            "it needs {missing}, which this machine does not have; {REMAKE}"
        ))
    }

    /// Returns its packages in one line.
    pub fn packages(&self) -> String {
        self.values("package").collect::<Vec<_>>().join(", ")
    }
}

/// Returns true for control characters, also the tab, and for those that change the direction of writing.
pub fn is_unprintable(c: char) -> bool {
    c.is_control() || sys::printable::is_control(c)
}

/// Parses `NAME` or `NAME NUMBER`.
fn user(value: &str) -> Option<User<'_>> {
    let (name, uid) = match value.split_once(' ') {
        Some((name, uid)) => (name, Some(uid.parse().ok()?)),
        None => (value, None),
    };
    let first = |b: u8| b.is_ascii_lowercase() || b == b'_';
    let is_valid = name.bytes().next().is_some_and(first)
        && name.len() <= 32
        && name
            .bytes()
            .all(|b| first(b) || b.is_ascii_digit() || b == b'-')
        && uid.is_none_or(|uid| SYSTEM_UIDS.contains(&uid));
    is_valid.then_some(User { name, uid })
}

fn is_user(value: &str) -> bool {
    user(value).is_some()
}

/// Returns true for a name of a library or of an extension: neither is a path.
fn is_need(value: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+-._".contains(&b);
    value.bytes().all(allowed) && !value.starts_with(['.', '-'])
}

/// Returns true for a release of a kernel, which is also the name of a directory.
fn is_release(value: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+-._~".contains(&b);
    value.bytes().all(allowed) && !value.starts_with('.')
}

fn is_module(value: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    value.len() <= 64 && value.bytes().all(allowed)
}

#[cfg(test)]
mod tests;
