// SPDX-License-Identifier: Apache-2.0
//! Parameters of a call. One that is absent or null has the zero value of its type, as with the
//! service of 2020, and clients rely on that; one of another type is refused.

use varlink::{Failure, Map, Value};

use super::api::Outcome;

/// Parameters of a call, or of a structure in it.
#[derive(Clone, Copy)]
pub(super) struct Parameters<'a>(pub &'a Map);

impl<'a> Parameters<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Returns a text.
    pub fn text(&self, name: &str) -> Outcome<&'a str> {
        match self.get(name) {
            None => Ok(""),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(wrong()),
        }
    }

    /// Returns a whole number.
    pub fn number(&self, name: &str) -> Outcome<i64> {
        match self.get(name) {
            None => Ok(0),
            Some(value) => value.as_i64().ok_or_else(wrong),
        }
    }

    /// Returns a switch.
    pub fn flag(&self, name: &str) -> Outcome<bool> {
        match self.get(name) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(wrong),
        }
    }

    /// Returns a list of texts.
    pub fn list(&self, name: &str) -> Outcome<Vec<String>> {
        let Some(value) = self.get(name) else {
            return Ok(Vec::new());
        };
        let list = value.as_array().ok_or_else(wrong)?;
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(wrong);
        list.iter().map(text).collect()
    }

    /// Returns a structure; an absent one has no members.
    pub fn structure(&self, name: &str) -> Outcome<Option<Parameters<'a>>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Parameters(members))),
            Some(_) => Err(wrong()),
        }
    }
}

fn wrong() -> Failure {
    Failure::parameter("parameters")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use varlink::{json, map};

    #[test]
    fn absent_is_zero_and_another_type_is_refused() {
        let members = map(
            json!({ "null": null, "text": "a", "number": 3, "list": ["a"], "mixed": ["a", 1], "real": 1.5 }),
        );
        let parameters = Parameters(&members);
        for name in ["none", "null"] {
            assert_eq!(parameters.text(name).unwrap(), "");
            assert_eq!(parameters.number(name).unwrap(), 0);
            assert!(!parameters.flag(name).unwrap());
            assert_eq!(parameters.list(name).unwrap(), [""; 0]);
            assert!(parameters.structure(name).unwrap().is_none());
        }
        assert_eq!(
            (
                parameters.text("text").unwrap(),
                parameters.number("number").unwrap()
            ),
            ("a", 3)
        );
        assert_eq!(parameters.list("list").unwrap(), ["a"]);
        assert!(parameters.text("number").is_err() && parameters.number("text").is_err());
        assert!(parameters.flag("text").is_err() && parameters.structure("text").is_err());
        assert!(parameters.list("mixed").is_err() && parameters.list("text").is_err());
        assert!(parameters.number("real").is_err());
    }
}
