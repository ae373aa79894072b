// SPDX-License-Identifier: Apache-2.0
//! `rc-service` and `rc-update`, by which Lima installs its guest agent: a service script of OpenRC that
//! sets the variables `command` and `command_args` is a service of PID 1. A script with functions of
//! its own is not supported.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use control::{Name, Report, Request};
use sys::error::{Doing, Error, Result};
use sys::files::{read_bounded, replace};

use crate::client::service;
use crate::common::control_client::{ControlClient, is_at_rest};
use crate::common::service_change::Verb;
use crate::common::service_env::Environment;
use crate::common::status;
use crate::common::terminal::print_error;

/// Directory of scripts, and that of their settings (openrc-run(8)).
const SCRIPTS: &str = "/etc/init.d";
const SETTINGS: &str = "/etc/conf.d";
/// Longest script that is read, in bytes.
const MAX_SCRIPT_BYTES: u64 = 64 << 10;
/// Directory of the service files that are made of scripts: a boot begins without them.
const FILES: &str = "/run/boot2podman/openrc";

/// A request of rc-service(8).
#[derive(Debug, PartialEq, Eq)]
struct Call {
    /// State in which alone the request counts: true if the service runs.
    only_if_started: Option<bool>,
    name: Name,
    verb: Option<Verb>,
}

/// Accepts `rc-update add|del NAME [RUNLEVEL]` without effect, because a program that adds a service writes its script at
/// every boot. Returns the exit status.
pub fn rc_update(args: &[String]) -> i32 {
    match args.first().map(String::as_str) {
        Some("add" | "del" | "delete" | "-u" | "--update") => 0,
        _ => {
            print_error(
                "rc-update: add and del are known here; this is boot2podman, without OpenRC",
            );
            1
        }
    }
}

/// `rc-service [OPTION…] NAME VERB`; returns the exit status.
pub fn rc_service(control: &ControlClient, args: &[String]) -> i32 {
    let call = match parse(args) {
        Ok(call) => call,
        Err(why) => {
            print_error(&format!("rc-service: {why}"));
            return 1;
        }
    };
    let env = Environment {
        user_files: PathBuf::from(FILES),
        ..Environment::of(control)
    };
    let runs = is_started(control, &call.name);
    if call.only_if_started.is_some_and(|wanted| wanted != runs) {
        return 0;
    }
    let Some(verb) = call.verb else {
        return i32::from(!runs) * 3;
    };
    match verb == Verb::Stop || runs && verb == Verb::Start {
        true => Ok(()),
        false => write(&call.name),
    }
    .map_or_else(
        |why| {
            print_error(&format!("rc-service: {why}"));
            1
        },
        |()| service::main(&env, verb, &[call.name.as_str().to_owned()]),
    )
}

fn is_started(control: &ControlClient, name: &Name) -> bool {
    let text = control.ask(&Request::Status).unwrap_or_default();
    let report = Report::parse(&text);
    let service = status::find(&report, name.as_str());
    service.is_some_and(|service| !is_at_rest(service.state))
}

fn parse(args: &[String]) -> Result<Call> {
    let (options, operands): (Vec<&String>, Vec<&String>) =
        args.iter().partition(|arg| arg.starts_with('-'));
    let has = |words: [&str; 2]| options.iter().any(|o| words.contains(&o.as_str()));
    let only_if_started = match (has(["--ifstarted", "-s"]), has(["--ifstopped", "-S"])) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    let [name, verb, ..] = operands.as_slice() else {
        return Err(Error::invalid(
            "the arguments must be the name of a service and a verb",
        ));
    };
    let verb = match verb.as_str() {
        "start" => Some(Verb::Start),
        "stop" => Some(Verb::Stop),
        "restart" => Some(Verb::Restart),
        "status" => None,
        other => {
            let why = format!("{other}: start, stop, restart and status are known here");
            return Err(Error::invalid(why));
        }
    };
    let name = Name::new(name)
        .ok_or_else(|| Error::invalid(format!("{name}: not a name of a service of boot2podman")))?;
    Ok(Call {
        only_if_started,
        name,
        verb,
    })
}

/// Writes the service file of a script. The shell reads the script at the start of the service, as
/// openrc-run does.
fn write(name: &Name) -> Result<()> {
    let script = Path::new(SCRIPTS).join(name.as_str());
    if !script.is_file() {
        let why = format!("{}: there is no such script", script.display());
        return Err(Error::invalid(why));
    }
    let text = read_bounded(&script, MAX_SCRIPT_BYTES).on(&script)?;
    let text = String::from_utf8_lossy(&text);
    let file = Path::new(FILES).join(name.as_str());
    let content = service_file(name, &inherited(&text, std::env::vars_os()));
    replace(&file, content.as_bytes(), 0o600)
}

