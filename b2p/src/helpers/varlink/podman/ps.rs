// SPDX-License-Identifier: Apache-2.0
//! `Ps`: containers as text for a table, which podman 1 made on the server.

use varlink::{Value, json};

use super::api::{Api, Kind, Outcome, elements, filters, number, query, string, switch};
use super::containers::{add, old_state};
use super::parameters::Parameters;
use super::shape::{As, Field, shape};
use super::time::{ago, now, seconds};

/// Number of characters of an id, and of a command, in a table without `noTrunc`.
const ID: usize = 12;
const COMMAND: usize = 17;

/// `Ps`.
pub(super) fn ps(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let no_members = varlink::Map::new();
    let options = parameters
        .structure("opts")?
        .unwrap_or(Parameters(&no_members));
    let last = match (options.flag("latest")?, options.number("last")?) {
        (true, _) => "1".to_owned(),
        (false, count @ 1..) => count.to_string(),
        _ => String::new(),
    };
    let pairs = [
        ("all", switch(options.flag("all")?)),
        ("size", switch(options.flag("size")?)),
        ("pod", "true"),
        ("namespace", "true"),
        ("sync", switch(options.flag("sync")?)),
        ("last", last.as_str()),
        ("filters", &filters(&options.list("filters")?)),
    ];
    let is_whole = options.flag("noTrunc")?;
    let listed = api.get(Kind::None, "", format!("containers/json{}", query(&pairs)))?;
    let now = now();
    let rows = elements(&listed)
        .iter()
        .map(|entry| row(entry, is_whole, now));
    Ok(json!({ "containers": rows.collect::<Vec<_>>() }))
}

#[rustfmt::skip]
const ROW: &[Field] = &[
    ("id", "Id", As::Text), ("image", "Image", As::Text), ("command", "Command", As::Joined(" ")),
    ("names", "Names", As::Joined(",")), ("isInfra", "IsInfra", As::Flag),
    ("pidNum", "Pid", As::Int), ("pod", "Pod", As::Text),
    ("createdAt", "Created", As::Time), ("exitedAt", "ExitedAt", As::Date), ("startedAt", "StartedAt", As::Date),
    ("labels", "Labels", As::Dictionary), ("nsPid", "Pid", As::IntText), ("mounts", "Mounts", As::Joined(" ")),
];
const SIZE: &[Field] = &[
    ("rootFsSize", "rootFsSize", As::Int),
    ("rwSize", "rwSize", As::Int),
];
#[rustfmt::skip]
const NAMESPACES: &[Field] = &[
    ("cgroup", "Cgroup", As::Text), ("ipc", "Ipc", As::Text), ("mnt", "Mnt", As::Text), ("net", "Net", As::Text),
    ("pidNs", "Pidns", As::Text), ("user", "User", As::Text), ("uts", "Uts", As::Text),
];

/// Returns the structure `PsContainer` of an entry of podman's list.
fn row(entry: &Value, is_whole: bool, now: i64) -> Value {
    let mut row = shape(entry, ROW);
    add(&mut row, shape(&entry["Size"], SIZE));
    add(&mut row, shape(&entry["Namespaces"], NAMESPACES));
    let ports = elements(&entry["Ports"]).iter().map(|port| {
        let host = string(port, "host_ip");
        let host = if host.is_empty() { "0.0.0.0" } else { &host };
        let (outside, inside) = (number(port, "host_port"), number(port, "container_port"));
        format!("{host}:{outside}->{inside}/{}", string(port, "protocol"))
    });
    row["ports"] = ports.collect::<Vec<_>>().join(", ").into();
    let created = seconds(&string(entry, "Created"));
    row["created"] = created.map_or(String::new(), |time| ago(now - time)).into();
    row["status"] = status(entry, now).into();
    row["state"] = old_state(&string(entry, "State")).into();
    if !is_whole {
        for (name, length, end) in [("id", ID, ""), ("pod", ID, ""), ("command", COMMAND, "...")] {
            row[name] = cut(&string(&row, name), length, end).into();
        }
    }
    row
}

/// Returns the state of a container in words.
fn status(entry: &Value, now: i64) -> String {
    let since = |name: &str| ago(now - number(entry, name));
    match string(entry, "State").as_str() {
        "running" => format!("Up {}", since("StartedAt")),
        "exited" | "stopped" => {
            format!(
                "Exited ({}) {}",
                number(entry, "ExitCode"),
                since("ExitedAt")
            )
        }
        "paused" => "Paused".to_owned(),
        "created" | "initialized" => "Created".to_owned(),
        "removing" => "Removing".to_owned(),
        _ => "Error".to_owned(),
    }
}

/// Returns the first characters of a text, and `end` if there are more.
fn cut(text: &str, length: usize, end: &str) -> String {
    match text.char_indices().nth(length) {
        Some((at, _)) => format!("{}{end}", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_what_a_table_shows() {
        let entry = json!({
            "Id": "0123456789abcdef", "Command": ["sh", "-c", "echo one; echo two"], "State": "running",
            "Created": "1970-01-01T00:00:10.5+00:00", "StartedAt": 40, "Pod": "fedcba98765432100",
            "Ports": [{"host_ip": "", "host_port": 8080, "container_port": 80, "protocol": "tcp"}],
        });
        let found = row(&entry, false, 100);
        for (name, text) in [
            ("id", "0123456789ab"),
            ("command", "sh -c echo one; e..."),
            ("created", "About a minute ago"),
            ("status", "Up About a minute ago"),
            ("pod", "fedcba987654"),
            ("ports", "0.0.0.0:8080->80/tcp"),
        ] {
            assert_eq!(found[name], text, "{name}");
        }
        let found = row(&entry, true, 100);
        assert_eq!(found["id"], "0123456789abcdef");
        assert_eq!(found["command"], "sh -c echo one; echo two");
        assert_eq!(row(&json!({}), false, 100)["created"], "");
    }

    #[test]
    fn each_state_has_its_words() {
        for (state, words) in [
            ("running", "Up 2 seconds ago"),
            ("exited", "Exited (7) 1 second ago"),
            ("stopped", "Exited (7) 1 second ago"),
            ("paused", "Paused"),
            ("created", "Created"),
            ("initialized", "Created"),
            ("removing", "Removing"),
            ("unknown", "Error"),
        ] {
            let entry = json!({"State": state, "ExitCode": 7, "StartedAt": 98, "ExitedAt": 99});
            assert_eq!(status(&entry, 100), words, "{state}");
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        for (text, cut_text) in [("", ""), ("abc", "abc"), ("abcd", "abc…"), ("äöüß", "äöü…")]
        {
            assert_eq!(cut(text, 3, "…"), cut_text);
        }
    }
}
