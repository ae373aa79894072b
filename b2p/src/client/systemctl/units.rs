// SPDX-License-Identifier: Apache-2.0
//! Units that quadlets have become, for `systemctl`.

use std::fs;

use control::{Report, State};

use crate::client::service::Environment;
use crate::common::control_client::ControlClient;
use crate::common::terminal::{print, print_error};
use crate::helpers::quadlet::paths::{self, DEFINITIONS};
use crate::helpers::quadlet::specifiers::Owner;
use crate::helpers::quadlet::{self, unit::Unit};

/// Exit status for "no such unit" (systemctl(1)).
const NO_SUCH_UNIT: i32 = 4;

/// Returns the service that a unit has become.
pub(super) fn find(unit: &str) -> Option<String> {
    let name = paths::service_name(unit, &Owner::default());
    name.filter(|name| is_one(name))
}

/// Returns true for a service that a unit has become.
pub(super) fn is_one(service: &str) -> bool {
    !service.contains('/') && paths::unit(service).exists()
}

/// Returns the environment in which definitions are those of units.
pub(super) fn environment(env: &Environment) -> Environment {
    Environment {
        user_files: DEFINITIONS.into(),
        ..env.clone()
    }
}

/// Loads the quadlets again, and returns the exit status.
pub(super) fn reload(control: &ControlClient) -> i32 {
    match quadlet::reload(&Environment::of(control)) {
        Ok(()) => 0,
        Err(why) => {
            print_error(&format!("systemctl: daemon-reload: {why}"));
            1
        }
    }
}

/// Prints the unit files of services, and returns the exit status.
pub(super) fn cat(names: &[String]) -> i32 {
    let mut status = 0;
    for name in names {
        match is_one(name).then(|| fs::read_to_string(paths::unit(name))) {
            Some(Ok(text)) => print(&format!("# {}\n{text}", paths::unit(name).display())),
            _ => {
                print_error(&format!("systemctl: {name}: no unit of a quadlet"));
                status = 1;
            }
        }
    }
    status
}

/// Prints for each unit that a generator has made it, and returns the exit status.
pub(super) fn is_enabled(names: &[String], quiet: bool) -> i32 {
    let mut status = 0;
    for name in names {
        let word = match is_one(name) {
            true => "generated",
            false => {
                status = NO_SUCH_UNIT;
                "not-found"
            }
        };
        if !quiet {
            print(&format!("{word}\n"));
        }
    }
    status
}

/// Returns a line for each unit: name, load state, state, and description.
pub(super) fn list(report: &Report<'_>) -> String {
    let services = report.services.iter().filter(|s| is_one(s.name));
    let line = |service: &control::Service<'_>| {
        let text = fs::read_to_string(paths::unit(service.name)).unwrap_or_default();
        let unit = Unit::parse(&text);
        let name = unit
            .last(quadlet::NAME.0, quadlet::NAME.1)
            .unwrap_or(service.name);
        let description = unit.last("Unit", "Description").unwrap_or(name);
        format!("{name} loaded {} {description}\n", words(service.state))
    };
    services.map(line).collect()
}

/// Returns the state of a unit and its sub-state, in the words of systemd.
fn words(state: State) -> &'static str {
    match state {
        State::Up => "active running",
        State::Armed => "active listening",
        State::Done => "active exited",
        State::Failed => "failed failed",
        State::Stopping => "deactivating stop",
        State::Delayed => "activating auto-restart",
        State::Off => "inactive dead",
        _ => "activating start",
    }
}
