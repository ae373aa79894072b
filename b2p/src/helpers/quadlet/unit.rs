// SPDX-License-Identifier: Apache-2.0
//! Unit files (systemd.syntax(7)), and the output of podman's generator, which is many of them.

use sys::printable::is_control;

/// Returns true for a value that means yes (systemd.syntax(7)).
#[must_use]
pub fn is_true(text: &str) -> bool {
    ["1", "yes", "true", "on"].contains(&text.to_ascii_lowercase().as_str())
}

/// A unit file: its assignments, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    assignments: Vec<Assignment>,
}

/// `Key=value` in a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Name of the section, without its brackets.
    pub section: String,
    /// Key.
    pub key: String,
    /// Value, with its lines joined.
    pub value: String,
}

impl Unit {
    /// Parses the text of a unit file. Lines that are neither a section nor an assignment are ignored, as
    /// systemd ignores them.
    #[must_use]
    pub fn parse(text: &str) -> Unit {
        let mut assignments = Vec::new();
        let mut section = "";
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let line = line.trim_start();
            if line.starts_with(['#', ';']) {
                continue;
            }
            let name = line.strip_prefix('[');
            if let Some(name) = name.and_then(|l| l.trim_end().strip_suffix(']')) {
                section = name;
            } else if let Some((key, value)) = line.split_once('=') {
                assignments.push(Assignment {
                    section: section.to_owned(),
                    key: key.trim_end().to_owned(),
                    value: joined(value.trim_start(), &mut lines),
                });
            }
        }
        Unit { assignments }
    }

    /// Returns the assignments, in order.
    #[must_use]
    pub fn assignments(&self) -> &[Assignment] {
        &self.assignments
    }

    /// Returns the values of a key that may occur more than once. An empty value withdraws the earlier ones,
    /// but no dependency (systemd.unit(5), "Requires=").
    #[must_use]
    pub fn all<'a>(&'a self, section: &str, key: &str) -> Vec<&'a str> {
        let mut values = Vec::new();
        for assignment in self.matching(section, key) {
            match assignment.value.as_str() {
                "" if section == "Unit" => {}
                "" => values.clear(),
                value => values.push(value),
            }
        }
        values
    }

    /// Returns the value of a key of which the last occurrence counts; `None` for an empty value.
    #[must_use]
    pub fn last<'a>(&'a self, section: &str, key: &str) -> Option<&'a str> {
        let last = self.matching(section, key).last();
        last.map(|a| a.value.as_str()).filter(|v| !v.is_empty())
    }

    /// Returns the words of a key whose values are lists of names.
    pub fn names<'a>(&'a self, section: &str, key: &str) -> impl Iterator<Item = &'a str> {
        let values = self.all(section, key).into_iter();
        values.flat_map(str::split_whitespace)
    }

    fn matching<'a, 'k>(
        &'a self,
        section: &'k str,
        key: &'k str,
    ) -> impl Iterator<Item = &'a Assignment> + use<'a, 'k> {
        let matches = move |a: &&Assignment| a.section == section && a.key == key;
        self.assignments.iter().filter(matches)
    }
}

/// Joins a value that continues in the next line after a `\` that no other one escapes (config_parse() of
/// src/shared/conf-parser.c). Comments between its lines are left out.
fn joined<'a>(first: &'a str, lines: &mut impl Iterator<Item = &'a str>) -> String {
    let mut value = String::new();
    let mut line = first;
    let is_escape =
        |part: &&str| (part.len() - part.trim_end_matches('\\').len()).is_multiple_of(2);
    while let Some(part) = line.strip_suffix('\\').filter(is_escape) {
        value.push_str(part);
        value.push(' ');
        let is_comment = |line: &&str| line.starts_with(['#', ';']);
        let next = lines.map(str::trim_start).find(|line| !is_comment(line));
        line = next.unwrap_or_default();
    }
    value.push_str(line);
    value.truncate(value.trim_end().len());
    value
}

/// Splits the output of `quadlet --dryrun` into the units: name of the file, and its text. A name with control
/// characters is refused, because names are printed and logged.
#[must_use]
pub fn split_output(output: &str) -> Vec<(&str, &str)> {
    let mut headers = Vec::new();
    let mut at = 0;
    for line in output.split_inclusive('\n') {
        let name = line.trim_end().strip_prefix("---");
        let name = name.and_then(|name| name.strip_suffix("---"));
        let next = at + line.len();
        let is_name =
            |n: &&str| !n.is_empty() && !n.contains(['/', ' ']) && !n.contains(is_control);
        if let Some(name) = name.filter(is_name) {
            headers.push((name, at, next));
        }
        at = next;
    }
    let ends = headers.iter().skip(1).map(|(_, start, _)| *start);
    let ends = ends.chain([output.len()]);
    let units = headers.iter().copied().zip(ends);
    let unit = |((name, _, begin), end)| {
        let begin: usize = begin;
        (name, output.get(begin..end).unwrap_or_default())
    };
    units.map(unit).collect()
}

#[cfg(test)]
#[path = "unit/tests.rs"]
mod tests;
