// SPDX-License-Identifier: Apache-2.0
//! Verbs of systemctl(1) that ask for the state of units: the output is a word for each unit,
//! and an exit status reports the result.

use control::Report;

use super::enable;
use super::options::Options;
use super::units::{self, View};
use crate::common::terminal::{print_plain as print, print_plain_error as print_error};
use crate::helpers::quadlet::paths;
use crate::helpers::quadlet::specifiers::Owner;

/// Exit status for "not running" (systemctl(1)).
pub const NOT_RUNNING: i32 = 3;
/// Exit status for "no such unit".
pub const NO_SUCH_UNIT: i32 = 4;

/// Runs `is-active`: success if one of the units is active.
pub fn is_active(report: &Report<'_>, owner: &Owner, options: &Options) -> i32 {
    let is = |state: &str| ["active", "reloading"].contains(&state);
    states(report, owner, options, is, NOT_RUNNING)
}

/// Runs `is-failed`: success if one of the units has failed.
pub fn is_failed(report: &Report<'_>, owner: &Owner, options: &Options) -> i32 {
    states(report, owner, options, |state| state == "failed", 1)
}

fn states(
    report: &Report<'_>,
    owner: &Owner,
    options: &Options,
    is: impl Fn(&str) -> bool,
    otherwise: i32,
) -> i32 {
    let views: Vec<View<'_>> = options
        .names
        .iter()
        .map(|name| units::find(report, owner, name))
        .collect();
    let states: Vec<&str> = views.iter().map(|view| view.states().0).collect();
    if !options.has("quiet") {
        states.iter().for_each(|state| print(&format!("{state}\n")));
    }
    match views.iter().any(View::exists) {
        _ if states.iter().any(|state| is(state)) => 0,
        true => otherwise,
        false => NO_SUCH_UNIT,
    }
}

/// Runs `is-enabled`: success if one of the units starts at boot, or needs no link for that.
pub fn is_enabled(report: &Report<'_>, owner: &Owner, options: &Options) -> i32 {
    let views = options
        .names
        .iter()
        .map(|name| units::find(report, owner, name));
    let words: Vec<&str> = views.map(|view| enable::word(&view)).collect();
    if !options.has("quiet") {
        words.iter().for_each(|word| print(&format!("{word}\n")));
    }
    match words.as_slice() {
        words if words.iter().any(|w| !["disabled", "not-found"].contains(w)) => 0,
        words if words.contains(&"disabled") => 1,
        _ => NO_SUCH_UNIT,
    }
}

/// Runs `cat`: prints the text of units.
pub fn cat(report: &Report<'_>, owner: &Owner, options: &Options) -> i32 {
    let mut status = 0;
    for name in &options.names {
        let view = units::find(report, owner, name);
        let text = view
            .service
            .map(|s| sys::files::read_text(paths::unit(s.name)));
        match text {
            Some(Ok(text)) => print(&format!("# {}\n{text}\n", view.fragment())),
            _ => {
                print_error(&format!("No files found for {}.", view.name));
                status = 1;
            }
        }
    }
    status
}
