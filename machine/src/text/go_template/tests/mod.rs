// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use super::*;

fn run(template: &str, data: &Value) -> Result<String> {
    Template::parse(template)?.execute(data, Missing::NoValue)
}

/// Templates with the output of Go 1.19, or null where Go reports an error.
#[test]
fn templates_have_the_result_of_go() {
    let file: Value = serde_json::from_str(include_str!("go.json")).unwrap();
    let cases: Vec<(String, Option<String>)> =
        serde_json::from_value(file["cases"].clone()).unwrap();
    assert!(cases.len() > 190);
    let mut bad = Vec::new();
    for (template, expected) in cases {
        let result = run(&template, &file["data"]);
        if result.clone().ok() != expected {
            bad.push(format!(
                "{template:?}\n  is       {result:?}\n  expected {expected:?}"
            ));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Templates with the line and column of their error, and a part of its text.
#[test]
fn an_error_names_its_place_on_one_line() {
    let data = json!({"Name": "box"});
    #[rustfmt::skip]
    let rows = [
        ("{{", "1:1", "unclosed action"),
        ("{{}}", "1:3", "missing value for command"),
        ("a\nb {{.Name.X}}", "2:5", "can't evaluate field X in type string"),
        ("{{nope .Name}}", "1:3", "function \"nope\" not defined"),
        ("é{{nope}}", "1:4", "not defined"),
        ("{{if .Name}}x", "1:6", "{{if}} without {{end}}"),
        ("{{end}}", "1:3", "unexpected {{end}}"),
        ("{{$x}}", "1:3", "undefined variable \"$x\""),
        ("{{.Name \"\x1b\"}}", "1:3", "Name is not a method but has arguments"),
        ("{{\"a\\q\"}}", "1:3", "invalid escape sequence"),
        ("{{len 3}}", "1:3", "error calling len: len of type int"),
        ("{{upper}}", "1:3", "want 1 got 0"),
        ("{{/* a */ b}}", "1:10", "comment ends before closing delimiter"),
        ("{{.A\x1b[m}}", "1:5", "bad character"),
    ];
    for (template, place, part) in rows {
        let error = run(template, &data).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("template: {place}: ")),
            "{template}: {error}"
        );
        assert!(error.contains(part), "{template}: {error}");
        assert!(!error.contains(char::is_control), "{template}: {error}");
    }
}

#[test]
fn whole_numbers_have_no_exponent_and_all_numbers_compare() {
    let data = json!({"Disk": 107_374_182_400_u64, "Load": 2.5});
    #[rustfmt::skip]
    let rows = [
        ("{{.Disk}}", "107374182400"),
        ("{{printf \"%d\" .Disk}}", "107374182400"),
        ("{{gt .Load 2}} {{eq .Load 2.5}} {{lt .Disk 1e12}}", "true true true"),
    ];
    for (template, expected) in rows {
        assert_eq!(run(template, &data).unwrap(), expected, "{template}");
    }
}

#[test]
fn an_unknown_field_of_a_list_entry_is_an_error() {
    let data = json!({"Name": "box", "Options": {}});
    let run = |t: &str| Template::parse(t).unwrap().execute(&data, Missing::Error);
    assert_eq!(run("{{.Name}}{{.Options.x}}").unwrap(), "box<no value>");
    let error = run("{{.Nmae}}").unwrap_err().to_string();
    assert_eq!(error, "template: 1:3: no field .Nmae");
}

#[test]
fn size_depth_work_and_output_are_bounded() {
    let nested = |open: &str, close: &str| open.repeat(200) + &close.repeat(200);
    let double = "{{$x := \"ab\"}}".to_owned() + &"{{$x = print $x $x}}".repeat(40);
    let list = json!({"L": vec![0; 300], "Name": "x"});
    let range = "{{range $.L}}".repeat(5) + "x" + &"{{end}}".repeat(5);
    let rows = [
        "x".repeat(MAX_SOURCE + 1),
        nested("{{if .Name}}", "{{end}}"),
        format!("{{{{{}1{}}}}}", "(".repeat(200), ")".repeat(200)),
        "{{if .Name}}".to_owned() + &"{{else if .Name}}".repeat(200) + "{{end}}",
        "{{define \"t\"}}{{template \"t\" .}}{{end}}{{template \"t\" .}}".to_owned(),
        double,
        range,
        "{{printf \"%900000d\" 1}}".repeat(10),
        "{{printf \"%900000d %900000d %900000d %900000d %900000d\" 1 2 3 4 5}}".to_owned(),
        "{{range .L}}{{printf \"%900000d\" 1 | len}}{{end}}".to_owned(),
    ];
    for template in rows {
        assert!(run(&template, &list).is_err(), "{}", &template[..40]);
    }
}
