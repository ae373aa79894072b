// SPDX-License-Identifier: Apache-2.0
//! Lines with which the guest reports its boot.

use std::collections::BTreeMap;

/// Start of the ready line.
pub const READY: &str = "boot2podman: ready ";
/// Start of a degraded line.
pub const DEGRADED: &str = "boot2podman: degraded ";
/// Start of the line that takes a degraded line back.
const NO_LONGER_DEGRADED: &str = "boot2podman: no longer degraded ";
/// Text in the first line of a rescue shell.
pub const RESCUE: &str = "boot2podman: rescue shell";

/// A completed boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// The ready line from `boot2podman:` on, without control characters.
    pub line: String,
    /// Offset of its end in the text of the console.
    pub end: usize,
    /// Words of the form `key=value`.
    pub fields: BTreeMap<String, String>,
    /// Degraded lines before it that no line before it takes back.
    pub degraded: Vec<Degraded>,
}

/// A part that was asked for and is missing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Degraded {
    /// Name of the part, one word or a few.
    pub what: String,
    /// Reason.
    pub why: String,
}

impl Ready {
    /// Finds a complete ready line in a console's text.
    pub fn find(console: &str) -> Option<Self> {
        let begin = console.find(READY)?;
        let end = begin + console[begin..].find('\n')?;
        let line = without_controls(console[begin..end].trim_end());
        let words = line[READY.trim_end().len()..].split_whitespace();
        let fields = words
            .filter_map(|word| word.split_once('='))
            .map(owned)
            .collect();
        Some(Self {
            line,
            end,
            fields,
            degraded: standing(&console[..begin]),
        })
    }

    /// Returns the value of a `key=value` word; empty if the line has none.
    pub fn field(&self, key: &str) -> &str {
        self.fields.get(key).map_or("", String::as_str)
    }

    /// Returns the milliseconds from the start of PID 1 to ready.
    pub fn init_ms(&self) -> Option<u64> {
        self.field("init").parse().ok()
    }

    /// Returns the milliseconds from the start of the kernel to ready.
    pub fn boot_ms(&self) -> Option<u64> {
        self.field("boot").parse().ok()
    }
}

/// Returns the text with which PID 1 takes a degraded line back.
pub fn taken_back(line: &Degraded) -> String {
    format!("{NO_LONGER_DEGRADED}{}: {}", line.what, line.why)
}

/// Returns the degraded lines that no later line takes back.
fn standing(console: &str) -> Vec<Degraded> {
    let mut all = degraded(console);
    all.retain(|line| {
        let last = format!("{DEGRADED}{}: {}", line.what, line.why);
        let taken_back = console.rfind(&taken_back(line));
        taken_back.is_none() || console.rfind(&last) > taken_back
    });
    all
}

/// Returns the degraded lines of a console's text, each once: the kernel log and the console may
/// both have shown a line.
pub fn degraded(console: &str) -> Vec<Degraded> {
    let mut all = Vec::new();
    for line in console.lines() {
        let Some((_, rest)) = line.split_once(DEGRADED) else {
            continue;
        };
        let rest = without_controls(rest.trim_end());
        let (what, why) = rest.split_once(": ").unwrap_or((&rest, ""));
        let one = Degraded {
            what: what.to_owned(),
            why: why.to_owned(),
        };
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all
}

/// Returns a text of the guest without control characters, with which escape sequences begin.
#[must_use]
pub fn without_controls(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "[    2.1] boot2podman: degraded net: no network card\r\n\
        boot2podman: degraded net: no network card\r\n\
        boot2podman: degraded flag b2p.hostnme: unknown, did you mean b2p.hostname?\r\n\
        [    2.2] boot2podman: ready ssh=10.0.2.15:22 api=/run/podman/podman.sock data=ram init=612 boot=2212\r\n";

    #[test]
    fn a_ready_line_is_read() {
        let ready = Ready::find(BOOT).expect("it is there");
        assert_eq!(ready.field("ssh"), "10.0.2.15:22");
        assert_eq!(ready.field("data"), "ram");
        assert_eq!((ready.init_ms(), ready.boot_ms()), (Some(612), Some(2212)));
        assert!(ready.line.starts_with("boot2podman: ready ssh=") && ready.line.ends_with("2212"));
    }

    #[test]
    fn degraded_lines_come_once_each() {
        let ready = Ready::find(BOOT).expect("it is there");
        let what: Vec<&str> = ready.degraded.iter().map(|d| d.what.as_str()).collect();
        assert_eq!(what, ["net", "flag b2p.hostnme"]);
        assert_eq!(ready.degraded[0].why, "no network card");
    }

    #[test]
    fn a_line_that_is_taken_back_is_gone() {
        let (bad, good) = (
            "boot2podman: degraded net: no card\r\n",
            "[ 3.1] boot2podman: no longer degraded net: no card\r\n",
        );
        let ready = "boot2podman: ready data=ram\r\n";
        for (text, count) in [
            (bad.to_owned() + good, 0),
            (bad.to_owned() + good + bad, 1),
            (bad.to_owned(), 1),
        ] {
            let found = Ready::find(&(text.clone() + ready)).expect("it is there");
            assert_eq!(found.degraded.len(), count, "{text}");
        }
    }

    #[test]
    fn lines_have_no_escape_sequences() {
        let text = "boot2podman: degraded a\x1b[2K: \x1b]52;c;eA\x07\nboot2podman: ready data=\x1bram x=\u{9b}1\r\n";
        let ready = Ready::find(text).expect("it is there");
        assert_eq!(ready.line, "boot2podman: ready data=ram x=1");
        let degraded = &ready.degraded[0];
        assert_eq!(
            (degraded.what.as_str(), degraded.why.as_str()),
            ("a[2K", "]52;c;eA")
        );
    }

    #[test]
    fn half_a_line_is_not_yet_a_line() {
        assert_eq!(Ready::find("boot2podman: ready ssh=10.0.2.1"), None);
        assert_eq!(Ready::find("boot2podman: degraded x: y\n"), None);
        assert_eq!(degraded("boot2podman: degraded all of it\n")[0].why, "");
    }
}
