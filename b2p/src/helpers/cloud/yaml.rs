// SPDX-License-Identifier: Apache-2.0
//! YAML of the files of cloud-init, parsed into a small tree. saphyr-parser has the grammar and
//! yields events; the size, depth and number of nodes are bounded here, because the file may be of
//! unknown origin. Anchors and aliases are refused: a few lines of these expand to more than fits
//! into memory.

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use sys::error::{Doing, Error, Result};

use super::diagnostics::{Diagnostics, printable_line};

/// Longest file that is parsed, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting of lists and maps.
const MAX_DEPTH: usize = 32;
/// Largest number of scalars, lists and maps.
const MAX_NODES: usize = 50_000;
/// Types of YAML 1.1 that need no tag: the reader of a setting knows its type.
const PLAIN_TAGS: &[&str] = &["str", "int", "bool", "float", "null", "seq", "map"];

/// A value. A scalar stays a text: the reader of a setting knows its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// An empty value, `null`, or `~`.
    Null,
    /// A scalar.
    Text(String),
    /// A scalar with the tag `!!binary`, in base64.
    Binary(String),
    /// A list.
    List(Vec<Node>),
    /// Names and values in their order, each name once.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Returns the value of a name; `None` also for a null.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node> {
        let Node::Map(entries) = self else {
            return None;
        };
        let entry = entries.iter().find(|(n, _)| n == name);
        entry.map(|(_, value)| value).filter(|v| **v != Node::Null)
    }

    /// Returns the text of a scalar.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the text of a name's value.
    #[must_use]
    pub fn get_text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Node::text)
    }

    /// Returns the truth value of a scalar, in the spellings of YAML 1.1.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self.text()?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        }
    }

    /// Returns every text in the value, inside any lists and maps. Names do not count.
    #[must_use]
    pub fn all_texts(&self) -> Vec<&str> {
        match self {
            Node::Text(text) => vec![text],
            Node::List(items) => items.iter().flat_map(Node::all_texts).collect(),
            Node::Map(entries) => entries.iter().flat_map(|(_, v)| v.all_texts()).collect(),
            Node::Null | Node::Binary(_) => Vec::new(),
        }
    }

    /// Returns the items of a list; a text is a list of one item. Another value is named by its place.
    pub fn list(&self, place: &str, diagnostics: &mut Diagnostics) -> &[Node] {
        match self {
            Node::List(items) => return items,
            Node::Text(_) => return std::slice::from_ref(self),
            Node::Null => {}
            _ => diagnostics.failed(format_args!("{place}: must be a list")),
        }
        &[]
    }

    /// Returns the texts of a list; other items are named.
    pub fn texts(&self, place: &str, diagnostics: &mut Diagnostics) -> Vec<&str> {
        let items = self.list(place, diagnostics).iter();
        let items = items.filter(|item| **item != Node::Null);
        items
            .filter_map(|item| item.expect_text(place, diagnostics))
            .collect()
    }

    /// Returns the entries of a map; another value is named.
    pub fn map(&self, place: &str, diagnostics: &mut Diagnostics) -> &[(String, Node)] {
        match self {
            Node::Map(entries) => return entries,
            Node::Null => {}
            _ => diagnostics.failed(format_args!("{place}: must be a map")),
        }
        &[]
    }

    /// Returns the text of a scalar; another value is named.
    pub fn expect_text(&self, place: &str, diagnostics: &mut Diagnostics) -> Option<&str> {
        if self.text().is_none() {
            diagnostics.failed(format_args!("{place}: must be a text"));
        }
        self.text()
    }

    /// Returns the truth value of a name, if there is one; another value is reported.
    pub fn get_bool(&self, name: &str, place: &str, diag: &mut Diagnostics) -> Option<bool> {
        self.get(name)?
            .expect_bool(&format!("{place}: {name}"), diag)
    }

    /// Returns the truth value of a scalar; another value is named.
    pub fn expect_bool(&self, place: &str, diagnostics: &mut Diagnostics) -> Option<bool> {
        if self.as_bool().is_none() {
            diagnostics.failed(format_args!("{place}: must be true or false"));
        }
        self.as_bool()
    }

    /// Names settings that are not among `known`, and values that are lists or maps; returns true if there is none.
    pub fn has_only(&self, known: &[&str], place: &str, diagnostics: &mut Diagnostics) -> bool {
        let mut is_right = matches!(self, Node::Map(_));
        for (name, value) in self.map(place, diagnostics) {
            let why = match value {
                _ if !known.contains(&name.as_str()) => "not supported",
                Node::List(_) | Node::Map(_) => "must be a text",
                _ => continue,
            };
            diagnostics.failed(format_args!("{place}: {name}: {why}"));
            is_right = false;
        }
        is_right
    }
}

