// SPDX-License-Identifier: Apache-2.0
//! Templates in the language of Go's package text/template, over JSON.
//!
//! A subset: everything that `--format` of docker, podman and docker-machine is used for. Missing
//! are methods, `block`, `call`, complex numbers, and the functions of HTML and JavaScript. Two
//! rules differ where Go's are a trap: whole numbers of JSON are integers, so that none is printed
//! with an exponent, and numbers of all kinds can be compared.
//!
//! Templates come from users: size, depth, work and output are bounded, and an error is one line.

mod ast;
mod eval;
mod format;
mod functions;
mod lexer;
mod literal;
mod parser;
mod printf;
mod tokens;
mod value;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// Maximum size of a template in bytes.
pub const MAX_SOURCE: usize = 64 << 10;
/// Maximum depth of parentheses, of blocks in each other, and of templates that include each other.
pub const MAX_DEPTH: usize = 100;
/// Maximum size of the output and of a text within it, in bytes.
pub const MAX_OUTPUT: usize = 4 << 20;
/// Maximum work: nodes evaluated and bytes made.
pub const MAX_WORK: usize = 16 << 20;

/// Reason why a template cannot be parsed or executed: one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Result of a step of a template.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Result of the last segment of a path that the data does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// `<no value>`, as for a map.
    NoValue,
    /// An error, as for the fields of a Go struct.
    Error,
}

/// Parsed template.
#[derive(Clone, Debug)]
pub struct Template {
    source: String,
    body: Vec<ast::Node>,
    defined: BTreeMap<String, Vec<ast::Node>>,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// Position and reason, if the text is no template of the subset.
    pub fn parse(source: &str) -> Result<Template> {
        if source.len() > MAX_SOURCE {
            let bytes = source.len();
            let text = format!("template: {bytes} bytes; {MAX_SOURCE} are the most");
            return Err(Error(text));
        }
        let parsed = lexer::lex(source).and_then(|pieces| parser::parse(&pieces));
        let (body, defined) = parsed.map_err(|fault| fault.locate(source))?;
        Ok(Template {
            source: source.to_owned(),
            body,
            defined,
        })
    }

    /// Executes the template on an object. The kind of `missing` applies to its fields, not to
    /// those of objects within it.
    ///
    /// # Errors
    /// Position and reason, if an expression has no value or a limit is exceeded.
    pub fn execute(&self, data: &Value, missing: Missing) -> Result<String> {
        eval::execute(&self.body, &self.defined, data, missing)
            .map_err(|fault| fault.locate(&self.source))
    }
}

/// Reason and byte offset of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    at: usize,
    reason: String,
}

impl Fault {
    fn new(at: usize, reason: impl Into<String>) -> Fault {
        Fault {
            at,
            reason: reason.into(),
        }
    }

    /// Adds line and column, both from 1, and makes one line of the reason.
    fn locate(self, source: &str) -> Error {
        let before = source.get(..self.at).unwrap_or(source);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let reason: String = self.reason.chars().map(visible).take(300).collect();
        Error(format!("template: {line}:{column}: {reason}"))
    }
}

/// A control character of a template must not reach a terminal.
fn visible(c: char) -> char {
    if c.is_control() { '\u{fffd}' } else { c }
}

#[cfg(test)]
#[path = "tests/mod.rs"]
mod tests;
