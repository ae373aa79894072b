// SPDX-License-Identifier: Apache-2.0
//! Target of the output of a unit's processes (systemd.exec(5), "StandardOutput=").

use std::fs::OpenOptions;
use std::process::Stdio;

use sys::error::{Doing, Result};

/// Target of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The log, as output of the unit's service.
    Log,
    /// Nowhere.
    Null,
    /// A file. It is emptied first, written from its begin on as it is, or appended to.
    File(String, Mode),
}

/// Treatment of what a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// New output replaces the bytes at its place.
    Overwrite,
    /// New output comes after the content.
    Append,
    /// The content is removed first.
    Truncate,
}

impl Output {
    /// Reads a value. What the journal, the console and a terminal would get goes to the log.
    ///
    /// # Errors
    /// The value is none of these; the text says what would be right.
    pub fn parse(text: &str) -> Result<Output, String> {
        let file = |path: &str, mode| match path.starts_with('/') {
            true => Ok(Output::File(path.to_owned(), mode)),
            false => Err(format!("{path}: a whole path")),
        };
        match text.split_once(':') {
            Some(("file", path)) => file(path, Mode::Overwrite),
            Some(("append", path)) => file(path, Mode::Append),
            Some(("truncate", path)) => file(path, Mode::Truncate),
            _ => match text {
                "null" => Ok(Output::Null),
                "inherit" | "journal" | "journal+console" | "syslog" | "syslog+console"
                | "kmsg" | "kmsg+console" | "tty" => Ok(Output::Log),
                _ => Err(format!(
                    "{text}: journal, null, file:, append: or truncate:"
                )),
            },
        }
    }

    /// Opens the target for a process.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(&self) -> Result<Stdio> {
        Ok(match self {
            Output::Log => Stdio::inherit(),
            Output::Null => Stdio::null(),
            Output::File(path, mode) => {
                let mut options = OpenOptions::new();
                options.create(true).write(true);
                match mode {
                    Mode::Overwrite => options.truncate(false),
                    Mode::Append => options.append(true),
                    Mode::Truncate => options.truncate(true),
                };
                options.open(path).on(path)?.into()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_output_goes() {
        let file = |mode| Ok(Output::File("/x:y".to_owned(), mode));
        for (text, right) in [
            ("null", Ok(Output::Null)),
            ("journal", Ok(Output::Log)),
            ("inherit", Ok(Output::Log)),
            ("file:/x:y", file(Mode::Overwrite)),
            ("append:/x:y", file(Mode::Append)),
            ("truncate:/x:y", file(Mode::Truncate)),
        ] {
            assert_eq!(Output::parse(text), right, "{text}");
        }
        for text in ["", "socket", "file:x", "append:", "fd:3"] {
            assert!(Output::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn content_is_kept_or_not() {
        let temp = crate::common::testing::Temp::new();
        let path = temp.path("log").display().to_string();
        for (mode, right) in [
            (Mode::Append, "ab"),
            (Mode::Append, "abab"),
            (Mode::Overwrite, "abab"),
            (Mode::Truncate, "ab"),
        ] {
            let stdio = Output::File(path.clone(), mode).open().ok();
            let mut command = std::process::Command::new("/bin/sh");
            command.args(["-c", "printf ab"]);
            stdio.map(|stdio| command.stdout(stdio));
            assert!(command.status().is_ok_and(|s| s.success()));
            assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), right);
        }
    }
}
