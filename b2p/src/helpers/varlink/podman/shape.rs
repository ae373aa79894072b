// SPDX-License-Identifier: Apache-2.0
//! Structures of `io.podman` as tables of fields. A table is a tenth of the code that would make the
//! same structure field by field.

use varlink::{Map, Value};

use super::api::{dictionary, number, string, strings};
use super::time::{ZERO_TIME, rfc3339};

/// Field: its name, the name of the member that it comes from, and its kind.
pub(super) type Field = (&'static str, &'static str, As);

/// Kind of a field. A member that is absent has the zero value.
#[derive(Clone, Copy)]
pub(super) enum As {
    /// Text.
    Text,
    /// Whole number.
    Int,
    /// Number.
    Real,
    /// Whole number as a text.
    IntText,
    /// Seconds since 1970 as a date.
    Date,
    /// Date. Clients insist on one, so that one that is absent is the zero date of Go.
    Time,
    /// Switch.
    Flag,
    /// List of texts.
    Texts,
    /// List of texts in one text, with this between them.
    Joined(&'static str),
    /// Texts by name.
    Dictionary,
}

/// Returns the members of a structure.
pub(super) fn shape(source: &Value, fields: &[Field]) -> Value {
    let mut members = Map::new();
    for (name, from, kind) in fields {
        let value: Value = match kind {
            As::Text => string(source, from).into(),
            As::Int => number(source, from).into(),
            As::Real => source
                .get(from)
                .and_then(Value::as_f64)
                .unwrap_or(0.0)
                .into(),
            As::IntText => number(source, from).to_string().into(),
            As::Date => rfc3339(number(source, from)).into(),
            As::Time => match string(source, from) {
                text if text.is_empty() => ZERO_TIME.into(),
                text => text.into(),
            },
            As::Flag => (source.get(from) == Some(&Value::Bool(true))).into(),
            As::Texts => strings(source, from).into(),
            As::Joined(between) => strings(source, from).join(between).into(),
            As::Dictionary => dictionary(source, from),
        };
        members.insert((*name).to_owned(), value);
    }
    Value::Object(members)
}

/// Returns the structures of a list.
pub(super) fn shapes(source: &Value, fields: &[Field]) -> Value {
    let list = super::api::elements(source).iter();
    list.map(|entry| shape(entry, fields)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use varlink::json;

    #[test]
    fn each_kind_has_its_zero() {
        const FIELDS: &[Field] = &[
            ("text", "A", As::Text),
            ("int", "B", As::Int),
            ("real", "C", As::Real),
            ("number", "B", As::IntText),
            ("date", "B", As::Date),
            ("time", "G", As::Time),
            ("flag", "D", As::Flag),
            ("texts", "E", As::Texts),
            ("joined", "E", As::Joined(", ")),
            ("map", "F", As::Dictionary),
        ];
        let source = json!({"A": "a", "B": 5, "C": 1.5, "D": true, "E": ["x", "y"], "F": {"k": "v"}, "G": "2026-01-01T00:00:00Z"});
        let full = json!({
            "text": "a", "int": 5, "real": 1.5, "number": "5", "date": "1970-01-01T00:00:05Z", "flag": true,
            "time": "2026-01-01T00:00:00Z",
            "texts": ["x", "y"], "joined": "x, y", "map": {"k": "v"},
        });
        assert_eq!(shape(&source, FIELDS), full);
        let empty = json!({
            "text": "", "int": 0, "real": 0.0, "number": "0", "date": "1970-01-01T00:00:00Z", "flag": false,
            "time": "0001-01-01T00:00:00Z",
            "texts": [], "joined": "", "map": {},
        });
        for source in [
            json!({}),
            json!(null),
            json!({"A": 1, "B": "x", "D": "true", "E": "x", "F": []}),
        ] {
            assert_eq!(shape(&source, FIELDS), empty, "{source}");
        }
        assert_eq!(
            shapes(&json!([{}, {}]), &FIELDS[..1]),
            json!([{"text": ""}, {"text": ""}])
        );
    }
}
