// SPDX-License-Identifier: Apache-2.0
//! Matches `FIELD=value` of journalctl(1), of the fields that a record has here.

use super::options::Choice;
use crate::common::args::Problem;
use crate::common::log::MAX_TAG;

/// Fields by which records can be chosen.
const FIELDS: &str = "_SYSTEMD_UNIT= _SYSTEMD_USER_UNIT= CONTAINER_NAME= SYSLOG_IDENTIFIER= _COMM= _PID= _BOOT_ID= \
    _TRANSPORT=kernel";

/// A match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// Unit, and true for one of the user.
    Unit(String, bool),
    /// Name of a container in the log.
    Container(String),
    /// Name of a program, or `kernel`.
    Program(String),
    /// Number of a process.
    Pid(String),
    /// Boot.
    Boot(Choice),
}

/// Reads a match.
///
/// # Errors
/// The word is no match, or the log does not have the field.
pub fn parse(word: &str) -> Result<Match, Problem> {
    let none = || Problem::Wrong(format!("{word}: of the matches there are {FIELDS}"));
    let (field, value) = word.split_once('=').ok_or_else(none)?;
    let text = value.to_owned();
    Ok(match (field, value) {
        ("_SYSTEMD_UNIT", _) => Match::Unit(text, false),
        ("_SYSTEMD_USER_UNIT", _) => Match::Unit(text, true),
        // The log cuts a longer name.
        ("CONTAINER_NAME", _) => Match::Container(value.get(..MAX_TAG).unwrap_or(value).to_owned()),
        ("SYSLOG_IDENTIFIER" | "_COMM", _) => Match::Program(text),
        ("_TRANSPORT", "kernel") => Match::Program(text),
        ("_PID", _) if value.bytes().all(|b| b.is_ascii_digit()) => Match::Pid(text),
        ("_BOOT_ID", _) => Match::Boot(boot_id(value).map(Choice::Id).ok_or_else(none)?),
        _ => return Err(none()),
    })
}

/// Returns the number of a boot without hyphens, if the text is one.
#[must_use]
pub fn boot_id(text: &str) -> Option<String> {
    let id = text.replace('-', "").to_ascii_lowercase();
    let is_id = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    let may = text.len() == 32 || text.len() == 36;
    (is_id && may).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_record() {
        let text = |text: &str| text.to_owned();
        for (word, right) in [
            (
                "_SYSTEMD_UNIT=web.service",
                Some(Match::Unit(text("web.service"), false)),
            ),
            (
                "_SYSTEMD_USER_UNIT=web",
                Some(Match::Unit(text("web"), true)),
            ),
            ("CONTAINER_NAME=web", Some(Match::Container(text("web")))),
            ("_COMM=sshd", Some(Match::Program(text("sshd")))),
            ("_TRANSPORT=kernel", Some(Match::Program(text("kernel")))),
            ("_PID=12", Some(Match::Pid(text("12")))),
            ("_PID=x", None),
            ("_BOOT_ID=x", None),
            ("_EXE=/bin/x", None),
            ("web", None),
        ] {
            assert_eq!(parse(word).ok(), right, "{word}");
        }
        let long = format!("CONTAINER_NAME={}", "n".repeat(60));
        assert_eq!(parse(&long), Ok(Match::Container("n".repeat(MAX_TAG))));
        let id = "3C2F9a5e-0000-4000-8000-00000000000a";
        assert_eq!(
            boot_id(id).as_deref(),
            Some("3c2f9a5e00004000800000000000000a")
        );
        assert_eq!(boot_id("3c2f9a5e-0000"), None);
    }
}
