// SPDX-License-Identifier: Apache-2.0
//! `systemctl`: the verbs that scripts and people use most, with the exit statuses and lines of systemctl(1).

use std::os::unix::process::CommandExt;
use std::process::Command;

use control::{Report, Request};
use nix::unistd::geteuid;
use sys::error::{Error, Result};

use crate::applet::Applet;
use crate::client::{help, power, status};
use crate::common::control_client::{self, ControlClient};
use crate::common::service_env::Environment;
use crate::common::terminal::{print_plain as print, print_plain_error as print_error};
use crate::helpers::compat::shims;
use crate::helpers::engine::PodmanUser;
use crate::helpers::quadlet;
use crate::helpers::quadlet::host;
use crate::helpers::quadlet::specifiers::Owner;

use self::change::Targets;
use self::options::Options;

mod arguments;
mod change;
mod enable;
mod enable_update_timer;
mod links;
mod list;
mod mask;
mod not_loaded;
mod options;
mod query;
mod show;
mod signals;
mod timer_units;
mod timers;
mod units;
mod wait;

/// Exit status for a lack of privilege (systemctl(1), LSB).
const NOT_ALLOWED: i32 = 4;
/// Option by which the command of a user reports to its command as root that the links are made.
const HAS_LINKS: &str = "links-are-made";
/// Verbs that change nothing, permitted for every user.
const READING: &[&str] = &[
    "",
    "status",
    "show",
    "cat",
    "is-active",
    "is-failed",
    "is-enabled",
    "is-system-running",
    "list-units",
    "list-unit-files",
    "list-dependencies",
    "list-jobs",
    "list-timers",
    "get-default",
];

/// Runs `systemctl …` and returns the exit status. `table` has the help.
pub fn main(control: &ControlClient, table: &'static [Applet], args: &[String]) -> i32 {
    let options = Options::parse(args);
    if let Some(status) = arguments::answer(&options) {
        return status;
    }
    if let Some(option) = options.not_here() {
        return unknown(&format!("--{option}"));
    }
    let (status, rest) = answered(args, &options, |args| shims::run("systemctl", args));
    rest.map_or(status, |rest| answer(control, table, &rest).max(status))
}

/// Runs the shims of a command, for each unit that has one, and returns the worst status; and the arguments with the
/// other units, if there is more to do.
fn answered(
    args: &[String],
    options: &Options,
    shim: impl Fn(&[String]) -> Option<i32>,
) -> (i32, Option<Vec<String>>) {
    let Options { verb, names, .. } = options;
    if names.is_empty() {
        return match shim(args) {
            Some(status) if status != 0 || verb != "daemon-reload" => (status, None),
            _ => (0, Some(args.to_vec())),
        };
    }
    let (mut worst, mut left) = (0, names.clone());
    for name in names {
        let is_for = |arg: &&String| *arg == name || !names.contains(arg);
        let one: Vec<String> = args.iter().filter(is_for).cloned().collect();
        let Some(status) = shim(&one) else { continue };
        match verb.as_str() {
            "is-active" if status == 0 && !options.has("quiet") => print("active\n"),
            "is-enabled" if status == 0 && !options.has("quiet") => print("enabled\n"),
            _ => {}
        }
        worst = worst.max(status);
        left.retain(|other| other != name);
    }
    let is_left = |arg: &&String| left.contains(arg) || !names.contains(arg);
    let rest = || args.iter().filter(is_left).cloned().collect();
    (worst, (!left.is_empty()).then(rest))
}

/// Runs a command that no shim answers, and returns the exit status.
fn answer(control: &ControlClient, table: &'static [Applet], args: &[String]) -> i32 {
    let options = Options::parse(args);
    if options.has("help") {
        return help::list(table);
    }
    let uid = geteuid().as_raw();
    if let Some(status) = links::link_as_user(&options, uid) {
        return status;
    }
    let is_power = ["poweroff", "reboot", "halt"].contains(&options.verb.as_str());
    let may_ask = options.has("user") || READING.contains(&options.verb.as_str());
    if uid != 0 && may_ask && !is_power {
        return as_root(args, links::is_link(&options.verb));
    }
    run(control, table, &options)
}

/// Runs the command as root, which sudo(8) may allow without a password. The user stays known, and that the
/// links of a user's files are made.
fn as_root(args: &[String], has_links: bool) -> i32 {
    let why = Command::new("/usr/bin/sudo")
        .args(["-n", "/usr/bin/systemctl"])
        .args(has_links.then_some(format!("--{HAS_LINKS}")))
        .args(args)
        .exec();
    print_error(&format!("systemctl: only root may: {why}"));
    NOT_ALLOWED
}

/// Returns the user whose units the command concerns: root, or with `--user` the caller of sudo(8) or the
/// NAME of `--machine=NAME@`.
fn owner(options: &Options) -> Result<Owner> {
    if !options.has("user") {
        return Ok(Owner::default());
    }
    let passwd = sys::files::read_text("/etc/passwd")?;
    let by_name = options.value("machine").and_then(|m| m.split_once('@'));
    if let Some((name, _)) = by_name {
        let user = PodmanUser::with_name(&passwd, name);
        let unknown = || Error::invalid(format!("--machine={name}@: there is no such user"));
        return user.map(|user| host::owner(&user)).ok_or_else(unknown);
    }
    let uid = std::env::var("SUDO_UID")
        .ok()
        .and_then(|uid| uid.parse().ok());
    let user = uid.and_then(|uid| PodmanUser::with_uid(&passwd, uid));
    Ok(user.map_or_else(Owner::default, |user| host::owner(&user)))
}

