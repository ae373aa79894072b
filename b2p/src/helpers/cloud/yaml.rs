// SPDX-License-Identifier: Apache-2.0
//! YAML as the files of cloud-init use it, parsed into a small tree. saphyr-parser has the
//! grammar and yields events; the size, depth and number of nodes are bounded here, because the
//! file may come from anyone. Anchors and aliases are refused: a few lines of them expand to
//! more than fits into memory.

use saphyr_parser::{Event, Parser, ScalarStyle};
use sys::error::{Doing, Error, Result};

/// Longest file that is parsed, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting of lists and maps.
const MAX_DEPTH: usize = 32;
/// Largest number of scalars, lists and maps.
const MAX_NODES: usize = 50_000;
/// Longest line that is shown, in characters.
const MAX_SHOWN: usize = 300;

/// A value. A scalar stays a text: the reader of a setting knows its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// An empty value, `null`, or `~`.
    Null,
    /// A scalar.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Names and values in their order. Of two with one name, the last counts.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Returns the value of a name; `None` also for a null.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node> {
        let Node::Map(entries) = self else {
            return None;
        };
        let last = entries.iter().rev().find(|(n, _)| n == name);
        last.map(|(_, value)| value).filter(|v| **v != Node::Null)
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

    /// Returns the truth value of a scalar, as YAML 1.1 spells it.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self.text()?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        }
    }

    /// Returns true if the value of a name is true.
    #[must_use]
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).and_then(Node::as_bool) == Some(true)
    }

    /// Returns the items of a list; a scalar is a list of one item.
    #[must_use]
    pub fn items(&self) -> &[Node] {
        match self {
            Node::List(items) => items,
            Node::Text(_) => std::slice::from_ref(self),
            _ => &[],
        }
    }

    /// Returns every text in the value, whatever lists and maps are around it. Names are none.
    #[must_use]
    pub fn all_texts(&self) -> Vec<&str> {
        match self {
            Node::Text(text) => vec![text],
            Node::List(items) => items.iter().flat_map(Node::all_texts).collect(),
            Node::Map(entries) => entries.iter().flat_map(|(_, v)| v.all_texts()).collect(),
            Node::Null => Vec::new(),
        }
    }

    /// Returns the texts in the list of a name.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<String> {
        let items = self.get(name).map(Node::items).unwrap_or_default();
        let texts = items.iter().filter_map(Node::text);
        texts.map(str::to_owned).collect()
    }

    /// Returns the texts in a list, each split at commas and white space.
    #[must_use]
    pub fn split_items(&self) -> Vec<String> {
        let texts = self.items().iter().filter_map(Node::text);
        let parts = texts.flat_map(|t| t.split([',', ' ', '\n', '\t']));
        parts.filter(|p| !p.is_empty()).map(str::to_owned).collect()
    }
}

/// A list or map that is not closed yet.
enum Open {
    List(Vec<Node>),
    /// Entries, and the name whose value is the next node.
    Map(Vec<(String, Node)>, Option<String>),
}

/// Parses the first document.
///
/// # Errors
/// The text is not YAML, has an alias, or exceeds a bound; the error names the line.
pub fn parse(text: &str) -> Result<Node> {
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
            Some(parent) => add_child(parent, node).doing(format!("line {line}"))?,
        }
    }
    Ok(Node::Null)
}

/// Takes one event; returns the node that it completes, if it completes one.
fn completed(event: Event<'_>, open: &mut Vec<Open>) -> Result<Option<Node>> {
    Ok(Some(match event {
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

fn add_child(parent: &mut Open, node: Node) -> Result<()> {
    match parent {
        Open::List(items) => items.push(node),
        Open::Map(entries, pending) => match pending.take() {
            Some(name) => entries.push((name, node)),
            None => match node {
                Node::Text(text) => *pending = Some(text),
                Node::Null => *pending = Some(String::new()),
                _ => return Err(Error::invalid("a name must be a word")),
            },
        },
    }
    Ok(())
}

fn scalar(text: &str, style: ScalarStyle) -> Node {
    let is_null = matches!(text, "" | "~" | "null" | "Null" | "NULL");
    match style {
        ScalarStyle::Plain if is_null => Node::Null,
        _ => Node::Text(text.to_owned()),
    }
}

/// Returns the text as one line that a terminal can show, cut if it is too long.
pub fn printable_line(text: &str) -> String {
    let line = text.replace(char::is_control, " ");
    match line.char_indices().nth(MAX_SHOWN) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::why;

    #[test]
    fn what_cloud_init_files_are_made_of() {
        let text = "#cloud-config\nname: \"a b\"\nuid: '0501'\nnone:\nno: ~\n\
                    list: [a, 'b c', {d: e}]\ntext: |\n  one\n   two\nname: later\n";
        let tree = parse(text).unwrap();
        assert_eq!(tree.get_text("name"), Some("later"));
        assert_eq!(tree.get_text("uid"), Some("0501"));
        assert!(tree.get("none").is_none() && tree.get("no").is_none());
        assert_eq!(tree.texts("list"), ["a", "b c"]);
        assert_eq!(tree.get("list").unwrap().split_items(), ["a", "b", "c"]);
        assert_eq!(tree.get_text("text"), Some("one\n two\n"));
        assert_eq!(parse("").unwrap(), Node::Null);
    }

    #[test]
    fn a_bomb_does_not_go_off() {
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
    fn what_is_wrong_is_said_with_its_line() {
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
