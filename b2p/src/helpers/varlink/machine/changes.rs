// SPDX-License-Identifier: Apache-2.0
//! Methods that change the machine. Each leaves a line in the audit trail.

use control::{Name, Report, Request, Service, ShutdownKind, State};
use varlink::{Exchange, Failure, Map, Value, json};

use super::{Machine, failed, no_such_service, parameters, reports};
use crate::common::service_change::{self, Verb};
use crate::common::service_loading;
use crate::common::status;
use crate::common::usage::Usage;

/// Longest delay of a shutdown that PID 1 accepts, in seconds: a year.
const MAX_DELAY: u64 = 31_536_000;

/// Starts, stops or restarts a service, and waits for the result.
pub(super) fn change(
    machine: &Machine,
    verb: Verb,
    parameters: &Map,
    exchange: &Exchange<'_>,
) -> Result<Value, Failure> {
    let name = known(machine, parameters)?;
    record(machine, exchange, &format!("{} {name}", verb.word()));
    let outcome = service_change::change(&machine.env, verb, name.clone());
    let outcome = outcome.map_err(|e| service_failed(&name, &e))?;
    machine.report(&mut |report| {
        // A service of the user may be gone after its end.
        let gone = Service::new(name.as_str(), State::Off);
        let found = match status::find(report, name.as_str()) {
            Some(_) => reports::services(report, &[name.as_str().to_owned()])?.remove(0),
            None => reports::service(&gone, Usage::default()),
        };
        Ok(json!({ "service": found, "outcome": outcome.as_str() }))
    })
}

/// Loads a file of the user.
pub(super) fn load(
    machine: &Machine,
    parameters: &Map,
    exchange: &Exchange<'_>,
) -> Result<Value, Failure> {
    let name = known(machine, parameters)?;
    record(machine, exchange, &format!("load {name}"));
    service_loading::load(&machine.env, &name).map_err(|e| service_failed(&name, &e))?;
    Ok(json!({}))
}

/// Forgets that a service has failed.
pub(super) fn reset(
    machine: &Machine,
    parameters: &Map,
    exchange: &Exchange<'_>,
) -> Result<Value, Failure> {
    let name = known(machine, parameters)?;
    let action = format!("reset {name}");
    plain(machine, &Request::Reset(name), &action, exchange)
}

/// Returns the name in the parameters, if a service or a file has that name.
fn known(machine: &Machine, parameters: &Map) -> Result<Name, Failure> {
    let name = parameters::name(parameters, "name")?;
    let mut is_known =
        |report: &Report<'_>| Ok(service_change::is_known(&machine.env, report, &name).into());
    match machine.report(&mut is_known)? == true {
        true => Ok(name),
        false => Err(no_such_service(name.as_str())),
    }
}

fn service_failed(name: &Name, error: &sys::error::Error) -> Failure {
    let reason = error.to_string();
    let start = format!("{name}: ");
    let reason = reason.strip_prefix(&start).unwrap_or(&reason);
    failed(
        "ServiceFailed",
        json!({ "name": name.as_str(), "reason": reason }),
    )
}

/// Shuts the machine down, now or later.
pub(super) fn shut_down(
    machine: &Machine,
    kind: ShutdownKind,
    parameters: &Map,
    exchange: &Exchange<'_>,
) -> Result<Value, Failure> {
    let delay = |value: &Value| {
        let seconds = value.as_u64().filter(|seconds| *seconds <= MAX_DELAY)?;
        u32::try_from(seconds).ok()
    };
    let seconds = parameters::optional(parameters, "seconds", delay)?.unwrap_or(0);
    let action = match seconds {
        0 => kind.word().to_owned(),
        seconds => format!("{} in {seconds} s", kind.word()),
    };
    plain(
        machine,
        &Request::Shutdown(kind, seconds),
        &action,
        exchange,
    )
}

/// Sends a request whose answer has no content.
pub(super) fn plain(
    machine: &Machine,
    request: &Request,
    action: &str,
    exchange: &Exchange<'_>,
) -> Result<Value, Failure> {
    machine.ask(request)?;
    record(machine, exchange, action);
    Ok(json!({}))
}

/// Adds an action to the audit trail. The client is root; its process may show the user behind
/// root.
fn record(machine: &Machine, exchange: &Exchange<'_>, action: &str) {
    let by = match exchange.connection.peer() {
        Some(peer) => format!("process {}", peer.pid()),
        None => "standard input".to_owned(),
    };
    (machine.audit)(&format!("{action}, by varlink from {by}"));
}
