// SPDX-License-Identifier: Apache-2.0
//! Literals of Go: strings, raw strings, character constants and numbers.

use std::fmt;

use serde_json::{Number, Value};

/// Reason why a text is no literal, in Go's words (text/template/parse/lex.go, strconv).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LiteralError {
    /// A raw string without its end.
    OpenRaw,
    /// A string without its end.
    OpenString,
    /// A character constant without its end.
    OpenCharacter,
    /// A character constant of no or of several characters.
    NotOneCharacter,
    /// A backslash before something that it does not escape.
    Escape,
}

impl fmt::Display for LiteralError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LiteralError::OpenRaw => "unterminated raw quoted string",
            LiteralError::OpenString => "unterminated quoted string",
            LiteralError::OpenCharacter => "unterminated character constant",
            LiteralError::NotOneCharacter => "malformed character constant",
            LiteralError::Escape => "invalid escape sequence in a string",
        })
    }
}

/// Reads a literal that begins with a quote. Returns its value and its length in bytes.
pub(super) fn quoted(text: &str) -> Result<(Value, usize), LiteralError> {
    match text.chars().next() {
        Some('`') => {
            let end = text[1..].find('`').ok_or(LiteralError::OpenRaw)?;
            let raw = text[1..=end].replace('\r', "");
            Ok((Value::String(raw), end + 2))
        }
        Some('\'') => {
            let (value, length) = escaped(text, '\'', LiteralError::OpenCharacter)?;
            let mut chars = value.chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) => Ok((Value::from(u32::from(c)), length)),
                _ => Err(LiteralError::NotOneCharacter),
            }
        }
        _ => {
            let (value, length) = escaped(text, '"', LiteralError::OpenString)?;
            Ok((Value::String(value), length))
        }
    }
}

/// Reads up to the quote that ends the literal.
fn escaped(text: &str, quote: char, open: LiteralError) -> Result<(String, usize), LiteralError> {
    let mut value = Vec::new();
    let mut rest = &text[1..];
    loop {
        let c = rest.chars().next().ok_or(open)?;
        rest = &rest[c.len_utf8()..];
        match c {
            '\n' => return Err(open),
            '\\' => rest = escape(rest, quote, &mut value)?,
            c if c == quote => break,
            c => value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    // Bytes above 0x7f by \x or octal digits need not be UTF-8, which JSON requires.
    let value = String::from_utf8_lossy(&value).into_owned();
    Ok((value, text.len() - rest.len()))
}

/// Reads an escape sequence behind its backslash. Returns the text behind it.
fn escape<'a>(text: &'a str, quote: char, value: &mut Vec<u8>) -> Result<&'a str, LiteralError> {
    const BAD: LiteralError = LiteralError::Escape;
    let c = text.chars().next().ok_or(BAD)?;
    let rest = &text[c.len_utf8()..];
    if let Some(byte) = simple_escape(c, quote) {
        value.push(byte);
        return Ok(rest);
    }
    let (digits, radix, from) = match c {
        'x' => (2, 16, rest),
        'u' => (4, 16, rest),
        'U' => (8, 16, rest),
        '0'..='7' => (3, 8, text),
        _ => return Err(BAD),
    };
    let number = from.get(..digits).ok_or(BAD)?;
    let is_digit = |c: char| c.is_digit(radix);
    let number = match number.chars().all(is_digit) {
        true => u32::from_str_radix(number, radix).map_err(|_| BAD)?,
        false => return Err(BAD),
    };
    match c {
        'u' | 'U' => {
            let c = char::from_u32(number).ok_or(BAD)?;
            value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        _ => value.push(u8::try_from(number).map_err(|_| BAD)?),
    }
    Ok(&from[digits..])
}

/// Returns the byte of an escape sequence of one character.
fn simple_escape(c: char, quote: char) -> Option<u8> {
    Some(match c {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        c if c == quote => quote as u8,
        _ => return None,
    })
}

/// Returns the value of a number: decimal, hexadecimal, octal or binary, or with a fraction.
pub(super) fn number(text: &str) -> Option<Value> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let plain = without_underscores(digits)?;
    let lower = plain.to_ascii_lowercase();
    let octal = lower.strip_prefix('0').filter(|d| !d.is_empty());
    let prefixed = lower
        .strip_prefix("0x")
        .map(|d| (d, 16))
        .or(lower.strip_prefix("0o").map(|d| (d, 8)))
        .or(lower.strip_prefix("0b").map(|d| (d, 2)))
        .or(octal.map(|d| (d, 8)))
        .unwrap_or((lower.as_str(), 10));
    let is_integer = !prefixed.0.is_empty() && prefixed.0.chars().all(|c| c.is_digit(prefixed.1));
    if is_integer {
        return integer(sign, prefixed.0, prefixed.1);
    }
    let is_float = lower.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && lower.contains(|c: char| c.is_ascii_digit())
        && !lower.contains(|c: char| !(c.is_ascii_digit() || ".e+-".contains(c)));
    let float: f64 = format!("{sign}{lower}").parse().ok().filter(|_| is_float)?;
    Number::from_f64(float).map(Value::Number)
}

fn integer(sign: &str, digits: &str, radix: u32) -> Option<Value> {
    if let Ok(number) = i64::from_str_radix(&format!("{sign}{digits}"), radix) {
        return Some(Value::from(number));
    }
    let number = u64::from_str_radix(digits, radix).ok();
    number.filter(|_| sign.is_empty()).map(Value::from)
}

/// Returns the digits, if each underscore is between two of them or behind a prefix.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let placed = |at: usize| {
        let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
        let prefix = at == 2 && bytes[0] == b'0' && b"xXoObB".contains(&bytes[1]);
        at > 0 && (digit(at - 1) || prefix) && digit(at + 1)
    };
    let mut underscores = text.match_indices('_');
    let grouped = text.contains('_');
    let based = text.starts_with('0');
    // Go's scanner takes underscores only where the base is written or decimal is clear.
    (underscores.all(|(at, _)| placed(at)) && (!grouped || based || !text.contains('.')))
        .then(|| text.replace('_', ""))
}
