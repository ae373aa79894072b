// SPDX-License-Identifier: Apache-2.0
//! Functions of templates: those of Go, and those that docker, podman and docker-machine add.

use std::cmp::Ordering;

use serde_json::Value;

use super::value::{Reason, Val};
use super::{MAX_OUTPUT, format, printf};

type Run = for<'v, 'd> fn(&'v [Val<'d>]) -> Result<Val<'d>, Reason>;

/// Function: its name, the least and greatest number of arguments, and its implementation.
struct Function(&'static str, usize, usize, Run);

const ANY: usize = usize::MAX;

#[rustfmt::skip]
const FUNCTIONS: &[Function] = &[
    Function("and", 1, ANY, last),
    Function("or", 1, ANY, last),
    Function("not", 1, 1, |v| Ok(Val::made(!truth(&v[0])))),
    Function("eq", 1, ANY, eq),
    Function("ne", 2, 2, |v| Ok(Val::made(!equal(&v[0], &v[1])?))),
    Function("lt", 2, 2, |v| compare(v, |o| o == Ordering::Less)),
    Function("le", 2, 2, |v| compare(v, |o| o != Ordering::Greater)),
    Function("gt", 2, 2, |v| compare(v, |o| o == Ordering::Greater)),
    Function("ge", 2, 2, |v| compare(v, |o| o != Ordering::Less)),
    Function("index", 1, ANY, index),
    Function("slice", 1, 3, slice),
    Function("len", 1, 1, len),
    Function("print", 0, ANY, |v| text(print(v))),
    Function("println", 0, ANY, |v| text(printf::spaced(v) + "\n")),
    Function("printf", 1, ANY, |v| text(printf::printf(string(&v[0])?, &v[1..])?)),
    Function("json", 1, 1, |v| text(format::json(&v[0]))),
    Function("prettyjson", 1, 1, |v| text(format::pretty_json(&v[0]))),
    Function("upper", 1, 1, |v| text(string(&v[0])?.to_uppercase())),
    Function("lower", 1, 1, |v| text(string(&v[0])?.to_lowercase())),
    Function("title", 1, 1, |v| text(title(string(&v[0])?))),
    Function("join", 2, 2, join),
    Function("split", 2, 2, split),
    Function("truncate", 2, 2, truncate),
];

/// Returns true for the name of a function.
pub(super) fn exists(name: &str) -> bool {
    FUNCTIONS.iter().any(|f| f.0 == name)
}

/// Calls a function.
pub(super) fn call<'d>(name: &str, values: &[Val<'d>]) -> Result<Val<'d>, Reason> {
    let function = FUNCTIONS.iter().find(|f| f.0 == name);
    let Function(_, least, most, run) = function.ok_or("not defined")?;
    let count = values.len();
    if !(*least..=*most).contains(&count) {
        let wanted = match (*least, *most) {
            (least, ANY) => format!("at least {least}"),
            (least, most) if least == most => least.to_string(),
            (least, most) => format!("{least} to {most}"),
        };
        return Err(format!("wrong number of args: want {wanted} got {count}").into());
    }
    run(values)
}

/// Returns true if the value ends `and` or `or` before their other arguments are evaluated.
pub(super) fn decides(name: &str, value: &Value) -> bool {
    match name {
        "and" => !truth(value),
        "or" => truth(value),
        _ => false,
    }
}

/// Returns false for an empty value: zero, nothing, no characters, items or keys.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Makes a value of a text, unless it is too long.
fn text<'d>(text: String) -> Result<Val<'d>, Reason> {
    match text.len() > MAX_OUTPUT {
        true => Err(format!("more than {MAX_OUTPUT} bytes").into()),
        false => Ok(Val::made(text)),
    }
}

fn string(value: &Value) -> Result<&str, Reason> {
    let kind = format::type_name(value);
    let reason = || format!("wrong type for value; expected string; got {kind}").into();
    value.as_str().ok_or_else(reason)
}

/// Returns the last argument: all before it have not decided.
fn last<'d>(values: &[Val<'d>]) -> Result<Val<'d>, Reason> {
    values.last().cloned().ok_or_else(|| "".into())
}

/// Compares the first argument with each of the others.
fn eq<'d>(values: &[Val<'d>]) -> Result<Val<'d>, Reason> {
    if values.len() < 2 {
        return Err("missing argument for comparison".into());
    }
    for other in &values[1..] {
        if equal(&values[0], other)? {
            return Ok(Val::made(true));
        }
    }
    Ok(Val::made(false))
}

fn equal(a: &Value, b: &Value) -> Result<bool, Reason> {
    match (a, b) {
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
            Err("non-comparable type".into())
        }
        (Value::Null, _) | (_, Value::Null) => Ok(a == b),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (a, b) => order(a, b).map(|o| o == Ordering::Equal),
    }
}

fn compare<'d>(values: &[Val<'d>], wanted: fn(Ordering) -> bool) -> Result<Val<'d>, Reason> {
    order(&values[0], &values[1]).map(|o| Val::made(wanted(o)))
}

