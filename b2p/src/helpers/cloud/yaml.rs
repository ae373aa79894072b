//! YAML as cloud-init's files use it, read into a small tree. The grammar is
//! saphyr-parser's, which gives events; what a stranger's file may make of them is
//! bounded here: its size, its depth, how much there is. Anchors and aliases are
//! refused, because a few lines of them unfold to more than any memory holds.

use saphyr_parser::{Event, Parser, ScalarStyle};

/// More bytes than this are not read.
pub const MAX_BYTES: usize = 1 << 20;
/// Lists in lists in lists.
const DEEPEST: usize = 32;
/// Scalars, lists and maps together.
const MOST: usize = 50_000;

/// What stands there. A scalar stays a text: who reads it knows what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Nothing, or `null`, or `~`.
    Null,
    /// A scalar.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Names and values in their order. Of two that have a name, the last counts.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The value of a name; a name that has none is not there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node> {
        let Node::Map(all) = self else { return None };
        let found = all.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v);
        found.filter(|v| **v != Node::Null)
    }

    /// A scalar's text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a name's value.
    #[must_use]
    pub fn word(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Node::text)
    }

    /// yes or no, as YAML 1.1 has it and people write it.
    #[must_use]
    pub fn truth(&self) -> Option<bool> {
        match self.text()?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        }
    }

    /// Whether a name's value is yes.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).and_then(Node::truth) == Some(true)
    }

    /// The members of a list; a scalar by itself is a list of one.
    #[must_use]
    pub fn list(&self) -> &[Node] {
        match self {
            Node::List(all) => all,
            Node::Text(_) => std::slice::from_ref(self),
            _ => &[],
        }
    }

    /// The texts in the list that a name has; one text may hold several, with commas
    /// or blanks between them.
    #[must_use]
    pub fn words(&self, name: &str) -> Vec<String> {
        let all = self.get(name).map(Node::list).unwrap_or_default();
        let apart = |t: &str| -> Vec<String> {
            let parts = t.split([',', ' ', '\n', '\t']);
            parts.filter(|p| !p.is_empty()).map(str::to_owned).collect()
        };
        all.iter().filter_map(Node::text).flat_map(apart).collect()
    }

    /// The texts in the list that a name has, as they are.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<String> {
        let all = self.get(name).map(Node::list).unwrap_or_default();
        all.iter()
            .filter_map(Node::text)
            .map(str::to_owned)
            .collect()
    }
}

/// A list or map that is not closed yet.
enum Open {
    List(Vec<Node>),
    /// And the name whose value comes next.
    Map(Vec<(String, Node)>, Option<String>),
}

/// Reads the first document.
///
/// # Errors
/// What is wrong, and in which line.
pub fn parse(text: &str) -> Result<Node, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("longer than {} KiB", MAX_BYTES >> 10));
    }
    let mut open: Vec<Open> = Vec::new();
    let mut count = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| format!("YAML: {}", plain(&e.to_string())))?;
        let line = span.start.line();
        count += 1;
        if count > MOST {
            return Err(format!("line {line}: more than {MOST} values"));
        }
        let node = match event {
            Event::Scalar(text, style, _, _) => scalar(&text, style),
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                if open.len() >= DEEPEST {
                    return Err(format!("line {line}: nested more than {DEEPEST} deep"));
                }
                open.push(match event {
                    Event::SequenceStart(..) => Open::List(Vec::new()),
                    _ => Open::Map(Vec::new(), None),
                });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(all)) => Node::List(all),
                Some(Open::Map(all, _)) => Node::Map(all),
                None => return Err(format!("line {line}: an end without a beginning")),
            },
            Event::Alias(_) => {
                return Err(format!(
                    "line {line}: an alias (*name) is not supported: write out what it stands for"
                ));
            }
            Event::DocumentEnd | Event::StreamEnd => return Ok(Node::Null),
            _ => continue,
        };
        match open.last_mut() {
            None => return Ok(node),
            Some(parent) => put(parent, node).map_err(|why| format!("line {line}: {why}"))?,
        }
    }
    Ok(Node::Null)
}

fn put(parent: &mut Open, node: Node) -> Result<(), String> {
    match parent {
        Open::List(all) => all.push(node),
        Open::Map(all, name) => match name.take() {
            Some(name) => all.push((name, node)),
            None => match node {
                Node::Text(text) => *name = Some(text),
                Node::Null => *name = Some(String::new()),
                _ => return Err("a name must be a word".to_owned()),
            },
        },
    }
    Ok(())
}

fn scalar(text: &str, style: ScalarStyle) -> Node {
    let null = matches!(text, "" | "~" | "null" | "Null" | "NULL");
    match style {
        ScalarStyle::Plain if null => Node::Null,
        _ => Node::Text(text.to_owned()),
    }
}

/// One line that a terminal can show.
pub fn plain(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    match text.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_cloud_init_files_are_made_of() {
        let tree = parse(
            "#cloud-config\nname: \"a b\"\nuid: '0501'\nnone:\nno: ~\nlist: [a, 'b c', {d: e}]\ntext: |\n  one\n   two\nname: later\n",
        )
        .unwrap();
        assert_eq!(tree.word("name"), Some("later"));
        assert_eq!(tree.word("uid"), Some("0501"));
        assert!(tree.get("none").is_none() && tree.get("no").is_none());
        assert_eq!(tree.texts("list"), ["a", "b c"]);
        assert_eq!(tree.words("list"), ["a", "b", "c"]);
        assert_eq!(tree.word("text"), Some("one\n two\n"));
        assert_eq!(parse("").unwrap(), Node::Null);
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b]\n";
        assert!(parse(bomb).unwrap_err().contains("line 2: an alias"));
        let deep = "- ".repeat(200) + "a";
        assert!(parse(&deep).unwrap_err().contains("nested more than"));
        // The grammar has a limit of its own here.
        assert!(parse(&"[".repeat(100_000)).is_err());
        let wide = format!("[{}]", "x,".repeat(60_000));
        assert!(parse(&wide).unwrap_err().contains("more than"));
        assert!(
            parse(&" ".repeat(MAX_BYTES + 1))
                .unwrap_err()
                .contains("longer")
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let why = parse("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(why.contains("line"), "{why}");
        assert!(parse("? [a]\n: b\n").unwrap_err().contains("a name must"));
    }

    #[test]
    fn yes_and_no() {
        let on = |t: &str| Node::Text(t.into()).truth();
        assert_eq!(
            (on("Yes"), on("off"), on("maybe")),
            (Some(true), Some(false), None)
        );
    }
}
