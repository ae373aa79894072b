// SPDX-License-Identifier: Apache-2.0
//! Tests of the reader of unit files.

use super::*;

#[test]
fn assignments_sections_comments_and_joined_lines() {
    let text = "# a\n; b\n[Unit]\nAfter = a.service b.service\nnonsense\n[Service]\nExecStart=/bin/sh -c \\\n\
        # within\n  'x y' \\\n\nEnvironment=A=1\nEnvironment=B=2\nEnvironment=\nEnvironment=C=3=4\nType=\n";
    let unit = Unit::parse(text);
    let after: Vec<&str> = unit.names("Unit", "After").collect();
    assert_eq!(after, ["a.service", "b.service"]);
    assert_eq!(unit.last("Service", "ExecStart"), Some("/bin/sh -c  'x y'"));
    assert_eq!(unit.all("Service", "Environment"), ["C=3=4"]);
    assert_eq!(unit.last("Service", "Type"), None);
    assert_eq!(unit.last("Unit", "ExecStart"), None);
    assert_eq!(unit.assignments().len(), 7);
}

#[test]
fn a_backslash_that_is_escaped_joins_no_lines() {
    let text = "[Service]\nDescription=C:\\\\\nUser=app\nA=1\\\\\\\n  2\nB=3\\ \nC=4\n";
    let unit = Unit::parse(text);
    let values = unit
        .assignments()
        .iter()
        .map(|a| (a.key.as_str(), a.value.as_str()));
    assert_eq!(
        values.collect::<Vec<_>>(),
        [
            ("Description", "C:\\\\"),
            ("User", "app"),
            ("A", "1\\\\ 2"),
            ("B", "3\\"),
            ("C", "4"),
        ]
    );
}

/// Dependencies are never withdrawn (systemd.unit(5)), in contrast to `WantedBy=` and the lists of a service.
#[test]
fn an_empty_value_withdraws_no_dependency() {
    let lists = "Requires=a.service\nRequires=\nRequires=b.service\n";
    let unit = Unit::parse(&format!("[Unit]\n{lists}[Install]\n{lists}"));
    let names = |section| unit.names(section, "Requires").collect::<Vec<_>>();
    assert_eq!(names("Unit"), ["a.service", "b.service"]);
    assert_eq!(names("Install"), ["b.service"]);
}

#[test]
fn the_output_of_the_generator() {
    let output = "noise\n---a.service---\n[Unit]\nA=1\n\n---b@.service---\n---c.service---\n[Service]\n--- x ---\n";
    assert_eq!(
        split_output(output),
        [
            ("a.service", "[Unit]\nA=1\n\n"),
            ("b@.service", ""),
            ("c.service", "[Service]\n--- x ---\n"),
        ]
    );
    for none in [
        "",
        "------\n",
        "---../x---\n",
        "--- ---",
        "---a\u{1b}[2J---\n",
    ] {
        assert_eq!(split_output(none), [], "{none:?}");
    }
}
