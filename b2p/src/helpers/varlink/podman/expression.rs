// SPDX-License-Identifier: Apache-2.0
//! Expressions of the rules, and values of declared types.
//!
//! An expression is an operand and filters ([`super::filters`]) with `|` between them. An operand is a text
//! after `'`, a number, or a variable and the names of members with dots between them; `it` is the element of a
//! list, or the source of a structure. In a template, strings are expressions; an object has the members of
//! its member with the empty name; one with `each` is a list of the value of `give` for each element.

use varlink::idl::{Field, Type};
use varlink::{Failure, Map, Value};

use super::api::{EMPTY_NAME, Outcome, elements, not_found, number};
use super::http::part;
use super::rules::{Rules, Run};

/// Returns a member of a member, by names with dots between them.
pub(super) fn member<'a>(mut value: &'a Value, path: &str) -> &'a Value {
    for name in path.split('.') {
        let found = match name.parse::<usize>() {
            Ok(place) => value.get(place),
            Err(_) => value.get(name),
        };
        value = found.unwrap_or(&Value::Null);
    }
    value
}

/// Returns a value as a word of a path or query; nothing for false, lists and objects.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) | Value::Number(_) => varlink::text(value),
        _ => String::new(),
    }
}

/// Returns the letters and digits of a name, all small: `MemUsage` and `mem_usage` are the same.
fn folded(name: &str) -> impl Iterator<Item = u8> {
    let bytes = name.bytes().filter(u8::is_ascii_alphanumeric);
    bytes.map(|byte| byte.to_ascii_lowercase())
}

impl Run<'_, '_> {
    /// Returns the value of a template.
    pub fn make(&self, template: &Value, it: &Value) -> Outcome<Value> {
        let members = match template {
            Value::String(text) => return self.value(text, it),
            Value::Object(members) => members,
            other => return Ok(other.clone()),
        };
        if let Some(list) = members.get("each") {
            let mut made = Vec::new();
            for element in elements(&self.make(list, it)?) {
                made.push(self.make(&template["give"], element)?);
            }
            return Ok(made.into());
        }
        let mut made = Map::new();
        for (name, template) in members {
            match (name.as_str(), self.make(template, it)?) {
                ("", Value::Object(base)) => made = base,
                ("", _) => {}
                (_, value) => drop(made.insert(name.clone(), value)),
            }
        }
        Ok(Value::Object(made))
    }

    /// Returns the value of an expression.
    pub fn value(&self, text: &str, it: &Value) -> Outcome<Value> {
        let mut parts = text.split('|');
        let mut value = self.operand(parts.next().unwrap_or_default(), it);
        for filter in parts {
            let (name, argument) = filter.split_once(':').unwrap_or((filter, ""));
            value = self.filter(value, name, argument, it)?;
        }
        Ok(value)
    }

    /// Returns the value of an operand.
    pub fn operand(&self, text: &str, it: &Value) -> Value {
        if let Some(literal) = text.strip_prefix('\'') {
            return literal.into();
        }
        if let Ok(number) = text.parse::<i64>() {
            return number.into();
        }
        let (name, path) = text.split_once('.').unwrap_or((text, ""));
        let variable = match name {
            "it" => it,
            name => self.scope.get(name).unwrap_or(&Value::Null),
        };
        match path {
            "" => variable.clone(),
            path => member(variable, path).clone(),
        }
    }

