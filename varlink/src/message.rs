// SPDX-License-Identifier: Apache-2.0
//! The two messages of the protocol: a call, and a reply.

use serde_json::Value;
use sys::error::{Error, Result};

use crate::json;
use crate::value::{Map, map, text};

/// Names of the errors that every service may reply with.
pub mod error {
    /// The service has no interface of this name: `interface`.
    pub const INTERFACE_NOT_FOUND: &str = "org.varlink.service.InterfaceNotFound";
    /// The interface has no method of this name: `method`.
    pub const METHOD_NOT_FOUND: &str = "org.varlink.service.MethodNotFound";
    /// The interface has the method, which the service does not implement: `method`.
    pub const METHOD_NOT_IMPLEMENTED: &str = "org.varlink.service.MethodNotImplemented";
    /// A parameter has a wrong type or value: `parameter`.
    pub const INVALID_PARAMETER: &str = "org.varlink.service.InvalidParameter";
    /// The client may not call the method.
    pub const PERMISSION_DENIED: &str = "org.varlink.service.PermissionDenied";
    /// The method replies more than once, and the call does not have `more`.
    pub const EXPECTED_MORE: &str = "org.varlink.service.ExpectedMore";
}

/// Call of a method.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Call {
    /// Name of the interface, a dot, and the name of the method.
    pub method: String,
    /// Parameters by name.
    pub parameters: Map,
    /// True if `parameters` was neither an object nor null: the call is to be refused.
    pub malformed: bool,
    /// True if the client accepts more than one reply.
    pub more: bool,
    /// True if the client expects no reply.
    pub oneway: bool,
    /// True if the connection is to carry another protocol after the reply.
    pub upgrade: bool,
}

impl Call {
    /// Returns a call that expects one reply.
    #[must_use]
    pub fn new(method: impl Into<String>, parameters: Map) -> Call {
        Call {
            method: method.into(),
            parameters,
            ..Call::default()
        }
    }

    /// Parses a message without its NUL byte. Absent, null and empty parameters are the same:
    /// clients use all three.
    ///
    /// # Errors
    /// The message is not a call; the connection cannot be used any longer.
    pub fn parse(message: &[u8]) -> Result<Call> {
        let mut members = object(message)?;
        let Value::String(method) = take(&mut members, "method") else {
            return Err(invalid("a call has a string `method`"));
        };
        let (parameters, malformed) = match take(&mut members, "parameters") {
            Value::Null => (Map::new(), false),
            Value::Object(parameters) => (parameters, false),
            _ => (Map::new(), true),
        };
        let call = Call {
            method,
            parameters,
            malformed,
            more: flag(&members, "more")?,
            oneway: flag(&members, "oneway")?,
            upgrade: flag(&members, "upgrade")?,
        };
        if [call.more, call.oneway, call.upgrade]
            .iter()
            .filter(|is_set| **is_set)
            .count()
            > 1
        {
            return Err(invalid("`more`, `oneway` and `upgrade` exclude each other"));
        }
        Ok(call)
    }

    /// Returns the message, with its NUL byte.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut members = Map::new();
        members.insert("method".to_owned(), self.method.as_str().into());
        members.insert("parameters".to_owned(), self.parameters.clone().into());
        let flags = [
            ("more", self.more),
            ("oneway", self.oneway),
            ("upgrade", self.upgrade),
        ];
        for (name, _) in flags.into_iter().filter(|(_, is_set)| *is_set) {
            members.insert(name.to_owned(), true.into());
        }
        encode(members)
    }

    /// Returns the name of the interface and of the method, or `None` without a dot between them.
    #[must_use]
    pub fn names(&self) -> Option<(&str, &str)> {
        let (interface, method) = self.method.rsplit_once('.')?;
        (!interface.is_empty() && !method.is_empty()).then_some((interface, method))
    }
}

/// Reply to a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// Values by name: results, or details of the error.
    pub parameters: Map,
    /// True if further replies follow.
    pub continues: bool,
    /// Name of the error.
    pub error: Option<String>,
}

impl Reply {
    /// Returns the last reply, with these results.
    #[must_use]
    pub fn of(parameters: Map) -> Reply {
        Reply {
            parameters,
            ..Reply::default()
        }
    }

    /// Returns a reply that reports an error.
    #[must_use]
    pub fn failed(name: &str, parameters: Map) -> Reply {
        Reply {
            parameters,
            error: Some(name.to_owned()),
            ..Reply::default()
        }
    }

    /// Returns the reply to a call of a method that expects another parameter.
    #[must_use]
    pub fn invalid_parameter(name: &str) -> Reply {
        Reply::failed(error::INVALID_PARAMETER, map(json!({ "parameter": name })))
    }

