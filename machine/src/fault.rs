// SPDX-License-Identifier: Apache-2.0
//! Errors with a text and an exit status that scripts rely on.

use std::fmt;

/// Exit status of every error without a status of its own.
pub const FAILURE: u8 = 1;
/// Exit status of a failed check before a machine is created.
pub const PRE_CREATE: u8 = 3;

/// Error whose text is printed as it is, with the exit status of the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whole text, without a newline at its end.
    pub text: String,
    /// Exit status.
    pub status: u8,
}

impl Fault {
    /// Returns an error of status 1.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            status: FAILURE,
        }
    }

    /// Returns an error of this status.
    #[must_use]
    pub fn with_status(text: impl Into<String>, status: u8) -> Self {
        Self {
            text: text.into(),
            status,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}
