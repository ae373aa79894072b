// SPDX-License-Identifier: Apache-2.0
//! Documents in Kubernetes' YAML, which podman's API writes, as JSON, which `GenerateKube` returns.

use saphyr_parser::{Event, Parser, ScalarStyle};
use varlink::{Map, Value, serde_json};

use super::api::{Outcome, occurred, string};

/// List or map whose end has not been read, with the name of the next value of a map.
enum Open {
    List(Vec<Value>),
    Map(Map, Option<String>),
}

/// Returns the first document of a kind as JSON; an empty object if there is none, because clients parse the text in
/// any case.
pub(super) fn document(text: &str, kind: &str) -> Outcome<String> {
    let mut open = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|e| occurred(&format!("podman's YAML: {e}")))?;
        let found = match event {
            Event::Scalar(text, style, ..) => scalar(&text, style),
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(list)) => list.into(),
                Some(Open::Map(members, _)) => members.into(),
                None => continue,
            },
            _ => continue,
        };
        match open.last_mut() {
            Some(Open::List(list)) => list.push(found),
            Some(Open::Map(members, name)) => match name.take() {
                Some(name) => drop(members.insert(name, found)),
                None => *name = Some(name_of(found)),
            },
            None if string(&found, "kind") == kind => return Ok(varlink::text(&found)),
            None => {}
        }
    }
    Ok("{}".to_owned())
}

/// Returns the value of a scalar: one without quotes may be a number, a truth value or null.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    let typed = match style {
        ScalarStyle::Plain if text.is_empty() => Some(Value::Null),
        ScalarStyle::Plain => serde_json::from_slice(text.as_bytes()).ok(),
        _ => None,
    };
    typed.unwrap_or_else(|| text.into())
}

fn name_of(value: Value) -> String {
    match value {
        Value::String(name) => name,
        other => varlink::text(&other),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use varlink::json;

    #[test]
    fn the_document_of_a_kind_has_the_types_of_its_scalars() {
        let yaml = "# Save the output\n---\napiVersion: v1\nkind: Service\nspec:\n  ports:\n  - name: \"80\"\n    port: 80\n\
            ---\nkind: Pod\nmetadata:\n  creationTimestamp: \"2026-11-30T00:00:00Z\"\n  labels: {}\n  80: x\nspec:\n  containers:\n  \
            - args:\n    - \"true\"\n    - -c\n    - '7'\n    - |\n      two\n      lines\n    stdin: true\n    limit: 1.5\n    env:\n";
        let parsed = |kind| serde_json::from_str::<Value>(&document(yaml, kind).unwrap()).unwrap();
        let pod = json!({
            "kind": "Pod", "metadata": {"creationTimestamp": "2026-11-30T00:00:00Z", "labels": {}, "80": "x"},
            "spec": {"containers": [{
                "args": ["true", "-c", "7", "two\nlines\n"], "stdin": true, "limit": 1.5, "env": null,
            }]},
        });
        assert_eq!(parsed("Pod"), pod);
        assert_eq!(
            parsed("Service")["spec"]["ports"],
            json!([{"name": "80", "port": 80}])
        );
        assert_eq!(document(yaml, "Deployment").unwrap(), "{}");
        for (text, is_right) in [
            ("", true),
            ("kind: [", false),
            ("a: b: c", false),
            ("kind: Pod: x", false),
        ] {
            assert_eq!(document(text, "Pod").is_ok(), is_right, "{text}");
        }
    }
}
