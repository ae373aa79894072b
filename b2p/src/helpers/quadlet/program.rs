// SPDX-License-Identifier: Apache-2.0
//! Programs of a unit: its commands, their environment and limits, from the section `[Service]`.

use sys::clock::Millis;

use super::directories::{self, Directory};
use super::lifecycle::{Commands, Exit, Kind, Plan};
use super::output::Output;
use super::span::{Span, span};
use super::specifiers::Specifiers;
use super::unit::{Unit, is_true};
use super::unit_error::{Result, UnitError};
use super::variables::set;
use super::words::{self, Command};

/// Section of the keys here.
const SERVICE: &str = "Service";
/// `TimeoutStopSec=` of a unit that has none (systemd-system.conf(5)).
const DEFAULT_STOP_MS: Millis = 90_000;
/// `TimeoutStartSec=` of a unit that has none and is no one-shot (systemd-system.conf(5)).
const DEFAULT_START_MS: Millis = 90_000;

/// Programs of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Decides in which order the commands run.
    pub plan: Plan,
    /// Commands.
    pub commands: Commands<Command>,
    /// Variables of `Environment=`, the last of each name.
    pub env: Vec<(String, String)>,
    /// Files of `EnvironmentFile=`.
    pub env_files: Vec<OptionalPath>,
    /// Directories that exist while the unit runs, or longer.
    pub directories: Vec<Directory>,
    /// Working directory.
    pub dir: Option<OptionalPath>,
    /// File with the number of the main process.
    pub pid_file: Option<String>,
    /// Target of standard output.
    pub stdout: Output,
    /// Target of standard error.
    pub stderr: Output,
    /// The processes send messages of sd_notify(3).
    pub notifies: bool,
    /// Number of the signal that asks the main process to end.
    pub kill_signal: i32,
    /// Signal that asks the main process to reload.
    pub reload_signal: i32,
    /// Starts within a time of which more are refused: number, and milliseconds.
    pub start_limit: Option<(usize, Millis)>,
}

/// Path, which with the prefix `-` may lead nowhere.
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
    /// A value is wrong; the error names the key, and the value that would be right.
    pub fn of(unit: &Unit, specifiers: &Specifiers) -> Result<Program> {
        let last = |key: &str| unit.last(SERVICE, key);
        let path = |text: &str| optional_path(text, specifiers);
        let env_files = unit.all(SERVICE, "EnvironmentFile").into_iter();
        let commands = all_commands(unit, specifiers)?;
        let plan = plan(unit, &commands)?;
        let directories = directories::of(unit, specifiers)?;
        let (stdout, stderr) = output(unit, specifiers)?;
        // `NotifyAccess=` is `main` for the first two (systemd.service(5)).
        let notifies = plan.kind == Kind::Notify
            || plan.watchdog_ms.is_some()
            || last("NotifyAccess").is_some_and(|access| access != "none");
        Ok(Program {
            notifies,
            plan,
            commands,
            env: environment(unit, specifiers, directories::variables(&directories))?,
            directories,
            env_files: env_files.map(path).collect::<Result<_>>()?,
            dir: last("WorkingDirectory").map(path).transpose()?,
            pid_file: last("PIDFile")
                .map(|file| pid_file(file, specifiers))
                .transpose()?,
            stdout,
            stderr,
            kill_signal: signal(unit, "KillSignal", "SIGTERM")?,
            reload_signal: signal(unit, "ReloadSignal", "SIGHUP")?,
            start_limit: start_limit(unit)?,
        })
    }
}

/// Reads the keys that decide the life of the unit's processes.
fn plan(unit: &Unit, commands: &Commands<Command>) -> Result<Plan> {
    let last = |key: &str| unit.last(SERVICE, key);
    let starts = commands.start.len();
    let default = if starts == 0 { "oneshot" } else { "simple" };
    let kind = kind(last("Type").unwrap_or(default))?;
    let remains = last("RemainAfterExit").is_some_and(is_true);
    // A one-shot that remains may do its work at its end alone.
    let has_start = starts > 0 || kind == Kind::Oneshot && remains && !commands.stop.is_empty();
    if !has_start || kind != Kind::Oneshot && starts > 1 {
        return Err("ExecStart: one command, or more with Type=oneshot".into());
    }
    // A one-shot without commands for its stop need not stay until then: PID 1 keeps the one-shot
    // as done. A runtime directory is there until then.
    let has_directory = last("RuntimeDirectory").is_some();
    let has_end = !commands.stop.is_empty() || !commands.stop_post.is_empty() || has_directory;
    let (start_ms, ready_ms) = start_limits(unit, kind, commands)?;
    Ok(Plan {
        kind,
        remains,
        ends_alone: remains && kind == Kind::Oneshot && !has_end,
        kills: last("SendSIGKILL").is_none_or(is_true),
        reloads_itself: last("Type") == Some("notify-reload"),
        ignores_failure: commands.map(|command| command.ignores_failure),
        start_ms,
        ready_ms,
        stop_ms: time(unit, &["TimeoutStopSec", "TimeoutSec"])?
            .map_or(Some(DEFAULT_STOP_MS), Span::ms),
        watchdog_ms: time(unit, &["WatchdogSec"])?.and_then(Span::ms),
        kills_all: matches!(last("KillMode"), None | Some("control-group")),
        success: ends(unit, "SuccessExitStatus")?,
        prevents: ends(unit, "RestartPreventExitStatus")?,
        restarts_after: restarts_after(last("Restart").unwrap_or_default()),
        kills_none: last("KillMode") == Some("none"),
    })
}

