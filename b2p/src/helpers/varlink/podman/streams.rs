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

/// `GetContainersLogs`: one piece a reply, of one container after the other; an empty reply is the end.
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
    if follow && names.len() > 1 {
        return Err(occurred(
            "follow: one container at a time; the log of a container has no end",
        ));
    }
    // The zero time of Go stands for no time, and a negative number for all lines.
    let since = parameters.text("since")?;
    let since = if since.starts_with("0001-") {
        ""
    } else {
        since
    };
    let tail = if tail < 0 {
        String::new()
    } else {
        tail.to_string()
    };
    for name in &names {
        let id = api.id(Kind::Container, name)?;
        let mut body = open(
            api,
            name,
            follow,
            &[("since", since), ("tail", &tail)],
            exchange,
        )?;
        while let Some(piece) = next_piece(&mut body)? {
            let kind = if piece.is_whole { "F" } else { "P" };
            let line = json!({ "log": {
                "device": piece.device, "parseLogType": kind, "time": piece.time,
                "msg": piece.text, "cid": id,
            }});
            if !exchange.call.more {
                return Ok(line);
            }
            exchange.send(map(line))?;
        }
    }
    let end = json!({ "device": "", "parseLogType": "", "time": "", "msg": "", "cid": "" });
    Ok(json!({ "log": end }))
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
