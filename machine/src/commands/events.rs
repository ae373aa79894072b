// SPDX-License-Identifier: Apache-2.0
//! `events`: prints the events that the keepers of machines report.

use super::{dirs, json_flag, many_names, state};
use crate::keeper::control;
use crate::state::State;
use crate::store::{Dirs, Machine};
use anyhow::Result;
use clap::{ArgMatches, Command};
use serde_json::{Value, json};
use std::io::{BufRead, Write, stdout};
use std::process::ExitCode;
use std::thread;

/// Returns the parser of `events`.
pub fn command() -> Command {
    Command::new("events")
        .about("Print the events of machines that run, until they are off: state, ports, degraded, trouble")
        .arg(many_names().help("Machines; all that run if none is given"))
        .arg(json_flag())
}

/// Runs `events`.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let machines = match matches.get_many::<String>("name") {
        Some(names) => names
            .map(|name| Machine::find(&dirs, name))
            .collect::<Result<Vec<_>>>()?,
        None => Machine::names(&dirs)?
            .iter()
            .map(|name| Machine::at(&dirs, name))
            .collect(),
    };
    let as_json = matches.get_flag("json");
    thread::scope(|scope| {
        for machine in &machines {
            let dirs = &dirs;
            scope.spawn(move || follow(dirs, machine, as_json));
        }
    });
    Ok(ExitCode::SUCCESS)
}

/// Prints the events of one machine. A reader that is gone ends the command by SIGPIPE's error.
fn follow(dirs: &Dirs, machine: &Machine, as_json: bool) {
    if matches!(
        state(dirs, machine),
        Ok(State::Stopped | State::Saved) | Err(_)
    ) {
        return;
    }
    let socket = machine.run_file(control::SOCKET);
    let Ok(stream) = control::open(&socket, &json!({"do": "follow"})) else {
        return;
    };
    for line in stream.lines().map_while(Result::ok) {
        let Ok(event) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        if writeln!(stdout(), "{}", text(&machine.name, &event, as_json)).is_err() {
            return;
        }
    }
}

/// Returns the line of an event.
fn text(name: &str, event: &Value, as_json: bool) -> String {
    let mut object = event.as_object().cloned().unwrap_or_default();
    if as_json {
        object.insert("machine".to_owned(), json!(name));
        return Value::from(object).to_string();
    }
    let words = object.iter().map(|(key, value)| match value {
        Value::String(text) => format!("{key} {text}"),
        other => format!("{key} {other}"),
    });
    format!("{name}: {}", words.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_an_event_as_line_and_as_json() {
        let event = json!({"phase": "Running"});
        assert_eq!(text("box", &event, false), "box: phase Running");
        assert_eq!(
            text("box", &event, true),
            r#"{"machine":"box","phase":"Running"}"#
        );
        let event = json!({"ended": "powered off", "clean": true});
        assert_eq!(
            text("box", &event, false),
            "box: clean true, ended powered off"
        );
    }
}