/// Runs the verb with its necessary rights, and returns the exit status.
fn run(control: &ControlClient, table: &'static [Applet], options: &Options) -> i32 {
    let env = Environment::of(control);
    let owner = match owner(options) {
        Ok(owner) => owner,
        Err(why) => {
            print_error(&format!("systemctl: {why}"));
            return 1;
        }
    };
    let (first, rest) = enable_update_timer::handle(&env, options);
    let Some(rest) = rest else {
        return first;
    };
    let expanded = match arguments::has_patterns(&rest) {
        false => Ok(rest),
        true => report(control)
            .and_then(|text| arguments::expanded(&Report::parse(&text), &owner, &rest)),
    };
    let options = &match expanded {
        Ok(options) => options,
        Err(status) => return status,
    };
    if let Some(status) = read(control, &owner, options) {
        return status;
    }
    let targets = Targets {
        env: &env,
        owner: &owner,
        options,
    };
    change(control, table, &targets).max(first)
}

/// Runs a verb that changes something, and returns the exit status.
fn change(control: &ControlClient, table: &'static [Applet], targets: &Targets<'_>) -> i32 {
    let ask = |then: &dyn Fn(&Report<'_>) -> i32| with_report(control, then);
    let options = targets.options;
    match options.verb.as_str() {
        verb @ ("poweroff" | "reboot" | "halt") => {
            let force = options.has("force").then(|| "-f".to_owned());
            let force: Vec<String> = force.into_iter().collect();
            power::main(control, table, verb, &force)
        }
        "start" => {
            let status = ask(&|report| targets.start(report));
            match options.has("wait") && status == 0 {
                true => wait::for_end(control, targets.owner, options),
                false => status,
            }
        }
        "stop" => ask(&|report| targets.stop(report)),
        verb @ "restart" => ask(&|report| targets.restart(report, verb, false)),
        verb @ ("try-restart" | "condrestart") => {
            ask(&|report| targets.restart(report, verb, true))
        }
        "reload" => ask(&|report| targets.reload(report)),
        verb @ ("reload-or-restart" | "try-reload-or-restart") => {
            ask(&|report| targets.reload_or_restart(report, verb))
        }
        "kill" => ask(&|report| targets.kill(report)),
        "reset-failed" => ask(&|report| targets.reset_failed(report)),
        verb if links::is_link(verb) => links::change(control, targets),
        "daemon-reload" => reload(targets.env),
        verb => unknown(verb),
    }
}

/// Runs a verb that changes nothing, and returns the exit status; `None` for another verb.
fn read(control: &ControlClient, owner: &Owner, options: &Options) -> Option<i32> {
    let ask = |then: &dyn Fn(&Report<'_>) -> i32| with_report(control, then);
    Some(match options.verb.as_str() {
        "" => ask(&|report| list::units(report, owner, options)),
        "status" if options.names.is_empty() => status::main(control, &[]),
        "status" => ask(&|report| show::status(report, owner, options)),
        "show" => ask(&|report| show::show(report, owner, options)),
        "cat" => ask(&|report| query::cat(report, owner, options)),
        "is-active" => ask(&|report| query::is_active(report, owner, options)),
        "is-failed" => ask(&|report| query::is_failed(report, owner, options)),
        "is-enabled" => ask(&|report| query::is_enabled(report, owner, options)),
        "list-units" => ask(&|report| list::units(report, owner, options)),
        "list-unit-files" => ask(&|report| list::unit_files(report, owner, options)),
        "list-dependencies" => ask(&|report| list::dependencies(report, owner, options)),
        "list-jobs" => list::jobs(),
        "list-timers" => ask(&|report| timers::list(control, report, owner, options)),
        "get-default" => {
            print("multi-user.target\n");
            0
        }
        "is-system-running" => wait::is_system_running(control, options),
        _ => return None,
    })
}

fn unknown(word: &str) -> i32 {
    print_error(&format!(
        "systemctl: {word}: not known here: this is boot2podman, without systemd; see `b2p help`"
    ));
    1
}

/// Reads the unit files again, and returns the exit status. A file that is wrong is no failure of the command, as in
/// systemd: the last command of podman machine's start is this one.
fn reload(env: &Environment) -> i32 {
    let result = quadlet::reload(env);
    let status = i32::from(result.is_err());
    if let Err(why) = result.and_then(std::convert::identity) {
        print_error(&format!("systemctl: daemon-reload: {why}"));
    }
    status
}

fn with_report(control: &ControlClient, then: impl FnOnce(&Report<'_>) -> i32) -> i32 {
    report(control).map_or_else(|status| status, |text| then(&Report::parse(&text)))
}

/// Returns PID 1's report, or the exit status if PID 1 gives none.
fn report(control: &ControlClient) -> std::result::Result<String, i32> {
    control.ask(&Request::Status).map_err(|error| {
        let error = control_client::explain(&error, "systemctl …");
        print_error(&format!("systemctl: {error}"));
        NOT_ALLOWED
    })
}

#[cfg(test)]
mod verb_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shim_answers_for_its_own_unit_alone() {
        let words = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
        for (line, status, rest) in [
            ("enable --now a.socket web", 0, Some("enable --now web")),
            ("start -q b.socket web a.socket", 1, Some("start -q web")),
            ("enable a.socket b.socket", 1, None),
            ("enable web", 0, Some("enable web")),
            ("daemon-reload", 0, Some("daemon-reload")),
            ("daemon-reexec", 0, None),
        ] {
            let args = words(line);
            let shim = |args: &[String]| match args.last().map(String::as_str) {
                Some("a.socket" | "daemon-reload" | "daemon-reexec") => Some(0),
                Some("b.socket") => Some(1),
                _ => None,
            };
            let rest = rest.map(words);
            assert_eq!(
                answered(&args, &Options::parse(&args), shim),
                (status, rest),
                "{line}"
            );
        }
    }
}