fn order(a: &Value, b: &Value) -> Result<Ordering, Reason> {
    let incompatible = || Reason::from("incompatible types for comparison");
    match (a, b) {
        (Value::String(a), Value::String(b)) => Ok(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => {
            if let (Some(a), Some(b)) = (a.as_i128(), b.as_i128()) {
                return Ok(a.cmp(&b));
            }
            let (a, b) = (a.as_f64(), b.as_f64());
            a.partial_cmp(&b).ok_or_else(incompatible)
        }
        _ => Err(incompatible()),
    }
}

/// Returns the item at each of the arguments in turn.
fn index<'d>(values: &[Val<'d>]) -> Result<Val<'d>, Reason> {
    let mut value = values[0].clone();
    for key in &values[1..] {
        value = match &*value {
            Value::Object(_) => {
                let key = string(key)?;
                let item = value.part(|v| v.get(key));
                item.unwrap_or_else(|| Val::made(Value::Null))
            }
            Value::Array(list) => {
                let at = position(key, list.len(), false)?;
                let item = value.part(|v| v.get(at));
                item.unwrap_or_else(|| Val::made(Value::Null))
            }
            Value::String(s) => {
                let at = position(key, s.len(), false)?;
                Val::made(s.as_bytes()[at])
            }
            Value::Null => return Err("index of untyped nil".into()),
            other => {
                let kind = format::type_name(other);
                return Err(format!("can't index item of type {kind}").into());
            }
        };
    }
    Ok(value)
}

/// Returns an index below `length`, or one that is `length` if it is an end.
fn position(value: &Value, length: usize, is_end: bool) -> Result<usize, Reason> {
    let number = value.as_i64().ok_or_else(|| {
        let kind = format::type_name(value);
        format!("cannot index slice/array with type {kind}")
    })?;
    let at = usize::try_from(number).ok();
    at.filter(|at| *at < length || is_end && *at == length)
        .ok_or_else(|| format!("index out of range: {number}").into())
}

fn slice<'d>(values: &[Val<'d>]) -> Result<Val<'d>, Reason> {
    let length = match &*values[0] {
        Value::String(s) => s.len(),
        Value::Array(list) => list.len(),
        other => {
            return Err(format!("can't slice item of type {}", format::type_name(other)).into());
        }
    };
    let bound = |at: usize, default: usize| match values.get(at) {
        Some(value) => position(value, length, true),
        None => Ok(default),
    };
    let (from, to) = (bound(1, 0)?, bound(2, length)?);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}").into());
    }
    match &*values[0] {
        Value::String(s) => match s.get(from..to) {
            Some(part) => text(part.to_owned()),
            None => Err("slice within a character".into()),
        },
        Value::Array(list) => Ok(Val::made(list[from..to].to_vec())),
        _ => Err("".into()),
    }
}

fn len<'d>(values: &[Val<'d>]) -> Result<Val<'d>, Reason> {
    match &*values[0] {
        Value::String(s) => Ok(Val::made(s.len())),
        Value::Array(list) => Ok(Val::made(list.len())),
        Value::Object(map) => Ok(Val::made(map.len())),
        Value::Null => Err("len of nil pointer".into()),
        other => Err(format!("len of type {}", format::type_name(other)).into()),
    }
}

/// Joins texts; a blank is between two that are no strings.
fn print(values: &[Val<'_>]) -> String {
    let mut out = String::new();
    let mut was_string = true;
    for value in values {
        if !was_string && !value.is_string() {
            out.push(' ');
        }
        was_string = value.is_string();
        out.push_str(&format::text(value));
    }
    out
}

/// Makes the first letter of each word a capital.
fn title(text: &str) -> String {
    let mut previous = ' ';
    let mut out = String::new();
    for c in text.chars() {
        let inside = previous.is_alphanumeric() || previous == '_';
        match inside {
            true => out.push(c),
            false => out.extend(c.to_uppercase()),
        }
        previous = c;
    }
    out
}

fn join<'d>(values: &[Val<'d>]) -> Result<Val<'d>, Reason> {
    let separator = string(&values[1])?;
    let Value::Array(list) = &*values[0] else {
        let kind = format::type_name(&values[0]);
        return Err(format!("wrong type for value; expected []string; got {kind}").into());
    };
    let texts: Vec<String> = list.iter().map(format::text).collect();
    let length: usize = texts.iter().map(|t| t.len() + separator.len()).sum();
    match length > MAX_OUTPUT {
        true => Err(format!("more than {MAX_OUTPUT} bytes").into()),
        false => text(texts.join(separator)),
    }
}

fn split<'d>(values: &[Val<'d>]) -> Result<Val<'d>, Reason> {
    let (whole, separator) = (string(&values[0])?, string(&values[1])?);
    let parts: Vec<Value> = match separator {
        "" => whole.chars().map(|c| Value::from(c.to_string())).collect(),
        _ => whole.split(separator).map(Value::from).collect(),
    };
    Ok(Val::made(parts))
}

fn truncate<'d>(values: &[Val<'d>]) -> Result<Val<'d>, Reason> {
    let whole = string(&values[0])?;
    let count = values[1].as_u64().ok_or("expected a length")?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    text(whole.chars().take(count).collect())
}
