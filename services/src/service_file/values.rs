// SPDX-License-Identifier: Apache-2.0
//! Values of each key of a service file.

use super::{Accounts, Expected, Parsed, is_name};
use crate::Millis;
use crate::account;
use crate::calendar::Calendar;
use crate::exit_status::signal_number;
use crate::service::{KillMode, ReadyWhen, Restart, Socket};
use crate::tokenize::parse_number;

/// Milliseconds in a minute. No time may be longer than 60 minutes.
const MINUTE: Millis = 60_000;
/// Size of `sun_path` in bytes (unix(7)), of which the last is 0.
const SUN_PATH_BYTES: usize = 108;

fn expected<T>(right: &'static str) -> Result<T, Expected> {
    Err(Expected(right))
}

fn service_names<'a, 'b>(names: &'b [&'a str]) -> Result<&'b [&'a str], Expected> {
    match !names.is_empty() && names.iter().all(|name| is_name(name)) {
        true => Ok(names),
        false => expected("names of services"),
    }
}

impl<'a> Parsed<'a> {
    /// Sets the values of `key`.
    ///
    /// # Errors
    /// A description of the values that would be right.
    pub(super) fn set(
        &mut self,
        key: &str,
        values: &[&'a str],
        accounts: Accounts<'a>,
    ) -> Result<(), Expected> {
        match (key, values) {
            ("exec", [program, ..]) if program.starts_with('/') => self.argv = values.to_vec(),
            ("exec", _) => return expected("the absolute path of a program, then its arguments"),
            ("at", words) => self.at = Some(times(words)?),
            ("final", [_, ..]) => self.final_statuses = statuses(values)?,
            ("done", [_, ..]) => self.done_statuses = statuses(values)?,
            ("final" | "done", _) => return expected("exit statuses, such as 3 78"),
            ("env", [_, ..]) => return self.add_env(values),
            ("env", _) => return expected("NAME=value"),
            ("needs", names) => self.needs.extend_from_slice(service_names(names)?),
            ("after", names) => self.after.extend_from_slice(service_names(names)?),
            ("binds", names) => self.binds.extend_from_slice(service_names(names)?),
            ("limit", &[file, value]) if is_limit(file) => self.cgroup_files.push((file, value)),
            ("limit", _) => {
                return expected("a file of the cgroup and a value, such as memory.max 64M");
            }
            ("socket", [path, options @ ..])
                if is_in_memory(path) && path.len() < SUN_PATH_BYTES =>
            {
                self.def.socket = Some(socket(options, accounts.group)?);
                self.socket = path;
            }
            ("socket", _) => {
                return expected(
                    "a path in RAM, below /run, /dev or /tmp, of at most 107 bytes, then: mode, group, boot, datagram",
                );
            }
            ("ready", ["fd", n]) => self.def.ready = ReadyWhen::Fd(ready_fd(n)?),
            ("nofile", [soft, hard]) => self.def.nofile = open_files(soft, hard)?,
            (_, [value]) => return self.set_single(key, value, accounts),
            _ => return expected("one value"),
        }
        Ok(())
    }

    /// Sets a key that has one value.
    fn set_single(
        &mut self,
        key: &str,
        value: &'a str,
        accounts: Accounts<'a>,
    ) -> Result<(), Expected> {
        let def = &mut self.def;
        match key {
            "user" => {
                let user = account::user(accounts.passwd, accounts.group, value);
                self.user = Some(user.ok_or(Expected("a user of /etc/passwd"))?);
            }
            "ready" => def.ready = ready(value)?,
            "restart" => def.restart = restart(value)?,
            "kill" => def.kill = kill(value)?,
            "stop" => {
                let signal = signal_number(value);
                def.stop_signal =
                    signal.ok_or(Expected("a signal by its name, such as SIGTERM"))?;
            }
            "grace" => def.grace_ms = time(value)?,
            "delay" => def.restart_ms = time(value)?,
            "late" => def.late_ms = time(value)?,
            "dir" if value.starts_with('/') => self.dir = value,
            "dir" => return expected("the absolute path of a directory"),
            "umask" => def.umask = mode(value)?,
            "oom" => def.oom_score_adj = oom_score_adj(value)?,
            _ => return expected("two numbers"), // nofile
        }
        Ok(())
    }

    fn add_env(&mut self, values: &[&'a str]) -> Result<(), Expected> {
        for value in values {
            let (name, _) = value.split_once('=').ok_or(Expected("NAME=value"))?;
            let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
            if !name.bytes().all(|b| letter(b) || b.is_ascii_digit())
                || !name.bytes().next().is_some_and(letter)
            {
                return expected("a name of letters, digits and _ before the =");
            }
            if name.starts_with("LISTEN_") || name == "NOTIFY_SOCKET" {
                return expected("another name: the keywords socket and ready set this one");
            }
            if self.env.iter().any(|e| e.split('=').next() == Some(name)) {
                return expected("each name once");
            }
            self.env.push(value);
        }
        Ok(())
    }
}

fn times(words: &[&str]) -> Result<Calendar, Expected> {
    Calendar::parse(words).ok_or(Expected(
        "hourly, daily, weekly, monthly, or a time such as 03:30, Mon..Fri 22:00 or *-*-01 06:00",
    ))
}

fn ready(value: &str) -> Result<ReadyWhen, Expected> {
    Ok(match value {
        "exec" => ReadyWhen::Exec,
        "notify" => ReadyWhen::Notify,
        "exit" => ReadyWhen::Exit,
        _ => return expected("exec, notify, exit, or fd and a number"),
    })
}

fn ready_fd(n: &str) -> Result<i32, Expected> {
    let fd = parse_number(n, 10, 255).filter(|n| *n >= 3);
    Ok(fd.ok_or(Expected("fd and a number from 3 to 255"))? as i32)
}

fn restart(value: &str) -> Result<Restart, Expected> {
    Ok(match value {
        "always" => Restart::Always,
        "on-failure" => Restart::OnFailure,
        "on-success" => Restart::OnSuccess,
        "never" => Restart::Never,
        _ => return expected("always, on-failure, on-success or never"),
    })
}

fn statuses(values: &[&str]) -> Result<Vec<u8>, Expected> {
    let status = |value: &&str| u8::try_from(parse_number(value, 10, 255)?).ok();
    let all: Option<Vec<u8>> = values.iter().map(status).collect();
    all.ok_or(Expected("exit statuses from 0 to 255, such as 3 78"))
}

fn kill(value: &str) -> Result<KillMode, Expected> {
    Ok(match value {
        // The kernel and systemd say "cgroup"; in POSIX, a group is a process group.
        "cgroup" | "group" => KillMode::Cgroup,
        "mixed" => KillMode::Mixed,
        "process" => KillMode::Process,
        _ => return expected("cgroup, mixed or process"),
    })
}

fn open_files(soft: &str, hard: &str) -> Result<(u64, u64), Expected> {
    let hard = parse_number(hard, 10, 1_048_576).filter(|n| *n > 0);
    let soft = parse_number(soft, 10, hard.unwrap_or(0)).filter(|n| *n > 0);
    let both = soft.zip(hard);
    both.ok_or(Expected(
        "two numbers, the second not lower, at most 1048576",
    ))
}

fn oom_score_adj(value: &str) -> Result<i32, Expected> {
    let (sign, digits) = value.strip_prefix('-').map_or((1, value), |d| (-1, d));
    let score = parse_number(digits, 10, 1_000);
    Ok(sign * score.ok_or(Expected("a number from -1000 to 1000"))? as i32)
}

/// Parses the options after the path of a socket.
fn socket(options: &[&str], group: &str) -> Result<Socket, Expected> {
    let mut socket = Socket {
        path: "",
        mode: 0o600,
        uid: 0,
        gid: 0,
        datagram: false,
        on_demand: true,
    };
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        match *option {
            "mode" => socket.mode = mode(rest.next().unwrap_or(&""))?,
            "group" => {
                let gid = account::gid(group, rest.next().unwrap_or(&""));
                socket.gid = gid.ok_or(Expected("after group, a group of /etc/group"))?;
            }
            "boot" => socket.on_demand = false,
            "datagram" => socket.datagram = true,
            _ => return expected("after the path: mode 0660, group NAME, boot, datagram"),
        }
    }
    Ok(socket)
}

/// Returns true if `file` is a cgroup file that limits something. The core files
/// (`cgroup.procs`, `cgroup.kill`, …) do not, and belong to PID 1.
fn is_limit(file: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b == b'.' || b == b'_';
    let parts = file.split_once('.');
    file.bytes().all(allowed)
        && parts.is_some_and(|(controller, knob)| {
            !controller.is_empty() && controller != "cgroup" && !knob.is_empty()
        })
}

/// Returns true if the path is below a directory in RAM: PID 1 itself binds the socket and checks that the
/// socket exists, and would wait for a disk or a server that does not answer.
fn is_in_memory(path: &str) -> bool {
    let in_ram = ["/run/", "/dev/", "/tmp/"].iter();
    let names = in_ram.filter_map(|dir| path.strip_prefix(dir));
    names
        .flat_map(|name| name.split('/').next_back())
        .any(|name| !name.is_empty())
        && path.split('/').all(|part| part != "..")
}

fn mode(text: &str) -> Result<u32, Expected> {
    let mode = parse_number(text, 8, 0o777);
    Ok(mode.ok_or(Expected("octal digits, at most 777"))? as u32)
}

/// Parses a time such as `500ms`, `10s` or `2m`, of at most an hour, into milliseconds.
fn time(text: &str) -> Result<Millis, Expected> {
    let units = [("ms", 1), ("s", 1_000), ("m", MINUTE)];
    let in_unit = |(unit, ms): &(&str, Millis)| {
        parse_number(text.strip_suffix(unit)?, 10, 60 * MINUTE / ms).map(|n| n * ms)
    };
    let time = units.iter().find_map(in_unit);
    time.ok_or(Expected("a time such as 500ms, 10s or 2m, at most 60m"))
}
