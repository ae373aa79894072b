// SPDX-License-Identifier: Apache-2.0
//! Writer of JSON (RFC 8259), by hand: three commands are not worth a library.

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// Unknown value.
    Null,
    /// Integer.
    Number(i128),
    /// Text.
    Text(String),
    /// Array.
    List(Vec<Json>),
    /// Object, with its keys in this order.
    Object(Vec<(&'static str, Json)>),
}

impl Json {
    /// Returns a text, or null for an empty one.
    #[must_use]
    pub fn text(text: &str) -> Json {
        match text {
            "" => Json::Null,
            text => Json::Text(text.to_owned()),
        }
    }

    /// Returns the value on one line that ends in a newline.
    #[must_use]
    pub fn line(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out.push('\n');
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Number(n) => out.push_str(&n.to_string()),
            Json::Text(text) => quote(out, text),
            Json::List(list) => {
                out.push('[');
                for (at, value) in list.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    value.write(out);
                }
                out.push(']');
            }
            Json::Object(pairs) => {
                out.push('{');
                for (at, (key, value)) in pairs.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    quote(out, key);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

impl From<Option<u64>> for Json {
    fn from(number: Option<u64>) -> Json {
        number.map_or(Json::Null, |n| Json::Number(n.into()))
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Json {
        Json::Number(number.into())
    }
}

impl FromIterator<Json> for Json {
    fn from_iter<I: IntoIterator<Item = Json>>(values: I) -> Json {
        Json::List(values.into_iter().collect())
    }
}

/// Appends `text` as a JSON string. DEL and the C1 control characters are escaped too: terminals
/// act on them.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\0'..='\x1f' | '\x7f'..='\u{9f}' => {
                out.push_str("\\u00");
                for half in [c as u32 / 16, c as u32 % 16] {
                    out.extend(char::from_digit(half, 16));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_of_all_kinds_are_written() {
        let value = Json::Object(vec![
            ("a", Json::Null),
            ("b", Json::List(vec![7_u64.into(), Json::Number(-1)])),
            ("c", Json::text("x\"\\\n\x1b\u{85}é")),
            ("d", Json::text("")),
            ("e", Json::List(vec![])),
        ]);
        let text =
            "{\"a\":null,\"b\":[7,-1],\"c\":\"x\\\"\\\\\\n\\u001b\\u0085é\",\"d\":null,\"e\":[]}\n";
        assert_eq!(value.line(), text);
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(text in any::<String>(), number in any::<u64>()) {
            let line = Json::List(vec![Json::Text(text.clone()), number.into()]).line();
            prop_assert_eq!(line.lines().count(), 1);
            let back: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(back, serde_json::json!([text, number]));
        }
    }
}
