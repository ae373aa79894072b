// SPDX-License-Identifier: Apache-2.0
//! The document as a tree, read member by member. Each reader names a value of another kind by its
//! path, such as `storage.files[2].mode`; members without a reader are named as well.

use serde_json::{Map, Value};
use sys::error::{Error, Result};

use crate::helpers::cloud::diagnostics::Diagnostics;

/// Longest document, in bytes: a host with a directory of certificates sends a megabyte.
pub const MAX_BYTES: usize = 16 << 20;
/// Largest number of values.
const MAX_VALUES: usize = 200_000;
/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Deepest nesting; the format itself has eight levels.
const MAX_DEPTH: usize = 32;

/// Test for another format.
type IsFormat = fn(&[u8]) -> bool;

/// Other formats that a user may provide, and the message about each.
#[rustfmt::skip]
const OTHER_FORMATS: &[(IsFormat, &str)] = &[
    (<[u8]>::is_empty,                             "nothing is there"),
    (|bytes| bytes.starts_with(b"#cloud-config"),  "this is cloud-init's user-data, which a disk labelled cidata may have"),
    (|bytes| has_line(bytes, b"variant:"),         "this is butane's YAML, of which `butane` makes the document"),
    (|bytes| bytes.starts_with(b"\x1f\x8b"),       "this is compressed; must be the document itself"),
    (|bytes| matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]), "this is UTF-16; must be UTF-8"),
];

/// Returns true for YAML, unlike JSON, that has a line with this beginning.
fn has_line(bytes: &[u8], beginning: &[u8]) -> bool {
    let is_json = bytes.trim_ascii_start().starts_with(b"{");
    let mut lines = bytes.split(|byte| *byte == b'\n');
    !is_json && lines.any(|line| line.starts_with(beginning))
}

/// Parses a document.
///
/// # Errors
/// The text is no JSON, exceeds a bound, or is no object; nothing is taken then.
pub fn parse(bytes: &[u8]) -> Result<Map<String, Value>> {
    if bytes.len() > MAX_BYTES {
        let mib = MAX_BYTES >> 20;
        return Err(Error::invalid(format!("longer than {mib} MiB")));
    }
    // Editors of Windows write a byte order mark, which a parser may ignore (RFC 8259, 8.1).
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    if let Some((_, right)) = OTHER_FORMATS.iter().find(|(is, _)| is(bytes)) {
        return Err(Error::invalid(format!("not JSON (RFC 8259): {right}")));
    }
    check_bounds(bytes)?;
    let value = serde_json::from_slice(bytes)
        .map_err(|why| Error::invalid(format!("not JSON (RFC 8259): {why}")))?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(Error::invalid("must be an object: {\"ignition\": …}")),
    }
}

/// Counts values and levels before there is a tree, which takes 30 times the room of its text.
fn check_bounds(bytes: &[u8]) -> Result<()> {
    let (mut values, mut depth) = (0_usize, 0_usize);
    let (mut in_text, mut escaped) = (false, false);
    for byte in bytes {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_text = !in_text,
            (true, _) => {}
            (false, b'[' | b'{') => (values, depth) = (values + 1, depth + 1),
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            (false, b',') => values += 1,
            (false, _) => {}
        }
        if depth > MAX_DEPTH {
            return Err(Error::invalid(format!("nested more than {MAX_DEPTH} deep")));
        }
        if values > MAX_VALUES {
            return Err(Error::invalid(format!("more than {MAX_VALUES} values")));
        }
    }
    Ok(())
}

/// A value of the document, and its path.
#[derive(Clone, Debug)]
pub struct Item<'a> {
    /// Path in the document.
    pub path: String,
    value: &'a Value,
}

impl<'a> Item<'a> {
    /// Returns the members of an object. Any other value is reported as an error and treated as an empty object.
    pub fn object(self, diagnostics: &mut Diagnostics) -> Object<'a> {
        let members = self.value.as_object();
        if members.is_none() {
            diagnostics.failed(format_args!("{}: must be an object", self.path));
        }
        Object {
            path: self.path,
            members,
            read: Vec::new(),
        }
    }

    /// Returns the text of a string. Any other value is reported as an error.
    pub fn text(&self, diagnostics: &mut Diagnostics) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            diagnostics.failed(format_args!("{}: must be a string", self.path));
        }
        text
    }
}

/// An object of the document.
#[derive(Debug)]
pub struct Object<'a> {
    /// Path in the document; empty for the whole.
    pub path: String,
    members: Option<&'a Map<String, Value>>,
    /// Names that have been read.
    read: Vec<&'static str>,
}

