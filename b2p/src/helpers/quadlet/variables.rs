// SPDX-License-Identifier: Apache-2.0
//! Variables of the environment of a unit.

use std::fs;
use std::iter::Peekable;
use std::path::PathBuf;

use super::words;
use crate::common::pattern::{is_pattern, matches};

type Chars<'a> = Peekable<std::str::Chars<'a>>;

/// Sets a variable in place of one of the same name.
pub fn set(env: &mut Vec<(String, String)>, name: &str, value: &str) {
    env.retain(|(other, _)| other != name);
    env.push((name.to_owned(), value.to_owned()));
}

/// Reads a file of variables (systemd.exec(5), "EnvironmentFile="). Lines that are no assignment are ignored.
#[must_use]
pub fn env_file(text: &str) -> Vec<(String, String)> {
    let mut env = Vec::new();
    let mut chars = text.chars().peekable();
    while chars.peek().is_some() {
        if let Some(name) = name(&mut chars) {
            let value = value(&mut chars);
            if words::is_variable(&name) {
                set(&mut env, &name, &value);
            }
        }
    }
    env
}

/// Reads a line up to its `=`; `None` for a line without one, and for a comment, which go to the end of the line.
fn name(chars: &mut Chars<'_>) -> Option<String> {
    let mut name = String::new();
    let mut is_comment = false;
    for c in chars.by_ref() {
        match c {
            '\n' | '\r' => return None,
            '#' | ';' if name.trim().is_empty() => is_comment = true,
            '=' if !is_comment => return Some(name.trim().to_owned()),
            c if !is_comment => name.push(c),
            _ => {}
        }
    }
    None
}

/// Reads a value as systemd does (src/basic/env-file.c): quotes, which may have several lines, at its begin and
/// after another quote, and backslashes. Blanks there and at the end are no part of the value.
fn value(chars: &mut Chars<'_>) -> String {
    let mut value = String::new();
    // Length of the value up to its last character that is quoted or no blank.
    let mut kept = 0;
    let mut may_quote = true;
    while let Some(c) = chars.next() {
        match c {
            '\n' | '\r' => break,
            '\'' | '"' if may_quote => {
                quoted(chars, c, &mut value);
                kept = value.len();
            }
            '\\' => {
                may_quote = false;
                if let Some(c) = chars.next().filter(|c| *c != '\n') {
                    value.push(c);
                    kept = value.len();
                }
            }
            ' ' | '\t' if may_quote => {}
            c => {
                may_quote = false;
                value.push(c);
                if c != ' ' && c != '\t' {
                    kept = value.len();
                }
            }
        }
    }
    value.truncate(kept);
    value
}

/// Reads up to the closing quote. In double quotes a backslash has a meaning before `"`, `\`, `` ` ``, `$` and
/// the end of a line.
fn quoted(chars: &mut Chars<'_>, quote: char, value: &mut String) {
    while let Some(c) = chars.next() {
        match c {
            c if c == quote => return,
            '\\' if quote == '"' => match chars.next() {
                None | Some('\n') => {}
                Some(c @ ('"' | '\\' | '`' | '$')) => value.push(c),
                Some(c) => value.extend(['\\', c]),
            },
            c => value.push(c),
        }
    }
}

/// Returns the files that a path with `*` and `?` in its last part stands for, sorted (glob(7)); the path itself
/// without them.
#[must_use]
pub fn files(path: &str) -> Vec<PathBuf> {
    let own = PathBuf::from(path);
    let parts = path.rsplit_once('/').filter(|(_, name)| is_pattern(name));
    let Some((dir, pattern)) = parts else {
        return vec![own];
    };
    let entries = fs::read_dir(format!("{dir}/"))
        .into_iter()
        .flatten()
        .flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let is_one = |name: &String| matches(pattern, name) && !name.starts_with('.');
    let mut names: Vec<String> = names.filter(is_one).collect();
    sys::sort::sort(&mut names);
    let paths = names
        .iter()
        .map(|name| PathBuf::from(format!("{dir}/{name}")));
    paths.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_a_shell() {
        for (text, right) in [
            ("P=\"a\\\"b\"", "a\"b"),
            ("P=\"one\ntwo\"", "one\ntwo"),
            ("P='one\ntwo' # x", "one\ntwo# x"),
            // A quote has its meaning at the begin of a value, and after a quote.
            ("P={\"a\":\"b\"}", "{\"a\":\"b\"}"),
            ("P=-Dx=\"a b\" it's", "-Dx=\"a b\" it's"),
            ("P= 'a' \"b\" \\'c'", "ab'c'"),
            ("P=a\\\nb", "ab"),
            ("P= a b \t", "a b"),
            ("P=\" a \" ", " a "),
            ("P=\"a\\x\\$\"", "a\\x$"),
            ("P=a\\ b", "a b"),
            ("P='a\\'", "a\\"),
            ("# P=x\nP=1\nno\n ;P=3\n", "1"),
            ("# x \\\nP=1", "1"),
            ("  P =1\r\nP-x=2\n", "1"),
            ("P=1\nP=", ""),
            ("P=\"open", "open"),
        ] {
            assert_eq!(
                env_file(text),
                [("P".to_owned(), right.to_owned())],
                "{text}"
            );
        }
    }

    #[test]
    fn files_of_a_pattern() {
        let temp = crate::common::testing::Temp::new();
        for name in ["b.env", "a.env", ".c.env", "d"] {
            let _ = fs::write(temp.path(name), "");
        }
        let pattern = temp.path("*.env").display().to_string();
        assert_eq!(files(&pattern), [temp.path("a.env"), temp.path("b.env")]);
        assert!(files("/none/*.env").is_empty());
        assert_eq!(files("/none/a"), [PathBuf::from("/none/a")]);
    }
}
