// SPDX-License-Identifier: Apache-2.0
//! `b2p help`: the list of commands, and the text of one of them.

use crate::applet::{Applet, Kind};
use crate::common::terminal::{print, print_error};

/// Longest line of a help text, in columns.
const MAX_COLUMNS: usize = 76;

/// Runs `b2p help [COMMAND]` and returns the exit status.
pub fn main(table: &'static [Applet], arguments: &[String]) -> i32 {
    let Some(name) = arguments.first() else {
        return list(table);
    };
    match table.iter().find(|applet| applet.has_name(name)) {
        Some(applet) => command(applet),
        None => unknown_command(table, name),
    }
}

/// Prints the list of commands and returns the exit status.
pub fn list(table: &'static [Applet]) -> i32 {
    print(&list_text(table));
    0
}

/// Prints the help text of one command and returns the exit status.
pub fn command(applet: &Applet) -> i32 {
    print(&command_text(applet));
    0
}

/// Reports an argument that a command does not take, and returns the exit status.
pub fn superfluous(applet: &Applet, argument: &str) -> i32 {
    print_error(&format!(
        "b2p {}: {argument}: the command takes no argument",
        applet.name
    ));
    2
}

/// Reports a name that no command has, with the most similar one, and returns the exit status.
pub fn unknown_command(table: &'static [Applet], name: &str) -> i32 {
    let suggestion = config::suggest(name, &mut commands(table).map(|applet| applet.name));
    let advice = match suggestion {
        Some(similar) => format!("did you mean {similar}?"),
        None => "see `b2p help`".to_owned(),
    };
    print_error(&format!("b2p: {name}: no such command; {advice}"));
    2
}

/// Commands for people.
fn commands(table: &'static [Applet]) -> impl Iterator<Item = &'static Applet> {
    table.iter().filter(|applet| applet.kind == Kind::Client)
}

fn list_text(table: &'static [Applet]) -> String {
    let line = |applet: &Applet| format!("  {:<10} {}\n", applet.name, applet.summary);
    let lines: String = commands(table).map(line).collect();
    format!(
        "usage: b2p COMMAND\n\n{lines}\nMost commands need root. `b2p help COMMAND` says more.\n"
    )
}

fn command_text(applet: &Applet) -> String {
    let usage = format!("usage: b2p {} {}", applet.name, applet.arguments);
    let details = match applet.details {
        "" => String::new(),
        details => format!("\n{}", wrap(details)),
    };
    let summary = capitalize(applet.summary);
    format!("{}\n{summary}.\n{details}", usage.trim_end())
}

fn capitalize(text: &str) -> String {
    let (first, rest) = text.split_at_checked(1).unwrap_or((text, ""));
    format!("{}{rest}", first.to_ascii_uppercase())
}

/// Breaks `text` into lines of at most [`MAX_COLUMNS`].
fn wrap(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_ascii_whitespace() {
        if column + word.len() > MAX_COLUMNS {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
        }
        out.push_str(word);
        column += word.len() + 1;
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::applets::APPLETS;

    #[test]
    fn help_fits_a_terminal_and_ends_in_no_space() {
        let texts = APPLETS.iter().map(command_text).chain([list_text(APPLETS)]);
        for text in texts {
            let fits = |line: &str| line.len() < 80 && line.trim_end() == line;
            assert!(text.lines().all(fits), "{text}");
            assert!(text.ends_with('\n'));
        }
        let help = |name: &str| main(APPLETS, &[name.to_owned()]);
        assert_eq!(
            (help("poweroff"), help("powerof"), main(APPLETS, &[])),
            (0, 2, 0)
        );
    }

    #[test]
    fn every_command_is_documented() {
        let page = include_str!("../../../docs/reference/control.md");
        for applet in commands(APPLETS) {
            let usage = format!("{} {}", applet.name, applet.arguments).replace('|', "\\|");
            assert!(page.contains(&format!("`{}`", usage.trim_end())), "{usage}");
        }
    }
}