impl<'a> Object<'a> {
    /// The whole document.
    #[must_use]
    pub fn root(members: &'a Map<String, Value>) -> Object<'a> {
        Object {
            path: String::new(),
            members: Some(members),
            read: Vec::new(),
        }
    }

    /// Path of a member.
    #[must_use]
    pub fn path_of(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }

    /// Returns a member; `None` also for null.
    pub fn get(&mut self, name: &'static str) -> Option<Item<'a>> {
        self.read.push(name);
        let value = self.members?.get(name).filter(|value| !value.is_null())?;
        let path = self.path_of(name);
        Some(Item { path, value })
    }

    /// Returns the object that is a member, or one without members.
    pub fn object(&mut self, name: &'static str, diagnostics: &mut Diagnostics) -> Object<'a> {
        let none = || Object {
            path: self.path_of(name),
            members: None,
            read: Vec::new(),
        };
        let none = none();
        let item = self.get(name);
        item.map_or(none, |item| item.object(diagnostics))
    }

    /// Returns the items of a list.
    pub fn items(&mut self, name: &'static str, diagnostics: &mut Diagnostics) -> Vec<Item<'a>> {
        let Some(Item { path, value }) = self.get(name) else {
            return Vec::new();
        };
        let Value::Array(values) = value else {
            diagnostics.failed(format_args!("{path}: must be a list"));
            return Vec::new();
        };
        let item = |(index, value)| Item {
            path: format!("{path}[{index}]"),
            value,
        };
        values.iter().enumerate().map(item).collect()
    }

    /// Returns the objects of a list.
    pub fn objects(&mut self, name: &'static str, diag: &mut Diagnostics) -> Vec<Object<'a>> {
        let items = self.items(name, diag);
        items.into_iter().map(|item| item.object(diag)).collect()
    }

    /// Returns the texts of a list.
    pub fn texts(&mut self, name: &'static str, diagnostics: &mut Diagnostics) -> Vec<&'a str> {
        let items = self.items(name, diagnostics);
        let text = |item: Item<'a>| item.text(diagnostics);
        items.into_iter().filter_map(text).collect()
    }

    /// Returns a text; `None` also if it is empty.
    pub fn text(&mut self, name: &'static str, diagnostics: &mut Diagnostics) -> Option<&'a str> {
        let text = self.get(name)?.text(diagnostics);
        text.filter(|text| !text.is_empty())
    }

    /// Returns a truth value.
    pub fn flag(&mut self, name: &'static str, diagnostics: &mut Diagnostics) -> Option<bool> {
        let Item { path, value } = self.get(name)?;
        let flag = value.as_bool();
        if flag.is_none() {
            diagnostics.failed(format_args!("{path}: must be true or false"));
        }
        flag
    }

    /// Returns a number of at most `max`.
    pub fn number(&mut self, name: &'static str, max: u32, diag: &mut Diagnostics) -> Option<u32> {
        let Item { path, value } = self.get(name)?;
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
        let number = number.filter(|n| *n <= max);
        if number.is_none() {
            diag.failed(format_args!("{path}: must be a number from 0 to {max}"));
        }
        number
    }

    /// Names each member that has a value and was not read.
    pub fn finish(self, diagnostics: &mut Diagnostics) {
        for (name, value) in self.members.into_iter().flatten() {
            if !self.read.contains(&name.as_str()) && !is_empty(value) {
                let path = self.path_of(name);
                diagnostics.failed(format_args!("{path}: not supported"));
            }
        }
    }
}

/// Returns true for a value that asks for nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(is_empty),
        Value::Object(members) => members.values().all(is_empty),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::why;

    #[test]
    fn malformed_documents_are_refused_as_a_whole() {
        for (text, reason) in [
            ("", "not JSON"),
            ("{\"a\":1", "not JSON"),
            ("{} {}", "not JSON"),
            ("{\"a\":\"\\ud800\"}", "not JSON"),
            ("{\"a\":01}", "not JSON"),
            ("[]", "must be an object"),
            ("", "nothing is there"),
            ("#cloud-config\nusers: []\n", "cloud-init's user-data"),
            ("# mine\nvariant: fcos\nversion: 1.5.0\n", "`butane` makes"),
            ("\u{1f}\u{8b}", "not JSON"),
            ("variant", "not JSON (RFC 8259): expected"),
            ("{\nvariant: fcos}", "not JSON (RFC 8259): key must"),
            ("\u{feff}\u{feff}{}", "not JSON (RFC 8259): expected"),
        ] {
            assert!(why(parse(text.as_bytes())).contains(reason), "{text}");
        }
        assert!(why(parse(b"\x1f\x8b\x08\0")).contains("compressed"));
        assert!(why(parse(b"\xff\xfe{\0}\0")).contains("must be UTF-8"));
        assert_eq!(parse("\u{feff}{}\r\n".as_bytes()).unwrap().len(), 0);
        assert!(why(parse(b"{\"a\":\"\xff\"}")).contains("not JSON"));
        assert!(why(parse("[".repeat(100_000).as_bytes())).contains("nested"));
        let wide = format!("{{\"a\":[{}0]}}", "0,".repeat(300_000));
        assert!(why(parse(wide.as_bytes())).contains("values"));
        // Brackets in a text are no levels.
        let text = format!("{{\"a\":\"\\\"{}\"}}", "[{,".repeat(100_000));
        assert!(parse(text.as_bytes()).is_ok());
        assert!(why(parse(&vec![b' '; MAX_BYTES + 1])).contains("16 MiB"));
    }

    #[test]
    fn each_wrong_value_is_named_by_its_path() {
        let text = r#"{"t":1,"l":{},"o":[7,{"n":-1,"f":"x","m":4096,"deep":[[1]]}],"z":{"e":[]}}"#;
        let members = parse(text.as_bytes()).unwrap();
        let mut found = Diagnostics::default();
        let mut root = Object::root(&members);
        assert_eq!(root.text("t", &mut found), None);
        assert!(root.texts("l", &mut found).is_empty());
        let mut list = root.objects("o", &mut found);
        let mut last = list.pop().unwrap();
        assert_eq!(last.number("n", 9, &mut found), None);
        assert_eq!(last.number("m", 0o7777, &mut found), None);
        assert_eq!(last.flag("f", &mut found), None);
        last.finish(&mut found);
        root.finish(&mut found);
        let lines = [
            "t: must be a string",
            "l: must be a list",
            "o[0]: must be an object",
            "o[1].n: must be a number from 0 to 9",
            "o[1].m: must be a number from 0 to 4095",
            "o[1].f: must be true or false",
            "o[1].deep: not supported",
        ];
        assert_eq!(found.failed, lines);
    }
}
