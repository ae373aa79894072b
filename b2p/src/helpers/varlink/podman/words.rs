// SPDX-License-Identifier: Apache-2.0
//! Words of podman 1 and of its client: states, rows of tables, names of images, and ports.

use varlink::{Map, Value, json};

use super::api::{Outcome, elements, number, occurred, string, strings};
use super::time::{ago, rfc3339};

/// States of podman 1 in the order of their numbers.
const STATES: &[&str] = &[
    "unknown",
    "configured",
    "created",
    "running",
    "stopped",
    "paused",
    "exited",
    "removing",
];

/// Returns podman 1's word for a state.
pub(super) fn old_state(state: &str) -> &str {
    match state {
        "created" => "configured",
        "initialized" => "created",
        state => state,
    }
}

/// Returns today's word for a state of podman 1.
pub(super) fn new_state(state: &str) -> &str {
    match state {
        "configured" => "created",
        "created" => "initialized",
        state => state,
    }
}

/// Returns podman 1's number of a state that has today's word.
pub(super) fn state_number(state: &str) -> usize {
    let old = old_state(state);
    STATES.iter().position(|known| *known == old).unwrap_or(0)
}

/// Returns the state of a container in the words of a table.
pub(super) fn status(entry: &Value, now: i64) -> String {
    let since = |name: &str| ago(now - number(entry, name));
    let plain = match string(entry, "State").as_str() {
        "running" => return format!("Up {}", since("StartedAt")),
        "exited" | "stopped" => {
            let code = number(entry, "ExitCode");
            return format!("Exited ({code}) {}", since("ExitedAt"));
        }
        "paused" => "Paused",
        "created" | "initialized" => "Created",
        "removing" => "Removing",
        _ => "Error",
    };
    plain.to_owned()
}

/// Returns the ports of a container in the form of a table.
pub(super) fn ports(ports: &Value) -> String {
    let mut texts = Vec::new();
    for port in elements(ports) {
        let host = string(port, "host_ip");
        let host = if host.is_empty() { "0.0.0.0" } else { &host };
        let (outside, inside) = (number(port, "host_port"), number(port, "container_port"));
        let protocol = string(port, "protocol");
        texts.push(format!("{host}:{outside}->{inside}/{protocol}"));
    }
    texts.join(", ")
}

/// Returns the rows of podman's answer to `top`: columns with tabs between them, the titles first.
pub(super) fn rows(found: &Value) -> Value {
    let mut rows = vec![strings(found, "Titles").join("\t").into()];
    for row in elements(&found["Processes"]) {
        let columns: Vec<&str> = elements(row).iter().filter_map(Value::as_str).collect();
        rows.push(columns.join("\t").into());
    }
    Value::Array(rows)
}

/// Returns the entries of a list, the latest first.
pub(super) fn newest(list: &Value) -> Value {
    let mut list = elements(list).to_vec();
    sys::sort::sort_by(&mut list, |a, b| {
        string(b, "Created").cmp(&string(a, "Created"))
    });
    list.into()
}

/// Returns nanoseconds since 1970 as RFC 3339.
pub(super) fn nanoseconds(time: i64) -> String {
    let seconds = rfc3339(time.div_euclid(1_000_000_000));
    let rest = time.rem_euclid(1_000_000_000);
    format!("{}.{rest:09}Z", seconds.trim_end_matches('Z'))
}

/// Returns a list or an object as JSON, without members that are null or an empty list; nothing for an empty one.
pub(super) fn compact(value: &Value) -> String {
    let is_left = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let value = match value {
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !is_left(value));
            let members = members.map(|(name, value)| (name.clone(), value.clone()));
            let members: Map = sys::sort::inserted(members);
            match members.is_empty() {
                true => Value::Null,
                false => Value::Object(members),
            }
        }
        value => value.clone(),
    };
    match is_left(&value) {
        true => String::new(),
        false => varlink::text(&value),
    }
}

/// Returns labels, each `name=value`, by name.
pub(super) fn labels(list: &[String]) -> Value {
    let mut labels = Map::new();
    for label in list {
        let (name, value) = label.split_once('=').unwrap_or((label, ""));
        labels.insert(name.to_owned(), value.into());
    }
    Value::Object(labels)
}

