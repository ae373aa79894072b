// SPDX-License-Identifier: Apache-2.0
//! Degraded lines of a helper: parts of the machine that were requested and do not work.
//!
//! A helper that runs as the service NAME writes its lines to /run/boot2podman/NAME.degraded, one line `degraded
//! PART: WHY` for each part; most parts have the name of the service. PID 1 reads the file when the helper has
//! ended, and when a running helper reports that the file has changed (`init::ready`). PID 1 then logs the new
//! lines, and removes lines that are no longer in the file: an empty file removes all.

use std::fmt::Display;
use std::path::Path;

use log::warn;
use sys::error::Result;
use sys::paths::RUNTIME_DIR;
use sys::printable::one_line;

use super::notify;

/// The degraded lines of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    service: String,
    /// Parts that are missing, each with the reason.
    lines: Vec<(String, String)>,
    /// True if the file is known to have these lines: an earlier run may have left others, and a full file system
    /// takes none.
    is_known: bool,
}

impl Degraded {
    /// Returns an empty list of lines for the service of this name.
    #[must_use]
    pub fn of(service: &str) -> Degraded {
        Degraded {
            service: service.to_owned(),
            lines: Vec::new(),
            is_known: false,
        }
    }

    /// Adds a reason and logs the line `NAME: WHY`, unless the list has the reason.
    pub fn warn(&mut self, why: impl Display) {
        if self.add(&why) {
            warn!("{}: {}", self.service, one_line(&why.to_string()));
        }
    }

    /// Returns the number of reasons.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Returns true if there is no reason.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a reason without a log line; returns true if the reason is new.
    pub fn add(&mut self, why: impl Display) -> bool {
        let line = (self.service.clone(), one_line(&why.to_string()));
        let new = !self.lines.contains(&line);
        if new {
            self.lines.push(line);
        }
        new
    }

    /// Writes the file and returns the helper's exit status: 1 if the file cannot be written.
    #[must_use]
    pub fn report(&self) -> i32 {
        self.report_in(Path::new(RUNTIME_DIR))
    }

    fn report_in(&self, dir: &Path) -> i32 {
        match self.write(dir) {
            Ok(()) => 0,
            Err(why) => {
                warn!("{}: {why}", self.service);
                1
            }
        }
    }

    /// Replaces the lines by those that are true now, each a part of the machine and a reason, and
    /// notifies PID 1 of a difference. Used by helpers that run for as long as the machine.
    pub fn update<'a>(&mut self, lines: impl IntoIterator<Item = (&'a str, String)>) {
        if self.update_in(Path::new(RUNTIME_DIR), lines) {
            notify::degraded();
        }
    }

    /// Replaces the lines, and writes the file in `dir` unless it has these lines. Returns true if the file has
    /// changed; after an error the next call writes, with the same lines or others.
    fn update_in<'a>(
        &mut self,
        dir: &Path,
        lines: impl IntoIterator<Item = (&'a str, String)>,
    ) -> bool {
        let lines = lines.into_iter();
        let now: Vec<_> = lines
            .map(|(what, why)| (what.to_owned(), one_line(&why)))
            .collect();
        let is_same = now == self.lines;
        self.lines = now;
        if is_same && (self.is_known || self.is_in(dir)) {
            self.is_known = true;
            return false;
        }
        self.is_known = self.report_in(dir) == 0;
        self.is_known
    }

    /// Writes the file in `dir`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(format!("{}.degraded", self.service));
        sys::files::replace(&path, self.text().as_bytes(), 0o644)
    }

    /// Returns true if the file in `dir` has these lines; a missing file counts as an empty one.
    fn is_in(&self, dir: &Path) -> bool {
        let path = dir.join(format!("{}.degraded", self.service));
        std::fs::read_to_string(path).unwrap_or_default() == self.text()
    }

    fn text(&self) -> String {
        let line = |(what, why): &(String, String)| format!("degraded {what}: {why}\n");
        self.lines.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_that_could_not_be_written_are_written_later() {
        let dir = std::env::temp_dir().join(format!("b2p-degraded-late-{}", std::process::id()));
        let file = dir.join("store.degraded");
        let full = || [("store", "/run is full".to_owned())];
        let mut degraded = Degraded::of("store");
        // The place of the directory is taken.
        std::fs::write(&dir, "").unwrap();
        assert!(!degraded.update_in(&dir, full()));
        assert!(!degraded.update_in(&dir, full()));
        std::fs::remove_file(&dir).unwrap();
        assert!(degraded.update_in(&dir, full()));
        assert!(!degraded.update_in(&dir, full()), "there already");
        let said = std::fs::read_to_string(&file).unwrap();
        assert_eq!(said, "degraded store: /run is full\n");
        // Lines that have ended are also tried again.
        std::fs::remove_dir_all(&dir).unwrap();
        std::fs::write(&dir, "").unwrap();
        assert!(!degraded.update_in(&dir, []));
        std::fs::remove_file(&dir).unwrap();
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(&file, said).unwrap();
        assert!(degraded.update_in(&dir, []));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn each_reason_is_one_line_and_is_there_once() {
        let mut degraded = Degraded::of("share");
        degraded.warn("a at /a:\nno server");
        assert!(!degraded.add("a at /a: no server"));
        assert!(degraded.add(format_args!("b at {}", "/b")));
        let dir = std::env::temp_dir().join(format!("b2p-degraded-{}", std::process::id()));
        degraded.write(&dir).unwrap();
        let text = std::fs::read_to_string(dir.join("share.degraded")).unwrap();
        let lines = [
            "degraded share: a at /a: no server",
            "degraded share: b at /b",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
        // A service that starts again finds the lines of its earlier run.
        let again = Degraded::of("share");
        assert!(degraded.is_in(&dir) && !again.is_in(&dir));
        again.write(&dir).unwrap();
        assert!(again.is_in(&dir) && again.is_in(&dir.join("none")));
        assert!(
            std::fs::read(dir.join("share.degraded"))
                .unwrap()
                .is_empty()
        );
        std::fs::remove_dir_all(dir).unwrap();
    }
}
