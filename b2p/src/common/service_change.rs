// SPDX-License-Identifier: Apache-2.0
//! Changes of services: each sends a request to PID 1, and then reads the status after each change until
//! the result is known.

use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::Instant;

use config::canonical_service_name;
use control::{Follower, Name, Report, Request, Service, State};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::error::{Error, Result};

use crate::common::control_client::is_at_rest;
use crate::common::service_env::{Environment, explain};
use crate::common::service_files;
use crate::common::service_loading::load;
use crate::common::status::{self, with_name};
use crate::common::units;

/// Time for a start, in milliseconds, if PID 1 names none.
const DEFAULT_LATE_MS: u64 = 30_000;
/// Time for a stop, in milliseconds, if PID 1 names none.
const DEFAULT_GRACE_MS: u64 = 10_000;
/// Time that PID 1 may take beyond the time limits of the service, in milliseconds.
const MARGIN_MS: u64 = 5_000;

/// Longest time between two looks, in milliseconds: the client may have closed its connection.
const MAX_SLEEP_MS: u64 = 1_000;

/// Requested change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Starts the service.
    Start,
    /// Stops the service.
    Stop,
    /// Stops the service and starts the service again.
    Restart,
}

impl Verb {
    /// Name of the change in a request.
    pub fn word(self) -> &'static str {
        match self {
            Verb::Start => "start",
            Verb::Stop => "stop",
            Verb::Restart => "restart",
        }
    }

    fn request(self, name: Name) -> Request {
        match self {
            Verb::Start => Request::Start(name),
            Verb::Stop => Request::Stop(name),
            Verb::Restart => Request::Restart(name),
        }
    }
}

/// Changes services, each in its environment, and returns the outcomes in words. All requests are sent before
/// the first wait: the services start side by side.
pub fn change_all(
    env_of: impl Fn(&Name) -> Environment,
    verb: Verb,
    names: Vec<Name>,
) -> Vec<(Name, Result<String>)> {
    let begin = |name: Name| {
        let env = env_of(&name);
        let change = begin(&env, verb, name.clone());
        (name, env, change)
    };
    let changes: Vec<_> = names.into_iter().map(begin).collect();
    let wait = |(name, env, change): (Name, Environment, Result<Change>)| {
        let result = change.and_then(|change| wait(&env, &change));
        (name, result)
    };
    changes.into_iter().map(wait).collect()
}

/// A requested change, and the earlier state of the service.
#[derive(Clone, Debug)]
struct Change {
    verb: Verb,
    name: Name,
    /// Instance of the service before the request; `None` if PID 1 did not know the service.
    instance: Option<Instance>,
    was_at_rest: bool,
    start: Instant,
}

/// Process and time of the last change of state, which differ between two runs of a service.
type Instance = (Option<u64>, Option<u64>);

fn instance(service: Service<'_>) -> Instance {
    (service.pid, service.since)
}

/// Returns the name that a former name of a service stands for, unless the user has a service
/// of the former name.
fn resolve(env: &Environment, report: &Report<'_>, name: Name) -> Name {
    let is_known =
        with_name(report, &name).is_some() || service_files::exists(&env.user_files, &name);
    match Name::new(&canonical_service_name(name.as_str())) {
        Some(canonical) if !is_known => canonical,
        _ => name,
    }
}

/// Returns true if a service or a file of the user has this name.
#[must_use]
pub fn is_known(env: &Environment, report: &Report<'_>, name: &Name) -> bool {
    status::find(report, name.as_str()).is_some() || service_files::exists(&env.user_files, name)
}

/// Changes one service, waits for the result, and returns the result in words.
///
/// # Errors
/// PID 1 refuses the change, or the service does not reach the requested state.
pub fn change(env: &Environment, verb: Verb, name: Name) -> Result<String> {
    change_while(env, verb, name, &|| true)
}

/// Changes one service, and returns the result apart from PID 1's answer to the request.
///
/// # Errors
/// PID 1 refuses the change.
pub fn try_change(env: &Environment, verb: Verb, name: Name) -> Result<Result<String>> {
    let change = begin(env, verb, name)?;
    Ok(wait(env, &change))
}