    /// Parses a message without its NUL byte.
    ///
    /// # Errors
    /// The message is not a reply.
    pub fn parse(message: &[u8]) -> Result<Reply> {
        let mut members = object(message)?;
        let parameters = match take(&mut members, "parameters") {
            Value::Null => Map::new(),
            Value::Object(parameters) => parameters,
            _ => return Err(invalid("the `parameters` of a reply are an object")),
        };
        let error = match take(&mut members, "error") {
            Value::Null => None,
            Value::String(name) => Some(name),
            _ => return Err(invalid("the `error` of a reply is a string")),
        };
        Ok(Reply {
            parameters,
            continues: flag(&members, "continues")?,
            error,
        })
    }

    /// Returns the message, with its NUL byte.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut members = Map::new();
        members.insert("parameters".to_owned(), self.parameters.clone().into());
        if self.continues {
            members.insert("continues".to_owned(), true.into());
        }
        if let Some(name) = &self.error {
            members.insert("error".to_owned(), name.as_str().into());
        }
        encode(members)
    }
}

/// Returns a member and leaves null: to remove one is 4 kB of code.
fn take(members: &mut Map, name: &str) -> Value {
    members.get_mut(name).map(Value::take).unwrap_or_default()
}

fn invalid(why: &'static str) -> Error {
    Error::invalid(why)
}

/// Parses an object. JSON text has no NUL byte, and serde_json limits its depth.
fn object(message: &[u8]) -> Result<Map> {
    match serde_json::from_slice(message) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(invalid("a message is a JSON object")),
        Err(e) => Err(Error::invalid(format!("a message is a JSON object: {e}"))),
    }
}

fn flag(members: &Map, name: &'static str) -> Result<bool> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(is_set)) => Ok(*is_set),
        Some(_) => Err(Error::invalid(format!("`{name}` is true or false"))),
    }
}

fn encode(members: Map) -> Vec<u8> {
    let mut message = text(&Value::Object(members)).into_bytes();
    message.push(0);
    message
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameters_may_be_absent_null_or_empty() {
        for text in [
            r#"{"method":"a.B"}"#,
            r#"{"method":"a.B","parameters":null}"#,
            r#"{"method":"a.B","parameters":{},"more":null,"unknown":1}"#,
        ] {
            let call = Call::parse(text.as_bytes()).unwrap();
            assert_eq!(call, Call::new("a.B", Map::new()), "{text}");
        }
        let call = Call::parse(br#"{"method":"a.B","parameters":[1]}"#).unwrap();
        assert!(call.malformed);
    }

    #[test]
    fn messages_that_are_no_calls() {
        for text in [
            &b""[..],
            b"{",
            b"[]",
            b"null",
            b"{}",
            b"{\"method\":1}",
            b"{\"method\":\"a.B\",\"more\":1}",
            b"{\"method\":\"a.B\",\"more\":true,\"oneway\":true}",
            b"{\"method\":\"a.B\",\"more\":true,\"upgrade\":true}",
            b"{\"method\":\"a.B\",\"oneway\":true,\"upgrade\":true}",
            b"{\"method\":\"\xff\"}",
            b"{\"method\":\"a.B\"} {}",
            "[".repeat(100_000).as_bytes(),
        ] {
            assert!(Call::parse(text).is_err(), "{}", text.escape_ascii());
        }
        for text in [
            &b"{\"error\":1}"[..],
            b"{\"parameters\":[]}",
            b"{\"continues\":0}",
        ] {
            assert!(Reply::parse(text).is_err(), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn the_last_dot_divides_interface_and_method() {
        let names = |method: &str| {
            let call = Call::new(method, Map::new());
            call.names().map(|(a, b)| format!("{a} {b}"))
        };
        assert_eq!(names("io.podman.Ps").as_deref(), Some("io.podman Ps"));
        for method in ["", ".", "Ps", ".Ps", "io."] {
            assert_eq!(names(method), None, "{method}");
        }
    }

    proptest! {
        #[test]
        fn call_and_reply_round_trip(method in ".*", key in ".*", value in ".*", kind in 0..4) {
            let key = key.as_str();
            let parameters = map(json!({ key: [value, 1, null] }));
            let call = Call {
                more: kind == 1,
                oneway: kind == 2,
                upgrade: kind == 3,
                ..Call::new(method.clone(), parameters.clone())
            };
            let message = call.encode();
            prop_assert_eq!(message.iter().position(|byte| *byte == 0), Some(message.len() - 1));
            prop_assert_eq!(Call::parse(&message[..message.len() - 1]).unwrap(), call);
            let error = (kind == 1).then_some(method);
            let reply = Reply { parameters, continues: kind == 0, error };
            let message = reply.encode();
            prop_assert_eq!(Reply::parse(&message[..message.len() - 1]).unwrap(), reply);
        }
    }
}
