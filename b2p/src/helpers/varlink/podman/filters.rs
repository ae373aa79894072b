// SPDX-License-Identifier: Apache-2.0
//! Filters of the rules' expressions: functions of a value, and of an argument after a colon.

use varlink::{Value, json, map};

use super::api::{Outcome, elements, filters, number, occurred, string};
use super::expression::{member, texts_by_name, whole, word};
use super::rules::{Run, is_something};
use super::time::{ZERO_TIME, ago, now, rfc3339, running_for, seconds};
use super::{inspection, sockets, words};

/// Forms of an image's archive that podman's API writes.
const ARCHIVES: &[&str] = &["docker-archive", "oci-archive", "docker-dir", "oci-dir"];

/// Filter that needs nothing but the value and the argument: its name, and its function.
type Filter = (&'static str, fn(&Value, &str) -> Value);

/// Filters that need no other input. For a value of an unexpected type, a filter returns the zero value.
#[rustfmt::skip]
const FILTERS: &[Filter] = &[
    // Conditions.
    ("not",       |value, _| (!is_something(value)).into()),
    ("is",        |value, text| (value == text).into()),
    ("positive",  |value, _| if value.as_i64().is_some_and(|n| n <= 0) { Value::Null } else { value.clone() }),
    ("natural",   |value, _| if value.as_i64().is_some_and(|n| n < 0) { Value::Null } else { value.clone() }),
    // Not zero, and not the zero time of Go.
    ("set",       |value, _| if value == 0 || word(value).starts_with("0001-") { Value::Null } else { value.clone() }),
    // Texts.
    ("string",    |value, _| word(value).into()),
    ("without",   |value, prefix| { let text = word(value); text.strip_prefix(prefix).unwrap_or(&text).into() }),
    ("small",     |value, _| word(value).to_ascii_lowercase().into()),
    ("after",     |value, prefix| word(value).strip_prefix(prefix).unwrap_or_default().into()),
    ("join",      |value, between| texts(value).join(between).into()),
    ("text",      |value, _| varlink::text(value).into()),
    ("json",      |value, _| words::compact(value).into()),
    ("url",       |value, _| { let text = word(value); (text.starts_with("http://") || text.starts_with("https://")).then_some(text).into() }),
    ("repository", |value, _| words::divide(&word(value)).0.into()),
    ("tag",       |value, _| words::divide(&word(value)).1.into()),
    ("archive_format", |value, _| word(value).split_once(':').map(|(format, _)| format).filter(|f| ARCHIVES[..2].contains(f)).into()),
    ("archive_path", |value, _| word(value).split(':').nth(1).into()),
    // Lists and objects.
    ("list",      |value, _| if is_something(value) { vec![value.clone()].into() } else { json!([]) }),
    ("len",       |value, _| elements(value).len().into()),
    ("first",     |value, _| elements(value).first().cloned().into()),
    ("last",      |value, _| elements(value).last().cloned().into()),
    ("column",    |value, name| elements(value).iter().map(|e| member(e, name)).filter(|v| is_something(v)).cloned().collect()),
    ("running",   |value, _| elements(value).iter().filter(|e| e["State"] == "running").cloned().collect()),
    ("newest",    |value, _| words::newest(value)),
    ("pruned",    |value, _| elements(value).iter().filter(|e| string(e, "Err").is_empty()).map(|e| e["Id"].clone()).collect()),
    ("kind",      |value, kind| elements(value).iter().filter(|e| number(e, "Kind").to_string() == kind).map(|e| e["Path"].clone()).collect()),
    ("texts",     |value, _| texts_by_name(value)),
    ("labels",    |value, _| words::labels(&texts(value))),
    ("marked",    |value, mark| {
        let marked = value.as_object().into_iter().flatten().filter(|(_, entry)| entry[mark] == true);
        marked.map(|(name, _)| Value::from(name.as_str())).collect()
    }),
    ("sum",       |value, name| value.as_object().into_iter().flatten().map(|(_, n)| number(n, name)).sum::<i64>().into()),
    ("filters",   |value, _| filters(&texts(value)).into()),
    ("filter",    |value, name| {
        let values: Vec<String> = match value { Value::Array(_) => texts(value), value => vec![word(value)] };
        filters(&values.iter().map(|value| [name, "=", value].concat()).collect::<Vec<_>>()).into()
    }),
    // Times.
    ("date",      |value, _| rfc3339(whole(value)).into()),
    ("time",      |value, _| if is_something(value) { value.clone() } else { ZERO_TIME.into() }),
    ("when",      |value, _| match value { Value::Number(_) => rfc3339(whole(value)).into(), Value::String(_) => value.clone(), _ => ZERO_TIME.into() }),
    ("seconds",   |value, _| word(value).parse().ok().map(rfc3339).into()),
    ("nano",      |value, _| value.as_i64().map(words::nanoseconds).into()),
    ("milliseconds", |value, _| value.as_i64().filter(|n| *n > 0).map(|n| format!("{}ms", (n / 1_000_000).max(1))).into()),
    ("ago",       |value, _| seconds(&word(value)).map(|time| ago(now() - time)).into()),
    ("running_for", |value, _| running_for(whole(value)).into()),
    // Words of podman 1, and of its client.
    ("old",       |value, _| words::old_state(&word(value)).into()),
    ("new",       |value, _| texts(value).iter().map(|state| Value::from(words::new_state(state))).collect()),
    ("state",     |value, _| words::state_number(&word(value)).into()),
    ("status",    |value, _| words::status(value, now()).into()),
    ("ports",     |value, _| words::ports(value).into()),
    ("change",    |value, _| ["C", "A", "D"].get(usize::try_from(whole(value)).unwrap_or(0)).copied().unwrap_or("C").into()),
    ("rows",      |value, _| words::rows(value)),
    ("mappings",  |value, _| inspection::port_mappings(value)),
    ("podman1",   |value, _| inspection::of_podman_1(value.clone())),
    // Zero is no signal, and -1 stood for the usual one.
    ("signal",    |value, _| match whole(value) { signal @ 1.. => signal, _ => 15 }.into()),
];

/// Returns the texts of a list.
fn texts(value: &Value) -> Vec<String> {
    let texts = elements(value).iter().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

impl Run<'_, '_> {
    /// Returns the value of a filter.
    pub fn filter(&self, value: Value, name: &str, argument: &str, it: &Value) -> Outcome<Value> {
        if let Some((_, filter)) = FILTERS.iter().find(|(known, _)| *known == name) {
            return Ok(filter(&value, argument));
        }
        let other = self.operand(argument, it);
        Ok(match name {
            "or" if is_something(&value) => value,
            "or" => other,
            "then" if is_something(&value) => other,
            "then" => Value::Null,
            "plus" => plus(&value, &other),
            "merge" => merge(value, other),
            "find" => {
                let mut list = elements(&value).iter();
                list.find(|element| element["Id"] == other).cloned().into()
            }
            "among" => among(&value, &texts(&other)),
            "cut" => self.cut(&word(&value), argument).into(),
            "share" => self.share(value),
            "as" => match self.podman.rules.named(argument) {
                Some(_) => self.of_type(&varlink::idl::Type::Named(argument.to_owned()), value)?,
                None => Value::Null,
            },
            "kube" => super::kube::document(&word(&value), argument)?.into(),
            "port" => words::port(&word(&value))?,
            "dockerfiles" => words::dockerfiles(&texts(&value))?,
            "sockets" => sockets::link_of(&value)?.into(),
            "archive" if ARCHIVES.contains(&word(&value).as_str()) => value,
            "archive" => {
                let right = ARCHIVES.join(", ");
                return Err(occurred(&format!(
                    "format: {}: right are {right}",
                    word(&value)
                )));
            }
            // A test reads each filter of the rules.
            name => return Err(occurred(&format!("no filter {name}"))),
        })
    }

    /// Returns the first characters of a text, and an end if there are more, unless the client wants all (`noTrunc`).
    /// The argument is the number of characters and the end.
    fn cut(&self, text: &str, argument: &str) -> String {
        let end = argument.trim_start_matches(|c: char| c.is_ascii_digit());
        let length = argument[..argument.len() - end.len()].parse().unwrap_or(0);
        let is_whole = self.operand("opts.noTrunc", &Value::Null) == true;
        match text.char_indices().nth(length) {
            Some((at, _)) if !is_whole => [&text[..at], end].concat(),
            _ => text.to_owned(),
        }
    }

    /// Returns the share of the processor since the previous look, in percent.
    fn share(&self, stats: Value) -> Value {
        let before = self.operand("previousStats", &Value::Null);
        let since = |now: &str, then: &str| {
            number(&stats, now).saturating_sub(number(&before, then)) as f64
        };
        let used = since("CPUNano", "cpu_nano");
        let passed = since("SystemNano", "system_nano");
        match number(&before, "system_nano") != 0 && used > 0.0 && passed > 0.0 {
            true => json!(used / passed * 100.0),
            false => stats["CPU"].clone(),
        }
    }
}

/// Returns the pods whose state is one of these words, in upper or lower case.
fn among(pods: &Value, wanted: &[String]) -> Value {
    let is_wanted = |pod: &&Value| {
        let state = string(pod, "Status");
        wanted.iter().any(|word| word.eq_ignore_ascii_case(&state))
    };
    elements(pods).iter().filter(is_wanted).cloned().collect()
}

/// Returns two texts, or two lists, one after the other.
fn plus(value: &Value, other: &Value) -> Value {
    match (value, other) {
        (Value::Array(first), second) => [first, elements(second)].concat().into(),
        (first, second) => (word(first) + &word(second)).into(),
    }
}

/// Returns an object with the members of another one as well.
fn merge(value: Value, other: Value) -> Value {
    match value {
        Value::Object(mut members) => {
            members.extend(map(other));
            Value::Object(members)
        }
        value => value,
    }
}

/// Returns the names of all filters, for a test of the rules.
#[cfg(test)]
pub(super) fn names() -> Vec<&'static str> {
    let others = [
        "or", "then", "plus", "merge", "find", "among", "cut", "share", "as",
    ];
    let failing = ["kube", "port", "dockerfiles", "sockets", "archive"];
    let plain = FILTERS.iter().map(|(name, _)| *name);
    plain.chain(others).chain(failing).collect()
}
