// SPDX-License-Identifier: Apache-2.0
//! Programs of a unit: its commands, their environment and limits, from the section `[Service]`.

use sys::clock::Millis;

use super::run::lifecycle::{Exit, Kind, Plan};
use super::specifiers::Specifiers;
use super::unit::Unit;
use super::words::{self, Command};

/// Section of the keys here.
const SERVICE: &str = "Service";
/// Keys of the commands, in the order of [`Plan::commands`].
const COMMANDS: [&str; 5] = [
    "ExecStartPre",
    "ExecStart",
    "ExecStartPost",
    "ExecStop",
    "ExecStopPost",
];
/// `TimeoutStopSec=` of a unit that has none (systemd-system.conf(5)).
const DEFAULT_STOP_MS: Millis = 90_000;

/// Programs of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Decides in which order the commands run.
    pub plan: Plan,
    /// Commands of each key of [`COMMANDS`].
    pub commands: [Vec<Command>; 5],
    /// Variables of `Environment=`, the last of each name.
    pub env: Vec<(String, String)>,
    /// Files of `EnvironmentFile=`.
    pub env_files: Vec<OptionalPath>,
    /// Working directory.
    pub dir: Option<OptionalPath>,
    /// File with the number of the main process.
    pub pid_file: Option<String>,
}

/// Path that may lead nowhere if it has the prefix `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionalPath {
    /// Path.
    pub path: String,
    /// True if the path need not exist.
    pub is_optional: bool,
}

impl Program {
    /// Reads the section of a unit.
    ///
    /// # Errors
    /// A value is wrong; the text says which key has it, and what would be right.
    pub fn of(unit: &Unit, specifiers: &Specifiers) -> Result<Program, String> {
        let last = |key: &str| unit.last(SERVICE, key);
        let commands = COMMANDS.map(|key| commands(unit, specifiers, key));
        let [pre, start, post, stop, stop_post] = commands;
        let commands = [pre?, start?, post?, stop?, stop_post?];
        let kind = kind(last("Type"))?;
        let [_, start, ..] = &commands;
        if start.is_empty() || kind != Kind::Oneshot && start.len() > 1 {
            return Err("ExecStart: one command, or more with Type=oneshot".to_owned());
        }
        let path = |text: &str| optional_path(text, specifiers);
        let env_files = unit.all(SERVICE, "EnvironmentFile").into_iter();
        // A one-shot that has nothing to do when it is stopped need not stay until then: PID 1 keeps it
        // as done.
        let [.., stop, stop_post] = &commands;
        let is_over = kind == Kind::Oneshot && stop.is_empty() && stop_post.is_empty();
        let plan = Plan {
            kind,
            remains: last("RemainAfterExit").is_some_and(is_true) && !is_over,
            commands: commands
                .each_ref()
                .map(|list| list.iter().map(|c| c.ignores_failure).collect()),
            start_ms: time(unit, &["TimeoutStartSec", "TimeoutSec"])?.unwrap_or(None),
            stop_ms: time(unit, &["TimeoutStopSec", "TimeoutSec"])?
                .unwrap_or(Some(DEFAULT_STOP_MS)),
            success: ends(unit)?,
        };
        Ok(Program {
            plan,
            commands,
            env: environment(unit, specifiers)?,
            env_files: env_files.map(path).collect::<Result<_, _>>()?,
            dir: last("WorkingDirectory").map(path).transpose()?,
            pid_file: last("PIDFile")
                .map(|file| specifiers.expand(file))
                .transpose()?,
        })
    }
}

fn commands(unit: &Unit, specifiers: &Specifiers, key: &str) -> Result<Vec<Command>, String> {
    let values = unit.all(SERVICE, key).into_iter();
    let lists = values.map(|value| words::commands(value, |word| specifiers.expand(word)));
    let lists: Result<Vec<_>, String> = lists.collect();
    let commands: Vec<Command> = lists.map_err(|why| format!("{key}: {why}"))?.concat();
    let is_relative = |c: &&Command| {
        c.argv
            .first()
            .is_some_and(|p| p.contains('/') && !p.starts_with('/'))
    };
    match commands.iter().find(is_relative) {
        Some(c) => Err(format!(
            "{key}: {}: a program by its whole path",
            c.argv.concat()
        )),
        None => Ok(commands),
    }
}

fn kind(text: Option<&str>) -> Result<Kind, String> {
    Ok(match text.unwrap_or("simple") {
        "simple" | "exec" | "idle" => Kind::Simple,
        "notify" | "notify-reload" => Kind::Notify,
        "forking" => Kind::Forking,
        "oneshot" => Kind::Oneshot,
        other => {
            return Err(format!(
                "Type: {other}: simple, exec, notify, forking or oneshot"
            ));
        }
    })
}

/// Returns true for a value that means yes (systemd.syntax(7)).
#[must_use]
pub fn is_true(text: &str) -> bool {
    ["1", "yes", "true", "on"].contains(&text.to_ascii_lowercase().as_str())
}