/// Returns the failures after which a value of `Restart=` starts the unit again, if it names some (systemd.service(5),
/// table 1).
fn restarts_after(policy: &str) -> Option<&'static [&'static str]> {
    match policy {
        "on-abnormal" => Some(&["signal", "timeout", "watchdog"]),
        "on-abort" => Some(&["signal"]),
        "on-watchdog" => Some(&["watchdog"]),
        _ => None,
    }
}

/// Returns the limits of a start: from its begin, and from the message that names the main process. Podman may pull
/// an image for any time before that message, which it sends once the container runs.
fn start_limits(
    unit: &Unit,
    kind: Kind,
    commands: &Commands<Command>,
) -> Result<(Option<Millis>, Option<Millis>)> {
    if let Some(limit) = time(unit, &["TimeoutStartSec", "TimeoutSec"])? {
        return Ok((limit.ms(), None));
    }
    let is_podman = |c: &Command| c.argv.first().is_some_and(|path| path.ends_with("podman"));
    let mut programs = commands.pre.iter().chain(&commands.start);
    let may_pull = programs.any(is_podman);
    let of_start = (kind != Kind::Oneshot && !may_pull).then_some(DEFAULT_START_MS);
    Ok((of_start, may_pull.then_some(DEFAULT_START_MS)))
}

fn all_commands(unit: &Unit, specifiers: &Specifiers) -> Result<Commands<Command>> {
    let of = |key| commands(unit, specifiers, key);
    Ok(Commands {
        condition: of("ExecCondition")?,
        pre: of("ExecStartPre")?,
        start: of("ExecStart")?,
        post: of("ExecStartPost")?,
        stop: of("ExecStop")?,
        stop_post: of("ExecStopPost")?,
        reload: of("ExecReload")?,
    })
}

fn commands(unit: &Unit, specifiers: &Specifiers, key: &'static str) -> Result<Vec<Command>> {
    let values = unit.all(SERVICE, key).into_iter();
    let lists = values.map(|value| words::commands(value, |word| specifiers.expand(word)));
    let lists: Result<Vec<_>> = lists.collect();
    let commands: Vec<Command> = lists.map_err(|why| why.of(key))?.concat();
    let is_relative = |c: &&Command| {
        c.argv
            .first()
            .is_some_and(|p| p.contains('/') && !p.starts_with('/'))
    };
    match commands.iter().find(is_relative) {
        Some(c) => {
            let program = c.argv.concat();
            Err(UnitError::value(
                key,
                &program,
                "a program by its whole path",
            ))
        }
        None => Ok(commands),
    }
}

/// Reads the targets of output: standard error has the target of standard output, unless the unit names
/// another (systemd.exec(5)).
fn output(unit: &Unit, specifiers: &Specifiers) -> Result<(Output, Output)> {
    let read = |key: &'static str| -> Result<Option<Output>> {
        let text = unit.last(SERVICE, key);
        let text = text.map(|text| specifiers.expand(text)).transpose()?;
        let output = text.map(|text| Output::parse(&text));
        output.transpose().map_err(|why| why.of(key))
    };
    let stdout = read("StandardOutput")?.unwrap_or(Output::Log);
    let inherits = unit.last(SERVICE, "StandardError") == Some("inherit");
    let stderr = read("StandardError")?.filter(|_| !inherits);
    let stderr = stderr.unwrap_or_else(|| stdout.clone());
    Ok((stdout, stderr))
}

fn signal(unit: &Unit, key: &'static str, default: &str) -> Result<i32> {
    let name = unit.last(SERVICE, key).unwrap_or(default);
    let by_number = || name.parse().ok().filter(|number| (1..=64).contains(number));
    let number = services::exit_status::signal_number(name).or_else(by_number);
    let right = "a signal such as SIGINT, or its number";
    number.ok_or_else(|| UnitError::value(key, name, right))
}

