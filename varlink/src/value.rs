// SPDX-License-Identifier: Apache-2.0
//! Values of parameters and results, written as JSON in the code.

use serde_json::Value;

/// Members of a JSON object, sorted by name.
pub type Map = serde_json::Map<String, Value>;

/// Makes a [`Value`] from JSON whose values may be expressions. Each expression becomes a value by
/// [`From`], and a function collects the members: serde_json's macro of this name serializes each
/// expression in place, which is several times as much code.
#[macro_export]
macro_rules! json {
    (null) => { $crate::Value::Null };
    ([ $($elements:tt)* ]) => { $crate::serde_json::json!([ $($elements)* ]) };
    ({ $($members:tt)* }) => { $crate::json!(@members [] $($members)*) };
    (@members [ $($done:tt)* ] $(,)?) => { $crate::object(&mut [ $($done)* ]) };
    (@members [ $($done:tt)* ] $name:tt : null $(, $($rest:tt)*)?) => {
        $crate::json!(@members [ $($done)* ($name, $crate::Value::Null), ] $($($rest)*)?)
    };
    (@members [ $($done:tt)* ] $name:tt : [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $crate::json!(@members [ $($done)* ($name, $crate::json!([ $($inner)* ])), ] $($($rest)*)?)
    };
    (@members [ $($done:tt)* ] $name:tt : { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $crate::json!(@members [ $($done)* ($name, $crate::json!({ $($inner)* })), ] $($($rest)*)?)
    };
    (@members [ $($done:tt)* ] $name:tt : $value:expr $(, $($rest:tt)*)?) => {
        $crate::json!(@members [ $($done)* ($name, $crate::Value::from($value)), ] $($($rest)*)?)
    };
    ($value:expr) => { $crate::Value::from($value) };
}

/// Returns an object with these members; a value that is moved into the object leaves null.
#[doc(hidden)]
#[must_use]
pub fn object(members: &mut [(&str, Value)]) -> Value {
    let mut map = Map::new();
    for (name, value) in members {
        map.insert((*name).to_owned(), value.take());
    }
    Value::Object(map)
}

/// Returns a value as JSON. serde_json's `Display` has a second writer, and a pretty one.
#[must_use]
pub fn text(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Returns the members of an object that [`json!`] made; none for another value.
#[must_use]
pub fn map(value: Value) -> Map {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_macro_json_equals_that_of_serde_json() {
        let name = "web";
        let nested = json!({ "a": 1 });
        assert_eq!(
            json!({
                "text": name, "sum": 1 + 2, "list": [name, null, 1.5], "none": null, "is": name == "web",
                "inner": { "deeper": { "x": [] }, name: 1 }, "value": nested.clone(), "last": Some(3_u64), "empty": {},
            }),
            serde_json::json!({
                "text": name, "sum": 1 + 2, "list": [name, null, 1.5], "none": null, "is": name == "web",
                "inner": { "deeper": { "x": [] }, name: 1 }, "value": nested, "last": Some(3_u64), "empty": {},
            })
        );
        assert_eq!(json!({}), serde_json::json!({}));
        assert_eq!(json!("a"), serde_json::json!("a"));
    }
}
