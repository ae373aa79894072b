// SPDX-License-Identifier: Apache-2.0
//! Methods that are rules: steps, each a request to podman's API or a decision, in the order of the file.
//!
//! A rule is a list of steps, or an object that names a shared list (`do`) and gives it variables. A step
//! has these members; its strings are expressions ([`super::expression`]), but for requests:
//!
//! - `if`, `unless`: the step is done if the value is present, or empty.
//! - `GET`, `POST`, `DELETE`: a request. In its path and query, `{…}` is an expression; a query whose value is empty
//!   is left out, and a list repeats the query. `body` is sent as JSON, `auth` as credentials, `file` from a file of
//!   the spool, which `drop` removes. The answer is written `into` a file, is shown as `progress`, is a `text`, or
//!   has `lines`, each of which is a reply where the client accepts several. Its value is the variable `as`. The
//!   answer may also be the `log` of a container, or `hijack` the connection for the streams of one.
//! - `of`: the collection that the request concerns; by default that of a path that names an object.
//! - `each`: the request is done for each element of a list, `it`; `as` is the list of answers.
//! - `absent`, `else`: a variable that is true if there is no such object, or if the request fails. With `each`,
//!   `as` has the elements that succeed, and `else` the reasons of the others by element.
//! - `let`: variables. `do`: steps of a shared list.
//! - `fail`: a text, with which the method fails if there is one; `error`: an error, with the parameters `with`.
//! - `reply`: the results. `logs`: the pieces of the logs. `streams`: the streams of the object at a path.

use std::os::unix::net::UnixStream;

use varlink::idl::{Description, Fields, Kind, Type};
use varlink::{Answer, Done, Exchange, Failure, Map, Value, error, json, map, serde_json};

use super::Podman;
use super::api::{Outcome, elements, occurred};
use super::http::Body;

/// The interface, and the rules of its methods.
pub(super) struct Rules {
    /// Description of the interface.
    pub public: Description,
    /// Description of structures that are texts in replies.
    private: Description,
    /// Types, shared steps and methods.
    rules: Value,
}

impl Rules {
    /// Reads the description of the interface, and the file of the rules: a description, a line `---`, and
    /// JSON with lines of comment.
    pub fn parse(description: &str, text: &str) -> sys::error::Result<Rules> {
        let (types, rules) = text.split_once("\n---\n").unwrap_or((text, "{}"));
        let mut json = String::new();
        for line in rules.lines().filter(|line| !line.starts_with('#')) {
            json += line;
            json.push('\n');
        }
        let rules = serde_json::from_slice(json.as_bytes()).map_err(std::io::Error::from)?;
        Ok(Rules {
            public: Description::parse(description)?,
            private: Description::parse(types)?,
            rules,
        })
    }

    /// Returns the names of the methods that have a rule.
    #[cfg(test)]
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        let methods = self.rules["methods"].as_object().into_iter().flatten();
        methods.map(|(name, _)| name.as_str())
    }

    /// Returns a type by its name.
    pub fn named(&self, name: &str) -> Option<&Type> {
        let members = self.public.members.iter().chain(&self.private.members);
        let mut named = members.filter(|member| member.name == name);
        named.find_map(|member| match &member.kind {
            Kind::Type(kind) => Some(kind),
            _ => None,
        })
    }

    /// Returns the expressions for fields of a type; the other fields are members of the same name.
    pub fn fields_of(&self, name: &str) -> &Value {
        &self.rules["types"][name]
    }

    /// Returns parameters and results of a method.
    pub fn method(&self, name: &str) -> Option<(&Fields, &Fields)> {
        let mut named = self.public.members.iter().filter(|m| m.name == name);
        named.find_map(|member| match &member.kind {
            Kind::Method(parameters, results) => Some((parameters, results)),
            _ => None,
        })
    }

    /// Returns the parameters of an error.
    fn error(&self, name: &str) -> &[varlink::idl::Field] {
        let mut named = self.public.members.iter().filter(|m| m.name == name);
        let fields = named.find_map(|member| match &member.kind {
            Kind::Error(fields) => Some(fields.as_slice()),
            _ => None,
        });
        fields.unwrap_or_default()
    }
}

/// Method while its rule is followed.
pub(super) struct Run<'a, 'b> {
    /// The service.
    pub podman: &'a Podman,
    /// The call.
    pub exchange: &'a mut Exchange<'b>,
    /// Parameters of the call, and variables of the rule.
    pub scope: Map,
    /// Logs that have been opened, and the ids of their containers.
    pub logs: Vec<(String, Body)>,
    /// Connection to the streams of a container, and the bytes that have been read.
    pub hijacked: Option<(UnixStream, Vec<u8>)>,
    /// Declared results.
    results: &'a Fields,
}