/// A list or map that is not closed yet.
enum Open {
    List(Vec<Node>),
    /// Entries, and the name whose value is the next node.
    Map(Vec<(String, Node)>, Option<String>),
}

/// Returns the entries of a file that is a map. Of a file that cannot be parsed as a whole, returns the
/// entries that can be parsed alone: a new one begins with each line that is not indented.
pub fn entries(
    file: &'static str,
    text: &str,
    diagnostics: &mut Diagnostics,
) -> (Vec<(String, Node)>, Option<Error>) {
    let parsed = match parse(file, text, diagnostics) {
        Ok(Node::Map(entries)) => return (entries, None),
        Ok(Node::Null) => return (Vec::new(), None),
        parsed => parsed,
    };
    let mut parts: Vec<String> = vec![String::new()];
    for line in text.split_inclusive('\n') {
        match parts.last_mut() {
            Some(part) if line.starts_with([' ', '\t', '\n', '#', '-']) => part.push_str(line),
            _ => parts.push(line.to_owned()),
        }
    }
    let mut found = Vec::new();
    for part in &parts {
        if let Ok(Node::Map(entries)) = parse(file, part, &mut Diagnostics::default()) {
            found.extend(entries);
        }
    }
    let no_map = || Error::invalid(format!("{file}: not a map of names and values"));
    (found, Some(parsed.err().unwrap_or_else(no_map)))
}

/// Parses the first document of a file. Names that are given twice are reported: the last one counts.
///
/// # Errors
/// The text is not YAML, has an alias, or exceeds a bound; the error names the line.
pub fn parse(file: &'static str, text: &str, diagnostics: &mut Diagnostics) -> Result<Node> {
    read(file, text, diagnostics).doing(file)
}

fn read(file: &str, text: &str, diagnostics: &mut Diagnostics) -> Result<Node> {
    if text.len() > MAX_BYTES {
        let kib = MAX_BYTES >> 10;
        return Err(Error::invalid(format!("longer than {kib} KiB")));
    }
    let mut open: Vec<Open> = Vec::new();
    for (index, event) in Parser::new_from_str(text).enumerate() {
        let (event, span) = event.map_err(|e| {
            let reason = printable_line(&e.to_string());
            Error::invalid(format!("YAML: {reason}"))
        })?;
        let line = span.start.line();
        if index >= MAX_NODES {
            let reason = format!("line {line}: more than {MAX_NODES} values");
            return Err(Error::invalid(reason));
        }
        let node = match event {
            Event::DocumentEnd | Event::StreamEnd => return Ok(Node::Null),
            event => completed(event, &mut open).doing(format!("line {line}"))?,
        };
        let Some(node) = node else { continue };
        match open.last_mut() {
            None => return Ok(node),
            Some(parent) => {
                let repeated = add_child(parent, node).doing(format!("line {line}"))?;
                if let Some(name) = repeated {
                    diagnostics.failed(format_args!(
                        "{file}: line {line}: {name} is given twice; the last counts"
                    ));
                }
            }
        }
    }
    Ok(Node::Null)
}

/// Takes one event; returns the node that the event completes, if any.
fn completed(event: Event<'_>, open: &mut Vec<Open>) -> Result<Option<Node>> {
    Ok(Some(match event {
        Event::Scalar(text, _, _, Some(tag)) if is_binary(&tag) => Node::Binary(text.into_owned()),
        Event::Scalar(.., Some(tag))
        | Event::SequenceStart(_, Some(tag))
        | Event::MappingStart(_, Some(tag))
            if !is_plain(&tag) =>
        {
            return Err(Error::invalid(format!("the tag {tag} is not supported")));
        }
        Event::Scalar(text, style, ..) => scalar(&text, style),
        Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= MAX_DEPTH => {
            let reason = format!("nested more than {MAX_DEPTH} deep");
            return Err(Error::invalid(reason));
        }
        Event::SequenceStart(..) => {
            open.push(Open::List(Vec::new()));
            return Ok(None);
        }
        Event::MappingStart(..) => {
            open.push(Open::Map(Vec::new(), None));
            return Ok(None);
        }
        Event::SequenceEnd | Event::MappingEnd => match open.pop() {
            Some(Open::List(items)) => Node::List(items),
            Some(Open::Map(entries, _)) => Node::Map(entries),
            None => return Err(Error::invalid("an end without a beginning")),
        },
        Event::Alias(_) => {
            return Err(Error::invalid(
                "an alias (*name) is not supported: write out what it stands for",
            ));
        }
        _ => return Ok(None),
    }))
}

