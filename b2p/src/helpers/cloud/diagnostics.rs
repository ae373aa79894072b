// SPDX-License-Identifier: Apache-2.0
//! Diagnostics of a configuration: settings that are not supported, for the log; settings that were requested and
//! could not be done, for the degraded lines.

use std::fmt::Display;

/// Longest line that is shown, in characters.
const MAX_SHOWN: usize = 300;
/// Largest number of lines of each kind.
const MAX_LINES: usize = 32;

/// Lines of both kinds, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    /// Settings that are not supported, which does no harm.
    pub unsupported: Vec<String>,
    /// Settings that are wrong, or could not be applied.
    pub failed: Vec<String>,
}

impl Diagnostics {
    /// Adds a line about a setting that is not supported.
    pub fn unsupported(&mut self, line: impl Display) {
        add(&mut self.unsupported, &line.to_string());
    }

    /// Adds a line about a setting that is wrong, or could not be applied.
    pub fn failed(&mut self, line: impl Display) {
        add(&mut self.failed, &line.to_string());
    }

    /// Adds a line if `outcome` is an error.
    pub fn record(&mut self, outcome: Result<(), impl Display>) {
        if let Err(why) = outcome {
            self.failed(why);
        }
    }

    /// Adds the lines of `other`.
    pub fn append(&mut self, other: Diagnostics) {
        self.unsupported.extend(other.unsupported);
        self.failed.extend(other.failed);
    }
}

fn add(lines: &mut Vec<String>, line: &str) {
    let line = printable_line(line);
    if lines.len() < MAX_LINES && !lines.contains(&line) {
        lines.push(line);
    }
}

/// Returns the text as one line that a terminal can show, cut if too long.
pub fn printable_line(text: &str) -> String {
    let line = sys::printable::one_line(text);
    match line.char_indices().nth(MAX_SHOWN) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