/// Returns the lines with the variables of the caller that a script uses: Lima before 1.1 has its settings
/// there alone. A value that a service file cannot hold is left out.
fn inherited(script: &str, vars: impl Iterator<Item = (OsString, OsString)>) -> String {
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let words = script.split('$').skip(1).map(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let end = rest.bytes().position(|b| !is_letter(b));
        &rest[..end.unwrap_or(rest.len())]
    });
    let used: BTreeSet<&str> = sys::sort::inserted(words.filter(|word| !word.is_empty()));
    let lines = vars.filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        let quote = ['"', '\''].into_iter().find(|q| !value.contains(*q))?;
        let is_inherited = used.contains(name.as_str()) && !is_socket(&name);
        let is_text =
            !name.starts_with(|c: char| c.is_ascii_digit()) && !value.contains(char::is_control);
        (is_inherited && is_text).then(|| format!("env {quote}{name}={value}{quote}\n"))
    });
    lines.collect()
}

/// Returns true for a variable that names a socket of the caller (sd_listen_fds(3), sd_notify(3)).
fn is_socket(name: &str) -> bool {
    name.starts_with("LISTEN_") || name == "NOTIFY_SOCKET"
}

fn service_file(name: &Name, variables: &str) -> String {
    let name = name.as_str();
    format!(
        "exec /bin/sh -c 'export RC_SVCNAME=$0; if [ -e {SETTINGS}/$0 ]; then . {SETTINGS}/$0; fi; \
         . {SCRIPTS}/$0; eval \"exec $command $command_args\"' {name}\nrestart always\n{variables}"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn call(line: &str) -> Result<Call> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        parse(&words)
    }

    #[test]
    fn requests_as_lima_sends_them() {
        let agent = |only_if_started, verb| Call {
            only_if_started,
            name: Name::new("lima-guestagent").unwrap(),
            verb,
        };
        for (line, want) in [
            (
                "--ifstarted lima-guestagent restart",
                agent(Some(true), Some(Verb::Restart)),
            ),
            (
                "--ifstopped lima-guestagent start",
                agent(Some(false), Some(Verb::Start)),
            ),
            ("lima-guestagent stop", agent(None, Some(Verb::Stop))),
            ("lima-guestagent status", agent(None, None)),
        ] {
            assert_eq!(call(line).unwrap(), want, "{line}");
        }
        for (line, words) in [
            ("lima-guestagent", "a verb"),
            ("lima-guestagent zap", "zap: start, stop"),
            ("../x start", "not a name"),
        ] {
            let why = call(line).unwrap_err().to_string();
            assert!(why.contains(words), "{line}: {why}");
        }
    }

    #[test]
    fn the_service_file_is_right() {
        let variables = [
            ("LIMA_CIDATA_PREFIX", "/usr/local"),
            ("LIMA_CIDATA_PORT", ""),
            ("LIMA_CIDATA_SAID", "she's \"here\""),
            ("LIMA_CIDATA_NAME", "it's # $HOME"),
            ("LIMA_CIDATA_LINES", "one\ntwo"),
            ("LIMA_CIDATA_DEBUGGER", "not in the script"),
            ("PATH", "/mnt/lima-cidata/util"),
            ("NOTIFY_SOCKET", "/run/other"),
            ("1", "argument"),
        ];
        let script = "command=${LIMA_CIDATA_PREFIX}/bin/agent\n\
            command_args=\"$LIMA_CIDATA_PORT ${LIMA_CIDATA_NAME:-x} $LIMA_CIDATA_LINES $LIMA_CIDATA_SAID $NOTIFY_SOCKET $1 $\"\n\
            log_file=\"${log_file:-/var/log/${RC_SVCNAME}.log}\" # é$";
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let variables = inherited(script, variables.into_iter());
        let text = service_file(&Name::new("lima-guestagent").unwrap(), &variables);
        let parsed = services::service_file::parse("lima-guestagent", text.as_bytes(), "", "");
        let env = [
            "LIMA_CIDATA_PREFIX=/usr/local",
            "LIMA_CIDATA_PORT=",
            "LIMA_CIDATA_NAME=it's # $HOME",
        ];
        assert_eq!(parsed.unwrap().env, env, "{text}");
    }

    #[test]
    fn services_are_added_to_runlevels_by_name() {
        let status = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            rc_update(&words)
        };
        assert_eq!(status("add lima-guestagent default"), 0);
        assert_eq!(status("show"), 1);
    }
}
