// SPDX-License-Identifier: Apache-2.0
//! Text of values, as Go's package fmt writes them with `%v`, and as its package encoding/json.

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

/// Returns the text that an action writes.
pub(super) fn output(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        value => text(value),
    }
}

/// Returns the text of `%v`.
pub(super) fn text(value: &Value) -> String {
    let mut out = String::new();
    append(&mut out, value);
    out
}

fn append(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => match n.as_f64().filter(|_| n.is_f64()) {
            Some(float) => out.push_str(&shortest(float)),
            None => out.push_str(&n.to_string()),
        },
        Value::String(s) => out.push_str(s),
        Value::Array(list) => {
            out.push('[');
            for (at, item) in list.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { " " });
                append(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push_str("map[");
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            for (at, (key, item)) in entries.into_iter().enumerate() {
                out.push_str(if at == 0 { "" } else { " " });
                out.push_str(key);
                out.push(':');
                append(out, item);
            }
            out.push(']');
        }
    }
}

/// Returns the shortest text that is read as the same number: `%g` of Go, whose exponents begin at
/// a million.
pub(super) fn shortest(float: f64) -> String {
    shortest_below(float, 6)
}

/// Returns the shortest text, with an exponent from `limit` on.
pub(super) fn shortest_below(float: f64, limit: i32) -> String {
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    match exponent < -4 || exponent >= limit {
        true => format!("{digits}{}", exponent_text(exponent)),
        false => float.to_string(),
    }
}

/// Returns `e+06`: a sign and at least two digits.
pub(super) fn exponent_text(exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("e{sign}{:02}", exponent.unsigned_abs())
}

/// Returns the name of a type in messages of Go.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// Returns the work that making a copy of a value costs.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.len(),
        _ => 1,
    }
}

/// Returns JSON on one line. Go escapes the characters that are special in HTML.
pub(super) fn json(value: &Value) -> String {
    escape_html(&value.to_string())
}

/// Returns JSON with an indentation of four blanks.
pub(super) fn pretty_json(value: &Value) -> String {
    let mut bytes = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"    ");
    let mut serializer = Serializer::with_formatter(&mut bytes, formatter);
    // Nothing in a value has no JSON, and a vector takes every byte.
    let _ = value.serialize(&mut serializer);
    escape_html(&String::from_utf8_lossy(&bytes))
}

/// Outside of strings, JSON has none of these characters.
fn escape_html(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}
