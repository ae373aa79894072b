// SPDX-License-Identifier: Apache-2.0
//! Methods that reply at each change. Each subscriber follows PID 1's report on a connection of its own;
//! the report is read once for all of them.

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use control::{Report, Request};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::error::Error;
use varlink::{Exchange, Failure, Map, Value, json, map};

use super::{Machine, failure, parameters, reports};

/// The last report, which has all changes before the given time, and that time.
#[derive(Default)]
pub(super) struct Recent(Mutex<Option<(Instant, Arc<str>)>>);

impl Recent {
    /// Returns a report that was requested at `since` or later. Subscribers wait for each other, so that
    /// PID 1 is asked once.
    fn get(&self, machine: &Machine, since: Instant) -> Result<Arc<str>, Failure> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((asked, text)) = &*last
            && *asked >= since
        {
            return Ok(Arc::clone(text));
        }
        let asked = Instant::now();
        let text: Arc<str> = machine.ask(&Request::Status)?.into();
        *last = Some((asked, Arc::clone(&text)));
        Ok(text)
    }
}

/// Sends each element as a reply; the last one is the result.
pub(super) fn each(
    mut services: Vec<Value>,
    exchange: &mut Exchange<'_>,
) -> Result<Value, Failure> {
    expect_more(exchange)?;
    let last = services.pop();
    for service in services {
        exchange.send(map(json!({ "service": service })))?;
    }
    Ok(json!({ "service": last }))
}

/// `SubscribeStatus`.
pub(super) fn status(machine: &Machine, exchange: &mut Exchange<'_>) -> Result<Value, Failure> {
    let mut last = Value::Null;
    subscribe(machine, exchange, |report| {
        let status = reports::status(report);
        let mut timeless = status.clone();
        timeless["now"] = Value::Null;
        let is_new = std::mem::replace(&mut last, timeless.clone()) != timeless;
        Ok(is_new
            .then(|| json!({ "status": status }))
            .into_iter()
            .collect())
    })
}

/// `SubscribeServices`.
pub(super) fn services(
    machine: &Machine,
    parameters: &Map,
    exchange: &mut Exchange<'_>,
) -> Result<Value, Failure> {
    let names = parameters::names(parameters, "names")?;
    let mut known: Vec<(String, Value)> = Vec::new();
    subscribe(machine, exchange, |report| {
        let mut changed = Vec::new();
        for service in reports::services(report, &names)? {
            if is_new(&mut known, &service) {
                changed.push(json!({ "service": service }));
            }
        }
        Ok(changed)
    })
}

/// Returns true if the state, the process, or the restarts of a service are others than the known ones, and keeps them.
fn is_new(known: &mut Vec<(String, Value)>, service: &Value) -> bool {
    let facts = json!([
        service["state"],
        service["pid"],
        service["restarts"],
        service["since"]
    ]);
    let name = service["name"].as_str().unwrap_or_default();
    match known.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => std::mem::replace(old, facts.clone()) != facts,
        None => {
            known.push((name.to_owned(), facts));
            true
        }
    }
}

/// Sends the result of `news` for each report, until the client is gone.
fn subscribe(
    machine: &Machine,
    exchange: &mut Exchange<'_>,
    mut news: impl FnMut(&Report<'_>) -> Result<Vec<Value>, Failure>,
) -> Result<Value, Failure> {
    expect_more(exchange)?;
    let follower = machine.env.control.follow().map_err(|e| failure(&e))?;
    loop {
        let mut fds = [
            PollFd::new(follower.as_fd(), PollFlags::POLLIN),
            PollFd::new(exchange.connection.output(), PollFlags::empty()),
        ];
        // A signal only makes the next look earlier.
        let _ = poll(&mut fds, PollTimeout::NONE);
        if fds[1].any() == Some(true) {
            return Err(Error::invalid("the client is gone").into());
        }
        let woken = Instant::now();
        // The end of the connection is that of PID 1: the machine shuts down, or PID 1 was executed again.
        if !follower.take_notices().map_err(|e| failure(&e))? {
            continue;
        }
        let text = machine.recent.get(machine, woken)?;
        for reply in news(&Report::parse(&text))? {
            exchange.send(map(reply))?;
        }
    }
}

/// Returns the error for a call without `more`.
pub(super) fn expect_more(exchange: &Exchange<'_>) -> Result<(), Failure> {
    match exchange.call.more {
        true => Ok(()),
        false => Err(Failure::expected_more()),
    }
}
