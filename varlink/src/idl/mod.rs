// SPDX-License-Identifier: Apache-2.0
//! Interface descriptions: varlink's language (varlink.org/Interface-Definition).

mod format;
mod parser;
mod tokens;

use format::Writer;

/// Description of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Comment lines before the name, without `#`.
    pub comment: Vec<String>,
    /// Name.
    pub name: String,
    /// Types, methods and errors, in their order.
    pub members: Vec<Member>,
    /// Comment lines after the last member.
    pub end: Vec<String>,
}

/// Type, method or error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Comment lines before the member.
    pub comment: Vec<String>,
    /// Name.
    pub name: String,
    /// Definition.
    pub kind: Kind,
}

/// Definition of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Name of a type.
    Type(Type),
    /// Method: its parameters and its results.
    Method(Fields, Fields),
    /// Error, and its parameters.
    Error(Fields),
}

/// Type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// `bool`, `int`, `float`, `string`, `object`, or the name of a type of the interface.
    Named(String),
    /// Structure or enumeration: a list in parentheses.
    Fields(Fields),
    /// `[]T`.
    Array(Box<Type>),
    /// `[string]T`.
    Map(Box<Type>),
    /// `?T`.
    Maybe(Box<Type>),
}

/// Fields of a structure, or names of an enumeration.
pub type Fields = Vec<Field>;

/// Field of a structure, or a name of an enumeration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Comment lines before the field.
    pub comment: Vec<String>,
    /// Name.
    pub name: String,
    /// Type; `None` in an enumeration.
    pub kind: Option<Type>,
}

impl Description {
    /// Parses a description.
    ///
    /// # Errors
    /// The line, and the tokens that would be right there.
    pub fn parse(text: &str) -> sys::error::Result<Description> {
        parser::parse(text)
    }

    /// Returns the description in the usual form: a short member on one line, others with one field
    /// a line.
    #[must_use]
    pub fn format(&self) -> String {
        let mut writer = Writer::default();
        writer.description(self);
        writer.text
    }
}

#[cfg(test)]
mod tests;
