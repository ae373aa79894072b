// SPDX-License-Identifier: Apache-2.0
//! `GetLog`: records of the kernel log as structures, and of the log's files if the kernel has lost
//! records or earlier boots are requested.

use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::error::Error;
use varlink::{Exchange, Failure, Map, Value, json, map};

use super::{failed, parameters, subscriptions};
use crate::common::log::filter::{Filter, service_names};
use crate::common::log::format::{self, Line};
use crate::common::log::record::{KERNEL, LEVELS, Priority, Record, unescape};
use crate::common::log::ring::{Next, Present, Ring};
use crate::common::log::{Boot, log_time};

/// Number of records in one of several replies.
const BATCH: usize = 100;

/// Selection that a client requests.
struct Wanted {
    filter: Filter,
    /// Number of the last records.
    lines: usize,
    follow: bool,
    /// Includes earlier boots.
    all: bool,
}

/// Answers the call.
pub(super) fn get(parameters: &Map, exchange: &mut Exchange<'_>) -> Result<Value, Failure> {
    let wanted = wanted(parameters)?;
    // An unbounded number of records is a matter of several replies.
    if wanted.follow || (wanted.all && wanted.lines == usize::MAX) {
        subscriptions::expect_more(exchange)?;
    }
    let ring = Ring::open().and_then(|ring| Ok((ring, Present::open()?)));
    let (mut ring, mut present) =
        ring.map_err(|e| failed("NoLog", json!({ "reason": e.to_string() })))?;
    let offset = log_time::realtime_offset_us();
    let mut entries = Entries {
        list: Vec::new(),
        lines: wanted.lines,
        exchange,
    };
    earlier((&mut ring, &mut present), &wanted, offset, &mut entries)?;
    entries.trim();
    if !wanted.follow {
        return Ok(json!({ "entries": entries.list }));
    }
    entries.send_all()?;
    follow(&mut ring, &wanted, offset, exchange)
}

/// Records on their way to the client.
struct Entries<'a, 'b> {
    list: Vec<Value>,
    /// Number of the last records that are wanted.
    lines: usize,
    exchange: &'a mut Exchange<'b>,
}

impl Entries<'_, '_> {
    /// Adds a record, and sends the first ones where their number has no bound and the client accepts several
    /// replies.
    fn push(&mut self, entry: Value) -> Result<(), Failure> {
        self.list.push(entry);
        if self.list.len() / 2 > self.lines.max(BATCH) {
            self.trim();
        }
        match self.exchange.call.more && self.lines == usize::MAX && self.list.len() > BATCH {
            true => self.send_batch(),
            false => Ok(()),
        }
    }

    /// Removes all but the last records that are wanted.
    fn trim(&mut self) {
        let surplus = self.list.len().saturating_sub(self.lines);
        self.list.drain(..surplus);
    }

    fn send_batch(&mut self) -> Result<(), Failure> {
        let batch: Vec<Value> = self.list.drain(..BATCH.min(self.list.len())).collect();
        self.exchange.send(map(json!({ "entries": batch })))
    }

    fn send_all(&mut self) -> Result<(), Failure> {
        while !self.list.is_empty() {
            self.send_batch()?;
        }
        Ok(())
    }
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
            names: match names.is_empty() {
                true => Vec::new(),
                false => vec![names.iter().flat_map(|name| service_names(name)).collect()],
            },
            pids: Vec::new(),
            of_units: false,
            times: (None, None),
        },
        lines: parameters::optional(parameters, "lines", lines)?.unwrap_or(usize::MAX),
        follow: parameters::optional(parameters, "follow", Value::as_bool)?.unwrap_or(false),
        all: parameters::optional(parameters, "all", Value::as_bool)?.unwrap_or(false),
    })
}

/// Adds the records up to `present`; in a follow, also the first one after `present`, which is read by then.
fn earlier(
    (ring, present): (&mut Ring, &mut Present),
    wanted: &Wanted,
    offset: i64,
    entries: &mut Entries<'_, '_>,
) -> Result<(), Failure> {
    let dir = Path::new(sys::paths::LOG_DIR);
    let mut is_first = true;
    loop {
        match ring.read() {
            Next::Record(record) => {
                if std::mem::take(&mut is_first) && (wanted.all || record.seq > 0) {
                    from_files(dir, wanted, record.seq, |entry| entries.push(entry))?;
                }
                let is_later = present.is_before(record.seq);
                if (!is_later || wanted.follow)
                    && let Some(entry) = of_record(&record, wanted, offset)
                {
                    entries.push(entry)?;
                }
                if is_later {
                    return Ok(());
                }
            }
            Next::Again => {}
            Next::Nothing | Next::End => return Ok(()),
        }
    }
}