/// Reads `PIDFile=`, which may be relative to the runtime directory.
fn pid_file(text: &str, specifiers: &Specifiers) -> Result<String> {
    let path = specifiers.expand(text)?;
    Ok(match path.starts_with('/') {
        true => path,
        false => format!("{}/{path}", specifiers.user.runtime_dir()),
    })
}

/// Reads `StartLimitBurst=` and `StartLimitIntervalSec=`, of which one suffices. Without them, no unit is
/// given up.
fn start_limit(unit: &Unit) -> Result<Option<(usize, Millis)>> {
    let of = |key: &str| unit.last("Unit", key).or_else(|| unit.last(SERVICE, key));
    let interval = of("StartLimitIntervalSec").or_else(|| of("StartLimitInterval"));
    let burst = of("StartLimitBurst");
    if interval.is_none() && burst.is_none() {
        return Ok(None);
    }
    let right = "a time such as 30 or 5min";
    let wrong = |text: &str| UnitError::value("StartLimitIntervalSec", text, right);
    let ms = interval.map(|text| span(text).ok_or_else(|| wrong(text)));
    let ms = ms.transpose()?.unwrap_or(Span::Ms(10_000));
    let ms = ms.ms().unwrap_or(Millis::MAX);
    let number = burst.unwrap_or("5");
    let number = number
        .parse()
        .map_err(|_| UnitError::value("StartLimitBurst", number, "a number"))?;
    Ok(Some((number, ms)).filter(|limit| limit.0 > 0 && limit.1 > 0))
}

fn kind(text: &str) -> Result<Kind> {
    Ok(match text {
        "simple" | "exec" | "idle" => Kind::Simple,
        "notify" | "notify-reload" => Kind::Notify,
        "forking" => Kind::Forking,
        "oneshot" => Kind::Oneshot,
        other => {
            let right = "simple, exec, notify, notify-reload, forking or oneshot";
            return Err(UnitError::value("Type", other, right));
        }
    })
}

fn optional_path(text: &str, specifiers: &Specifiers) -> Result<OptionalPath> {
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
        _ => Err(UnitError::Value(path, "a whole path".into())),
    }
}

/// Returns the time of the first of these keys that the unit has; 0 is no limit.
fn time(unit: &Unit, keys: &[&'static str]) -> Result<Option<Span>> {
    let mut given = keys
        .iter()
        .filter_map(|key| Some((key, unit.last(SERVICE, key)?)));
    let Some((key, text)) = given.next() else {
        return Ok(None);
    };
    let right = "a time such as 90, 5min or infinity";
    let parsed = span(text).ok_or_else(|| UnitError::value(key, text, right))?;
    Ok(Some(match parsed {
        Span::Ms(0) => Span::Infinity,
        time => time,
    }))
}

/// Names of exit statuses from 0 and from 64 on (systemd.exec(5), "Process exit codes").
const STATUSES: [(&str, usize); 2] = [
    (
        "SUCCESS FAILURE INVALIDARGUMENT NOTIMPLEMENTED NOPERMISSION NOTINSTALLED NOTCONFIGURED NOTRUNNING",
        0,
    ),
    (
        "USAGE DATAERR NOINPUT NOUSER NOHOST UNAVAILABLE SOFTWARE OSERR OSFILE CANTCREAT IOERR TEMPFAIL PROTOCOL \
         NOPERM CONFIG",
        64,
    ),
];

/// Reads a list of exit statuses and signals.
fn ends(unit: &Unit, key: &'static str) -> Result<Vec<Exit>> {
    let end = |name: &str| {
        let number = name.parse().ok().filter(|code| (0..=255).contains(code));
        let named = || {
            STATUSES.iter().find_map(|(names, first)| {
                let at = names.split(' ').position(|known| known == name)?;
                i32::try_from(first + at).ok()
            })
        };
        let signal = || services::exit_status::signal_number(name).map(Exit::Signal);
        let end = number.or_else(named).map(Exit::Code).or_else(signal);
        let right = "a number to 255, the name of a status or a signal";
        end.ok_or_else(|| UnitError::value(key, name, right))
    };
    unit.names(SERVICE, key).map(end).collect()
}

/// Returns `env` with the variables of `Environment=`.
fn environment(
    unit: &Unit,
    specifiers: &Specifiers,
    mut env: Vec<(String, String)>,
) -> Result<Vec<(String, String)>> {
    for value in unit.all(SERVICE, "Environment") {
        let words = words::split(value).map_err(|why| why.of("Environment"))?;
        for word in words {
            let text = specifiers.expand(&word.text)?;
            if let Some((name, value)) = words::variable(&text) {
                set(&mut env, name, value);
            }
        }
    }
    Ok(env)
}

#[cfg(test)]
#[path = "program/tests.rs"]
mod tests;
