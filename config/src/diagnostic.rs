//! What was wrong with the input, in one line a person can act on.

use std::fmt;

/// At most this many diagnostics are kept; one more tells how many there were.
pub const MAX_DIAGNOSTICS: usize = 64;

/// No diagnostic is longer than this, in bytes, all of them printable ASCII.
pub const MAX_LINE: usize = 300;

/// At most this many characters of the input are shown back.
const MAX_SHOWN: usize = 64;

/// Where a flag came from, from the one that gives way to the one that wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The data disk: `/var/lib/boot2podman/config`, and `hostname` beside it.
    Disk,
    /// SMBIOS OEM strings (type 11), `boot2podman:…`.
    Smbios,
    /// QEMU fw_cfg, `opt/org.boot2podman/…`.
    FwCfg,
    /// The kernel command line.
    CommandLine,
}

/// What a value parser has against a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// No flag has this name.
    Unknown { nearest: Option<&'static str> },
    /// The flag was given without the value it needs.
    Missing,
    /// The value is wrong.
    Bad {
        why: &'static str,
        nearest: Option<&'static str>,
    },
    /// It is needed before there is a data disk, and stood on it.
    Early,
    /// An opened double quote took the rest of the command line.
    Open,
    /// Another value was given before, in the same place.
    Twice { lost: String },
    /// There were this many diagnostics more.
    More(usize),
}

impl Source {
    /// In a few words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Source::Disk => "data disk",
            Source::Smbios => "SMBIOS",
            Source::FwCfg => "fw_cfg",
            Source::CommandLine => "command line",
        }
    }
}

impl Problem {
    /// A wrong value with no right one near it.
    pub(crate) const fn bad(why: &'static str) -> Self {
        Self::Bad { why, nearest: None }
    }
}

/// One thing wrong with the input. Its `Display` is one line, `what: why`, of
/// at most [`MAX_LINE`] bytes of printable ASCII: which flag, where it stood,
/// what is wrong with it, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub(crate) source: Source,
    /// The flag as it was written, made printable by [`shown`].
    pub(crate) flag: String,
    /// The values the flag takes; empty where that would not help.
    pub(crate) allowed: &'static str,
    /// Which line of a value of many lines, from 1; 0 for the others.
    pub(crate) line: usize,
    pub(crate) problem: Problem,
}

impl Diagnostic {
    /// Where the flag stood.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    fn describe(&self, out: &mut String) {
        if let Problem::More(count) = self.problem {
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
        self.explain(out);
    }

    fn explain(&self, out: &mut String) {
        match &self.problem {
            Problem::Unknown { nearest } => self.suggest(out, "no such flag", *nearest),
            Problem::Missing => self.suggest(out, "needs a value", None),
            Problem::Bad { why, nearest } => self.suggest(out, why, *nearest),
            Problem::Early => out.push_str(
                "ignored: it is needed before the data disk is; \
                 put it on the command line, in fw_cfg or in SMBIOS",
            ),
            Problem::Open => {
                out.push_str("a double quote is not closed and took the rest of the line");
                out.push_str("; was the command line cut short?");
            }
            Problem::Twice { lost } => {
                out.push_str("given twice; this later one wins over ");
                out.push_str(lost);
            }
            Problem::More(_) => {}
        }
    }

    /// What is wrong, then the nearest right word, then all the right ones.
    fn suggest(&self, out: &mut String, why: &str, nearest: Option<&str>) {
        out.push_str("ignored: ");
        out.push_str(why);
        if let Some(nearest) = nearest {
            out.push_str("; did you mean ");
            out.push_str(nearest);
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
        self.describe(&mut line);
        // All of it is ASCII, so any length is a character boundary.
        f.write_str(line.get(..MAX_LINE).unwrap_or(&line))
    }
}

/// Bytes from outside made fit for a console: printable ASCII stays, the rest
/// becomes `\xNN`, so that no escape sequence reaches a terminal; cut at
/// [`MAX_SHOWN`] characters.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        if text.len() >= MAX_SHOWN {
            text.push_str("...");
            break;
        }
        match byte {
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => {
                text.push_str("\\x");
                text.push(hex(byte >> 4));
                text.push(hex(byte & 15));
            }
        }
    }
    text
}

fn hex(digit: u8) -> char {
    char::from(if digit < 10 {
        b'0' + digit
    } else {
        b'a' + (digit - 10) % 6
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_unprintable_is_shown() {
        assert_eq!(shown(b"a b"), "a b");
        assert_eq!(shown(b"\x1b[2J\\\n\xff"), "\\x1b[2J\\\\\\x0a\\xff");
        let long = shown(&[0; 1000]);
        assert!(
            long.len() <= MAX_SHOWN + 6 && long.ends_with("..."),
            "{long}"
        );
    }
}