/// Passes on records of the files: those of this boot before number `before`, and on request those of
/// earlier boots. A file that cannot be read is passed over.
fn from_files(
    dir: &Path,
    wanted: &Wanted,
    before: u64,
    mut push: impl FnMut(Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let here = Boot::current().id;
    let (mut boot, mut expected, mut result) = (String::new(), 0, Ok(()));
    for path in format::oldest_first(dir) {
        let _ = format::lines(&path, |line| {
            match format::parse(line) {
                Line::Boot(id) => boot = String::from_utf8_lossy(id).into_owned(),
                Line::Record {
                    seq,
                    us,
                    priority,
                    text,
                } => {
                    let other_boot = (boot != here).then_some(boot.as_str());
                    let is_missing = match (seq, other_boot) {
                        (Some(seq), None) => (expected..before).contains(&seq),
                        (None, None) => false,
                        (_, Some(_)) => wanted.all,
                    };
                    if let (Some(seq), None, true) = (seq, other_boot, is_missing) {
                        expected = seq + 1;
                    }
                    let entry = is_missing.then(|| entry(us, priority, text, other_boot, wanted));
                    result = entry.flatten().map_or(Ok(()), &mut push);
                }
                Line::Lost(_) | Line::Other => {}
            }
            result.is_ok()
        });
        if result.is_err() {
            break;
        }
    }
    result
}

/// Sends new records until the client is gone.
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
                Next::Record(record) => batch.extend(of_record(&record, wanted, offset)),
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

/// Returns the structure `Entry` of a record of the kernel that is wanted.
fn of_record(record: &Record<'_>, wanted: &Wanted, offset: i64) -> Option<Value> {
    let us = record.realtime(offset);
    entry(us, record.priority, record.text, None, wanted)
}

/// Returns the structure `Entry` of a record that is wanted; `boot` is the id of an earlier boot.
fn entry(
    us: i64,
    priority: Priority,
    text: &[u8],
    boot: Option<&str>,
    wanted: &Wanted,
) -> Option<Value> {
    if !wanted.filter.wants(us, priority, text) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    unescape(text, &mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let (service, text) = match priority.facility() {
        KERNEL => ("kernel", &*text),
        _ => divide(&text),
    };
    Some(json!({
        "time": us, "level": LEVELS[usize::from(priority.level())],
        "service": service, "text": text, "boot": boot,
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
            ("console-ttys0: x", "console-ttys0", "x"),
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
        let line = |text: &str| of_record(&Record::parse(text.as_bytes()).unwrap(), &all, 1000);
        assert_eq!(
            line("30,7,5,-;web[3]: \\xc3\\xa9\\xff\n"),
            Some(
                json!({"time": 1005, "level": "info", "service": "web", "text": "é\u{fffd}", "boot": null})
            )
        );
        assert_eq!(
            line("3,7,5,-;web: x\n"),
            Some(
                json!({"time": 1005, "level": "err", "service": "kernel", "text": "web: x", "boot": null})
            )
        );
        let some = wanted(&map(
            json!({"services": ["web"], "level": "warn", "lines": 2}),
        ))
        .unwrap();
        let is_wanted =
            |text: &str| of_record(&Record::parse(text.as_bytes()).unwrap(), &some, 0).is_some();
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
            json!({"all": "yes"}),
        ] {
            assert!(wanted(&map(wrong.clone())).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_files_have_earlier_boots_and_records_that_the_ring_has_lost() {
        let temp = crate::common::testing::Temp::new();
        let here = Boot::current().id;
        let line = |number: &str, text: &str| {
            format!("2026-11-23T20:30:38.000005Z {number}user.info {text}\n")
        };
        let old = "--- boot aaa record 4 ---\n".to_owned() + &line("", "web: before numbers");
        std::fs::write(temp.path("log.1"), old).unwrap();
        let new = format!(
            "--- boot bbb kernel 6.12 ---\n{}{}--- 3 records lost: why ---\nnonsense\n--- boot {here} kernel 6.12 ---\n{}{}{}{}",
            line("0 ", "web: earlier"),
            line("1 ", "net: other"),
            line("0 ", "web: first"),
            line("1 ", "web: second"),
            line("1 ", "web: twice"),
            line("2 ", "web: in the ring"),
        );
        std::fs::write(temp.path("log"), new).unwrap();
        let texts = |parameters: Value| {
            let wanted = wanted(&map(parameters)).unwrap();
            let mut found = Vec::new();
            let push = |entry: Value| {
                assert_eq!(entry["time"], 1_795_465_838_000_005_i64);
                found.push(format!("{} {}", entry["boot"], entry["text"]).replace('"', ""));
                Ok(())
            };
            from_files(&temp.path("."), &wanted, 2, push).unwrap();
            found
        };
        let here = ["null first", "null second"];
        assert_eq!(texts(json!({"services": ["web"]})), here);
        let all = json!({"services": ["web"], "all": true});
        assert_eq!(
            texts(all),
            [&["aaa before numbers", "bbb earlier"], &here[..]].concat()
        );
        assert_eq!(
            texts(json!({"services": ["net"], "all": true})),
            ["bbb other"]
        );
        // A client that is gone ends the reading.
        let all = wanted(&map(json!({"all": true}))).unwrap();
        let mut count = 0;
        let gone = from_files(&temp.path("."), &all, 2, |_| {
            count += 1;
            Err(Failure::expected_more())
        });
        assert!(gone.is_err() && count == 1);
    }
}
