// SPDX-License-Identifier: Apache-2.0
//! `systemctl`: the verbs that scripts and people use most, carried out by the commands of `b2p`.

use control::{Report, Request, State};

use crate::applet::Applet;
use crate::client::service::{self, Environment, Verb};
use crate::client::{help, power, status};
use crate::common::control_client::{self, ControlClient, machine_state};
use crate::common::terminal::{print, print_error};
use crate::helpers::compat::shims;

mod units;

/// Exit status for "not running" (systemctl(1)).
const NOT_RUNNING: i32 = 3;

/// Command that a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Command {
    Power(&'static str, Vec<String>),
    Service(Verb, Vec<String>),
    Status(Vec<String>),
    IsActive { names: Vec<String>, quiet: bool },
    IsSystemRunning { quiet: bool },
    IsEnabled { names: Vec<String>, quiet: bool },
    Cat(Vec<String>),
    ListUnits,
    DaemonReload,
    Help,
    Unknown(String),
}

fn parse(args: &[String]) -> Command {
    let (options, operands): (Vec<&String>, Vec<&String>) =
        args.iter().partition(|arg| arg.starts_with('-'));
    let has = |names: &[&str]| options.iter().any(|o| names.contains(&o.as_str()));
    if has(&["--help"]) {
        return Command::Help;
    }
    // Ignored like other options, it would end the machine now instead of later.
    if let Some(when) = options.iter().find(|o| o.starts_with("--when")) {
        return Command::Unknown((*when).clone());
    }
    let Some((verb, units)) = operands.split_first() else {
        return Command::Status(Vec::new());
    };
    let names: Vec<String> = units.iter().map(|unit| service_of(unit)).collect();
    let quiet = has(&["-q", "--quiet"]);
    let force = has(&["-f", "--force", "-ff"]).then(|| "-f".to_owned());
    let power = |name| Command::Power(name, force.into_iter().collect());
    match verb.as_str() {
        "poweroff" => power("poweroff"),
        "reboot" => power("reboot"),
        "halt" => power("halt"),
        "start" => Command::Service(Verb::Start, names),
        "stop" => Command::Service(Verb::Stop, names),
        "restart" => Command::Service(Verb::Restart, names),
        "status" => Command::Status(names),
        "is-active" => Command::IsActive { names, quiet },
        "is-enabled" => Command::IsEnabled { names, quiet },
        "cat" => Command::Cat(names),
        "list-units" | "list-unit-files" => Command::ListUnits,
        "daemon-reload" => Command::DaemonReload,
        "is-system-running" => Command::IsSystemRunning { quiet },
        verb => Command::Unknown(verb.to_owned()),
    }
}

/// Returns the name of the service of a unit: `sshd` of `sshd.service`, `my-app-1` of `My_App@1.service`.
fn service_of(unit: &str) -> String {
    if let Some(name) = units::find(unit) {
        return name;
    }
    let suffixes = [".service", ".socket"];
    let name = suffixes.iter().find_map(|suffix| unit.strip_suffix(suffix));
    name.unwrap_or(unit).to_owned()
}

/// Runs `systemctl …` and returns the exit status. `table` has the help.
pub fn main(control: &ControlClient, table: &'static [Applet], args: &[String]) -> i32 {
    let shim = shims::run("systemctl", args);
    match (shim, parse(args)) {
        (None | Some(0), Command::DaemonReload) => units::reload(control),
        (Some(status), _) => status,
        (None, command) => run(control, table, command),
    }
}

