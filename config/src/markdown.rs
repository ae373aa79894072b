// SPDX-License-Identifier: Apache-2.0
//! Table of the flags in Markdown.

use crate::flag::Flag;
use crate::flags::FLAGS;

/// Returns the table of docs/reference/flags.md, one row for each flag of [`FLAGS`].
#[must_use]
pub fn flags_markdown() -> String {
    let mut table = String::from("| Flag | Values | Default | Meaning |\n|---|---|---|---|\n");
    for flag in FLAGS {
        table.push_str("| ");
        push_name(&mut table, flag);
        table.push_str(" | ");
        for (index, value) in flag.values.split(", ").enumerate() {
            table.push_str(if index == 0 { "" } else { ", " });
            push_code(&mut table, &[value]);
        }
        table.push_str(" | ");
        if !flag.default.is_empty() {
            push_code(&mut table, &[flag.default]);
        }
        table.push_str(" | ");
        table.push_str(flag.description);
        table.push_str(" |\n");
    }
    table
}

fn push_name(table: &mut String, flag: &Flag) {
    let equals = if flag.value_optional { "" } else { "=" };
    push_code(table, &[flag.name, equals]);
    if flag.repeatable {
        table.push_str(" (repeatable)");
    }
}

fn push_code(table: &mut String, parts: &[&str]) {
    table.push('`');
    for part in parts {
        table.push_str(part);
    }
    table.push('`');
}
