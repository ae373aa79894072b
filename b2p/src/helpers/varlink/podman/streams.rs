// SPDX-License-Identifier: Apache-2.0
//! Methods that reply for as long as there is something to say: logs and events.

use std::io::{BufRead, BufReader, Read};

use varlink::{Exchange, Failure, Value, json, map, serde_json};

use super::api::{
    Api, Kind, Outcome, filters, number, object, occurred, query, request, string, switch,
};
use super::http::Body;
use super::parameters::Parameters;
use super::time::rfc3339;

/// Longest piece of a log, in bytes.
const MAX_FRAME: usize = 16 << 20;

/// Largest number of logs at once: each has a connection, and a thread where it is followed.
const MAX_LOGS: usize = 64;

/// Piece of a log: its stream, its time and its text.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    device: &'static str,
    time: String,
    text: String,
    /// True if the piece ends a line.
    is_whole: bool,
}

/// `GetContainerLogs`: lines as podman's log file has them. With `more`, the log is followed.
pub(super) fn container_log(
    api: &Api,
    parameters: Parameters<'_>,
    exchange: &mut Exchange<'_>,
) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let follow = exchange.call.more;
    let mut body = open(api, name, follow, &[], exchange)?;
    let mut lines = Vec::new();
    while let Some(piece) = next_piece(&mut body)? {
        let kind = if piece.is_whole { "F" } else { "P" };
        let line = format!("{} {} {kind} {}\n", piece.time, piece.device, piece.text);
        match follow {
            true => exchange.send(map(json!({ "container": [line] })))?,
            false => lines.push(line),
        }
    }
    Ok(json!({ "container": lines }))
}

/// `GetContainersLogs`: one piece a reply, and an empty one at the end. Logs that are followed are
/// merged, as their pieces come; else one container comes after the other.
pub(super) fn containers_log(
    api: &Api,
    parameters: Parameters<'_>,
    exchange: &mut Exchange<'_>,
) -> Outcome<Value> {
    let mut names = parameters.list("names")?;
    if parameters.flag("latest")? {
        let listed = api.get(Kind::None, "", "containers/json?all=true&last=1".to_owned())?;
        names = vec![string(&listed[0], "Id")];
    }
    let (follow, tail) = (parameters.flag("follow")?, parameters.number("tail")?);
    // The zero time of Go stands for no time, and a negative number for all lines.
    let since = Some(parameters.text("since")?).filter(|since| !since.starts_with("0001-"));
    let tail = Some(tail)
        .filter(|tail| *tail >= 0)
        .map(|tail| tail.to_string());
    let options = [
        ("since", since.unwrap_or_default()),
        ("tail", tail.as_deref().unwrap_or_default()),
    ];
    if names.len() > MAX_LOGS {
        return Err(occurred(&format!("names: at most {MAX_LOGS} logs at once")));
    }
    let mut logs = Vec::new();
    for name in &names {
        let id = api.id(Kind::Container, name)?;
        logs.push((id, open(api, name, follow, &options, exchange)?));
    }
    match exchange.call.more {
        false => first_line(logs),
        true if follow => merged(logs, exchange).map(|()| last_line()),
        true => {
            for (id, mut body) in logs {
                while let Some(piece) = next_piece(&mut body)? {
                    exchange.send(map(log_line(&id, piece)))?;
                }
            }
            Ok(last_line())
        }
    }
}

/// Returns the first piece of some logs.
fn first_line(logs: Vec<(String, Body)>) -> Outcome<Value> {
    for (id, mut body) in logs {
        if let Some(piece) = next_piece(&mut body)? {
            return Ok(log_line(&id, piece));
        }
    }
    Ok(last_line())
}

/// Sends the pieces of all logs as they come, until each has ended. A thread reads each log, and
/// waits for the client by the bounded channel.
fn merged(logs: Vec<(String, Body)>, exchange: &mut Exchange<'_>) -> Outcome<()> {
    let (sender, pieces) = std::sync::mpsc::sync_channel(1);
    std::thread::scope(|scope| {
        for (id, mut body) in logs {
            let sender = sender.clone();
            scope.spawn(move || {
                loop {
                    let line = next_piece(&mut body).transpose();
                    let Some(line) = line else { return };
                    let is_error = line.is_err();
                    let line = line.map(|piece| log_line(&id, piece));
                    if sender.send(line).is_err() || is_error {
                        return;
                    }
                }
            });
        }
        drop(sender);
        // A log that fails does not end the others. A client that is gone ends all of them: each
        // thread looks at its connection.
        let mut outcome = Ok(());
        for line in pieces {
            match line {
                Ok(line) => exchange.send(map(line))?,
                Err(failure) => outcome = Err(failure),
            }
        }
        outcome
    })
}

fn log_line(id: &str, piece: Piece) -> Value {
    let kind = if piece.is_whole { "F" } else { "P" };
    json!({ "log": {
        "device": piece.device, "parseLogType": kind, "time": piece.time, "msg": piece.text, "cid": id,
    }})
}

/// Returns the reply that is the end for clients.
fn last_line() -> Value {
    json!({ "log": { "device": "", "parseLogType": "", "time": "", "msg": "", "cid": "" } })
}

