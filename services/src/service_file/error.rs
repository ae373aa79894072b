// SPDX-License-Identifier: Apache-2.0
//! Faults of a service file.

use std::fmt;

use super::KEYS;
use crate::tokenize::TokenError;

/// All faults of one file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileErrors(pub Vec<FileError>);

impl fmt::Display for FileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for FileErrors {}

/// Fault with its place, as `<file>:<line>: <fault>: <correct form>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// Name of the service, limited to the characters that a terminal can show.
    pub file: String,
    /// Number of the line, from 1; 0 for a fault of the file as a whole.
    pub line: usize,
    /// The fault.
    pub fault: Fault,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.fault)
    }
}

impl std::error::Error for FileError {}

/// Fault of a line or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file's name is not a name of a service.
    Name,
    /// The file is longer than [`MAX_FILE_BYTES`](super::MAX_FILE_BYTES).
    TooLong,
    /// The line is not UTF-8.
    NotUtf8,
    /// The line cannot be cut into tokens.
    Tokens(TokenError),
    /// No key has this name.
    UnknownKey(String),
    /// A key that may occur once occurs again.
    Repeated(&'static str),
    /// The values of a key are wrong.
    Value {
        /// Name of the key.
        key: &'static str,
        /// The first of the values.
        given: String,
        /// Description of the right values.
        expected: Expected,
    },
    /// The file has no `exec`.
    MissingExec,
    /// A one-shot has the restart policy `always` or `on-success`.
    OneShotRestarts,
    /// A service with `at` has a `ready` other than `exit`, or a socket.
    TimedServiceStays,
    /// Readiness is to be reported on the descriptor of the socket.
    ReadyOnSocket,
    /// The name is that of a cgroup of every user, and the service would run there.
    CgroupOfUser,
    /// More faults than are reported.
    TooMany,
}

/// Description of the values that would be right for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected(pub &'static str);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Name => {
                "not a name: a to z, 0 to 9 and -, at most 64, and not boot2podman or kernel"
            }
            Fault::TooLong => "too long: at most 16384 bytes",
            Fault::NotUtf8 => "not UTF-8",
            Fault::Tokens(error) => return error.fmt(f),
            Fault::UnknownKey(key) => {
                write!(f, "{key}: unknown keyword: one of")?;
                return KEYS.iter().try_for_each(|key| write!(f, " {}", key.name));
            }
            Fault::Repeated(key) => return write!(f, "{key}: a second time: write it once"),
            Fault::Value {
                key,
                given,
                expected: Expected(expected),
            } => return write!(f, "{key}: {given}: {expected}"),
            Fault::MissingExec => {
                "exec is missing: exec, the absolute path of a program, its arguments"
            }
            Fault::OneShotRestarts => "ready exit: use restart on-failure or never",
            Fault::TimedServiceStays => {
                "at is for a service that ends: use ready exit and no socket"
            }
            Fault::ReadyOnSocket => "descriptor 3 is the socket: use ready fd 4",
            Fault::CgroupOfUser => {
                "session and containers are cgroups of every user: give the file another name"
            }
            Fault::TooMany => "and perhaps more: correct these first",
        })
    }
}