/// Changes one service, and waits for the result as long as `is_wanted`, which is called each second, returns true.
///
/// # Errors
/// The change fails as in [`change`], or the result is not wanted any more: PID 1 continues with the change.
pub fn change_while(
    env: &Environment,
    verb: Verb,
    name: Name,
    is_wanted: &dyn Fn() -> bool,
) -> Result<String> {
    let change = begin(env, verb, name)?;
    wait_while(env, &change, is_wanted)
}

/// Requests a change, and does not wait for the result.
///
/// # Errors
/// PID 1 refuses the change.
pub fn ask(env: &Environment, verb: Verb, name: Name) -> Result<()> {
    begin(env, verb, name).map(drop)
}

/// Sends the request; a user's service file that is new or changed is loaded before.
fn begin(env: &Environment, verb: Verb, name: Name) -> Result<Change> {
    let ask = |request: &Request| {
        let answer = env.control.ask(request);
        answer.map_err(|error| explain(&error, verb.word(), &name))
    };
    let text = ask(&Request::Status)?;
    let report = Report::parse(&text);
    let name = resolve(env, &report, name.clone());
    let service = with_name(&report, &name);
    // A service file with the name of a built-in service does not belong to that service.
    let may_load = verb != Verb::Stop && service.is_none_or(|s| s.is_user_service);
    let has_file = may_load && service_files::exists(&env.user_files, &name);
    if service.is_none() && !has_file {
        return Err(status::unknown_service(&report, name.as_str()));
    }
    let mut change = Change {
        verb,
        instance: service.map(instance),
        was_at_rest: service.is_none_or(|s| is_at_rest(s.state)),
        start: Instant::now(),
        name,
    };
    if has_file {
        load_before(env, &mut change)?;
    }
    ask(&verb.request(change.name.clone()))?;
    Ok(change)
}

/// Loads the user's file. PID 1 takes a file only for a service at rest: a restart with a changed
/// file stops the service first, but not for a file that PID 1 would refuse.
fn load_before(env: &Environment, change: &mut Change) -> Result<()> {
    let name = &change.name;
    let differs = || service_files::differs(&env.user_files, &env.loaded_files, name);
    if change.verb == Verb::Restart && !change.was_at_rest && differs() {
        service_files::check(&env.user_files, name)?;
        let stop = begin(env, Verb::Stop, name.clone())?;
        wait(env, &stop)?;
        change.was_at_rest = true;
    }
    // PID 1 keeps the texts of all files that it has read, and reads none twice.
    let is_read = change.instance.is_some() && !differs();
    match change.was_at_rest && !is_read {
        true => load(env, &change.name),
        false => Ok(()),
    }
}

/// Reads the status after each change until the result is known, or the time limit is over.
fn wait(env: &Environment, change: &Change) -> Result<String> {
    wait_while(env, change, &|| true)
}

fn wait_while(env: &Environment, change: &Change, is_wanted: &dyn Fn() -> bool) -> Result<String> {
    let Change { verb, name, .. } = change;
    let failed = |why: String| Error::invalid(format!("{name}: {why}"));
    let mut follower = None;
    loop {
        let text = env.control.ask(&Request::Status);
        let text = text.map_err(|error| explain(&error, verb.word(), name))?;
        let report = Report::parse(&text);
        let took = u64::try_from(change.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Some(service) = with_name(&report, name) else {
            return match verb {
                Verb::Stop => Ok("is gone".to_owned()),
                _ => Err(failed("is gone".to_owned())),
            };
        };
        let limit = limit(*verb, &service);
        if let Some(need) = failed_need(env, &report, &service) {
            return Err(failed(format!("{need}, which it needs, has failed")));
        }
        match outcome(&service, change, took) {
            Outcome::Done(line) => return Ok(line),
            Outcome::Failed(why) => return Err(failed(why)),
            Outcome::Pending
                if took > limit && !(env.are_units && goes_on(env, &report, &service)) =>
            {
                let (state, took) = (service.state.word(), units::span(took));
                return Err(failed(format!(
                    "still {state} after {took}; `b2p log {name}` may say why"
                )));
            }
            Outcome::Pending if !is_wanted() => return Err(failed("nobody waits".to_owned())),
            Outcome::Pending => {
                let left = limit.checked_sub(took).unwrap_or(MAX_SLEEP_MS);
                sleep_until_change(env, &mut follower, left.min(MAX_SLEEP_MS) + 1);
            }
        }
    }
}

/// Returns the service that a service waits for and that has failed. The dependent service starts once the
/// failed one is started.
fn failed_need<'a>(
    env: &Environment,
    report: &Report<'a>,
    service: &Service<'_>,
) -> Option<&'a str> {
    if service.state != State::Waiting {
        return None;
    }
    let needs = needs(env, service.name);
    let mut services = report.services.iter();
    let failed =
        services.find(|s| s.state == State::Failed && needs.iter().any(|need| need == s.name));
    failed.map(|s| s.name)
}

