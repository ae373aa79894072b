// SPDX-License-Identifier: Apache-2.0
//! `printf`, with the verbs of Go's package fmt that have a meaning for JSON.

use serde_json::Value;

use super::value::{Reason, Val};
use super::{MAX_OUTPUT, format};

/// Greatest width and precision.
const MAX_WIDTH: usize = 1_000_000;

/// Flags, width, precision and verb of a directive.
#[derive(Clone, Copy, Default)]
struct Directive {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Returns the values with blanks between them, as `println` writes them.
pub(super) fn spaced(values: &[Val<'_>]) -> String {
    let texts: Vec<String> = values.iter().map(|v| format::text(v)).collect();
    texts.join(" ")
}

/// Returns the formatted text. A directive that does not fit its value is shown, as Go does.
pub(super) fn printf(text: &str, values: &[Val<'_>]) -> Result<String, Reason> {
    let mut out = String::new();
    let mut values = values.iter();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let directive = directive(&mut chars, &mut values, &mut out);
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match values.next() {
                Some(value) => out.push_str(&formatted(directive, verb, value)),
                None => out.push_str(&format!("%!{verb}(MISSING)")),
            },
        }
        if out.len() > MAX_OUTPUT {
            return Err(format!("more than {MAX_OUTPUT} bytes").into());
        }
    }
    let rest: Vec<String> = values.map(|v| described(v)).collect();
    if !rest.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", rest.join(", ")));
    }
    Ok(out)
}

/// Reads a directive up to its verb.
fn directive(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    values: &mut std::slice::Iter<'_, Val<'_>>,
    out: &mut String,
) -> Directive {
    let mut directive = Directive::default();
    while let Some(flag) = chars.next_if(|c| "-+# 0".contains(*c)) {
        match flag {
            '-' => directive.minus = true,
            '+' => directive.plus = true,
            '#' => directive.sharp = true,
            ' ' => directive.space = true,
            _ => directive.zero = true,
        }
    }
    match number(chars, values) {
        Some(Ok(width)) => {
            directive.minus |= width < 0;
            directive.width = usize::try_from(width.unsigned_abs()).ok();
        }
        Some(Err(())) => out.push_str("%!(BADWIDTH)"),
        None => {}
    }
    if chars.next_if_eq(&'.').is_some() {
        directive.precision = Some(0);
        match number(chars, values) {
            Some(Ok(precision)) => directive.precision = usize::try_from(precision).ok(),
            Some(Err(())) => out.push_str("%!(BADPREC)"),
            None => {}
        }
    }
    // Zeros are no padding behind a value.
    directive.zero &= !directive.minus;
    directive
}

/// Reads a number or `*`, which takes the next value.
fn number(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    values: &mut std::slice::Iter<'_, Val<'_>>,
) -> Option<Result<i64, ()>> {
    let bounded = |n: i64| match n.unsigned_abs() <= MAX_WIDTH as u64 {
        true => Ok(n),
        false => Err(()),
    };
    if chars.next_if_eq(&'*').is_some() {
        let value = values.next().and_then(|v| v.as_i64());
        return Some(value.ok_or(()).and_then(bounded));
    }
    let mut number: Option<i64> = None;
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        let digit = i64::from(digit.to_digit(10).unwrap_or(0));
        number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(digit));
    }
    number.map(bounded)
}

/// Returns `type=value`, as in messages about directives.
fn described(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        value => format!("{}={}", format::type_name(value), format::text(value)),
    }
}

fn formatted(d: Directive, verb: char, value: &Value) -> String {
    let text = match (verb, value) {
        ('T', value) => Some(pad(d, cut(d, format::type_name(value)))),
        ('v', Value::Null) => Some(pad(d, "<nil>".to_owned())),
        ('v' | 's', Value::String(text)) if !d.sharp || verb == 's' => Some(pad(d, cut(d, text))),
        ('v' | 'q', Value::String(text)) => Some(pad(d, quoted(d, text, verb))),
        ('x' | 'X', Value::String(text)) => Some(pad(d, hexadecimal(d, text, verb))),
        ('v' | 't', Value::Bool(b)) => Some(pad(d, b.to_string())),
        (verb, Value::Number(n)) => match n.as_i128().filter(|_| !n.is_f64()) {
            Some(n) => integer(d, verb, n),
            None => n.as_f64().and_then(|f| float(d, verb, f)),
        },
        (verb, Value::Array(items)) => {
            let texts: Vec<String> = items.iter().map(|i| formatted(d, verb, i)).collect();
            Some(format!("[{}]", texts.join(" ")))
        }
        (verb, Value::Object(map)) => {
            let key = |k: &String| formatted(d, verb, &Value::from(k.as_str()));
            let text = |(k, v): (&String, &Value)| format!("{}:{}", key(k), formatted(d, verb, v));
            let texts: Vec<String> = map.iter().map(text).collect();
            Some(format!("map[{}]", texts.join(" ")))
        }
        _ => None,
    };
    text.unwrap_or_else(|| format!("%!{verb}({})", described(value)))
}

