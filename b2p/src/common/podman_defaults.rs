// SPDX-License-Identifier: Apache-2.0
//! podman's defaults, containers.conf(5) in RAM, which several services change: one at a time, so
//! that no change is lost. podman reads the file with every command. A file of the user in
//! /etc/containers takes precedence.

use std::fs::File;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use sys::error::{Doing, Result};
use sys::files::{read_text, replace};

/// The defaults.
const CONTAINERS_CONF: &str = "/usr/share/containers/containers.conf";
/// File that a process locks while it changes the defaults.
const LOCK: &str = "/run/boot2podman/containers.conf.lock";

/// Reads the defaults.
///
/// # Errors
/// The file cannot be read.
pub fn read() -> Result<String> {
    read_text(CONTAINERS_CONF)
}

/// Replaces the defaults by the result of `change`, if that differs.
///
/// # Errors
/// The file cannot be read or written.
pub fn edit(change: impl FnOnce(&str) -> String) -> Result<()> {
    let file = File::create(LOCK).on(LOCK)?;
    let lock = Flock::lock(file, FlockArg::LockExclusive);
    let _lock = lock.map_err(|(_, errno)| errno).on(LOCK)?;
    let before = read()?;
    let after = change(&before);
    match after == before {
        true => Ok(()),
        false => replace(Path::new(CONTAINERS_CONF), after.as_bytes(), 0o644),
    }
}

/// Returns the text with a line at the beginning of a section, which is added if the text has none.
#[must_use]
pub fn with_line(text: &str, section: &str, line: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    match lines.iter().position(|known| known.trim() == section) {
        Some(at) => lines.insert(at + 1, line),
        None => lines.extend([section, line]),
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_in_its_section() {
        let text = "[containers]\na = 1\n[engine]\nb = 2\n";
        let after = with_line(text, "[engine]", "c = 3");
        assert_eq!(after, "[containers]\na = 1\n[engine]\nc = 3\nb = 2\n");
        let after = with_line(text, "[engine.runtimes]", "c = 3");
        assert_eq!(after, format!("{text}[engine.runtimes]\nc = 3\n"));
    }
}
