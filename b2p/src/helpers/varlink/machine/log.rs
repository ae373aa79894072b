// SPDX-License-Identifier: Apache-2.0
//! `GetLog`: records of the kernel's log as structures.

use std::collections::VecDeque;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::error::Error;
use varlink::{Exchange, Failure, Map, Value, json, map};

use super::{failed, parameters, subscriptions};
use crate::client::log::{Filter, service_names};
use crate::common::log::clock;
use crate::common::log::record::{KERNEL, LEVELS, Record, unescape};
use crate::common::log::ring::{Next, Ring};

/// Number of records in one of several replies.
const BATCH: usize = 100;

/// Selection that a client asks for.
struct Wanted {
    filter: Filter,
    /// Number of the last records.
    lines: usize,
    follow: bool,
}

/// Answers the call.
pub(super) fn get(parameters: &Map, exchange: &mut Exchange<'_>) -> Result<Value, Failure> {
    let wanted = wanted(parameters)?;
    if wanted.follow {
        subscriptions::expect_more(exchange)?;
    }
    let ring = Ring::open();
    let mut ring = ring.map_err(|e| failed("NoLog", json!({ "reason": e.to_string() })))?;
    let (until, offset) = (clock::kernel(), clock::offset());
    let entries = earlier(&mut ring, &wanted, until, offset);
    send(entries, &wanted, exchange, |exchange| {
        follow(&mut ring, &wanted, offset, exchange)
    })
}

/// Reads the parameters.
fn wanted(parameters: &Map) -> Result<Wanted, Failure> {
    let names = parameters::names(parameters, "services")?;
    let level = |value: &Value| {
        LEVELS
            .iter()
            .position(|level| Some(*level) == value.as_str())
    };
    let level = parameters::optional(parameters, "level", level)?;
    let lines = |value: &Value| usize::try_from(value.as_u64()?).ok();
    Ok(Wanted {
        filter: Filter {
            max_level: level
                .and_then(|level| u8::try_from(level).ok())
                .unwrap_or(7),
            names: names.iter().flat_map(|name| service_names(name)).collect(),
        },
        lines: parameters::optional(parameters, "lines", lines)?.unwrap_or(usize::MAX),
        follow: parameters::optional(parameters, "follow", Value::as_bool)?.unwrap_or(false),
    })
}

/// Returns the records up to a moment; where they are followed, also the first one after it, which is read by then.
fn earlier(ring: &mut Ring, wanted: &Wanted, until: u64, offset: i64) -> VecDeque<Value> {
    let mut entries = VecDeque::new();
    loop {
        match ring.read() {
            Next::Record(record) => {
                let is_later = record.us > until;
                if !is_later || wanted.follow {
                    entries.extend(entry(&record, wanted, offset));
                }
                if entries.len() > wanted.lines {
                    entries.pop_front();
                }
                if is_later {
                    break;
                }
            }
            Next::Again => {}
            Next::Nothing | Next::End => break,
        }
    }
    entries
}

/// Sends the records in as many replies as the client accepts, then those that follow.
fn send<'a>(
    mut entries: VecDeque<Value>,
    wanted: &Wanted,
    exchange: &mut Exchange<'a>,
    follow: impl FnOnce(&mut Exchange<'a>) -> Result<Value, Failure>,
) -> Result<Value, Failure> {
    while exchange.call.more && (entries.len() > BATCH || wanted.follow && !entries.is_empty()) {
        let batch: Vec<Value> = entries.drain(..BATCH.min(entries.len())).collect();
        exchange.send(map(json!({ "entries": batch })))?;
    }
    match wanted.follow {
        true => follow(exchange),
        false => Ok(json!({ "entries": entries })),
    }
}

