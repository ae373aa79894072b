//! The table of flags for people.

use crate::flags::{FLAGS, Flag};

/// The README's table, a row for every flag of [`FLAGS`].
#[must_use]
pub fn flags_markdown() -> String {
    let mut table = String::from("| Flag | Values | Default | What it does |\n|---|---|---|---|\n");
    for flag in FLAGS {
        table.push_str("| ");
        name(&mut table, flag);
        table.push_str(" | ");
        for (at, value) in flag.values.split(", ").enumerate() {
            table.push_str(if at == 0 { "" } else { ", " });
            code(&mut table, &[value]);
        }
        table.push_str(" | ");
        if !flag.default.is_empty() {
            code(&mut table, &[flag.default]);
        }
        table.push_str(" | ");
        table.push_str(flag.why);
        table.push_str(" |\n");
    }
    table
}

fn name(table: &mut String, flag: &Flag) {
    code(table, &[flag.name, if flag.bare { "" } else { "=" }]);
    if flag.repeats {
        table.push_str(" (repeatable)");
    }
}

fn code(table: &mut String, parts: &[&str]) {
    table.push('`');
    for part in parts {
        table.push_str(part);
    }
    table.push('`');
}