/// Cuts a text to the precision.
fn cut(d: Directive, text: &str) -> String {
    text.chars()
        .take(d.precision.unwrap_or(usize::MAX))
        .collect()
}

/// Pads a text that is no number to the width.
fn pad(d: Directive, text: String) -> String {
    let missing = d.width.unwrap_or(0).saturating_sub(text.chars().count());
    match (d.minus, d.zero) {
        (true, _) => text + &" ".repeat(missing),
        (false, true) => "0".repeat(missing) + &text,
        (false, false) => " ".repeat(missing) + &text,
    }
}

/// Pads digits with zeros between them and their sign, or else with blanks.
fn pad_number(d: Directive, negative: bool, digits: String) -> String {
    let sign = match (negative, d.plus, d.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    let width = d.width.unwrap_or(0);
    let missing = width.saturating_sub(sign.len() + digits.len());
    match d.zero {
        true => format!("{sign}{}{digits}", "0".repeat(missing)),
        false => pad(Directive { zero: false, ..d }, format!("{sign}{digits}")),
    }
}

fn integer(d: Directive, verb: char, number: i128) -> Option<String> {
    let n = number.unsigned_abs();
    let sharp = |prefix: &str, digits: String| match d.sharp {
        true => (prefix.to_owned(), digits),
        false => (String::new(), digits),
    };
    let (prefix, digits) = match verb {
        'v' | 'd' => (String::new(), n.to_string()),
        'x' => sharp("0x", format!("{n:x}")),
        'X' => sharp("0X", format!("{n:X}")),
        'o' => sharp("0", format!("{n:o}")),
        'O' => ("0o".to_owned(), format!("{n:o}")),
        'b' => sharp("0b", format!("{n:b}")),
        'U' => ("U+".to_owned(), format!("{n:04X}")),
        'c' => {
            let c = u32::try_from(number).ok().and_then(char::from_u32);
            return Some(pad(d, c.unwrap_or('\u{fffd}').to_string()));
        }
        _ => return None,
    };
    // With a precision, zeros fill the digits, and the width is filled with blanks.
    let digits = match d.precision {
        Some(0) if n == 0 => String::new(),
        Some(precision) => format!("{digits:0>precision$}"),
        None => digits,
    };
    let zero = d.zero && d.precision.is_none();
    Some(pad_number(
        Directive { zero, ..d },
        number < 0,
        prefix + &digits,
    ))
}

fn float(d: Directive, verb: char, number: f64) -> Option<String> {
    let n = number.abs();
    let scientific = |text: String| {
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent = exponent.parse().unwrap_or(0);
        format!("{digits}{}", format::exponent_text(exponent))
    };
    let digits = match (verb, d.precision) {
        ('v' | 'g', None) => format::shortest(n),
        ('f' | 'F', precision) => format!("{n:.*}", precision.unwrap_or(6)),
        ('e', precision) => scientific(format!("{n:.*e}", precision.unwrap_or(6))),
        ('v' | 'g', Some(precision)) => {
            let digits = precision.max(1);
            let rounded = format!("{n:.*e}", digits - 1).parse().unwrap_or(n);
            format::shortest_below(rounded, i32::try_from(digits).unwrap_or(i32::MAX))
        }
        _ => return None,
    };
    Some(pad_number(d, number.is_sign_negative(), digits))
}

fn hexadecimal(d: Directive, text: &str, verb: char) -> String {
    let bytes = text.bytes().take(d.precision.unwrap_or(usize::MAX));
    let text: String = match verb {
        'x' => bytes.map(|b| format!("{b:02x}")).collect(),
        _ => bytes.map(|b| format!("{b:02X}")).collect(),
    };
    let prefix = if d.sharp && !text.is_empty() {
        format!("0{verb}")
    } else {
        String::new()
    };
    prefix + &text
}

/// Returns a string literal of Go; with `#`, a raw one where that is possible.
fn quoted(d: Directive, text: &str, verb: char) -> String {
    let text = cut(d, text);
    let raw = |c: char| c != '`' && c != '\u{feff}' && (c == '\t' || !c.is_control());
    if d.sharp && verb == 'q' && text.chars().all(raw) {
        return format!("`{text}`");
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            '"' | '\\' => out.extend(['\\', c]),
            c if d.plus && !c.is_ascii() || !is_printable(c) => {
                out.push_str(&match u32::from(c) {
                    n @ 0..0x80 => format!("\\x{n:02x}"),
                    n @ 0..0x1_0000 => format!("\\u{n:04x}"),
                    n => format!("\\U{n:08x}"),
                });
            }
            c => out.push(c),
        }
    }
    out + "\""
}

/// Blank, or a character that is neither white space nor of control.
fn is_printable(c: char) -> bool {
    c == ' ' || !(c.is_control() || c.is_whitespace() || c.escape_debug().len() > 2)
}
