// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;

fn layout(min_width: usize, tab_width: usize, padding: usize, pad_char: char) -> Layout {
    Layout {
        min_width,
        tab_width,
        padding,
        pad_char,
    }
}

#[test]
fn a_column_is_as_wide_as_its_widest_cell_and_the_padding() {
    let text = "NAME\tACTIVE\tDRIVER\nbox\t*\tqemu\na-longer-name\t-\tqemu\n";
    let expected = "NAME            ACTIVE   DRIVER\n\
                    box             *        qemu\n\
                    a-longer-name   -        qemu\n";
    assert_eq!(align(text, LS), expected);
}

#[test]
fn the_last_cell_of_a_line_is_not_padded_and_not_counted() {
    #[rustfmt::skip]
    let rows = [
        ("", ""),
        ("a", "a"),
        ("\n", "\n"),
        ("a\n", "a\n"),
        ("a\t\n", "a    \n"),
        ("a\t", "a"),
        ("a\tb", "a    b"),
        ("\tb\n", "     b\n"),
        ("a\tvery long\nb\tc\n", "a    very long\nb    c\n"),
        ("abc\tb\tc\na\tb\n", "abc   b    c\na     b\n"),
        ("a\x0bb\n", "a    b\n"),
    ];
    for (text, expected) in rows {
        assert_eq!(align(text, LS), expected, "{text:?}");
    }
}

#[test]
fn a_line_without_a_cell_ends_the_block_of_its_column() {
    #[rustfmt::skip]
    let rows = [
        ("aaaaaaaa\tb\nplain\na\tb\n", "aaaaaaaa   b\nplain\na    b\n"),
        ("a\tbbbbbbbb\tc\na\tb\na\tb\tc\n", "a    bbbbbbbb   c\na    b\na    b    c\n"),
        ("aaaaaaaa\tb\x0ca\tb\n", "aaaaaaaa   b\na    b\n"),
    ];
    for (text, expected) in rows {
        assert_eq!(align(text, LS), expected, "{text:?}");
    }
}

#[test]
fn width_is_counted_in_characters() {
    let text = "é\tx\nnaïve\tx\n日本語\tx\n";
    assert_eq!(align(text, LS), "é       x\nnaïve   x\n日本語     x\n");
}

#[test]
fn padding_is_of_the_character_that_is_asked_for() {
    #[rustfmt::skip]
    let rows = [
        (layout(0, 8, 1, '.'), "a\tb\n", "a.b\n"),
        (layout(0, 8, 0, '\t'), "a\tb\n", "a\tb\n"),
        (layout(0, 8, 1, '\t'), "12345678\tb\na\tb\n", "12345678\tb\na\t\tb\n"),
        (layout(0, 0, 1, '\t'), "a\tb\n", "ab\n"),
        (layout(0, 1, 0, ' '), "a\tb\n", "ab\n"),
    ];
    for (layout, text, expected) in rows {
        assert_eq!(align(text, layout), expected, "{text:?}");
    }
}

/// 400 texts of arbitrary cells, aligned by Go 1.19: text, four parameters, result.
#[test]
fn random_tables_are_those_of_go() {
    let rows: Vec<(String, usize, usize, usize, char, String)> =
        serde_json::from_str(include_str!("tabwriter_go.json")).unwrap();
    assert_eq!(rows.len(), 400);
    for (text, min, tab, pad, c, expected) in rows {
        let layout = layout(min, tab, pad, c);
        assert_eq!(align(&text, layout), expected, "{text:?} {layout:?}");
    }
}
