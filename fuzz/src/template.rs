// SPDX-License-Identifier: Apache-2.0
//! Target `template`: a format of podman-machine over fixed data, and the alignment of its output.

use machine::text::go_template::{MAX_OUTPUT, Missing, Template};
use machine::text::tabwriter::{LS, align};
use serde_json::{Value, json};

use crate::input::is_one_line;

pub(crate) const DICTIONARY: &[&str] = &[
    "{{",
    "}}",
    "{{- ",
    " -}}",
    "{{.Name}}",
    "{{end}}",
    "{{else}}",
    "{{else if ",
    "{{range .List}}",
    "{{range $i, $v := .Map}}",
    "{{with .Driver}}",
    "{{if .Up}}",
    "{{define \"t\"}}",
    "{{template \"t\" .}}",
    "{{break}}",
    "{{continue}}",
    "{{/* x */}}",
    "$x := ",
    "$x = ",
    " | ",
    "printf \"%5.2f|%-8s|%#x|%*d\" ",
    "json ",
    "prettyjson ",
    "index .List 1",
    "slice .Name 1 2",
    "len ",
    "eq 1 ",
    "and ",
    "or ",
    "not ",
    "join .List \",\"",
    "split .Name \"o\"",
    "truncate ",
    "title ",
    "print ",
    "\"\\u00e9\\x41\"",
    "`raw`",
    "'a'",
    "0x1F",
    "1e3",
    "-1",
    "nil",
    "true",
    "(",
    ")",
    "\t",
    "\n",
    "\x0c",
];

fn data() -> Value {
    json!({
        "Name": "box", "Up": true, "Zero": 0, "Ratio": 0.5, "None": null,
        "List": ["a", "b", [1, 2]], "Map": {"z": 1, "a": "<x>"}, "Driver": {"CPU": 2},
    })
}

/// Checks that:
///
/// - An error is one line that names its place.
/// - A template without actions is its own output.
/// - Output is bounded, the same each time, and aligned without a loss of text or lines.
pub fn template(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let values = self::data();
    let run = |missing| Template::parse(&text).and_then(|t| t.execute(&values, missing));
    let result = run(Missing::NoValue);
    assert_eq!(result, run(Missing::NoValue));
    match &result {
        Err(why) => {
            let why = why.to_string();
            assert!(is_one_line(&why) && why.len() < 2_000, "{why:?}");
            assert!(why.starts_with("template: "), "{why:?}");
        }
        Ok(output) => {
            assert!(output.len() <= MAX_OUTPUT);
            assert!(text.contains("{{") || *output == *text);
            check_alignment(output);
        }
    }
    // A template that fails on a map fails on a struct.
    assert!(result.is_ok() || run(Missing::Error).is_err());
    check_alignment(&text);
}

fn check_alignment(text: &str) {
    // Padding grows with the square of a hostile table.
    if text.len() > 4_096 {
        return;
    }
    let aligned = align(text, LS);
    let breaks = |t: &str| t.matches(['\n', '\x0c']).count();
    assert_eq!(breaks(&aligned), breaks(text));
    let solid = |t: &str| t.replace([' ', '\t', '\n', '\x0b', '\x0c'], "");
    assert_eq!(solid(&aligned), solid(text));
    assert!(!aligned.contains(['\t', '\x0b', '\x0c']));
}