    /// Returns the path of a request, with its query.
    pub fn path(&self, kind: super::api::Kind, template: &str, it: &Value) -> Outcome<String> {
        let (path, query) = template.split_once('?').unwrap_or((template, ""));
        let mut text = String::new();
        for word_or_name in path.split('/') {
            if !text.is_empty() {
                text.push('/');
            }
            let Some(expression) = inner(word_or_name) else {
                text += word_or_name;
                continue;
            };
            // An empty name would be the path of all objects.
            match word(&self.value(expression, it)?).as_str() {
                "" => return Err(not_found(kind, "", EMPTY_NAME)),
                name => text += &part(name),
            }
        }
        let mut between = '?';
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = match inner(value) {
                Some(expression) => self.value(expression, it)?,
                None => value.into(),
            };
            let one = std::slice::from_ref(&value);
            for value in value.as_array().map_or(one, Vec::as_slice) {
                let value = word(value);
                if !value.is_empty() {
                    text.push(between);
                    text += &[name, "=", &part(&value)].concat();
                    between = '&';
                }
            }
        }
        Ok(text)
    }

    /// Returns the fields of a structure: the values of expressions for them, else the members of the same name.
    pub fn fields(&self, fields: &[Field], expressions: &Value, source: &Value) -> Outcome<Map> {
        let mut made = Map::new();
        for field in fields {
            let value = match expressions.get(&field.name) {
                Some(template) => self.make(template, source)?,
                None => same_name(source, &field.name).clone(),
            };
            if let Some(kind) = &field.kind {
                made.insert(field.name.clone(), self.of_type(kind, value)?);
            }
        }
        Ok(made)
    }

    /// Returns a value of a declared type; the zero value in place of another type.
    pub fn of_type(&self, kind: &Type, value: Value) -> Outcome<Value> {
        let rules = &self.podman.rules;
        Ok(match (kind, value) {
            (Type::Maybe(_), Value::Null) => Value::Null,
            (Type::Maybe(kind), value) => self.of_type(kind, value)?,
            (Type::Array(kind), value) => {
                let is_text = matches!(&**kind, Type::Named(name) if name == "string");
                let mut list = Vec::new();
                for element in elements(&value) {
                    if !is_text || element.is_string() {
                        list.push(self.of_type(kind, element.clone())?);
                    }
                }
                list.into()
            }
            (Type::Map(_), value) => texts_by_name(&value),
            (Type::Fields(fields), value) => self.fields(fields, &Value::Null, &value)?.into(),
            (Type::Named(name), value) => match (name.as_str(), value) {
                ("string", value @ Value::String(_)) => value,
                ("string", value @ Value::Number(_)) => varlink::text(&value).into(),
                ("string", _) => "".into(),
                ("int", value) => whole(&value).into(),
                ("float", value) => value.as_f64().unwrap_or(0.0).into(),
                ("bool", value) => (value == true).into(),
                ("object", value) => value,
                (name, value) => match rules.named(name) {
                    Some(Type::Fields(fields)) => {
                        self.fields(fields, rules.fields_of(name), &value)?.into()
                    }
                    _ => value,
                },
            },
        })
    }
}

/// Returns a number as a whole one; zero for another value.
pub(super) fn whole(value: &Value) -> i64 {
    let mut member = Map::new();
    member.insert(String::new(), value.clone());
    number(&Value::Object(member), "")
}

/// Returns those members of an object that are texts.
pub(super) fn texts_by_name(value: &Value) -> Value {
    let members = value.as_object().into_iter().flatten();
    let texts = members.filter(|(_, value)| value.is_string());
    let texts = texts.map(|(name, value)| (name.clone(), value.clone()));
    Value::Object(sys::sort::inserted(texts))
}

/// Returns the member of an object with a name, in any spelling of the name.
fn same_name<'a>(source: &'a Value, name: &str) -> &'a Value {
    if let Some(value) = source.get(name) {
        return value;
    }
    let mut members = source.as_object().into_iter().flatten();
    let found = members.find(|(other, _)| folded(other).eq(folded(name)));
    found.map_or(&Value::Null, |(_, value)| value)
}

/// Returns the expression of `{expression}`.
fn inner(text: &str) -> Option<&str> {
    text.strip_prefix('{')?.strip_suffix('}')
}

/// Refuses a value of another type than a parameter has. One that is absent or null has the zero value, as with
/// the service of 2020, and clients rely on that.
pub(super) fn check(rules: &Rules, kind: &Type, value: &Value) -> Result<(), Failure> {
    let all = |kind: &Type, values: &mut dyn Iterator<Item = &Value>| {
        for value in values {
            check(rules, kind, value)?;
        }
        Ok(())
    };
    let is_right = match (kind, value) {
        (_, Value::Null) => true,
        (Type::Maybe(kind), value) => return check(rules, kind, value),
        (Type::Array(kind), Value::Array(list)) => return all(kind, &mut list.iter()),
        (Type::Map(kind), Value::Object(members)) => return all(kind, &mut members.values()),
        (Type::Fields(fields), Value::Object(members)) => {
            return check_fields(rules, fields, members);
        }
        (Type::Named(name), value) => match (name.as_str(), value) {
            ("string", value) => value.is_string(),
            ("int", value) => value.is_i64(),
            ("float", value) => value.is_number(),
            ("bool", value) => value.is_boolean(),
            ("object", _) => true,
            (name, value) => match rules.named(name) {
                Some(kind) => return check(rules, kind, value),
                None => true,
            },
        },
        _ => false,
    };
    match is_right {
        true => Ok(()),
        false => Err(Failure::parameter("parameters")),
    }
}

/// Refuses parameters of other types than the declared ones. Others are ignored.
pub(super) fn check_fields(rules: &Rules, fields: &[Field], members: &Map) -> Result<(), Failure> {
    for field in fields {
        if let (Some(kind), Some(value)) = (&field.kind, members.get(&field.name)) {
            check(rules, kind, value)?;
        }
    }
    Ok(())
}