/// Answers a call by the method's rule.
pub(super) fn follow(podman: &Podman, exchange: &mut Exchange<'_>) -> Answer {
    let method = exchange.method;
    let rule = podman.rules.rules["methods"].get(method);
    let declared = podman.rules.method(method);
    let (Some(rule), Some((parameters, results))) = (rule, declared) else {
        return Err(Failure::method(method));
    };
    // A parameter that the method does not have is no variable of its rule.
    let mut scope = exchange.call.parameters.clone();
    scope.retain(|name, _| parameters.iter().any(|field| field.name == *name));
    scope.insert("more".to_owned(), exchange.call.more.into());
    scope.insert("upgrade".to_owned(), exchange.call.upgrade.into());
    if !scope.contains_key("name") {
        let other = ["id", "nameOrID", "pod"]
            .iter()
            .find_map(|name| scope.get(*name));
        let name = other.cloned().unwrap_or_default();
        scope.insert("name".to_owned(), name);
    }
    let mut run = Run {
        podman,
        exchange,
        scope,
        logs: Vec::new(),
        hijacked: None,
        results,
    };
    let results = match rule {
        Value::Object(shared) => run.shared(shared)?,
        steps => run.steps(elements(steps))?,
    };
    results.ok_or_else(|| {
        let parameters = map(json!({ "method": method }));
        Failure::new(error::METHOD_NOT_IMPLEMENTED, parameters)
    })
}

/// Returns true for a present value: not null, false or empty. Any number is present.
pub(super) fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

impl Run<'_, '_> {
    /// Does steps until one of them replies.
    fn steps(&mut self, steps: &[Value]) -> Outcome<Option<Done>> {
        for step in steps {
            if let Value::Object(step) = step
                && let Some(results) = self.step(step)?
            {
                return Ok(Some(results));
            }
        }
        Ok(None)
    }

    /// Does the steps of a shared list; the other members are variables.
    fn shared(&mut self, call: &Map) -> Outcome<Option<Done>> {
        let podman = self.podman;
        self.set(call)?;
        let name = call.get("do").and_then(Value::as_str).unwrap_or_default();
        self.steps(elements(&podman.rules.rules["shared"][name]))
    }

    /// Sets variables to the values of expressions.
    fn set(&mut self, variables: &Map) -> Outcome<()> {
        for (name, template) in variables {
            let value = match name.as_str() {
                "do" => continue,
                _ => self.make(template, &Value::Null)?,
            };
            self.scope.insert(name.clone(), value);
        }
        Ok(())
    }

    fn holds(&self, step: &Map, name: &str, otherwise: bool) -> Outcome<bool> {
        match step.get(name) {
            Some(template) => Ok(is_something(&self.make(template, &Value::Null)?)),
            None => Ok(otherwise),
        }
    }

    /// Does a step; returns the results if the step replies.
    fn step(&mut self, step: &Map) -> Outcome<Option<Done>> {
        if !self.holds(step, "if", true)? || self.holds(step, "unless", false)? {
            return Ok(None);
        }
        for verb in ["GET", "POST", "DELETE"] {
            if let Some(Value::String(template)) = step.get(verb) {
                self.request(step, verb, template)?;
            }
        }
        if let Some(Value::Object(variables)) = step.get("let") {
            self.set(variables)?;
        }
        if let Some(template) = step.get("fail") {
            let reason = self.make(template, &Value::Null)?;
            if let Some(reason) = reason.as_str().filter(|reason| !reason.is_empty()) {
                return Err(occurred(reason));
            }
        }
        if let Some(Value::String(name)) = step.get("error") {
            let given = self.make(step.get("with").unwrap_or(&Value::Null), &Value::Null)?;
            let parameters = self.fields(self.podman.rules.error(name), &Value::Null, &given)?;
            return Err(Failure::new(&format!("io.podman.{name}"), parameters));
        }
        if step.contains_key("do") {
            return self.shared(step);
        }
        if let Some(Value::String(template)) = step.get("streams") {
            return self.streams(step, template).map(Some);
        }
        if let Some(Value::String(what)) = step.get("logs") {
            return self.logs(what == "containers").map(Some);
        }
        match step.get("reply") {
            Some(template) => {
                let given = self.make(template, &Value::Null)?;
                Ok(Some(Done::Reply(self.results(&given)?)))
            }
            None => Ok(None),
        }
    }

    /// Returns the results that the interface declares, from the value of a template.
    pub fn results(&self, given: &Value) -> Outcome<Map> {
        self.fields(self.results, &Value::Null, given)
    }
}
