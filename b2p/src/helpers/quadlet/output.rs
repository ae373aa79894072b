// SPDX-License-Identifier: Apache-2.0
//! Target of the output of a unit's processes (systemd.exec(5), "StandardOutput=").

use std::fs::{File, OpenOptions};
use std::process::Stdio;

use sys::error::{Doing, Result};

use super::unit_error::UnitError;

/// Target of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The log, as output of the unit's service.
    Log,
    /// Nowhere.
    Null,
    /// A file, which is emptied first, written from its begin on, or appended to.
    File(String, Mode),
}

/// Treatment of the content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// New output replaces the bytes at its place.
    Overwrite,
    /// New output is appended to the content.
    Append,
    /// The content is removed first.
    Truncate,
}

/// Returns true for a value by which a socket unit has the output: `socket`, or `fd:` and a name.
#[must_use]
pub fn is_of_socket(text: &str) -> bool {
    text == "socket" || text == "fd" || text.starts_with("fd:")
}

impl Output {
    /// Reads a value. Output for the journal, the console, a terminal or a socket, which no unit has here, is written
    /// to the log.
    ///
    /// # Errors
    /// The value is none of these; the error lists the right ones.
    pub fn parse(text: &str) -> Result<Output, UnitError> {
        let file = |path: &str, mode| match path.starts_with('/') {
            true => Ok(Output::File(path.to_owned(), mode)),
            false => Err(UnitError::Value(path.to_owned(), "a whole path".into())),
        };
        match text.split_once(':') {
            Some(("file", path)) => file(path, Mode::Overwrite),
            Some(("append", path)) => file(path, Mode::Append),
            Some(("truncate", path)) => file(path, Mode::Truncate),
            _ if is_of_socket(text) => Ok(Output::Log),
            _ => match text {
                "null" => Ok(Output::Null),
                "inherit" | "journal" | "journal+console" | "syslog" | "syslog+console"
                | "kmsg" | "kmsg+console" | "tty" => Ok(Output::Log),
                _ => {
                    let right = "journal, null, file:, append: or truncate:";
                    Err(UnitError::Value(text.to_owned(), right.into()))
                }
            },
        }
    }

    /// Opens the targets of standard output and standard error for a process. Two outputs to the same file share
    /// one file offset (systemd.exec(5), "StandardOutput="), because otherwise one would overwrite the other.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub fn open_with(&self, stderr: &Output) -> Result<(Stdio, Stdio)> {
        match (self.open_file()?, stderr) {
            (Some(file), stderr) if stderr.is_same_file(self) => {
                let copy = file.try_clone()?;
                Ok((file.into(), copy.into()))
            }
            (file, stderr) => {
                let stdout = file.map_or_else(|| self.stdio(), Stdio::from);
                let file = stderr.open_file()?;
                Ok((stdout, file.map_or_else(|| stderr.stdio(), Stdio::from)))
            }
        }
    }

    fn is_same_file(&self, other: &Output) -> bool {
        matches!((self, other), (Output::File(own, _), Output::File(path, _)) if own == path)
    }

    fn stdio(&self) -> Stdio {
        match self {
            Output::Null => Stdio::null(),
            Output::Log | Output::File(..) => Stdio::inherit(),
        }
    }

    fn open_file(&self) -> Result<Option<File>> {
        let Output::File(path, mode) = self else {
            return Ok(None);
        };
        let mut options = OpenOptions::new();
        options.create(true).write(true);
        match mode {
            Mode::Overwrite => options.truncate(false),
            Mode::Append => options.append(true),
            Mode::Truncate => options.truncate(true),
        };
        options.open(path).on(path).map(Some)
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
        for text in ["socket", "fd:3", "fd"] {
            assert_eq!(Output::parse(text), Ok(Output::Log), "{text}");
        }
        for text in ["", "file:x", "append:", "fdx"] {
            assert!(Output::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn content_is_kept_or_not() {
        let temp = crate::common::testing::Temp::new();
        let path = temp.path("log").display().to_string();
        let log = |mode| Output::File(path.clone(), mode);
        for (stdout, stderr, right) in [
            (log(Mode::Append), Output::Null, "a"),
            (log(Mode::Append), log(Mode::Append), "aab"),
            (log(Mode::Overwrite), Output::Null, "aab"),
            (log(Mode::Truncate), log(Mode::Truncate), "ab"),
            (log(Mode::Overwrite), log(Mode::Overwrite), "ab"),
            (Output::Null, log(Mode::Truncate), "b"),
        ] {
            let mut command = std::process::Command::new("/bin/sh");
            command.args(["-c", "printf a; printf b >&2"]);
            if let Ok((stdout, stderr)) = stdout.open_with(&stderr) {
                command.stdout(stdout).stderr(stderr);
            }
            assert!(command.status().is_ok_and(|s| s.success()));
            assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), right);
        }
    }
}
