// SPDX-License-Identifier: Apache-2.0
//! Comparison of a reply with the description of its interface, for the tests of the services.

use varlink::idl::{Description, Fields, Kind, Type};
use varlink::{Map, Reply, Value};

/// Panics unless a reply of a method has every declared field, and no other, with its type.
pub(super) fn check(description: &Description, method: &str, reply: &Reply) {
    let found = description.members.iter().find(|m| match &reply.error {
        None => m.name == method && matches!(m.kind, Kind::Method(..)),
        Some(error) => {
            error.rsplit_once('.') == Some((&description.name, &m.name))
                && matches!(m.kind, Kind::Error(_))
        }
    });
    let fields = match found.map(|member| &member.kind) {
        Some(Kind::Method(_, results)) => results,
        Some(Kind::Error(fields)) => fields,
        _ => return, // An error of every service.
    };
    members(description, method, fields, &reply.parameters);
}

fn members(description: &Description, at: &str, fields: &Fields, found: &Map) {
    for name in found.keys() {
        assert!(
            fields.iter().any(|field| field.name == *name),
            "{at}: {name} is not declared"
        );
    }
    for field in fields {
        let value = found.get(&field.name).unwrap_or(&Value::Null);
        let at = format!("{at}.{}", field.name);
        let kind = field
            .kind
            .as_ref()
            .unwrap_or_else(|| panic!("{at} has no type"));
        of_type(description, &at, kind, value);
    }
}

fn of_type(description: &Description, at: &str, kind: &Type, value: &Value) {
    let is_right = match (kind, value) {
        (Type::Maybe(_), Value::Null) => true,
        (Type::Maybe(kind), _) => return of_type(description, at, kind, value),
        (Type::Array(kind), Value::Array(list)) => {
            return list
                .iter()
                .for_each(|value| of_type(description, at, kind, value));
        }
        (Type::Map(kind), Value::Object(map)) => {
            return map
                .values()
                .for_each(|value| of_type(description, at, kind, value));
        }
        (Type::Fields(fields), Value::Object(found)) => {
            return members(description, at, fields, found);
        }
        // An enumeration: its names have no types.
        (Type::Fields(names), Value::String(name)) => names.iter().any(|n| n.name == *name),
        (Type::Named(name), _) => match (name.as_str(), value) {
            ("bool", Value::Bool(_))
            | ("string", Value::String(_))
            | ("object", Value::Object(_)) => true,
            ("int", value) => value.is_i64(),
            ("float", Value::Number(_)) => true,
            (name, value) => {
                let defined = description
                    .members
                    .iter()
                    .find(|member| member.name == name);
                match defined.map(|member| &member.kind) {
                    Some(Kind::Type(kind)) => return of_type(description, at, kind, value),
                    _ => false,
                }
            }
        },
        _ => false,
    };
    assert!(is_right, "{at}: {value} is no {kind:?}");
}