/// Opens the log of a container.
fn open(
    api: &Api,
    name: &str,
    follow: bool,
    more: &[(&str, &str)],
    exchange: &Exchange<'_>,
) -> Outcome<Body> {
    let usual = [
        ("stdout", "true"),
        ("stderr", "true"),
        ("timestamps", "true"),
        ("follow", switch(follow)),
    ];
    let pairs = query(&[&usual[..], more].concat());
    let path = format!("{}/logs{pairs}", object(Kind::Container, name)?);
    api.stream(
        Kind::Container,
        name,
        &request("GET", path),
        exchange.connection.output(),
    )
}

/// Reads the next piece: eight bytes with the number of the stream and the length, then the time, a
/// blank, and the text. Returns `None` at the end.
fn next_piece(body: &mut impl Read) -> Outcome<Option<Piece>> {
    let mut header = [0; 8];
    match body.read(&mut header[..1]) {
        Ok(0) => return Ok(None),
        read => read.map_err(lost)?,
    };
    body.read_exact(&mut header[1..]).map_err(lost)?;
    let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
    if length > MAX_FRAME {
        return Err(occurred("a piece of the log is too long"));
    }
    let mut bytes = Vec::new();
    body.take(length as u64)
        .read_to_end(&mut bytes)
        .map_err(lost)?;
    let text = String::from_utf8_lossy(&bytes);
    let is_whole = text.ends_with('\n');
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let (time, text) = text.split_once(' ').unwrap_or(("", text));
    Ok(Some(Piece {
        device: if header[0] == 2 { "stderr" } else { "stdout" },
        time: time.to_owned(),
        text: text.to_owned(),
        is_whole,
    }))
}

/// The end of a stream that the client or podman has left.
fn lost(error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::Lost(error.into()),
        _ => occurred(&format!("podman's answer: {error}")),
    }
}

/// `GetEvents`: with `more` all events from now on, else the first that is past.
pub(super) fn events(
    api: &Api,
    parameters: Parameters<'_>,
    exchange: &mut Exchange<'_>,
) -> Outcome<Value> {
    let more = exchange.call.more;
    let filters = filters(&parameters.list("filter")?);
    let pairs = query(&[
        ("stream", if more { "true" } else { "false" }),
        ("since", parameters.text("since")?),
        ("until", parameters.text("until")?),
        ("filters", &filters),
    ]);
    let body = api.stream(
        Kind::None,
        "",
        &request("GET", format!("events{pairs}")),
        exchange.connection.output(),
    )?;
    for line in BufReader::new(body).lines() {
        let line = line.map_err(lost)?;
        let Ok(found) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let reply = json!({ "events": event(&found) });
        if !more {
            return Ok(reply);
        }
        exchange.send(map(reply))?;
    }
    Ok(json!({ "events": event(&Value::Null) }))
}

/// Returns the structure `Event` of podman's event.
fn event(found: &Value) -> Value {
    let actor = &found["Actor"];
    let time = number(found, "timeNano");
    let seconds = rfc3339(time.div_euclid(1_000_000_000));
    let time = match found.is_null() {
        true => String::new(),
        false => format!(
            "{}.{:09}Z",
            seconds.trim_end_matches('Z'),
            time.rem_euclid(1_000_000_000)
        ),
    };
    json!({
        "id": string(actor, "ID"), "image": string(&actor["Attributes"], "image"),
        "name": string(&actor["Attributes"], "name"), "status": string(found, "Action"),
        "time": time, "type": string(found, "Type"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pieces_of_a_log() {
        let mut bytes = Vec::new();
        for (stream, text) in [
            (1, "2026-01-01T00:00:00Z a b\n"),
            (2, "2026-01-01T00:00:01Z part"),
            (1, ""),
        ] {
            bytes.extend([stream, 0, 0, 0, 0, 0, 0, text.len() as u8]);
            bytes.extend(text.as_bytes());
        }
        let body = &mut &bytes[..];
        let piece = |device, time: &str, text: &str, is_whole| Piece {
            device,
            time: time.to_owned(),
            text: text.to_owned(),
            is_whole,
        };
        assert_eq!(
            next_piece(body).unwrap(),
            Some(piece("stdout", "2026-01-01T00:00:00Z", "a b", true))
        );
        assert_eq!(
            next_piece(body).unwrap(),
            Some(piece("stderr", "2026-01-01T00:00:01Z", "part", false))
        );
        assert_eq!(
            next_piece(body).unwrap(),
            Some(piece("stdout", "", "", false))
        );
        assert_eq!(next_piece(body).unwrap(), None);
        assert!(next_piece(&mut &[1, 0, 0][..]).is_err());
        assert!(next_piece(&mut &[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff][..]).is_err());
    }

    #[test]
    fn an_event_has_the_fields_of_2020() {
        let found = json!({
            "Type": "container", "Action": "start", "timeNano": 1_583_020_800_000_000_005_i64,
            "Actor": {"ID": "abc", "Attributes": {"image": "alpine", "name": "web"}}
        });
        let expected = json!({
            "id": "abc", "image": "alpine", "name": "web", "status": "start", "type": "container",
            "time": "2020-03-01T00:00:00.000000005Z"
        });
        assert_eq!(event(&found), expected);
    }
}
