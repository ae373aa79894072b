// SPDX-License-Identifier: Apache-2.0
//! `b2p varlink-machine`: the interface `org.boot2podman.machine`, all that `b2p` can ask of PID 1.
//!
//! A method is a row of [`METHODS`]. PID 1 is asked in packets of the control socket
//! (docs/reference/control.md) and parses no JSON. The process is root, so each call is judged by the
//! credentials of its client ([`rights`]).

mod changes;
mod log;
mod parameters;
mod reports;
mod rights;
mod subscriptions;
#[cfg(test)]
mod tests;

use control::{Report, Request, RequestError};
use varlink::{Answer, Done, Exchange, Failure, Interface, Limits, Map, Service, Value, json, map};

use crate::common::audit;
use crate::common::control_client::ControlClient;
use crate::common::service_change::Verb;
use crate::common::service_env::Environment;
use rights::{Administrators, Right};
use subscriptions::Recent;

const NAME: &str = "org.boot2podman.machine";
/// Description of the interface: a file, which the image compresses.
const DESCRIPTION_FILE: &str = "/usr/share/varlink/org.boot2podman.machine.varlink";
#[cfg(test)]
const DESCRIPTION: &str = include_str!(
    "../../../../../initramfs/files/usr/share/varlink/org.boot2podman.machine.varlink"
);

/// Runs the service and returns the exit status.
#[must_use]
pub fn main(control: &ControlClient, args: &[String]) -> i32 {
    let machine = Machine {
        env: Environment::of(control),
        administrators: Administrators::read(),
        recent: Recent::default(),
        audit: audit::record,
        description: std::fs::read_to_string(DESCRIPTION_FILE).unwrap_or_default(),
    };
    let service = Service {
        interfaces: &[&machine],
        ..super::resolver::PRODUCT
    };
    super::run("varlink-machine", &service, args, Limits::OPEN)
}

/// The interface.
struct Machine {
    /// Connection to PID 1, and the user's service files.
    env: Environment,
    /// Users that may read.
    administrators: Administrators,
    /// Report for the clients that subscribe.
    recent: Recent,
    /// Adds an action to the audit trail.
    audit: fn(&str),
    description: String,
}

/// Method: its name, the required right, and its function.
type Method = (
    &'static str,
    Right,
    fn(&Machine, &Map, &mut Exchange<'_>) -> Result<Value, Failure>,
);

/// All methods.
#[rustfmt::skip]
const METHODS: &[Method] = &[
    ("GetStatus",         Right::Read,   |m, _, _| m.report(&mut |report| Ok(json!({ "status": reports::status(report) })))),
    ("SubscribeStatus",   Right::Read,   |m, _, exchange| subscriptions::status(m, exchange)),
    ("GetServices",       Right::Read,   |m, parameters, _| {
        let names = parameters::names(parameters, "names")?;
        m.report(&mut |report| Ok(json!({ "services": reports::services(report, &names)? })))
    }),
    ("ListServices",      Right::Read,   |m, _, exchange| {
        m.report(&mut |report| subscriptions::each(reports::services(report, &[])?, exchange))
    }),
    ("SubscribeServices", Right::Read,   subscriptions::services),
    ("StartService",      Right::Change, |m, parameters, exchange| changes::change(m, Verb::Start, parameters, exchange)),
    ("StopService",       Right::Change, |m, parameters, exchange| changes::change(m, Verb::Stop, parameters, exchange)),
    ("RestartService",    Right::Change, |m, parameters, exchange| changes::change(m, Verb::Restart, parameters, exchange)),
    ("LoadService",       Right::Change, |m, parameters, exchange| changes::load(m, parameters, exchange)),
    ("ResetService",      Right::Change, |m, parameters, exchange| changes::reset(m, parameters, exchange)),
    ("GetBoot",           Right::Read,   |m, _, _| m.report(&mut |report| Ok(json!({ "phases": reports::phases(report) })))),
    ("GetLog",            Right::Read,   |_, parameters, exchange| log::get(parameters, exchange)),
    ("GetFlags",          Right::Read,   |_, _, _| Ok(json!({ "flags": reports::flags() }))),
    ("PowerOff",          Right::Change, |m, parameters, exchange| changes::shut_down(m, control::ShutdownKind::PowerOff, parameters, exchange)),
    ("Reboot",            Right::Change, |m, parameters, exchange| changes::shut_down(m, control::ShutdownKind::Reboot, parameters, exchange)),
    ("Halt",              Right::Change, |m, parameters, exchange| changes::shut_down(m, control::ShutdownKind::Halt, parameters, exchange)),
    ("Cancel",            Right::Change, |m, _, exchange| changes::plain(m, &Request::Cancel, "cancel of a shutdown", exchange)),
    ("Rescue",            Right::Change, |m, _, exchange| changes::plain(m, &Request::Rescue, "rescue", exchange)),
];

impl Interface for Machine {
    fn name(&self) -> &str {
        NAME
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn call(&self, exchange: &mut Exchange<'_>) -> Answer {
        let method = METHODS.iter().find(|(name, ..)| *name == exchange.method);
        let (_, right, run) = method.ok_or_else(|| Failure::method(exchange.method))?;
        let peer = exchange.connection.peer_uid();
        if !rights::may(
            *right,
            peer,
            nix::unistd::geteuid().as_raw(),
            &self.administrators,
        ) {
            return Err(Failure::denied());
        }
        let parameters = &exchange.call.parameters;
        run(self, parameters, exchange).map(|value| Done::Reply(map(value)))
    }
}

impl Machine {
    /// Sends a request to PID 1, and returns the text after `ok`.
    fn ask(&self, request: &Request) -> Result<String, Failure> {
        self.env.control.ask(request).map_err(|e| failure(&e))
    }

    /// Returns the result of `read` for PID 1's report.
    fn report(
        &self,
        read: &mut dyn FnMut(&Report<'_>) -> Result<Value, Failure>,
    ) -> Result<Value, Failure> {
        let text = self.ask(&Request::Status)?;
        read(&Report::parse(&text))
    }
}

/// Turns the reason why PID 1 did not carry out a request into an error of the interface.
fn failure(error: &RequestError) -> Failure {
    match error {
        RequestError::NotRoot => Failure::denied(),
        RequestError::Refused(why) => failed("Refused", json!({ "reason": why.as_str() })),
        other => failed("NoAnswer", json!({ "reason": other.to_string() })),
    }
}

/// Returns an error of the interface.
fn failed(name: &str, parameters: Value) -> Failure {
    Failure::new(&format!("{NAME}.{name}"), map(parameters))
}

/// Returns the error for a name that no service has.
fn no_such_service(name: &str) -> Failure {
    failed("NoSuchService", json!({ "name": name }))
}
