// SPDX-License-Identifier: Apache-2.0
//! Selection of records.

use std::borrow::Cow;

use crate::common::log::record::{KERNEL, Priority};
use crate::common::pattern::{is_pattern, matches};

/// Prefix of the records of PID 1.
const INIT: &str = "boot2podman";

/// Level of a line of a service's output (sys/src/kmsg.rs), which keeps the line from the console.
const OUTPUT: u8 = 7;
/// Level that journald gives such a line (systemd.exec(5), `SyslogLevel=`).
const INFO: u8 = 6;

/// Selection of records by level and origin.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Highest level that is shown.
    pub max_level: u8,
    /// Names of services and programs; empty for all. Of each list there is one that a record is from.
    pub names: Vec<Vec<String>>,
    /// Processes of which one has sent a record; empty for all.
    pub pids: Vec<String>,
    /// The names are those of units: PID 1's messages about a unit are shown as well, and no records of a user's
    /// programs and containers that have such a name.
    pub of_units: bool,
    /// Earliest and latest time, in microseconds since 1970.
    pub times: (Option<i64>, Option<i64>),
}

impl Filter {
    /// Returns true if a record is shown.
    #[must_use]
    pub fn wants(&self, us: i64, priority: Priority, text: &[u8]) -> bool {
        let is_about = |name: &str| {
            let said = after_name(text, INIT).and_then(|rest| rest.strip_prefix(b": "));
            let is_from_init = self.of_units && priority.facility() != KERNEL;
            said.is_some_and(|said| is_from_init && is_from(name, priority, said))
        };
        let of_any_user = if self.of_units {
            text
        } else {
            without_user(text)
        };
        let is_of = |n: &String| is_from(n, priority, of_any_user) || is_about(n);
        let named = || self.names.iter().all(|names| names.iter().any(is_of));
        let (since, until) = self.times;
        if since.is_some_and(|at| us < at) || until.is_some_and(|at| us > at) {
            return false;
        }
        priority.level() <= self.max_level && named() && self.has_pid(text)
    }
}

impl Filter {
    fn has_pid(&self, text: &[u8]) -> bool {
        let is_one = |pid: &String| {
            let tag = text.split(|b| *b == b':').next().unwrap_or_default();
            tag.ends_with(format!("[{pid}]").as_bytes())
        };
        self.pids.is_empty() || self.pids.iter().any(is_one)
    }
}

/// Returns true if the record is from `name`: a service, through PID 1 (`name: …`), or a
/// program, through `/dev/log` (`name[pid]: …`).
fn is_from(name: &str, priority: Priority, text: &[u8]) -> bool {
    match name {
        "kernel" => priority.facility() == KERNEL,
        // A record from /dev/log always has brackets.
        "init" => after_name(text, INIT).is_some_and(|rest| rest.starts_with(b": ")),
        _ if priority.facility() == KERNEL => false,
        name if is_pattern(name) => {
            let origin = text.split(|b| matches!(b, b':' | b'[' | b' ')).next();
            let origin = origin.unwrap_or_default();
            let is_one = String::from_utf8_lossy(origin);
            matches(name, &is_one) && text.get(origin.len()..).is_some_and(begins_message)
        }
        name => after_name(text, name).is_some_and(begins_message),
    }
}

/// Returns the level and the text that journald would have for a record: a line of a service's output has the level
/// `info`, or the one that the line itself begins with (sd-daemon(3)).
#[must_use]
pub fn as_journald(priority: Priority, text: &[u8]) -> (Priority, Cow<'_, [u8]>) {
    let colon = text.windows(2).position(|pair| pair == b": ");
    let Some((name, message)) = colon.and_then(|at| Some((text.get(..at)?, text.get(at + 2..)?)))
    else {
        return (priority, text.into());
    };
    let is_program = name.contains(&b'[') || name.contains(&b' ') || name == INIT.as_bytes();
    if priority.facility() == KERNEL || priority.level() != OUTPUT || is_program {
        return (priority, text.into());
    }
    match message {
        [b'<', level @ b'0'..=b'7', b'>', rest @ ..] => {
            let text = [name, b": ", rest].concat();
            (Priority::of(priority.facility(), level - b'0'), text.into())
        }
        _ => (Priority::of(priority.facility(), INFO), text.into()),
    }
}

/// Returns a record without the number of the user whose program or container has sent it.
fn without_user(text: &[u8]) -> &[u8] {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let rest = text.get(digits..).and_then(|rest| rest.strip_prefix(b"/"));
    rest.filter(|_| digits > 0).unwrap_or(text)
}

fn after_name<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    text.strip_prefix(name.as_bytes())
}

/// Returns true for `: …` and `[12]: …`.
fn begins_message(rest: &[u8]) -> bool {
    let after = rest.strip_prefix(b"[").and_then(|inside| {
        let digits = inside.iter().take_while(|b| b.is_ascii_digit()).count();
        inside.get(digits..)?.strip_prefix(b"]")
    });
    after.unwrap_or(rest).starts_with(b": ")
}

