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
    /// A one-shot is to be restarted always.
    OneShotAlways,
    /// A service that starts at times does not end by itself, or has a socket.
    TimedDaemon,
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
                write!(f, "{key}: no such word: one of")?;
                return KEYS.iter().try_for_each(|key| write!(f, " {}", key.name));
            }
            Fault::Repeated(key) => return write!(f, "{key}: a second time: once is enough"),
            Fault::Value {
                key,
                given,
                expected: Expected(expected),
            } => return write!(f, "{key}: {given}: {expected}"),
            Fault::MissingExec => {
                "exec is missing: exec, a program by its whole path, its arguments"
            }
            Fault::OneShotAlways => "ready exit: restart on-failure or never",
            Fault::TimedDaemon => "at is for a service that ends: ready exit, and no socket",
            Fault::ReadyOnSocket => "ready fd 3, and a socket, which is 3: ready fd 4",
            Fault::CgroupOfUser => {
                "the cgroups session and containers of a user are the machine's: another name for the file"
            }
            Fault::TooMany => "and perhaps more: mend these first",
        })
    }
}
