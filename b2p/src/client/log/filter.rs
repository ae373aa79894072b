// SPDX-License-Identifier: Apache-2.0
//! Selection of records, and how they are shown.

use crate::common::log::clock;
use crate::common::log::record::{KERNEL, Priority, printable, unescape};

/// Prefix of the records of PID 1.
const INIT: &str = "boot2podman";

/// Selection of records by level and origin.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Highest level that is shown.
    pub max_level: u8,
    /// Names of services and programs; empty for all.
    pub names: Vec<String>,
}

impl Filter {
    /// Returns true if a record is shown.
    #[must_use]
    pub fn wants(&self, priority: Priority, text: &[u8]) -> bool {
        let named = || self.names.iter().any(|n| is_from(n, priority, text));
        priority.level() <= self.max_level && (self.names.is_empty() || named())
    }
}

/// Returns true if the record is from `name`: a service, through PID 1 (`name: …`), or a
/// program, through `/dev/log` (`name[pid]: …`).
fn is_from(name: &str, priority: Priority, text: &[u8]) -> bool {
    match name {
        "kernel" => priority.facility() == KERNEL,
        // A record from /dev/log always has brackets.
        "init" => after_name(text, INIT).is_some_and(|rest| rest.starts_with(b": ")),
        _ => priority.facility() != KERNEL && after_name(text, name).is_some_and(begins_message),
    }
}

fn after_name<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    text.strip_prefix(name.as_bytes())
}

/// Returns true for `: …` and `[12]: …`.
fn begins_message(rest: &[u8]) -> bool {
    let after = rest.strip_prefix(b"[").and_then(|inside| {
        let digits = inside.iter().take_while(|b| b.is_ascii_digit()).count();
        inside.get(digits..)?.strip_prefix(b"]")
    });
    after.unwrap_or(rest).starts_with(b": ")
}

/// Appearance of lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Shows the date.
    pub dated: bool,
    /// Shows times in UTC instead of the local time.
    pub utc: bool,
    /// Shows errors in red and warnings in yellow.
    pub colours: bool,
}

impl Style {
    /// Appends a line: time, origin, text.
    pub fn line(&self, us: i64, priority: Priority, text: &[u8], out: &mut String) {
        clock::wall(us, self.dated, self.utc, out);
        out.push(' ');
        let colour = match priority.level() {
            0..=3 if self.colours => "\x1b[31m",
            4 if self.colours => "\x1b[33m",
            _ => "",
        };
        out.push_str(colour);
        if priority.facility() == KERNEL {
            out.push_str("kernel: ");
        }
        let mut bytes = Vec::with_capacity(text.len());
        unescape(text, &mut bytes);
        printable(&bytes, |c| out.push_str(c));
        if !colour.is_empty() {
            out.push_str("\x1b[0m");
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(names: &str, max_level: u8, number: u32, text: &str) -> bool {
        let names = names.split_whitespace().map(str::to_owned).collect();
        let priority = Priority::new(number).expect("a priority");
        Filter { max_level, names }.wants(priority, text.as_bytes())
    }

    #[test]
    fn by_name() {
        assert!(wants("", 7, 15, "anything"));
        assert!(wants("sshd", 7, 15, "sshd: Server listening"));
        assert!(wants("sshd", 7, 38, "sshd[812]: Accepted"));
        assert!(wants("net sshd", 7, 38, "sshd[812]: Accepted"));
        assert!(wants("console-ttyS0", 7, 15, "console-ttyS0: x"));
        for other in [
            "sshd-session[3]: x",
            "sshd2: x",
            "sshd",
            "sshd:x",
            "x sshd: y",
            "sshd[x]: y",
            "sshd[1: y",
        ] {
            assert!(!wants("sshd", 7, 15, other), "{other}");
        }
    }

    #[test]
    fn the_kernel_and_pid_1_are_not_to_be_imitated() {
        assert!(wants("kernel", 7, 6, "sshd: no, a driver of that name"));
        assert!(!wants("sshd", 7, 6, "sshd: no, a driver of that name"));
        assert!(!wants("kernel", 7, 14, "boot2podman: x"));
        assert!(wants("init", 7, 14, "boot2podman: ready"));
        assert!(!wants("init", 7, 14, "boot2podman[9]: ready"));
        assert!(wants("boot2podman", 7, 14, "boot2podman[9]: ready"));
    }

    #[test]
    fn by_level() {
        assert!(wants("", 4, 12, "x") && !wants("", 4, 13, "x"));
        assert!(wants("x", 3, 11, "x: y") && !wants("y", 3, 11, "x: y"));
    }

    #[test]
    fn a_line() {
        let mut style = Style {
            utc: true,
            ..Style::default()
        };
        let line = |style: &Style, number, text: &str| {
            let mut out = String::new();
            let priority = Priority::new(number).expect("a priority");
            style.line(1_795_465_838_123_999, priority, text.as_bytes(), &mut out);
            out
        };
        assert_eq!(
            line(&style, 14, "a: \\xc3\\xa9\\x1b"),
            "20:30:38.123 a: é\\x1b\n"
        );
        assert_eq!(line(&style, 6, "x"), "20:30:38.123 kernel: x\n");
        (style.colours, style.dated) = (true, true);
        assert_eq!(
            line(&style, 11, "x"),
            "2026-11-23 20:30:38.123 \x1b[31mx\x1b[0m\n"
        );
        assert_eq!(
            line(&style, 12, "x"),
            "2026-11-23 20:30:38.123 \x1b[33mx\x1b[0m\n"
        );
        assert_eq!(line(&style, 13, "x"), "2026-11-23 20:30:38.123 x\n");
    }
}
