// SPDX-License-Identifier: Apache-2.0
//! Requests of the rules to podman's API, and the results of the answers: values, files, and progress.

use std::fs::File;
use std::io::Read;

use base64::Engine as _;
use varlink::{Failure, Map, Value, json, map, serde_json};

use super::api::{EMPTY_NAME, Kind, Outcome, elements, occurred, string};
use super::expression::word;
use super::http::{Request, Response};
use super::rules::{Run, is_something};

/// Largest number of logs at once: each has a connection.
const MAX_LOGS: usize = 64;

/// Object that a request concerns.
struct About {
    kind: Kind,
    name: String,
}

impl Run<'_, '_> {
    /// Does the request of a step, and sets the step's variables.
    pub fn request(&mut self, step: &Map, verb: &'static str, template: &str) -> Outcome<()> {
        let Some(each) = step.get("each") else {
            let name = word(self.scope.get("name").unwrap_or(&Value::Null));
            let result = self.send(step, verb, template, &Value::Null, name);
            let result = match result {
                Err(Failure::Reply(reply)) if self.takes(step, &reply) => Value::Null,
                result => result?,
            };
            self.bind(step, "as", result);
            return Ok(());
        };
        let list = self.make(each, &Value::Null)?;
        let gathers = step.contains_key("else");
        let (mut results, mut failures) = (Vec::new(), Map::new());
        for it in elements(&list) {
            match self.send(step, verb, template, it, word(it)) {
                Ok(_) if gathers => results.push(it.clone()),
                Ok(result) => results.push(result),
                Err(Failure::Reply(reply)) if gathers => {
                    let reason = reply.parameters.get("reason").cloned();
                    failures.insert(word(it), reason.unwrap_or_default());
                }
                Err(failure) => return Err(failure),
            }
        }
        self.bind(step, "as", results.into());
        self.bind(step, "else", Value::Object(failures));
        Ok(())
    }

    /// Sets the variable that a member of the step names.
    fn bind(&mut self, step: &Map, name: &str, value: Value) {
        if let Some(Value::String(variable)) = step.get(name) {
            self.scope.insert(variable.clone(), value);
        }
    }

    /// Returns true if a step continues after an error, and sets its variable.
    fn takes(&mut self, step: &Map, reply: &varlink::Reply) -> bool {
        let error = reply.error.as_deref().unwrap_or_default();
        let is_empty = reply
            .parameters
            .get("reason")
            .is_some_and(|why| why == EMPTY_NAME);
        let is_absent = error.ends_with("NotFound") && !is_empty;
        let member = if is_absent && step.contains_key("absent") {
            "absent"
        } else {
            "else"
        };
        self.bind(step, member, true.into());
        step.contains_key(member)
    }

    /// Sends a request, and returns the value of the answer. A file that is to be dropped is dropped in any case.
    fn send(
        &mut self,
        step: &Map,
        verb: &'static str,
        template: &str,
        it: &Value,
        name: String,
    ) -> Outcome<Value> {
        let file = match step.get("file") {
            Some(template) => self.make(template, it)?,
            None => Value::Null,
        };
        let of = step.get("of").and_then(Value::as_str).unwrap_or(template);
        let about = About {
            kind: kind(of),
            name,
        };
        let path = self.path(about.kind, template, it);
        let request = path.and_then(|path| self.built(step, verb, path, it));
        let result = request
            .and_then(|request| self.exchange_with_podman(step, &request, it, &about, &file));
        if let Some(template) = step.get("drop")
            && is_something(&self.make(template, it)?)
        {
            self.podman.api.spool.remove(&word(&file));
        }
        result
    }

    fn exchange_with_podman(
        &mut self,
        step: &Map,
        request: &Request,
        it: &Value,
        about: &About,
        file: &Value,
    ) -> Outcome<Value> {
        let file = match file {
            Value::String(path) => Some(self.podman.api.spool.source(path)?),
            _ => None,
        };
        if let Some(template) = step.get("into") {
            let path = word(&self.make(template, it)?);
            return self.download(request, about, &path);
        }
        let response = self.ask(request, about, file.as_ref())?;
        if let Some(result) = step.get("progress").and_then(Value::as_str) {
            return self.progress(response, result);
        }
        if let Some(template) = step.get("lines") {
            return self.lines(response, template);
        }
        if let Some(template) = step.get("log") {
            if self.logs.len() == MAX_LOGS {
                return Err(occurred(&format!("names: at most {MAX_LOGS} logs at once")));
            }
            let id = word(&self.make(template, it)?);
            self.logs.push((id, response.stream()));
            return Ok(Value::Null);
        }
        if request.upgrade {
            self.hijacked = Some(response.upgraded());
            return Ok(Value::Null);
        }
        whole(response, step.contains_key("text"))
    }