/// Divides a name at the last colon after the last slash into repository and tag; without a tag, the tag is
/// `latest`.
pub(super) fn divide(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        _ if name.is_empty() => ("", ""),
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    }
}

/// Parses `[[IP:]HOST:]CONTAINER[/PROTOCOL]`.
pub(super) fn port(text: &str) -> Outcome<Value> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let mut parts = ports.rsplitn(3, ':');
    let mut number = || match parts.next() {
        None | Some("") => Some(0_u16),
        Some(part) => part.parse().ok(),
    };
    let (inside, outside) = (number(), number());
    let (Some(inside @ 1..), Some(outside)) = (inside, outside) else {
        return Err(occurred(&format!(
            "publish: {text}: must be like 8080:80/tcp"
        )));
    };
    Ok(json!({
        "container_port": inside, "host_port": outside, "protocol": protocol,
        "host_ip": parts.next().unwrap_or(""),
    }))
}

/// Returns the paths of the Dockerfiles in the context. podman-remote 1.9.3 sends its own whole paths, of which podman 1
/// took the last part.
pub(super) fn dockerfiles(files: &[String]) -> Outcome<Value> {
    let mut paths = Vec::new();
    for file in files {
        let path = match file.rsplit_once('/') {
            Some((_, name)) if file.starts_with('/') => name,
            _ => file,
        };
        if path.is_empty() || path.split('/').any(|part| part == "..") {
            let why = format!("dockerfiles: {file}: not a path in the context");
            return Err(occurred(&why));
        }
        paths.push(path.into());
    }
    Ok(Value::Array(paths))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_state_has_its_words() {
        for (state, words, old, number) in [
            ("running", "Up 2 seconds ago", "running", 3),
            ("exited", "Exited (7) 1 second ago", "exited", 6),
            ("stopped", "Exited (7) 1 second ago", "stopped", 4),
            ("paused", "Paused", "paused", 5),
            ("created", "Created", "configured", 1),
            ("initialized", "Created", "created", 2),
            ("removing", "Removing", "removing", 7),
            ("other", "Error", "other", 0),
        ] {
            let entry = json!({"State": state, "ExitCode": 7, "StartedAt": 98, "ExitedAt": 99});
            assert_eq!(status(&entry, 100), words, "{state}");
            assert_eq!((old_state(state), state_number(state)), (old, number));
            assert_eq!(new_state(old), state);
        }
    }

    #[test]
    fn a_colon_before_a_slash_is_a_port() {
        for (name, parts) in [
            ("web", ("web", "latest")),
            ("web:1", ("web", "1")),
            ("host:5000/web", ("host:5000/web", "latest")),
            ("host:5000/web:1", ("host:5000/web", "1")),
            ("", ("", "")),
        ] {
            assert_eq!(divide(name), parts);
        }
    }

    #[test]
    fn ports_of_a_pod() {
        for (text, inside, outside, ip, protocol) in [
            ("80", 80, 0, "", "tcp"),
            ("8080:80/udp", 80, 8080, "", "udp"),
            ("127.0.0.1:8080:80", 80, 8080, "127.0.0.1", "tcp"),
            ("127.0.0.1::80", 80, 0, "127.0.0.1", "tcp"),
        ] {
            let expected = json!({"container_port": inside, "host_port": outside, "host_ip": ip, "protocol": protocol});
            assert_eq!(port(text).unwrap(), expected, "{text}");
        }
        for text in ["", "a", "8080:", "0", "70000:80", "80:b"] {
            assert!(port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn json_of_a_query_has_nothing_that_is_empty() {
        for (value, text) in [
            (json!(null), ""),
            (json!([]), ""),
            (json!({}), ""),
            (json!({"a": [], "b": null}), ""),
            (json!({"a": "", "b": ["x"]}), r#"{"a":"","b":["x"]}"#),
            (json!(["x"]), r#"["x"]"#),
        ] {
            assert_eq!(compact(&value), text);
        }
    }
}
