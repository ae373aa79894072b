// SPDX-License-Identifier: Apache-2.0
//! Verbs of systemctl(1) that change the state of units. Like those of systemd, verbs print nothing if
//! they succeed.

use control::{Report, Request};
use sys::error::{Error, Result};

use super::list;
use super::options::Options;
use super::{timers, units};
use crate::common::service_change::{Verb, change_all};
use crate::common::service_env::Environment;
use crate::common::terminal::print_plain_error as print_error;
use crate::helpers::quadlet::dependents::{
    Pulled, is_active, parts_of, pulled, running_dependents, runs,
};
use crate::helpers::quadlet::specifiers::Owner;
use crate::helpers::quadlet::{self, paths};

/// Exit status of a change of a unit that does not exist.
const NOT_FOUND: i32 = 5;

/// Units that a command names.
pub struct Targets<'a> {
    /// Environment of the services of the machine.
    pub env: &'a Environment,
    /// User whose units change.
    pub owner: &'a Owner,
    /// Command line.
    pub options: &'a Options,
}

impl Targets<'_> {
    /// Starts units, and the units that they want.
    pub fn start(&self, report: &Report<'_>) -> i32 {
        self.each(report, "start", |targets, names| {
            let Pulled { before, after } = pulled(report, names);
            let mut names = names.to_vec();
            // `systemctl start` of a built-in service runs the service once more.
            names.retain(|name| !units::is_one(name) || !is_active(report, name));
            // The failure of a unit that is only wanted (systemd.unit(5), Wants=) is no failure of the command.
            targets.request(&[before, after].concat());
            targets.apply(Verb::Start, &names)
        })
    }

    /// Stops units, and those that are parts of them.
    pub fn stop(&self, report: &Report<'_>) -> i32 {
        self.each(report, "stop", |targets, names| {
            let all = [parts_of(report, names), names.to_vec()].concat();
            targets.apply(Verb::Stop, &all)
        })
    }

    /// Stops units and starts them again, with those that run and need them or are parts of them, and starts
    /// what the units need and want. With `if_active`, only units that run.
    pub fn restart(&self, report: &Report<'_>, verb: &str, if_active: bool) -> i32 {
        self.each(report, verb, |targets, names| {
            let mut names = names.to_vec();
            names.retain(|name| !if_active || runs(report, name));
            let Pulled { before, after } = pulled(report, &names);
            targets.request(&before);
            let status = targets.restart_all(report, names);
            targets.request(&after);
            status
        })
    }

    fn restart_all(&self, report: &Report<'_>, names: Vec<String>) -> i32 {
        let dependents = running_dependents(report, &names);
        if dependents.is_empty() {
            return self.apply(Verb::Restart, &names);
        }
        if self.options.has("no-block") {
            // A start before the stop has begun would cancel the stop.
            return [
                self.apply(Verb::Stop, &dependents),
                self.apply(Verb::Restart, &names),
                self.apply(Verb::Start, &dependents),
            ]
            .into_iter()
            .fold(0, i32::max);
        }
        let mut all = [dependents, names].concat();
        let stopped = self.apply(Verb::Stop, &all);
        all.reverse();
        stopped.max(self.apply(Verb::Start, &all))
    }

    /// Forgets failures, and starts that count for `StartLimitBurst=`.
    pub fn reset_failed(&self, report: &Report<'_>) -> i32 {
        let views = match self.options.names.as_slice() {
            [] => units::all(report, self.owner),
            names => names
                .iter()
                .map(|n| units::find(report, self.owner, n))
                .collect(),
        };
        let mut status = 0;
        for view in views {
            if view.timer.is_some() {
                continue;
            }
            let Some(service) = view.service else {
                let name = &view.name;
                print_error(&format!(
                    "Failed to reset failed state of unit {name}: Unit {name} not loaded."
                ));
                status = 1;
                continue;
            };
            let _ = std::fs::remove_file(paths::starts(service.name, &view.owner));
            if view.states().0 == "failed" {
                self.ask(&service_names(&[service.name.to_owned()]), Request::Reset);
            }
        }
        status
    }

    /// Finds the services of the units that the command names, and changes them. A unit that does not exist
    /// is reported, and the others are changed.
    fn each(
        &self,
        report: &Report<'_>,
        verb: &str,
        change: impl FnOnce(&Self, &[String]) -> i32,
    ) -> i32 {
        let mut names = Vec::new();
        let mut status = 0;
        for word in list::expanded(report, self.owner, &self.options.names) {
            let view = units::find(report, self.owner, &word);
            if let Some(timer) = &view.timer {
                if let Err(why) = timers::change(self.env, &view, timer, verb) {
                    print_error(&why.to_string());
                    status = status.max(1);
                }
                continue;
            }
            match self.service(report, &word, verb) {
                Ok(Some(name)) => names.push(name),
                Ok(None) => {}
                Err(why) => {
                    print_error(&format!(
                        "Failed to {verb} {}: {why}",
                        units::full_name(&word)
                    ));
                    status = match view.not_loaded {
                        Some(_) if verb != "stop" => 1,
                        _ => NOT_FOUND,
                    };
                }
            }
        }
        if names.is_empty() {
            return status;
        }
        change(self, &names).max(status)
    }

    /// Returns the service of a unit, and makes the service of an instance of a template; `None` for a
    /// target.
    fn service(&self, report: &Report<'_>, word: &str, verb: &str) -> Result<Option<String>> {
        let view = units::find(report, self.owner, word);
        if let Some(service) = view.service {
            return Ok(Some(service.name.to_owned()));
        }
        if view.is_target {
            return Ok(None);
        }
        if let Some(why) = view.not_loaded.as_ref().filter(|_| verb != "stop") {
            return Err(Error::invalid(format!(
                "Unit {} {}",
                view.name,
                why.reason()
            )));
        }
        let is_user_file = || {
            let stem = word.strip_suffix(".service").unwrap_or(word);
            let name = control::Name::new(stem);
            name.filter(|n| crate::common::service_files::exists(&self.env.user_files, n))
        };
        if let Some(name) = is_user_file().filter(|_| self.owner.uid == 0) {
            return Ok(Some(name.to_string()));
        }
        let may_make = !verb.starts_with("try-") && !["stop", "condrestart"].contains(&verb);
        if may_make && quadlet::instantiate(self.env, self.owner, &view.name)? {
            return Ok(paths::service_name(&view.name, self.owner));
        }
        let state = if verb == "stop" { "loaded" } else { "found" };
        Err(Error::invalid(format!("Unit {} not {state}.", view.name)))
    }

    /// Changes services, and waits for the result unless the command does not.
    fn apply(&self, verb: Verb, names: &[String]) -> i32 {
        if self.options.has("no-block") {
            let request = match verb {
                Verb::Start => Request::Start,
                Verb::Stop => Request::Stop,
                Verb::Restart => Request::Restart,
            };
            return self.ask(&service_names(names), request);
        }
        let names = service_names(names);
        let env_of = |name: &control::Name| match units::is_one(name.as_str()) {
            true => self.env.of_units(),
            false => self.env.clone(),
        };
        let mut status = 0;
        for (name, result) in change_all(env_of, verb, names) {
            if let Err(why) = result {
                print_error(&format!("Job for {name}.service failed: {why}"));
                status = 1;
            }
        }
        status
    }

    fn request(&self, names: &[String]) {
        self.ask(&service_names(names), Request::Start);
    }

    fn ask(&self, names: &[control::Name], request: fn(control::Name) -> Request) -> i32 {
        let asked = names
            .iter()
            .map(|name| self.env.control.ask(&request(name.clone())));
        i32::from(
            asked
                .map(|answer| answer.is_err())
                .fold(false, |a, b| a | b),
        )
    }
}

fn service_names(names: &[String]) -> Vec<control::Name> {
    names
        .iter()
        .filter_map(|name| control::Name::new(name))
        .collect()
}
