// SPDX-License-Identifier: Apache-2.0
//! Words of a command line by the rules of wordexp(3): blanks, quotes, backslashes and variables.
//! No shell is run: command substitution and signs of the shell outside of quotes are refused.

use sys::error::{Error, Result};

/// Signs of the shell that wordexp(3) refuses (`WRDE_BADCHAR`).
const REFUSED: &[char] = &['|', '&', ';', '<', '>', '(', ')', '{', '}', '\n'];

/// Refusal of a quotation.
const QUOTE: &str = "a `'` without an end";
/// Refusal of command substitution.
const COMMAND: &str = "a command within the command";

/// Returns the words of a command line. `variable` returns the value of a variable; one that is not
/// set is empty.
///
/// # Errors
/// A quote without an end, a sign of the shell, or no word at all.
pub(super) fn split(line: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Vec<String>> {
    let mut words = Words::default();
    let mut rest = line;
    let mut is_quoted = false;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => {
                is_quoted = !is_quoted;
                words.push("");
            }
            '\'' if !is_quoted => {
                let (text, after) = rest.split_once('\'').ok_or_else(|| refused(line, QUOTE))?;
                words.push(text);
                rest = after;
            }
            '\\' => rest = escaped(rest, is_quoted, &mut words),
            '`' => return Err(refused(line, COMMAND)),
            '$' if rest.starts_with('(') => return Err(refused(line, COMMAND)),
            '$' => {
                let (name, after) =
                    name(rest).ok_or_else(|| refused(line, "a `$` without a name"))?;
                match name {
                    "" => words.push("$"),
                    name => words.value(&variable(name).unwrap_or_default(), is_quoted),
                }
                rest = after;
            }
            ' ' | '\t' if !is_quoted => words.end(),
            c if !is_quoted && REFUSED.contains(&c) => {
                return Err(refused(line, &format!("{c:?} outside of quotes")));
            }
            c => words.push(c.encode_utf8(&mut [0; 4])),
        }
    }
    if is_quoted {
        return Err(refused(line, "a `\"` without an end"));
    }
    words.finish().ok_or_else(|| refused(line, "no word"))
}

/// Words so far, and the one that is being read.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    word: Option<String>,
}

impl Words {
    /// Returns the words, unless there is none.
    fn finish(mut self) -> Option<Vec<String>> {
        self.end();
        Some(self.done).filter(|words| !words.is_empty())
    }

    fn push(&mut self, text: &str) {
        self.word.get_or_insert_default().push_str(text);
    }

    fn end(&mut self) {
        self.done.extend(self.word.take());
    }

    /// Adds the value of a variable, divided at blanks unless the variable is in quotes.
    fn value(&mut self, value: &str, is_quoted: bool) {
        if is_quoted {
            return self.push(value);
        }
        for (at, part) in value.split([' ', '\t', '\n']).enumerate() {
            if at > 0 {
                self.end();
            }
            if !part.is_empty() {
                self.push(part);
            }
        }
    }
}

/// Adds the character after a backslash. Within quotes, a backslash before other characters than
/// these stays.
fn escaped<'a>(rest: &'a str, is_quoted: bool, words: &mut Words) -> &'a str {
    let Some(c) = rest.chars().next() else {
        words.push("\\");
        return rest;
    };
    if is_quoted && !matches!(c, '$' | '`' | '"' | '\\') {
        words.push("\\");
    }
    words.push(c.encode_utf8(&mut [0; 4]));
    &rest[c.len_utf8()..]
}

/// Returns the name at the start of the text and the rest; the name is empty for a `$` that stands
/// for itself.
fn name(text: &str) -> Option<(&str, &str)> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if let Some(braced) = text.strip_prefix('{') {
        return braced.split_once('}').filter(|(name, _)| is_name(name));
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    match is_name(name) {
        true => Some((name, rest)),
        false => Some(("", text)),
    }
}

fn refused(line: &str, why: &str) -> Error {
    Error::invalid(format!(
        "`{line}` has {why}; a command is words, quotes and variables"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn words(line: &str) -> Result<Vec<String>> {
        split(line, |name| match name {
            "VARLINK_ADDRESS" => Some("unix:/tmp/x/socket".to_owned()),
            "TWO" => Some(" a  b ".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn words_quotes_and_variables() {
        for (line, expected) in [
            (
                "podman varlink $VARLINK_ADDRESS",
                &["podman", "varlink", "unix:/tmp/x/socket"][..],
            ),
            (
                r"podman varlink \$VARLINK_ADDRESS",
                &["podman", "varlink", "$VARLINK_ADDRESS"],
            ),
            (
                r"podman varlink '$VARLINK_ADDRESS'",
                &["podman", "varlink", "$VARLINK_ADDRESS"],
            ),
            (
                r#"a "$VARLINK_ADDRESS b" c"#,
                &["a", "unix:/tmp/x/socket b", "c"],
            ),
            ("  a\tb  ", &["a", "b"]),
            ("a'b c'\"d e\"f", &["ab cd ef"]),
            ("a '' \"\"", &["a", "", ""]),
            (r#"a\ b "\x\"" \\"#, &["a b", "\\x\"", "\\"]),
            ("x$TWO.y \"$TWO\"", &["x", "a", "b", ".y", " a  b "]),
            ("a ${TWO}c $NONE d", &["a", "a", "b", "c", "d"]),
            ("cost $5 $", &["cost", "$5", "$"]),
            ("ssh host 'a | b; c'", &["ssh", "host", "a | b; c"]),
        ] {
            assert_eq!(words(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn a_shell_is_not_run() {
        for line in [
            "",
            "  ",
            "a $(b)",
            "a `b`",
            "a \"`b`\"",
            "a | b",
            "a; b",
            "a & b",
            "a > b",
            "a (b)",
            "'a",
            "\"a",
            "a ${b",
            "a ${b:-c}",
            "a\nb",
        ] {
            assert!(words(line).is_err(), "{line}");
        }
    }
}
