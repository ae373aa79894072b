// SPDX-License-Identifier: Apache-2.0
//! Reasons why a unit cannot run here, and faults of files in degraded lines.

use std::borrow::Cow;
use std::fmt;

use sys::error::Error;

/// Result of a step that reads a unit.
pub type Result<T> = std::result::Result<T, UnitError>;

/// Reason why a unit cannot run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitError {
    /// Reason in the value of a key.
    Key(&'static str, Box<UnitError>),
    /// A value, and the text that would be right.
    Value(String, Cow<'static, str>),
    /// Statement about the unit or one of its values.
    Invalid(Cow<'static, str>),
    /// Specifier that has no meaning here (systemd.unit(5), "Specifiers").
    Specifier(char),
    /// Prefix of a command that is not supported (systemd.service(5), "Command lines").
    Prefix(char),
}

impl UnitError {
    /// Returns the error of a value that a key does not take.
    pub fn value(key: &'static str, value: &str, right: impl Into<Cow<'static, str>>) -> UnitError {
        UnitError::Value(value.to_owned(), right.into()).of(key)
    }

    /// Names the key whose value has the error.
    #[must_use]
    pub fn of(self, key: &'static str) -> UnitError {
        UnitError::Key(key, Box::new(self))
    }
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnitError::Key(key, why) => write!(f, "{key}: {why}"),
            UnitError::Value(value, right) => write!(f, "{value}: {right}"),
            UnitError::Invalid(why) => f.write_str(why),
            UnitError::Specifier(c) => write!(f, "the specifier %{c} is not supported"),
            UnitError::Prefix(c) => write!(f, "the prefix {c} of a command is not supported"),
        }
    }
}

impl std::error::Error for UnitError {}

impl From<&'static str> for UnitError {
    fn from(why: &'static str) -> UnitError {
        UnitError::Invalid(why.into())
    }
}

impl From<UnitError> for Error {
    fn from(why: UnitError) -> Error {
        Error::invalid(why.to_string())
    }
}

/// Fault of an owner's files: a degraded line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Part of the machine that the files belong to.
    pub part: &'static str,
    /// Reason.
    pub why: String,
}

impl Fault {
    /// Returns a fault of quadlets and plain units.
    pub fn of_quadlet(why: impl Into<String>) -> Fault {
        let (part, why) = (super::PART, why.into());
        Fault { part, why }
    }
}