    /// Returns the request of a step.
    fn built(&self, step: &Map, verb: &'static str, path: String, it: &Value) -> Outcome<Request> {
        let mut request = Request {
            verb,
            path,
            upgrade: step.contains_key("hijack"),
            ..Request::default()
        };
        if let Some(template) = step.get("body") {
            request.body = varlink::text(&self.make(template, it)?).into_bytes();
        }
        if let Some(template) = step.get("auth") {
            let credentials = credentials(&self.make(template, it)?);
            request.header.extend(credentials);
        }
        Ok(request)
    }

    /// Sends a request, and waits for the answer for as long as the client is there.
    fn ask(&self, request: &Request, about: &About, file: Option<&File>) -> Outcome<Response> {
        let client = Some(self.exchange.connection.output());
        self.podman
            .api
            .send_file(about.kind, &about.name, request, file, client)
    }

    /// Writes the answer to a request into a file, for as long as there is room; returns the path.
    fn download(&self, request: &Request, about: &About, path: &str) -> Outcome<Value> {
        let mut into = self.podman.api.spool.destination(path)?;
        let room = into.room();
        let mut limited = self.ask(request, about, None)?.stream().take(room + 1);
        into.fill(&mut limited)?;
        match limited.limit() {
            0 => Err(occurred(
                "the archive has more bytes than half of the free space",
            )),
            _ => Ok(into.keep().into()),
        }
    }

    /// Sends results for each line of a stream if the client accepts several; else returns the first line.
    fn lines(&mut self, response: Response, template: &Value) -> Outcome<Value> {
        let mut body = response.stream();
        while let Some(line) = body.line().map_err(super::logs::lost)? {
            let Ok(found) = serde_json::from_slice::<Value>(&line) else {
                continue;
            };
            if !self.exchange.call.more {
                return Ok(found);
            }
            let results = self.results(&self.make(template, &found)?)?;
            self.exchange.send(results)?;
        }
        Ok(Value::Null)
    }

    /// Passes on the lines of a stream of progress as replies with a result of this name; returns the rest for
    /// the last reply. An error may follow a status of success, so the stream is read to its end.
    fn progress(&mut self, response: Response, result: &str) -> Outcome<Value> {
        let (mut id, mut logs) = (String::new(), Vec::new());
        let mut body = response.stream();
        while let Some(line) = body.line().map_err(super::logs::lost)? {
            let Ok(event) = serde_json::from_slice::<Value>(&line) else {
                continue;
            };
            let error = string(&event, "error");
            if !error.is_empty() {
                return Err(occurred(&error));
            }
            // A build has the id in another place.
            let found = string(&event, "id") + &string(&event["aux"], "ID");
            if !found.is_empty() {
                found.trim_start_matches("sha256:").clone_into(&mut id);
            }
            let text = string(&event, "stream");
            if text.is_empty() {
                continue;
            }
            if is_id(text.trim_end()) {
                text.trim_end().clone_into(&mut id);
            }
            match self.exchange.call.more && !result.is_empty() {
                true => self.exchange.send(map(
                    json!({ result: { "logs": [text], "id": id.as_str() } }),
                ))?,
                false => logs.push(text),
            }
        }
        Ok(json!({ "logs": logs, "id": id }))
    }
}

/// Returns true for the id of an image, which is the last line of a build (podman, pkg/bindings/images/build.go).
fn is_id(line: &str) -> bool {
    line.len() == 64 && line.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Returns the value of an answer: JSON, or the text of an answer without JSON.
fn whole(response: Response, is_text: bool) -> Outcome<Value> {
    let body = response.whole().map_err(|e| occurred(&e.to_string()))?;
    let text = String::from_utf8_lossy(&body);
    match text.trim() {
        "" => Ok(Value::Null),
        text if is_text => Ok(text.trim_matches('"').into()),
        text => serde_json::from_slice(text.as_bytes())
            .map_err(|e| occurred(&format!("podman's answer: {e}"))),
    }
}

/// Returns the kind of the objects of a collection, which is the first part of the path of one of them.
fn kind(path: &str) -> Kind {
    let (collection, rest) = path.split_once('/').unwrap_or((path, "{"));
    match collection {
        _ if !rest.starts_with('{') => Kind::None,
        "containers" => Kind::Container,
        "images" => Kind::Image,
        "pods" => Kind::Pod,
        "volumes" => Kind::Volume,
        _ => Kind::None,
    }
}

/// Returns the line of a request's header that has the credentials for a registry, if there are any.
fn credentials(given: &Value) -> Option<(&'static str, String)> {
    let (user, password) = (string(given, "username"), string(given, "password"));
    let text = varlink::text(&json!({ "username": user.as_str(), "password": password }));
    let encoded = base64::prelude::BASE64_URL_SAFE.encode(text);
    (!user.is_empty()).then_some(("X-Registry-Auth", encoded))
}
