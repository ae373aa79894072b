// SPDX-License-Identifier: Apache-2.0
//! List of everything that was asked for and is missing.

use std::fmt::Display;
use std::path::Path;

use log::error;
use sys::files::replace;
use sys::kmsg;
use sys::paths::DEGRADED;

/// Priority of a degraded line, a warning (syslog(3)).
const WARNING: u8 = 4;

/// Part of the machine that was asked for and is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// Part of the machine.
    pub what: String,
    /// Reason, and what would be right.
    pub why: String,
}

/// The list, in the order of discovery.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DegradedList(Vec<Degraded>);

impl DegradedList {
    /// Adds an entry and logs it as one line, on every console. Control characters are replaced:
    /// the line may hold the label of a disk, and terminals obey such characters.
    pub fn add(&mut self, what: &str, why: impl Display) {
        let why = why.to_string().replace(char::is_control, " ");
        let priority = kmsg::ensure_console_priority(WARNING);
        kmsg::write(priority, &format!("degraded {what}: {why}"));
        self.0.push(Degraded {
            what: what.to_owned(),
            why,
        });
    }

    /// Adds an entry for every error.
    pub fn add_err<T, E: Display>(&mut self, what: &str, outcome: Result<T, E>) {
        if let Err(why) = outcome {
            self.add(what, why);
        }
    }

    /// Removes the entries for `what`.
    pub fn remove(&mut self, what: &str) {
        self.0.retain(|entry| entry.what != what);
    }

    /// All entries, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Degraded> {
        self.0.iter()
    }

    /// Writes the list to its file, which `b2p` and the consoles show.
    pub fn write_file(&self) {
        let line = |entry: &Degraded| format!("{}: {}\n", entry.what, entry.why);
        let text: String = self.0.iter().map(line).collect();
        let written = replace(Path::new(DEGRADED), text.as_bytes(), 0o644);
        written.unwrap_or_else(|e| error!("{e}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_get_nothing_to_obey() {
        let mut list = DegradedList::default();
        list.add("data", "label \u{1b}[2J\n");
        assert!(list.iter().all(|entry| entry.why == "label  [2J "));
        list.remove("data");
        assert_eq!(list, DegradedList::default());
    }
}