/// Returns true for a unit that begins, and for one that waits for such a unit: a unit has the time of
/// its `TimeoutStartSec=`, and without that key may pull an image for any time.
fn goes_on(env: &Environment, report: &Report<'_>, service: &Service<'_>) -> bool {
    match service.state {
        State::Spawning | State::Starting => true,
        State::Waiting => needs(env, service.name)
            .iter()
            .filter_map(|need| report.services.iter().find(|s| s.name == need))
            .any(|need| goes_on(env, report, need)),
        _ => false,
    }
}

fn needs(env: &Environment, name: &str) -> Vec<String> {
    let text = service_files::text(&env.user_files, name).unwrap_or_default();
    let needs = text.lines().filter_map(|line| line.strip_prefix("needs "));
    let needs = needs.flat_map(str::split_whitespace);
    needs.map(str::to_owned).collect()
}

/// Sleeps until PID 1 sends a notice that its report has changed, for `limit_ms` at most. The first call follows
/// the report. Its first notice is sent at once, so that no change is missed between two reads.
fn sleep_until_change(env: &Environment, follower: &mut Option<Follower>, limit_ms: u64) {
    let Some(followed) = follower else {
        *follower = env.control.follow().ok();
        if follower.is_none() {
            sleep(env.poll_interval);
        }
        return;
    };
    let timeout = PollTimeout::try_from(limit_ms).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(followed.as_fd(), PollFlags::POLLIN)];
    // A signal only makes the next look earlier.
    let _ = poll(&mut fds, timeout);
    // The connection ends when PID 1 is executed again; the client then follows PID 1 once more.
    if followed.take_notices().is_err() {
        *follower = None;
    }
}

/// Longest wait for a change, in milliseconds.
fn limit(verb: Verb, service: &Service<'_>) -> u64 {
    let late = service.late.unwrap_or(DEFAULT_LATE_MS);
    let grace = service.grace.unwrap_or(DEFAULT_GRACE_MS);
    let limit = match verb {
        Verb::Start => late,
        Verb::Stop => grace,
        Verb::Restart => late.saturating_add(grace),
    };
    limit.saturating_add(MARGIN_MS)
}

/// Result of a change.
enum Outcome {
    /// The change is complete.
    Done(String),
    /// The change will not be completed.
    Failed(String),
    /// The change is not complete yet.
    Pending,
}

/// Judges the state of the service `took` milliseconds after the request.
fn outcome(service: &Service<'_>, change: &Change, took: u64) -> Outcome {
    use Outcome::{Done, Failed, Pending};
    if change.verb == Verb::Stop {
        return match is_at_rest(service.state) {
            true if change.was_at_rest => Done("did not run".to_owned()),
            true => Done(format!("stopped after {}", units::span(took))),
            false => Pending,
        };
    }
    if service.state == State::Armed {
        return Done("its socket listens; the first connection starts it".to_owned());
    }
    let is_same = change.instance == Some(instance(*service));
    if is_same && change.verb == Verb::Restart {
        return Pending;
    }
    let ended = || match service.last {
        Some(last) => status::describe_end(last),
        None => "it could not be started".to_owned(),
    };
    let pid = service
        .pid
        .map_or(String::new(), |pid| format!(" (pid {pid})"));
    match service.state {
        State::Up if is_same => Done(format!("was up already{pid}")),
        State::Up => Done(format!("up after {}{pid}", units::span(took))),
        State::Done => Done("has done its work".to_owned()),
        State::Failed => Failed(format!(
            "{}; `b2p log {}` may say why",
            ended(),
            service.name
        )),
        State::Delayed => Failed(format!("{}; it is started again", ended())),
        State::Off if change.verb == Verb::Start => Failed("has been stopped".to_owned()),
        _ => Pending,
    }
}

#[cfg(test)]
mod tests;