/// Sends records as they are logged, until the client is gone.
fn follow(
    ring: &mut Ring,
    wanted: &Wanted,
    offset: i64,
    exchange: &mut Exchange<'_>,
) -> Result<Value, Failure> {
    loop {
        wait(ring, exchange)?;
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            match ring.read() {
                Next::Record(record) => batch.extend(entry(&record, wanted, offset)),
                Next::Again => {}
                Next::Nothing => break,
                Next::End => return Ok(json!({ "entries": batch })),
            }
        }
        if !batch.is_empty() {
            exchange.send(map(json!({ "entries": batch })))?;
        }
    }
}

/// Sleeps until there is a record.
fn wait(ring: &Ring, exchange: &Exchange<'_>) -> Result<(), Failure> {
    use std::os::fd::AsFd;
    let mut fds = [
        PollFd::new(ring.as_fd(), PollFlags::POLLIN),
        PollFd::new(exchange.connection.output(), PollFlags::empty()),
    ];
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) if fds[1].any() == Some(true) => Err(Error::invalid("the client is gone").into()),
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(Error::from(errno).into()),
    }
}

/// Returns the structure `Entry` of a record that is wanted.
fn entry(record: &Record<'_>, wanted: &Wanted, offset: i64) -> Option<Value> {
    if !wanted.filter.wants(record.priority, record.text) {
        return None;
    }
    let mut bytes = Vec::with_capacity(record.text.len());
    unescape(record.text, &mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let (service, text) = match record.priority.facility() {
        KERNEL => ("kernel", &*text),
        _ => divide(&text),
    };
    Some(json!({
        "time": record.realtime(offset), "level": LEVELS[usize::from(record.priority.level())],
        "service": service, "text": text,
    }))
}

/// Divides `name: text` and `name[12]: text`. PID 1's own name becomes `init`, as in `b2p log`.
fn divide(text: &str) -> (&str, &str) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let number = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let number = number.filter(|(digits, _)| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let after = number.map_or(rest, |(_, after)| after);
    match after.strip_prefix(": ") {
        Some(text) if name == "boot2podman" && number.is_none() => ("init", text),
        Some(text) if !name.is_empty() => (name, text),
        _ => ("", text),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_origin_is_divided_from_the_text() {
        for (text, service, rest) in [
            ("boot2podman: ready", "init", "ready"),
            ("boot2podman[9]: ready", "boot2podman", "ready"),
            ("sshd[12]: a: b", "sshd", "a: b"),
            ("console-ttyS0: x", "console-ttyS0", "x"),
            ("sshd[x]: y", "", "sshd[x]: y"),
            ("no name: y", "", "no name: y"),
            (": y", "", ": y"),
            ("", "", ""),
            ("é: y", "", "é: y"),
            ("a[1", "", "a[1"),
        ] {
            assert_eq!(divide(text), (service, rest), "{text}");
        }
    }

    #[test]
    fn an_entry_has_the_time_the_level_and_the_origin() {
        let all = wanted(&Map::new()).unwrap();
        let line = |text: &str| entry(&Record::parse(text.as_bytes()).unwrap(), &all, 1000);
        assert_eq!(
            line("30,7,5,-;web[3]: \\xc3\\xa9\\xff\n"),
            Some(json!({"time": 1005, "level": "info", "service": "web", "text": "é\u{fffd}"}))
        );
        assert_eq!(
            line("3,7,5,-;web: x\n"),
            Some(json!({"time": 1005, "level": "err", "service": "kernel", "text": "web: x"}))
        );
        let some = wanted(&map(
            json!({"services": ["web"], "level": "warn", "lines": 2}),
        ))
        .unwrap();
        let is_wanted =
            |text: &str| entry(&Record::parse(text.as_bytes()).unwrap(), &some, 0).is_some();
        assert!(
            is_wanted("28,1,1,-;web: x")
                && !is_wanted("29,1,1,-;web: x")
                && !is_wanted("28,1,1,-;net: x")
        );
        for wrong in [
            json!({"services": "web"}),
            json!({"level": "loud"}),
            json!({"level": 3}),
            json!({"lines": -1}),
            json!({"follow": 1}),
        ] {
            assert!(wanted(&map(wrong.clone())).is_err(), "{wrong}");
        }
    }
}
