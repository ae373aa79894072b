// SPDX-License-Identifier: Apache-2.0
//! Verbs of systemctl(1) that signal the processes of units: `reload` and `kill`.

use std::time::{Duration, Instant};

use control::Report;
use nix::sys::signal::{Signal, kill as send};
use nix::unistd::Pid;
use sys::error::{Error, Result};

use super::change::Targets;
use super::show::cgroup;
use super::units::{self, View};
use crate::common::cgroups;
use crate::common::terminal::print_plain_error as print_error;

/// Longest wait for a reload.
const RELOAD_LIMIT: Duration = Duration::from_secs(90);
/// Time between two reads of its outcome.
const RELOAD_POLL: Duration = Duration::from_millis(50);

impl Targets<'_> {
    /// Has units read their configuration again.
    pub fn reload(&self, report: &Report<'_>) -> i32 {
        let reload = |name: &String| match self.reload_one(&units::find(report, self.owner, name)) {
            Ok(()) => 0,
            Err(why) => {
                print_error(&why.to_string());
                1
            }
        };
        self.options.names.iter().map(reload).max().unwrap_or(1)
    }

    fn reload_one(&self, view: &View<'_>) -> Result<()> {
        let name = &view.name;
        let failed = |why: &str| Err(Error::invalid(format!("Failed to reload {name}: {why}")));
        let Some(service) = view.service else {
            return failed(&format!("Unit {name} not found."));
        };
        let Some(pid) = service.pid.filter(|_| view.states().0 == "active") else {
            return Err(Error::invalid(format!(
                "{name} is not active, cannot reload."
            )));
        };
        // The server reads its file for each connection.
        if view.unit.is_none() && service.name == "sshd" {
            return Ok(());
        }
        if !view.can_reload() {
            return failed(&format!(
                "Job type reload is not applicable for unit {name}."
            ));
        }
        let before = view.told().reloads;
        signal(pid, Signal::SIGHUP);
        let start = Instant::now();
        while view.told().reloads == before {
            if start.elapsed() > RELOAD_LIMIT {
                return failed("its commands have not ended");
            }
            std::thread::sleep(RELOAD_POLL);
        }
        match view.told().reload_status {
            0 => Ok(()),
            status => failed(&format!(
                "a command has ended with status {status}, or was not done in time"
            )),
        }
    }

    /// Reloads units that can, and restarts the others, each by itself.
    pub fn reload_or_restart(&self, report: &Report<'_>, verb: &str) -> i32 {
        let change = |name: &String| {
            let view = units::find(report, self.owner, name);
            let can_reload = view.can_reload() && view.states().0 == "active";
            let options = self.options.with_names(vec![name.clone()]);
            let one = Targets {
                options: &options,
                ..*self
            };
            match can_reload {
                true => one.reload(report),
                false => one.restart(report, verb, verb.starts_with("try")),
            }
        };
        self.options.names.iter().map(change).max().unwrap_or(1)
    }

    /// Signals the processes of units.
    pub fn kill(&self, report: &Report<'_>) -> i32 {
        let word = self.options.value("signal").unwrap_or("SIGTERM");
        let Some(number) = parse_signal(word) else {
            print_error(&format!("Failed to parse signal string {word}."));
            return 1;
        };
        let whom = ["kill-whom", "kill-who"]
            .iter()
            .find_map(|o| self.options.value(o));
        let mut status = 0;
        for name in &self.options.names {
            let view = units::find(report, self.owner, name);
            if let Err(why) = kill_one(&view, whom, number) {
                print_error(&format!("Failed to kill unit {}: {why}", view.name));
                status = 1;
            }
        }
        status
    }
}

/// Returns the signal that a number or a name stands for.
fn parse_signal(word: &str) -> Option<Signal> {
    let number = word.parse().ok();
    let number = number.or_else(|| services::exit_status::signal_number(word))?;
    Signal::try_from(number).ok()
}

fn kill_one(view: &View<'_>, whom: Option<&str>, number: Signal) -> Result<()> {
    let Some(service) = view.service else {
        return Err(Error::invalid(format!("Unit {} not loaded.", view.name)));
    };
    let all = cgroups::processes(&cgroups::dir(&cgroup(&service)));
    let all: Vec<u64> = all.into_iter().map(u64::from).collect();
    let unit = view.unit.is_some().then(|| view.told().main);
    let pids = signalled(whom, service.pid, unit, all);
    if pids.is_empty() {
        return Err(Error::invalid("No main process to kill"));
    }
    pids.into_iter().for_each(|pid| signal(pid, number));
    Ok(())
}

/// Returns the processes that a signal is for, of `all` processes of the service's cgroup. The first process
/// of a unit is not one of its own; its main process is the one that `unit` names, if the service has that
/// process: the file with the number is its owner's.
fn signalled(
    whom: Option<&str>,
    first: Option<u64>,
    unit: Option<i32>,
    mut all: Vec<u64>,
) -> Vec<u64> {
    match (whom, unit) {
        (Some("main"), Some(main)) => {
            all.retain(|pid| u64::try_from(main) == Ok(*pid) && first != Some(*pid));
        }
        (Some("main"), None) => return first.into_iter().collect(),
        _ => all.retain(|pid| unit.is_none() || first != Some(*pid)),
    }
    all
}

fn signal(pid: u64, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid)
        && pid > 1
    {
        let _ = send(Pid::from_raw(pid), signal); // the process may have ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_reaches_no_process_of_another_service() {
        let all = || vec![10, 11, 12];
        for (whom, unit, right) in [
            (None, None, &[10, 11, 12][..]),
            (None, Some(12), &[11, 12]),
            (Some("main"), Some(12), &[12]),
            (Some("main"), None, &[10]),
            // Number that a user has written for the main process: another's, the first one, none.
            (Some("main"), Some(1_234), &[]),
            (Some("main"), Some(10), &[]),
            (Some("main"), Some(-1), &[]),
            (Some("main"), Some(0), &[]),
        ] {
            assert_eq!(
                signalled(whom, Some(10), unit, all()),
                right,
                "{whom:?} {unit:?}"
            );
        }
    }
}