fn run(control: &ControlClient, table: &'static [Applet], command: Command) -> i32 {
    match command {
        Command::Power(name, options) => power::main(control, table, name, &options),
        Command::Service(verb, names) => {
            // The definition of a unit is taken from where its quadlet was made one.
            let (of_units, others) = names.into_iter().partition(|name| units::is_one(name));
            let of_units: Vec<String> = of_units;
            let env = Environment::of(control);
            let units = match of_units.is_empty() {
                true => 0,
                false => service::main(&units::environment(&env), verb, &of_units),
            };
            match others.is_empty() && !of_units.is_empty() {
                true => units,
                false => service::main(&env, verb, &others).max(units),
            }
        }
        Command::Status(names) if names.is_empty() => status::main(control, &[]),
        Command::Status(names) => match status::main(control, &names) {
            0 => 0,
            _ => NOT_RUNNING,
        },
        Command::IsActive { names, quiet } => with_report(control, |report| {
            let (text, status) = active(report, &names);
            print(if quiet { "" } else { &text });
            status
        }),
        Command::IsEnabled { names, quiet } => units::is_enabled(&names, quiet),
        Command::Cat(names) => units::cat(&names),
        Command::ListUnits => with_report(control, |report| {
            print(&units::list(report));
            0
        }),
        Command::DaemonReload => units::reload(control),
        Command::IsSystemRunning { quiet } => with_report(control, |report| {
            let state = machine_state(report);
            if !quiet {
                print(&format!("{state}\n"));
            }
            i32::from(state != "running")
        }),
        Command::Help => help::list(table),
        Command::Unknown(verb) => {
            print_error(&format!(
                "systemctl: {verb}: not known here: this is boot2podman, without systemd; \
                 see `b2p help`"
            ));
            1
        }
    }
}

fn with_report(control: &ControlClient, then: impl FnOnce(&Report<'_>) -> i32) -> i32 {
    match control.ask(&Request::Status) {
        Ok(text) => then(&Report::parse(&text)),
        Err(error) => {
            let error = control_client::explain(&error, "b2p status");
            print_error(&format!("b2p: {error}"));
            1
        }
    }
}

/// Returns a line for each name, and the exit status: 0 if one of them is active
/// (systemctl(1)).
fn active(report: &Report<'_>, names: &[String]) -> (String, i32) {
    let line = |name: &String| match status::find(report, name).map(|s| s.state) {
        Some(State::Up | State::Armed | State::Done) => "active\n",
        Some(State::Failed) => "failed\n",
        Some(State::Stopping) => "deactivating\n",
        Some(State::Off) | None => "inactive\n",
        Some(_) => "activating\n",
    };
    let lines: Vec<&str> = names.iter().map(line).collect();
    let is_active = lines.contains(&"active\n");
    (lines.concat(), if is_active { 0 } else { NOT_RUNNING })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> Command {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words)
    }

    fn names(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn the_verbs() {
        for (line, command) in [
            ("poweroff", Command::Power("poweroff", vec![])),
            ("-i reboot --no-wall", Command::Power("reboot", vec![])),
            ("halt -f", Command::Power("halt", names(&["-f"]))),
            (
                "restart sshd.service",
                Command::Service(Verb::Restart, names(&["sshd"])),
            ),
            (
                "start podman.socket web --now",
                Command::Service(Verb::Start, names(&["podman", "web"])),
            ),
            ("stop web", Command::Service(Verb::Stop, names(&["web"]))),
            ("", Command::Status(vec![])),
            ("--no-pager status sshd", Command::Status(names(&["sshd"]))),
            (
                "is-active -q sshd",
                Command::IsActive {
                    names: names(&["sshd"]),
                    quiet: true,
                },
            ),
            (
                "is-system-running",
                Command::IsSystemRunning { quiet: false },
            ),
            ("cat web", Command::Cat(names(&["web"]))),
            (
                "is-enabled -q web.service",
                Command::IsEnabled {
                    names: names(&["web"]),
                    quiet: true,
                },
            ),
            ("list-units --all", Command::ListUnits),
            ("--user daemon-reload", Command::DaemonReload),
            ("status --help", Command::Help),
            ("enable --now sshd", Command::Unknown("enable".into())),
            (
                "poweroff --when=+5min",
                Command::Unknown("--when=+5min".into()),
            ),
        ] {
            assert_eq!(ask(line), command, "{line}");
        }
    }

    #[test]
    fn who_is_active() {
        let text = "service a up\nservice b armed\nservice c failed\nservice d delayed\n";
        let report = Report::parse(text);
        let (text, status) = active(&report, &names(&["a", "b", "c", "d", "e"]));
        assert_eq!(
            (text.as_str(), status),
            ("active\nactive\nfailed\nactivating\ninactive\n", 0)
        );
        assert_eq!(active(&report, &names(&["c"])), ("failed\n".to_owned(), 3));
    }
}
