// SPDX-License-Identifier: Apache-2.0
//! Parameters of a call. Null is the same as absent; a value of another type, or outside of its
//! range, is refused by its name.

use control::Name;
use varlink::{Failure, Map, Value};

fn get<'a>(parameters: &'a Map, name: &str) -> Option<&'a Value> {
    parameters.get(name).filter(|value| !value.is_null())
}

/// Returns the parameter `name`, converted by `read`, or `None` for an absent one.
pub(super) fn optional<'a, T>(
    parameters: &'a Map,
    name: &str,
    read: impl FnOnce(&'a Value) -> Option<T>,
) -> Result<Option<T>, Failure> {
    let value = get(parameters, name);
    let read = value.map(|value| read(value).ok_or_else(|| Failure::parameter(name)));
    read.transpose()
}

/// Returns the name of one service.
pub(super) fn name(parameters: &Map, name: &str) -> Result<Name, Failure> {
    let text = get(parameters, name).and_then(Value::as_str);
    text.and_then(Name::new)
        .ok_or_else(|| Failure::parameter(name))
}

/// Returns a list of texts, empty for an absent parameter.
pub(super) fn names(parameters: &Map, name: &str) -> Result<Vec<String>, Failure> {
    let texts = |value: &Value| {
        let list = value.as_array()?.iter();
        list.map(|text| text.as_str().map(str::to_owned)).collect()
    };
    Ok(optional(parameters, name, texts)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use varlink::{json, map};

    #[test]
    fn absent_is_null_and_another_type_is_refused() {
        let members =
            map(json!({ "null": null, "list": ["a"], "mixed": ["a", 1], "n": 3, "up": "Up" }));
        for name in ["none", "null"] {
            assert_eq!(optional(&members, name, Value::as_u64).unwrap(), None);
            assert_eq!(names(&members, name).unwrap(), [""; 0]);
            assert!(super::name(&members, name).is_err());
        }
        assert_eq!(optional(&members, "n", Value::as_u64).unwrap(), Some(3));
        assert_eq!(names(&members, "list").unwrap(), ["a"]);
        for name in ["mixed", "n"] {
            assert!(names(&members, name).is_err());
        }
        assert!(optional(&members, "list", Value::as_u64).is_err());
        assert!(super::name(&members, "up").is_err());
    }
}
