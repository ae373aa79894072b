// SPDX-License-Identifier: Apache-2.0
//! Command lines of systemctl(1) before their verb runs: `--version`, options that systemctl does not have, too few
//! arguments, and patterns.

use control::Report;

use super::list;
use super::options::Options;
use super::query::NO_SUCH_UNIT;
use crate::client::version::AS_SYSTEMD;
use crate::common::pattern::is_pattern;
use crate::common::terminal::{print_plain as print, print_plain_error as print_error};
use crate::helpers::quadlet::specifiers::Owner;

/// Verbs that need a unit.
const WITH_UNITS: &[&str] = &[
    "cat",
    "condrestart",
    "disable",
    "enable",
    "is-active",
    "is-enabled",
    "kill",
    "mask",
    "reenable",
    "reload",
    "reload-or-restart",
    "restart",
    "start",
    "stop",
    "try-reload-or-restart",
    "try-restart",
    "unmask",
];
/// Verbs whose units may be patterns, beside those that expand their patterns themselves.
const WITH_PATTERNS: &[&str] = &[
    "cat",
    "is-active",
    "is-failed",
    "kill",
    "list-dependencies",
    "reload",
    "reload-or-restart",
    "reset-failed",
    "show",
    "status",
    "try-reload-or-restart",
];

/// Answers a command line that names no work, and returns the exit status; `None` for any other.
pub fn answer(options: &Options) -> Option<i32> {
    if let Some(why) = options.unknown() {
        print_error(&format!("systemctl: {why}"));
        return Some(1);
    }
    if options.has("version") && !options.has("help") {
        print(&format!("systemd {AS_SYSTEMD}\n"));
        return Some(0);
    }
    let needs_units = WITH_UNITS.contains(&options.verb.as_str());
    if needs_units && options.names.is_empty() && !options.has("help") {
        print_error("Too few arguments.");
        return Some(1);
    }
    None
}

/// Returns true if the command names units by a pattern that is to be expanded.
pub fn has_patterns(options: &Options) -> bool {
    let may = WITH_PATTERNS.contains(&options.verb.as_str());
    may && options.names.iter().any(|name| is_pattern(name))
}

/// Returns the command for the units that its patterns stand for, or the exit status of a command whose patterns
/// stand for none.
pub fn expanded(
    report: &Report<'_>,
    owner: &Owner,
    options: &Options,
) -> std::result::Result<Options, i32> {
    let names = list::expanded(report, owner, &options.names);
    if !names.is_empty() {
        return Ok(options.with_names(names));
    }
    Err(match options.verb.as_str() {
        "is-active" | "is-failed" => NO_SUCH_UNIT,
        _ => 0,
    })
}