fn is_binary(tag: &Tag) -> bool {
    tag.is_yaml_core_schema() && tag.suffix == "binary"
}

fn is_plain(tag: &Tag) -> bool {
    tag.is_yaml_core_schema() && PLAIN_TAGS.contains(&tag.suffix.as_str())
}

/// Adds a node to its list or map; returns a name that the map had already.
fn add_child(parent: &mut Open, node: Node) -> Result<Option<String>> {
    let mut repeated = None;
    match parent {
        Open::List(items) => items.push(node),
        Open::Map(entries, pending) => match pending.take() {
            Some(name) => {
                if let Some(at) = entries.iter().position(|(n, _)| *n == name) {
                    entries.remove(at);
                    repeated = Some(name.clone());
                }
                entries.push((name, node));
            }
            None => match node {
                Node::Text(text) => *pending = Some(text),
                Node::Null => *pending = Some(String::new()),
                _ => return Err(Error::invalid("a name must be a word")),
            },
        },
    }
    Ok(repeated)
}

fn scalar(text: &str, style: ScalarStyle) -> Node {
    let is_null = matches!(text, "" | "~" | "null" | "Null" | "NULL");
    match style {
        ScalarStyle::Plain if is_null => Node::Null,
        _ => Node::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::why;

    fn parse(text: &str) -> Result<Node> {
        super::parse("a-file", text, &mut Diagnostics::default())
    }

    #[test]
    fn parse_reads_the_forms_of_cloud_init_files() {
        let mut diagnostics = Diagnostics::default();
        let text = "#cloud-config\nname: \"a b\"\nuid: '0501'\nnone:\nno: ~\n\
                    list: [a, 'b c', {d: e}]\ntext: |\n  one\n   two\nname: later\n";
        let tree = super::parse("a-file", text, &mut diagnostics).unwrap();
        let line = "a-file: line 10: name is given twice; the last counts";
        assert_eq!(diagnostics.failed, [line]);
        assert_eq!(tree.get_text("name"), Some("later"));
        assert_eq!(tree.get_text("uid"), Some("0501"));
        assert!(tree.get("none").is_none() && tree.get("no").is_none());
        let list = tree.get("list").unwrap();
        assert_eq!(list.texts("list", &mut diagnostics), ["a", "b c"]);
        assert_eq!(diagnostics.failed[1], "list: must be a text");
        assert_eq!(list.all_texts(), ["a", "b c", "e"]);
        assert_eq!(tree.get_text("text"), Some("one\n two\n"));
        assert_eq!(parse("").unwrap(), Node::Null);
    }

    #[test]
    fn aliases_depth_width_and_length_of_yaml_are_limited() {
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b]\n";
        assert!(why(parse(bomb)).contains("line 2: an alias"));
        let deep = "- ".repeat(200) + "a";
        assert!(why(parse(&deep)).contains("nested more than"));
        // The parser has a limit of its own here.
        assert!(parse(&"[".repeat(100_000)).is_err());
        let wide = format!("[{}]", "x,".repeat(60_000));
        assert!(why(parse(&wide)).contains("more than"));
        let long = " ".repeat(MAX_BYTES + 1);
        assert!(why(parse(&long)).contains("longer"));
    }

    #[test]
    fn errors_of_yaml_name_the_line() {
        assert!(why(parse("a: 1\nb: [1, 2\nc: 3\n")).contains("line"));
        assert!(why(parse("? [a]\n: b\n")).contains("a name must"));
    }

    #[test]
    fn yes_and_no() {
        let on = |t: &str| Node::Text(t.into()).as_bool();
        assert_eq!(
            (on("Yes"), on("off"), on("maybe")),
            (Some(true), Some(false), None)
        );
    }
}
