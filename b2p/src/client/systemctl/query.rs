// SPDX-License-Identifier: Apache-2.0
//! Verbs of systemctl(1) that ask for the state of units: the output is a word for each unit,
//! and an exit status reports the result.

use control::Report;

use super::enable;
use super::options::Options;
use super::units::{self, View};
use crate::common::control_client::machine_state;
use crate::common::terminal::{print_plain as print, print_plain_error as print_error};
use crate::helpers::quadlet::paths;
use crate::helpers::quadlet::specifiers::Owner;
use crate::helpers::quadlet::timer::UnitTimer;

/// Exit status for "not running" (systemctl(1)).
pub const NOT_RUNNING: i32 = 3;
/// Exit status for "no such unit".
pub const NO_SUCH_UNIT: i32 = 4;
/// States of a file with which the boot does not start the unit.
const NOT_ENABLED: &[&str] = &["bad", "disabled", "masked", "not-found"];

/// Runs `is-active`: success if one of the units is active.
pub fn is_active(report: &Report<'_>, owner: &Owner, options: &Options) -> i32 {
    let is = |state: &str| ["active", "reloading"].contains(&state);
    states(report, owner, options, is, NOT_RUNNING)
}

/// Runs `is-failed`: success if one of the units has failed.
pub fn is_failed(report: &Report<'_>, owner: &Owner, options: &Options) -> i32 {
    // Without a unit the machine is meant.
    if options.names.is_empty() {
        let state = machine_state(report);
        if !options.has("quiet") {
            print(&format!("{state}\n"));
        }
        return i32::from(state != "degraded");
    }
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
        words if words.iter().any(|w| !NOT_ENABLED.contains(w)) => 0,
        words if words.iter().any(|w| *w != "not-found") => 1,
        _ => NO_SUCH_UNIT,
    }
}

/// Returns the text of a unit without the sections that are this machine's notes.
fn without_notes(text: &str) -> String {
    let mut is_note = false;
    let is_shown = |line: &&str| {
        if line.starts_with('[') {
            is_note = line.starts_with("[X-Unit]") || line.starts_with("[X-Timer]");
        }
        !is_note
    };
    let lines: Vec<&str> = text.lines().filter(is_shown).collect();
    lines.join("\n").trim().to_owned()
}

/// Runs `cat`: prints the text of units.
pub fn cat(report: &Report<'_>, owner: &Owner, options: &Options) -> i32 {
    let mut status = 0;
    for name in &options.names {
        let view = units::find(report, owner, name);
        let timer = view.timer.as_ref().and_then(|timer| timer.unit.as_ref());
        let path = timer.map(UnitTimer::path);
        let path = path.or_else(|| Some(paths::unit(view.service?.name)));
        let text = path.map(sys::files::read_text);
        match text {
            Some(Ok(text)) => {
                let text = without_notes(&text);
                print(&format!("# {}\n{text}\n", view.fragment()));
            }
            _ => {
                print_error(&format!("No files found for {}.", view.name));
                status = 1;
            }
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_shown_without_notes_of_the_machine() {
        let text = "[X-Unit]\nName=web.service\n\n[Unit]\nA=1\n[Service]\nB=2\n\n[X-Unit]\nPath=/a\n[Unit]\nC=3\n";
        let shown = "[Unit]\nA=1\n[Service]\nB=2\n\n[Unit]\nC=3";
        assert_eq!(without_notes(text), shown);
        assert_eq!(
            without_notes("[Container]\nX=[X-Unit]"),
            "[Container]\nX=[X-Unit]"
        );
    }
}
