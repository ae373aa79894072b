// SPDX-License-Identifier: Apache-2.0
//! Requests to podman with the errors of `io.podman`.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use varlink::{Failure, Value, json, serde_json};

pub(super) use super::errors::{Outcome, error, occurred};
use super::http::{self, Request, Response, part};
use super::spool::Spool;

/// Kind of an object, which selects the error for one that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Container,
    Image,
    Pod,
    Volume,
    /// No object, or several.
    None,
}

/// podman's REST API.
#[derive(Clone)]
pub(super) struct Api {
    /// Socket of podman.
    pub socket: PathBuf,
    /// Files on their way from or to clients.
    pub spool: Spool,
}

impl Api {
    /// Sends a request about the object `name`, with a file as its body if there is one, and returns the successful
    /// answer.
    pub fn send_file(
        &self,
        kind: Kind,
        name: &str,
        request: &Request,
        file: Option<&File>,
        client: Option<BorrowedFd<'_>>,
    ) -> Outcome<Response> {
        let sent = http::send(&self.socket, request, file, client);
        let response = sent.map_err(|e| occurred(&e.to_string()))?;
        match response.status {
            200..=299 => Ok(response),
            101 if request.upgrade => Ok(response),
            // A pod that is in the state already: podman 1 replied as after a change.
            304 if kind == Kind::Pod => Ok(response),
            status => {
                let body = response.whole().unwrap_or_default();
                Err(failure(kind, name, status, &request.path, &body))
            }
        }
    }

    /// Sends a request, and returns the body of the answer as JSON; null if there is none.
    pub fn ask(&self, kind: Kind, name: &str, request: &Request) -> Outcome<Value> {
        let text = self.text(kind, name, request)?;
        match text.trim() {
            "" => Ok(Value::Null),
            text => serde_json::from_slice(text.as_bytes())
                .map_err(|e| occurred(&format!("podman's answer: {e}"))),
        }
    }

    /// Sends a request, and returns the body of the answer as text.
    pub fn text(&self, kind: Kind, name: &str, request: &Request) -> Outcome<String> {
        let body = self.send_file(kind, name, request, None, None)?.whole();
        let body = body.map_err(|e| occurred(&e.to_string()))?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

/// Returns a request without a body.
pub(super) fn request(verb: &'static str, path: String) -> Request {
    Request {
        verb,
        path,
        ..Request::default()
    }
}

/// Reason why an object without a name does not exist.
pub(super) const EMPTY_NAME: &str = "the name is empty";

/// Returns `&name=value` pairs for those values that are not empty, with `?` before the first.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        text.push(if text.is_empty() { '?' } else { '&' });
        text += &format!("{name}={}", part(value));
    }
    text
}

/// Returns filters, each `name=value`, in the form of podman's API.
pub(super) fn filters(list: &[String]) -> String {
    let mut members = varlink::Map::new();
    for filter in list {
        let (name, value) = filter.split_once('=').unwrap_or((filter, ""));
        let values = members.entry(name.to_owned()).or_insert_with(|| json!([]));
        if let Some(values) = values.as_array_mut() {
            values.push(value.into());
        }
    }
    match members.is_empty() {
        true => String::new(),
        false => varlink::text(&Value::Object(members)),
    }
}

/// Turns an answer that is no success into the declared error of `io.podman`.
fn failure(kind: Kind, name: &str, status: u16, path: &str, body: &[u8]) -> Failure {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let message = parsed.as_ref().map(|value| string(value, "message"));
    let reason = message.filter(|text| !text.is_empty());
    let reason = reason.unwrap_or_else(|| match body {
        [] => format!("podman answered with the status {status}"),
        body => String::from_utf8_lossy(body).trim().to_owned(),
    });
    let errors: Vec<Value> = strings(parsed.as_ref().unwrap_or(&Value::Null), "Errs")
        .iter()
        .map(|why| json!({ "containerid": container_in(why), "reason": why.as_str() }))
        .collect();
    if !errors.is_empty() {
        return error(
            "PodContainerError",
            json!({ "podname": name, "errors": errors }),
        );
    }
    let action = path.split('?').next().unwrap_or_default();
    let action = action.rsplit('/').next().unwrap_or_default();
    match (status, kind) {
        (304, Kind::Container) if action == "stop" => error("ErrCtrStopped", json!({ "id": name })),
        (304, Kind::Container) if action == "start" => {
            occurred("container is already running or paused")
        }
        (404, _) => not_found(kind, name, &reason),
        (304 | 409, Kind::Container) => {
            error("InvalidState", json!({ "id": name, "reason": reason }))
        }
        _ => occurred(&reason),
    }
}

/// Returns the id of a container in the reason why an action on its pod failed, which has the id as a word.
fn container_in(reason: &str) -> &str {
    let mut words = reason.split([' ', ':']);
    let id = words.find(|word| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit()));
    id.unwrap_or_default()
}

/// Returns the error for an object that does not exist.
pub(super) fn not_found(kind: Kind, name: &str, reason: &str) -> Failure {
    let named = |error_name: &str| error(error_name, json!({ "id": name, "reason": reason }));
    match kind {
        Kind::Container => named("ContainerNotFound"),
        Kind::Image => named("ImageNotFound"),
        Kind::Volume => named("VolumeNotFound"),
        Kind::Pod => error("PodNotFound", json!({ "name": name, "reason": reason })),
        Kind::None => occurred(reason),
    }
}

/// Returns a text of an object, empty if there is none.
pub(super) fn string(value: &Value, name: &str) -> String {
    value
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// Returns a number of an object, zero if there is none.
pub(super) fn number(value: &Value, name: &str) -> i64 {
    let found = value.get(name);
    let whole = found.and_then(|n| n.as_i64().or_else(|| n.as_u64().map(|n| n.cast_signed())));
    whole
        .or_else(|| found.and_then(Value::as_f64).map(|n| n as i64))
        .unwrap_or(0)
}

/// Returns a list of texts of an object, empty if there is none.
pub(super) fn strings(value: &Value, name: &str) -> Vec<String> {
    let list = value
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    list.filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}

/// Returns the elements of a list; none for another value.
pub(super) fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests;