/// Returns `name`, and the present name of the service that was once called so: the log of earlier
/// boots may have both.
pub fn service_names(name: &str) -> impl Iterator<Item = String> {
    let present = config::canonical_service_name(name);
    let present = (present != name).then(|| present.into_owned());
    [Some(name.to_owned()), present].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(names: &str, max_level: u8, number: u32, text: &str) -> bool {
        let lists = names.split('&').filter(|list| !list.is_empty());
        let words = |list: &str| list.split_whitespace().map(str::to_owned).collect();
        let names = lists.map(words).collect();
        let priority = Priority::new(number).expect("a priority");
        let filter = Filter {
            max_level,
            names,
            pids: Vec::new(),
            of_units: false,
            times: (None, None),
        };
        filter.wants(0, priority, text.as_bytes())
    }

    #[test]
    fn filter_by_name() {
        assert!(wants("", 7, 15, "anything"));
        assert!(wants("sshd", 7, 15, "sshd: Server listening"));
        assert!(wants("sshd", 7, 38, "sshd[812]: Accepted"));
        assert!(wants("net sshd", 7, 38, "sshd[812]: Accepted"));
        assert!(wants("console-ttys0", 7, 15, "console-ttys0: x"));
        assert!(wants("net sshd & sshd time", 7, 38, "sshd[812]: x"));
        assert!(!wants("sshd & net", 7, 38, "sshd[812]: x"));
        assert!(!wants("sshd & ", 7, 38, "sshd[812]: x"));
        for other in [
            "sshd-session[3]: x",
            "sshd2: x",
            "sshd",
            "sshd:x",
            "x sshd: y",
            "sshd[x]: y",
            "sshd[1: y",
        ] {
            assert!(!wants("sshd", 7, 15, other), "{other}");
        }
    }

    #[test]
    fn the_kernel_and_pid_1_are_not_to_be_imitated() {
        assert!(wants("kernel", 7, 6, "sshd: no, a driver of that name"));
        assert!(!wants("sshd", 7, 6, "sshd: no, a driver of that name"));
        assert!(!wants("kernel", 7, 14, "boot2podman: x"));
        assert!(wants("init", 7, 14, "boot2podman: ready"));
        assert!(!wants("init", 7, 14, "boot2podman[9]: ready"));
        assert!(wants("boot2podman", 7, 14, "boot2podman[9]: ready"));
    }

    #[test]
    fn filter_by_pattern() {
        for (names, text, right) in [
            ("ssh*", "sshd[812]: x", true),
            ("ssh*", "sshd: x", true),
            ("ssh?", "sshd-session: x", false),
            ("ssh*", "web: ssh", false),
            ("*", "no name", false),
            ("[sw]*", "web: x", true),
        ] {
            assert_eq!(wants(names, 7, 15, text), right, "{names} {text}");
        }
        assert!(!wants("*", 7, 6, "Linux: x"));
    }

    #[test]
    fn output_of_a_service_has_the_level_that_journald_gives_it() {
        for (number, text, level, right) in [
            (15, "web: up: 1", 6, "web: up: 1"),
            (15, "web: <3>it is wrong", 3, "web: it is wrong"),
            (15, "web: <9>x", 6, "web: <9>x"),
            (14, "web: <3>x", 6, "web: <3>x"),
            (15, "web[9]: x", 7, "web[9]: x"),
            (15, "boot2podman: x", 7, "boot2podman: x"),
            (15, "no name", 7, "no name"),
            (7, "drv: x", 7, "drv: x"),
        ] {
            let priority = Priority::new(number).expect("a priority");
            let (found, shown) = as_journald(priority, text.as_bytes());
            assert_eq!(
                (found.level(), &*shown),
                (level, right.as_bytes()),
                "{text}"
            );
        }
    }

    #[test]
    fn filter_by_level() {
        assert!(wants("", 4, 12, "x") && !wants("", 4, 13, "x"));
        assert!(wants("x", 3, 11, "x: y") && !wants("y", 3, 11, "x: y"));
    }

    #[test]
    fn filter_by_unit_and_time() {
        let mut filter = Filter {
            max_level: 7,
            names: vec![vec!["web".to_owned()]],
            pids: Vec::new(),
            of_units: true,
            times: (Some(10), Some(20)),
        };
        let priority = Priority::new(14).expect("a priority");
        let wants = |filter: &Filter, us, text: &str| filter.wants(us, priority, text.as_bytes());
        assert!(wants(&filter, 10, "boot2podman: web: exited") && wants(&filter, 20, "web: x"));
        assert!(!wants(&filter, 9, "web: x") && !wants(&filter, 21, "web: x"));
        assert!(!wants(&filter, 10, "boot2podman: db: exited"));
        assert!(!wants(&filter, 10, "1000/web[9]: x"));
        filter.of_units = false;
        assert!(!wants(&filter, 10, "boot2podman: web: exited"));
        assert!(wants(&filter, 10, "1000/web[9]: x") && !wants(&filter, 10, "/web[9]: x"));
        filter.pids = vec!["9".to_owned()];
        assert!(wants(&filter, 10, "web[9]: [8]") && !wants(&filter, 10, "web[8]: [9]"));
    }
}
