// SPDX-License-Identifier: Apache-2.0
//! List of the parts of the machine that were requested and do not work.
//!
//! Each line belongs to one part of the machine: a service, a phase of the boot, a flag. A new
//! check of a part replaces its lines by the lines that are true now ([`DegradedList::set`]); the
//! log names the removed lines as well as the new ones.

use std::fmt::Display;
use std::path::Path;

use log::error;
use sys::files::replace;
use sys::kmsg;
use sys::paths::DEGRADED;
use sys::printable::one_line;

/// Subject of the line about the control socket.
pub const CONTROL: &str = "control";
/// Subject of the line about power buttons.
pub const POWER_BUTTON: &str = "power button";

/// Part of the machine that was requested and does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// Part of the machine.
    pub what: String,
    /// Reason, and the state or value that would be right.
    pub why: String,
    /// Part whose next check replaces the line: `what` itself, or the service that has found the fault of `what`.
    origin: String,
}

impl Degraded {
    /// A line of `origin`. Control characters are replaced: the line may hold the label of a
    /// disk, and terminals obey such characters.
    fn new(origin: &str, what: &str, why: &impl Display) -> Degraded {
        Degraded {
            what: what.to_owned(),
            why: one_line(&why.to_string()),
            origin: origin.to_owned(),
        }
    }
}

/// The list, in the order of discovery.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DegradedList {
    lines: Vec<Degraded>,
    /// True if the list is written to its file after each change.
    is_published: bool,
}

impl DegradedList {
    /// Adds a line to the lines of `what` unless the list has the line, and logs the line on every
    /// console.
    pub fn add(&mut self, what: &str, why: impl Display) {
        let line = Degraded::new(what, what, &why);
        if !self.lines.contains(&line) {
            self.push(line);
            self.write_file();
        }
    }

    /// Replaces the lines about flags by those of all sources that were read now.
    pub fn set_flags(&mut self, faults: &[impl Display]) {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        self.set("flag", faults.iter().map(|why| ("flag", why.as_str())));
    }

    /// Replaces the lines of `what` by the error, if there is one.
    pub fn set_err<T, E: Display>(&mut self, what: &str, outcome: Result<T, E>) {
        let why = outcome.err().map(|why| why.to_string());
        self.set(what, why.as_deref().map(|why| (what, why)));
    }

    /// Replaces the lines of `origin` by those that are true now, each a part and a reason.
    pub fn set<'a>(&mut self, origin: &str, lines: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let lines = lines.into_iter();
        let now: Vec<_> = lines
            .map(|(what, why)| Degraded::new(origin, what, &why))
            .collect();
        let before = self.lines.len();
        self.lines.retain(|line| {
            let stays = line.origin != origin || now.contains(line);
            if !stays {
                log_line(kmsg::NOTICE, "no longer degraded", line);
            }
            stays
        });
        let gone = self.lines.len() < before;
        let known = self.lines.clone();
        let new: Vec<_> = now.into_iter().filter(|l| !known.contains(l)).collect();
        if gone || !new.is_empty() {
            new.into_iter().for_each(|line| self.push(line));
            self.write_file();
        }
    }

    fn push(&mut self, line: Degraded) {
        log_line(kmsg::WARNING, "degraded", &line);
        self.lines.push(line);
    }

    /// Returns true if `origin` has a line.
    #[must_use]
    pub fn has(&self, origin: &str) -> bool {
        self.lines.iter().any(|line| line.origin == origin)
    }

    /// Returns each line for the next execution of PID 1 after a crash: origin, part and reason, separated by tabs.
    pub fn to_saved(&self) -> impl Iterator<Item = String> {
        let fields = |line: &Degraded| format!("{}\t{}\t{}", line.origin, line.what, line.why);
        self.lines.iter().map(fields)
    }

    /// Adds a line of [`DegradedList::to_saved`], which has been logged before.
    pub fn restore(&mut self, saved: &str) {
        let mut fields = saved.splitn(3, '\t').map(str::to_owned);
        if let (Some(origin), Some(what), Some(why)) = (fields.next(), fields.next(), fields.next())
        {
            self.lines.push(Degraded { what, why, origin });
        }
    }

    /// All lines, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Degraded> {
        self.lines.iter()
    }

    /// Writes the list to its file, which `b2p`, the consoles and logins show, now and after each
    /// change.
    pub fn publish(&mut self) {
        self.is_published = true;
        self.write_file();
    }

    fn write_file(&self) {
        if !self.is_published {
            return;
        }
        let line = |line: &Degraded| format!("{}: {}\n", line.what, line.why);
        let text: String = self.lines.iter().map(line).collect();
        let written = replace(Path::new(DEGRADED), text.as_bytes(), 0o644);
        written.unwrap_or_else(|e| error!("{e}"));
    }
}

/// Logs a line on every console.
fn log_line(priority: u8, word: &str, line: &Degraded) {
    let priority = kmsg::ensure_console_priority(priority);
    kmsg::write(priority, &format!("{word} {}: {}", line.what, line.why));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &DegradedList) -> Vec<String> {
        let lines = list.iter();
        lines.map(|l| format!("{}: {}", l.what, l.why)).collect()
    }

    #[test]
    fn control_characters_in_degraded_lines_are_replaced() {
        let mut list = DegradedList::default();
        list.add("data", "label \u{1b}[2J\n");
        assert_eq!(texts(&list), ["data: label  [2J "]);
        list.set("data", [("data", "label \u{1b}[2J\n")]);
        assert_eq!(texts(&list), ["data: label  [2J "], "the same line");
        list.set("data", []);
        assert_eq!(list, DegradedList::default());
    }

    #[test]
    fn a_line_that_is_added_twice_is_listed_once() {
        let mut list = DegradedList::default();
        list.add("net", "no eth7");
        list.add("net", "no eth7");
        list.set_flags(&["b2p.x: no such flag"]);
        list.set_flags(&["b2p.x: no such flag", "b2p.y: no such flag"]);
        let flags = [
            "net: no eth7",
            "flag: b2p.x: no such flag",
            "flag: b2p.y: no such flag",
        ];
        assert_eq!(texts(&list), flags);
        list.set_flags(&[] as &[&str]);
        assert_eq!(texts(&list), ["net: no eth7"]);
    }

    #[test]
    fn degraded_lines_are_removed_after_a_crash_too() {
        let mut before = DegradedList::default();
        before.set("data", [("data", "a: b"), ("format", "c\td")]);
        let mut list = DegradedList::default();
        before.to_saved().for_each(|line| list.restore(&line));
        assert_eq!(list, before);
        list.restore("nonsense");
        list.set("data", []);
        assert_eq!(list, DegradedList::default());
    }

    #[test]
    fn a_part_replaces_its_own_lines_and_no_others() {
        let mut list = DegradedList::default();
        list.add("flag", "b2p.x: no such flag");
        list.add("flag", "b2p.y: no such flag");
        list.set("data", [("data", "a"), ("format", "b")]);
        list.set("net", [("net", "no address yet")]);
        list.set("data", [("format", "b"), ("data", "c")]);
        let expected = [
            "flag: b2p.x: no such flag",
            "flag: b2p.y: no such flag",
            "format: b",
            "net: no address yet",
            "data: c",
        ];
        assert_eq!(texts(&list), expected);
        list.set_err("net", Ok::<(), &str>(()));
        list.set_err("control", Err::<(), _>("in use"));
        list.set_err("control", Err::<(), _>("gone"));
        assert!(!list.has("net") && list.has("data"));
        assert_eq!(
            texts(&list).last().map(String::as_str),
            Some("control: gone")
        );
    }
}