fn optional_path(text: &str, specifiers: &Specifiers) -> Result<OptionalPath, String> {
    let rest = text.strip_prefix('-');
    let path = specifiers.expand(rest.unwrap_or(text))?;
    match path.as_str() {
        path if path.starts_with('/') => Ok(OptionalPath {
            path: path.to_owned(),
            is_optional: rest.is_some(),
        }),
        "~" => Ok(OptionalPath {
            path: specifiers.user.home.clone(),
            is_optional: rest.is_some(),
        }),
        _ => Err(format!("{path}: a whole path")),
    }
}

/// Returns the value of the first of these keys that the unit has: a time, or `None` inside for none.
fn time(unit: &Unit, keys: &[&str]) -> Result<Option<Option<Millis>>, String> {
    let mut given = keys
        .iter()
        .filter_map(|key| Some((key, unit.last(SERVICE, key)?)));
    let Some((key, text)) = given.next() else {
        return Ok(None);
    };
    let parsed =
        span(text).ok_or_else(|| format!("{key}: {text}: a time such as 90, 5min or infinity"))?;
    Ok(Some(parsed.filter(|ms| *ms > 0)))
}

/// Parses a time (systemd.time(7), "Parsing Time Spans") into milliseconds; `None` inside is infinity.
#[must_use]
pub fn span(text: &str) -> Option<Option<Millis>> {
    const UNITS: &[(&str, u64)] = &[
        ("us", 1),
        ("usec", 1),
        ("ms", 1_000),
        ("msec", 1_000),
        ("", 1_000_000),
        ("s", 1_000_000),
        ("sec", 1_000_000),
        ("second", 1_000_000),
        ("seconds", 1_000_000),
        ("m", 60_000_000),
        ("min", 60_000_000),
        ("minute", 60_000_000),
        ("minutes", 60_000_000),
        ("h", 3_600_000_000),
        ("hr", 3_600_000_000),
        ("hour", 3_600_000_000),
        ("hours", 3_600_000_000),
        ("d", 86_400_000_000),
        ("day", 86_400_000_000),
        ("days", 86_400_000_000),
        ("w", 604_800_000_000),
        ("week", 604_800_000_000),
        ("weeks", 604_800_000_000),
    ];
    let mut rest = text.trim();
    if rest == "infinity" {
        return Some(None);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(digits)?;
        let after = after.trim_start();
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let (_, us) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*us)?)?;
        rest = after.trim_start();
    }
    (!text.trim().is_empty()).then_some(Some(total / 1_000))
}

/// Reads `SuccessExitStatus=`.
fn ends(unit: &Unit) -> Result<Vec<Exit>, String> {
    let names = unit.names(SERVICE, "SuccessExitStatus");
    let end = |name: &str| match name.parse() {
        Ok(code @ 0..=255) => Ok(Exit::Code(code)),
        _ => match services::exit_status::signal_number(name) {
            Some(number) => Ok(Exit::Signal(number)),
            None => Err(format!(
                "SuccessExitStatus: {name}: a number to 255 or a signal"
            )),
        },
    };
    names.map(end).collect()
}

fn environment(unit: &Unit, specifiers: &Specifiers) -> Result<Vec<(String, String)>, String> {
    let mut env: Vec<(String, String)> = Vec::new();
    for value in unit.all(SERVICE, "Environment") {
        let words = words::split(value).map_err(|why| format!("Environment: {why}"))?;
        for word in words {
            let text = specifiers.expand(&word.text)?;
            let variable = text
                .split_once('=')
                .filter(|(name, _)| words::is_variable(name));
            let (name, value) =
                variable.ok_or_else(|| format!("Environment: {text}: NAME=value"))?;
            set(&mut env, name, value);
        }
    }
    Ok(env)
}

/// Sets a variable in place of one of the same name.
pub fn set(env: &mut Vec<(String, String)>, name: &str, value: &str) {
    env.retain(|(other, _)| other != name);
    env.push((name.to_owned(), value.to_owned()));
}

/// Reads a file of variables (systemd.exec(5), "EnvironmentFile="). Lines that are no assignment are
/// ignored.
#[must_use]
pub fn env_file(text: &str) -> Vec<(String, String)> {
    let joined = text.replace("\\\n", "");
    let lines = joined.lines().map(str::trim);
    let lines = lines.filter(|line| !line.starts_with(['#', ';']));
    let mut env = Vec::new();
    for (name, value) in lines.filter_map(|line| line.split_once('=')) {
        let (name, value) = (name.trim(), value.trim());
        let quoted = ['"', '\'']
            .iter()
            .find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
        if words::is_variable(name) {
            set(&mut env, name, quoted.unwrap_or(value));
        }
    }
    env
}

#[cfg(test)]
#[path = "program/tests.rs"]
mod tests;
