// SPDX-License-Identifier: Apache-2.0
//! Diagnostics: the faults of the input, each on one line that a user can act on.

use std::fmt;

/// Maximum number of diagnostics; one more counts the others.
pub const MAX_DIAGNOSTICS: usize = 64;

/// Maximum length of a diagnostic in bytes, which are printable ASCII.
pub const MAX_DIAGNOSTIC_BYTES: usize = 300;

/// Maximum length of the input that a diagnostic quotes, in characters.
const MAX_QUOTED: usize = 64;

/// Source of a flag, from the lowest precedence to the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Data disk: `/var/lib/boot2podman/config`, and `hostname` in the same directory.
    Disk,
    /// Document of Ignition, or cloud-init's user-data.
    Document,
    /// SMBIOS OEM strings (type 11), `boot2podman:…`.
    Smbios,
    /// QEMU fw_cfg, `opt/org.boot2podman/…`.
    FwCfg,
    /// Kernel command line.
    CommandLine,
}

impl Source {
    /// Name of the source in diagnostics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Source::Disk => "data disk",
            Source::Document => "Ignition or cloud-init",
            Source::Smbios => "SMBIOS",
            Source::FwCfg => "fw_cfg",
            Source::CommandLine => "command line",
        }
    }

    /// Returns true for a source that is read when the data disk is mounted.
    pub(crate) fn is_after_data_disk(self) -> bool {
        match self {
            Source::Disk | Source::Document => true,
            Source::Smbios | Source::FwCfg | Source::CommandLine => false,
        }
    }
}

/// Fault of a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// No flag has this name.
    UnknownFlag { suggestion: Option<&'static str> },
    /// Flag lacks its value.
    MissingValue,
    /// Value is wrong.
    InvalidValue {
        why: &'static str,
        suggestion: Option<&'static str>,
    },
    /// Host name is longer than Linux takes, or no host name after its first dot.
    Cut { to: String },
    /// Flag is needed before the data disk is mounted, but was read from the disk.
    TooLate,
    /// Opened double quote took the rest of the command line.
    UnclosedQuote,
    /// Earlier flag of the same source had set another value.
    Repeated { overridden: String },
    /// Number of further diagnostics.
    Omitted(usize),
}

impl Problem {
    /// Returns the problem of a wrong value without a suggestion.
    pub(crate) const fn invalid(why: &'static str) -> Self {
        Self::InvalidValue {
            why,
            suggestion: None,
        }
    }
}

/// One fault of the input. Its `Display` is one line, `flag (source): fault`, of at most
/// [`MAX_DIAGNOSTIC_BYTES`] printable ASCII bytes. The line names the flag, its source, the fault
/// and the values that would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub(crate) source: Source,
    /// Text of the flag, made printable by [`quoted`].
    pub(crate) flag: String,
    /// Values that the flag takes; empty if a list of them would not help.
    pub(crate) allowed: &'static str,
    /// Line number from 1 in a value of several lines; 0 for other values.
    pub(crate) line: usize,
    pub(crate) problem: Problem,
}

impl Diagnostic {
    /// Source of the flag.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    fn write(&self, out: &mut String) {
        if let Problem::Omitted(count) = self.problem {
            out.push_str(&count.to_string());
            out.push_str(" more flags: wrong as well, not shown");
            return;
        }
        out.push_str(&self.flag);
        out.push_str(" (");
        out.push_str(self.source.name());
        if self.line > 0 {
            out.push_str(", line ");
            out.push_str(&self.line.to_string());
        }
        out.push_str("): ");
        self.write_problem(out);
    }

    fn write_problem(&self, out: &mut String) {
        match &self.problem {
            Problem::UnknownFlag { suggestion } => {
                self.write_ignored(out, "no such flag", *suggestion);
            }
            Problem::MissingValue => self.write_ignored(out, "needs a value", None),
            Problem::InvalidValue { why, suggestion } => self.write_ignored(out, why, *suggestion),
            Problem::Cut { to } => {
                out.push_str("not a host name of at most 64 bytes; cut to ");
                out.push_str(to);
            }
            Problem::TooLate => out.push_str(
                "ignored: it is needed before the data disk is mounted; \
                 put it on the command line, in fw_cfg or in SMBIOS",
            ),
            Problem::UnclosedQuote => {
                out.push_str("a double quote is not closed and took the rest of the line");
                out.push_str("; was the command line cut short?");
            }
            Problem::Repeated { overridden } => {
                out.push_str("given twice; this later one wins over ");
                out.push_str(overridden);
            }
            Problem::Omitted(_) => {}
        }
    }

    /// Writes the reason, then the most similar valid text, then all valid ones.
    fn write_ignored(&self, out: &mut String, why: &str, suggestion: Option<&str>) {
        out.push_str("ignored: ");
        out.push_str(why);
        if let Some(suggestion) = suggestion {
            out.push_str("; did you mean ");
            out.push_str(suggestion);
            out.push('?');
        }
        if !self.allowed.is_empty() {
            out.push_str("; it takes ");
            out.push_str(self.allowed);
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        self.write(&mut line);
        // The line is ASCII, so that any length is a character boundary.
        f.write_str(line.get(..MAX_DIAGNOSTIC_BYTES).unwrap_or(&line))
    }
}

/// Makes input fit for a console: bytes other than printable ASCII become `\xNN`, so that no
/// escape sequence reaches a terminal. The text is cut after [`MAX_QUOTED`] characters.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        if text.len() >= MAX_QUOTED {
            text.push_str("...");
            break;
        }
        match byte {
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => {
                text.push_str("\\x");
                text.push(hex_digit(byte >> 4));
                text.push(hex_digit(byte & 15));
            }
        }
    }
    text
}

fn hex_digit(value: u8) -> char {
    char::from(if value < 10 {
        b'0' + value
    } else {
        b'a' + (value - 10) % 6
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_escapes_unprintable_bytes() {
        assert_eq!(quoted(b"a b"), "a b");
        assert_eq!(quoted(b"\x1b[2J\\\n\xff"), "\\x1b[2J\\\\\\x0a\\xff");
        let long = quoted(&[0; 1000]);
        assert!(
            long.len() <= MAX_QUOTED + 6 && long.ends_with("..."),
            "{long}"
        );
    }
}
