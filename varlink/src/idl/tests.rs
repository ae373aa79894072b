// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;

const TEXT: &str = "\
# About.
interface org.example-1.a2

# A type.
type State (
  # Runs.
  running,
  stopped
)

type Part (name: ?string, sizes: []int, by_name: [string](a: bool, b: object))

method Get(name: string) -> (part: Part)

method GetInfo() -> (
  vendor: string,
  product: string,
  version: string,
  url: string,
  interfaces: []string
)

method Set(
  first_long_name: string,
  second_long_name: []string,
  third_long_name: ?[string]float
) -> ()

error Missing (name: string)

error Nothing ()
";

#[test]
fn the_usual_form_stays_as_it_is() {
    assert_eq!(Description::parse(TEXT).unwrap().format(), TEXT);
}

#[test]
fn any_spacing_and_place_of_comments_is_brought_to_that_form() {
    let text = "#About.\n\n  interface  a.b\nmethod   A(a:string,b:(x,y))->(c:[]?int)#end\n\
        error X\n type T(\n#c\na:bool\n)\n#last";
    let form = "#About.\ninterface a.b\n\nmethod A(a: string, b: (x, y)) -> (c: []?int)\n\n\
        #end\nerror X ()\n\ntype T (\n  #c\n  a: bool\n)\n\n#last\n";
    assert_eq!(Description::parse(text).unwrap().format(), form);
    assert_eq!(Description::parse(form).unwrap().format(), form);
}

#[test]
fn an_error_names_the_line_and_what_would_be_right() {
    for (text, why) in [
        ("", "line 1: expected `interface`"),
        (
            "interface",
            "line 1: expected the name of an interface, such as org.example",
        ),
        (
            "interface a",
            "line 1: expected the name of an interface, such as org.example",
        ),
        (
            "interface a.b-",
            "line 1: expected the name of an interface, such as org.example",
        ),
        (
            "interface 1.b",
            "line 1: expected the name of an interface, such as org.example",
        ),
        (
            "interface a.b\nmethod a() -> ()",
            "line 2: expected a name that begins with a capital letter",
        ),
        ("interface a.b\nmethod A()", "line 2: expected `->`"),
        (
            "interface a.b\nmethod A(a) -> ()",
            "line 2: expected a type for each parameter",
        ),
        (
            "interface a.b\n\ntype A (a:int, b)",
            "line 3: expected types for all fields, or for none",
        ),
        (
            "interface a.b\ntype A (a:??int)",
            "line 2: expected one `?`",
        ),
        (
            "interface a.b\ntype A (a:[int]int)",
            "line 2: expected `[]` or `[string]`",
        ),
        (
            "interface a.b\ntype A (a__b:int)",
            "line 2: expected the name of a field",
        ),
        ("interface a.b\ntype A (a:strin)", "line 2: expected a type"),
        ("interface a.b\ntype A int", "line 2: expected `(`"),
        (
            "interface a.b\ntype A (a:int",
            "line 2: expected `,` or `)`",
        ),
        (
            "interface a.b\n{",
            "line 2: expected a name or a type, not '{'",
        ),
        (
            "interface a.b\nvalue A",
            "line 2: expected `type`, `method` or `error`",
        ),
    ] {
        assert_eq!(
            Description::parse(text).unwrap_err().to_string(),
            why,
            "{text}"
        );
    }
    let deep = format!("interface a.b\ntype A (a: {}int)", "[]".repeat(100));
    assert!(
        Description::parse(&deep)
            .unwrap_err()
            .to_string()
            .contains("fewer types")
    );
}
