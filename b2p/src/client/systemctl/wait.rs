// SPDX-License-Identifier: Apache-2.0
//! The option `--wait` of systemctl(1): until units have ended, or until the machine has booted.

use std::time::Duration;

use control::Report;

use super::options::Options;
use super::units;
use super::{ControlClient, report};
use crate::common::control_client::machine_state;
use crate::common::terminal::print_plain as print;
use crate::helpers::quadlet::specifiers::Owner;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(300);

/// Runs `is-system-running`, with `--wait` once the boot has ended.
pub fn is_system_running(control: &ControlClient, options: &Options) -> i32 {
    let text = match until(control, |report| {
        !options.has("wait") || machine_state(report) != "starting"
    }) {
        Ok(text) => text,
        Err(status) => return status,
    };
    let state = machine_state(&Report::parse(&text));
    if !options.has("quiet") {
        print(&format!("{state}\n"));
    }
    i32::from(state != "running")
}

/// Waits for the end of units that were started, and returns 1 if one has failed.
pub fn for_end(control: &ControlClient, owner: &Owner, options: &Options) -> i32 {
    let states = |report: &Report<'_>| -> Vec<&'static str> {
        let names = options.names.iter();
        names
            .map(|name| units::find(report, owner, name).states().0)
            .collect()
    };
    let is_over = |report: &Report<'_>| {
        let states = states(report);
        states.iter().all(|s| ["inactive", "failed"].contains(s))
    };
    match until(control, is_over) {
        Ok(text) => i32::from(states(&Report::parse(&text)).contains(&"failed")),
        Err(status) => status,
    }
}

/// Asks PID 1 until `is_over` holds for its report, which is returned, or the exit status if PID 1 gives none.
fn until(
    control: &ControlClient,
    is_over: impl Fn(&Report<'_>) -> bool,
) -> std::result::Result<String, i32> {
    loop {
        let text = report(control)?;
        if is_over(&Report::parse(&text)) {
            return Ok(text);
        }
        std::thread::sleep(INTERVAL);
    }
}
