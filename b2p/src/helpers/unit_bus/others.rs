// SPDX-License-Identifier: Apache-2.0
//! Changes of a unit and of the units whose stop and restart follow, as by `systemctl`: a container in the network of
//! another one is restarted with it.

use control::{Name, Report, Request};
use log::warn;
use sys::error::{Error, Result};

use crate::common::service_change::{Verb, ask, change_all, change_while};
use crate::common::service_env::Environment;
use crate::helpers::quadlet::dependents::{self, Pulled};

/// Changes a service and its followers, and waits as long as `is_wanted` returns true. The result is that of the
/// service itself.
///
/// # Errors
/// PID 1 does not answer or refuses the change, or the service does not reach the requested state.
pub fn change(
    env: &Environment,
    verb: Verb,
    name: &Name,
    is_wanted: &dyn Fn() -> bool,
) -> Result<String> {
    let text = env.control.ask(&Request::Status);
    let text = text.map_err(|why| Error::invalid(why.to_string()))?;
    let report = Report::parse(&text);
    let own = [name.to_string()];
    let pulled = match verb {
        Verb::Restart => dependents::pulled(&report, &own),
        Verb::Start | Verb::Stop => Pulled::default(),
    };
    request(env, &pulled.before);
    let result = change_with_followers(env, &report, verb, name, is_wanted);
    request(env, &pulled.after);
    result
}

/// Requests the start of services that others need or want. A service that only wants another one continues without it.
fn request(env: &Environment, names: &[String]) {
    for name in names.iter().filter_map(|name| Name::new(name)) {
        if let Err(why) = ask(env, Verb::Start, name) {
            warn!("{why}");
        }
    }
}

fn change_with_followers(
    env: &Environment,
    report: &Report<'_>,
    verb: Verb,
    name: &Name,
    is_wanted: &dyn Fn() -> bool,
) -> Result<String> {
    let own = [name.to_string()];
    let others = match verb {
        Verb::Start => Vec::new(),
        Verb::Stop => dependents::parts_of(report, &own),
        Verb::Restart => dependents::running_dependents(report, &own),
    };
    if others.is_empty() {
        return change_while(env, verb, name.clone(), is_wanted);
    }
    let others: Vec<Name> = others.iter().filter_map(|other| Name::new(other)).collect();
    let stopped = [others.as_slice(), std::slice::from_ref(name)].concat();
    let mut stopped = change_all(|_| env.clone(), Verb::Stop, stopped);
    let result = stopped
        .pop()
        .map_or(Ok(String::new()), |(_, result)| result);
    if verb == Verb::Stop {
        return result;
    }
    let result = change_while(env, Verb::Start, name.clone(), is_wanted);
    for other in others.into_iter().rev() {
        if let Err(why) = ask(env, Verb::Start, other) {
            warn!("{why}");
        }
    }
    result
}
