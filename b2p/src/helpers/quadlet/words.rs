// SPDX-License-Identifier: Apache-2.0
//! Words of command lines and assignments as systemd splits them (systemd.syntax(7), "Quoting";
//! systemd.service(5), "Command lines").

use std::iter::Peekable;
use std::str::Chars;

use super::unit::{Assignment, Unit};
use super::unit_error::{Result, UnitError};

/// A word, and true if a part of it was quoted or escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// Text without quotes and escapes.
    pub text: String,
    /// True if the word has a quote or an escape: a `;` is then an argument.
    pub is_quoted: bool,
    /// True if the word has an unknown escape, which is kept unchanged.
    has_unknown: bool,
}

impl Word {
    /// Adds the value of a backslash and the following characters.
    fn push_escaped(&mut self, chars: &mut Peekable<Chars<'_>>) {
        let rest = chars.clone();
        if let Some(c) = escaped(chars) {
            return self.text.push(c);
        }
        *chars = rest;
        self.has_unknown = true;
        self.text.push('\\');
        self.text.extend(chars.next());
    }
}

/// Splits a value into words. An unknown escape is kept unchanged (extract_first_word_and_warn() of
/// src/basic/extract-word.c).
///
/// # Errors
/// A quote is not closed.
pub fn split(value: &str) -> Result<Vec<Word>> {
    words(value, false)
}

/// Splits an assignment of a variable into the name and the value; `None` for another text, which systemd ignores
/// (systemd.exec(5), "Environment=").
#[must_use]
pub fn variable(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').filter(|(name, _)| is_variable(name))
}

/// Returns the key of the first assignment with an escape that is unknown.
#[must_use]
pub fn unknown_escape(unit: &Unit) -> Option<&str> {
    let is_split = |key: &str| key == "Environment" || key.starts_with("Exec");
    let has_one = |a: &&Assignment| {
        let words = split(&a.value).unwrap_or_default();
        is_split(&a.key) && words.iter().any(|word| word.has_unknown)
    };
    let mut all = unit.assignments().iter();
    all.find(has_one).map(|a| a.key.as_str())
}

/// Splits a text into words. In a value of a variable, a backslash keeps the next character, and the last quote
/// may be open (replace_env_argv() of src/basic/env-util.c).
fn words(text: &str, is_variable: bool) -> Result<Vec<Word>> {
    if text.contains('\0') {
        return Err("a program takes no NUL".into());
    }
    let mut chars = text.chars().peekable();
    let mut words = Vec::new();
    loop {
        while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(words);
        }
        words.push(word(&mut chars, is_variable)?);
    }
}

fn word(chars: &mut Peekable<Chars<'_>>, is_variable: bool) -> Result<Word> {
    let mut word = Word::default();
    let mut quote = None;
    while let Some(c) = chars.next_if(|c| quote.is_some() || !c.is_ascii_whitespace()) {
        match c {
            '\\' => {
                word.is_quoted = true;
                match is_variable {
                    true => word.text.extend(chars.next()),
                    false => word.push_escaped(chars),
                }
            }
            c if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => {
                quote = Some(c);
                word.is_quoted = true;
            }
            c => word.text.push(c),
        }
    }
    match quote {
        Some(_) if !is_variable => Err("a quote is not closed".into()),
        _ => Ok(word),
    }
}

/// Reads the characters after a backslash; `None` for an escape that systemd.syntax(7) does not
/// have.
fn escaped(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    let c = chars.next()?;
    Some(match c {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        's' => ' ',
        '\\' | '"' | '\'' | ';' => c,
        'x' => number(chars, 16, 2, 0)?,
        'u' => number(chars, 16, 4, 0)?,
        'U' => number(chars, 16, 8, 0)?,
        '0'..='7' => number(chars, 8, 2, c.to_digit(8)?)?,
        _ => return None,
    })
}

/// Reads a fixed number of digits of a character's number, of which `first` are read. A program
/// takes no NUL.
fn number(chars: &mut Peekable<Chars<'_>>, radix: u32, digits: usize, first: u32) -> Option<char> {
    let mut number = first;
    for _ in 0..digits {
        let digit = chars.next()?.to_digit(radix)?;
        number = number.checked_mul(radix)?.checked_add(digit)?;
    }
    char::from_u32(number).filter(|c| *c != '\0')
}

/// A command of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// True if a failure has no consequence (prefix `-`).
    pub ignores_failure: bool,
    /// True if variables of the environment are replaced (no prefix `:`).
    pub expands: bool,
    /// True if the second word is the name that the program has among its own arguments (prefix `@`).
    pub has_name: bool,
}

/// Reads the commands of a value; `expand` replaces the specifiers of a word.
///
/// # Errors
/// The words are wrong, a specifier is unknown, a prefix is not supported, or there is no program.
pub fn commands(value: &str, expand: impl Fn(&str) -> Result<String>) -> Result<Vec<Command>> {
    let words = split(value)?;
    let separates = |word: &Word| word.text == ";" && !word.is_quoted;
    let groups = words.split(separates).filter(|words| !words.is_empty());
    groups.map(|words| command(words, &expand)).collect()
}

fn command(words: &[Word], expand: &impl Fn(&str) -> Result<String>) -> Result<Command> {
    let texts = words.iter().map(|word| expand(&word.text));
    let mut argv = texts.collect::<Result<Vec<String>>>()?;
    let mut command = Command {
        argv: Vec::new(),
        ignores_failure: false,
        expands: true,
        has_name: false,
    };
    let program = argv.first_mut().ok_or("a command has no program")?;
    // `+` and `!` are about privileges that no unit here gives up.
    while let Some(prefix) = program.chars().next().filter(|c| "-:+!@|".contains(*c)) {
        match prefix {
            '-' => command.ignores_failure = true,
            ':' => command.expands = false,
            '@' => command.has_name = true,
            '|' => return Err(UnitError::Prefix(prefix)),
            _ => {}
        }
        program.remove(0);
    }
    if program.is_empty() {
        return Err("a command has no program".into());
    }
    if command.has_name && argv.len() < 2 {
        return Err("a command with the prefix @ has no name".into());
    }
    command.argv = argv;
    Ok(command)
}

/// Replaces variables in the arguments of a command: `$NAME` that is a whole word by the words of its
/// value, `${NAME}` by its value, `$$` by `$`. A variable that is not set is empty.
#[must_use]
pub fn expand_variables(argv: &[String], get: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut expanded = Vec::new();
    for (n, word) in argv.iter().enumerate() {
        let whole = word.strip_prefix('$').filter(|name| is_variable(name));
        match whole.filter(|_| n > 0) {
            Some(name) => {
                let value = get(name).unwrap_or_default();
                let words = words(&value, true).unwrap_or_default();
                expanded.extend(words.into_iter().map(|word| word.text));
            }
            None => expanded.push(replaced(word, &get)),
        }
    }
    expanded
}

fn replaced(word: &str, get: &impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let braced = after.strip_prefix('{').and_then(|t| t.split_once('}'));
        rest = match braced.filter(|(name, _)| is_variable(name)) {
            Some((name, after)) => {
                out.push_str(&get(name).unwrap_or_default());
                after
            }
            None => {
                out.push('$');
                after.strip_prefix('$').unwrap_or(after)
            }
        };
    }
    out.push_str(rest);
    out
}

/// Returns true for the name of a variable (environ(7)).
#[must_use]
pub fn is_variable(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    name.bytes().next().is_some_and(letter) && name.bytes().all(|b| letter(b) || b.is_ascii_digit())
}

#[cfg(test)]
#[path = "words/tests.rs"]
mod tests;
