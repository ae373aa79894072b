//! `systemctl`: what scripts and fingers ask of it most, in our words.

use control::{Report, Request, State};

use crate::client::service::{self, Place, Verb};
use crate::client::status;
use crate::client::{help, power};
use crate::common::control_client::{self, ControlClient, machine_state};
use crate::common::terminal::{print, print_error};

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Power(&'static str, Vec<String>),
    Service(Verb, Vec<String>),
    Status(Vec<String>),
    IsActive(Vec<String>, bool),
    IsSystemRunning(bool),
    NothingToDo,
    Help,
    Unknown(String),
}

fn parse(words: &[String]) -> Asked {
    let (options, plain): (Vec<&String>, Vec<&String>) =
        words.iter().partition(|w| w.starts_with('-'));
    let has = |names: &[&str]| options.iter().any(|o| names.contains(&o.as_str()));
    if has(&["--help"]) {
        return Asked::Help;
    }
    let quiet = has(&["-q", "--quiet"]);
    // It would end the machine now, where that is asked for later.
    let when = options.iter().find(|o| o.starts_with("--when"));
    let (verb, names) = match (plain.split_first(), when) {
        (_, Some(when)) => return Asked::Unknown((*when).clone()),
        (None, None) => ("status", Vec::new()),
        (Some((verb, names)), None) => (verb.as_str(), names.iter().map(|n| unit(n)).collect()),
    };
    let force = has(&["-f", "--force", "-ff"]);
    let power = |name| Asked::Power(name, force.then(|| "-f".to_owned()).into_iter().collect());
    match verb {
        "poweroff" => power("poweroff"),
        "reboot" => power("reboot"),
        "halt" => power("halt"),
        "start" => Asked::Service(Verb::Start, names),
        "stop" => Asked::Service(Verb::Stop, names),
        "restart" => Asked::Service(Verb::Restart, names),
        "status" => Asked::Status(names),
        "is-active" => Asked::IsActive(names, quiet),
        "is-system-running" => Asked::IsSystemRunning(quiet),
        "daemon-reload" | "daemon-reexec" => Asked::NothingToDo,
        verb => Asked::Unknown(verb.to_owned()),
    }
}

/// `sshd.service` is our `sshd`.
fn unit(name: &str) -> String {
    let suffixes = [".service", ".socket"];
    let bare = suffixes.iter().find_map(|s| name.strip_suffix(s));
    bare.unwrap_or(name).to_owned()
}

/// `systemctl …`.
pub fn main(link: &ControlClient, words: &[String]) -> i32 {
    match parse(words) {
        Asked::Power(name, options) => power::main(link, name, &options),
        Asked::Service(verb, names) => service::main(&Place::real(link), verb, &names),
        Asked::Status(names) if names.is_empty() => status::main(link, &[]),
        Asked::Status(names) => {
            // systemctl(1): 3 is "not running".
            if status::main(link, &names) == 0 {
                0
            } else {
                3
            }
        }
        Asked::IsActive(names, quiet) => with_report(link, |r| {
            let (text, code) = active(r, &names);
            print(if quiet { "" } else { &text });
            code
        }),
        Asked::IsSystemRunning(quiet) => with_report(link, |r| {
            let state = machine_state(r);
            print(&if quiet {
                String::new()
            } else {
                format!("{state}\n")
            });
            i32::from(state != "running")
        }),
        Asked::Help => help::list(),
        Asked::NothingToDo => {
            print_error("systemctl: nothing to do: this is boot2podman, without systemd");
            0
        }
        Asked::Unknown(verb) => {
            print_error(&format!(
                "systemctl: {verb}: not known here: this is boot2podman, without systemd; see `b2p help`"
            ));
            1
        }
    }
}

fn with_report(link: &ControlClient, then: impl FnOnce(&Report<'_>) -> i32) -> i32 {
    match link.ask(&Request::Status) {
        Ok(text) => then(&Report::parse(&text)),
        Err(failure) => {
            print_error(&control_client::line(&failure, "b2p status"));
            1
        }
    }
}

/// A word for each name, and 0 if one is active, else 3 (systemctl(1)).
fn active(report: &Report<'_>, names: &[String]) -> (String, i32) {
    let word = |name: &String| {
        let state = report
            .services
            .iter()
            .find(|s| s.name == name)
            .map(|s| s.state);
        match state {
            Some(State::Up | State::Armed | State::Done) => "active\n",
            Some(State::Failed) => "failed\n",
            Some(State::Stopping) => "deactivating\n",
            Some(State::Off) | None => "inactive\n",
            Some(_) => "activating\n",
        }
    };
    let words: Vec<&str> = names.iter().map(word).collect();
    let code = if words.contains(&"active\n") { 0 } else { 3 };
    (words.concat(), code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> Asked {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words)
    }

    fn names(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn the_verbs() {
        for (line, asked) in [
            ("poweroff", Asked::Power("poweroff", vec![])),
            ("-i reboot --no-wall", Asked::Power("reboot", vec![])),
            ("halt -f", Asked::Power("halt", names(&["-f"]))),
            (
                "restart sshd.service",
                Asked::Service(Verb::Restart, names(&["sshd"])),
            ),
            (
                "start podman.socket web --now",
                Asked::Service(Verb::Start, names(&["podman", "web"])),
            ),
            ("stop web", Asked::Service(Verb::Stop, names(&["web"]))),
            ("", Asked::Status(vec![])),
            ("--no-pager status sshd", Asked::Status(names(&["sshd"]))),
            ("is-active -q sshd", Asked::IsActive(names(&["sshd"]), true)),
            ("is-system-running", Asked::IsSystemRunning(false)),
            ("daemon-reload", Asked::NothingToDo),
            ("status --help", Asked::Help),
            ("enable --now sshd", Asked::Unknown("enable".into())),
            (
                "poweroff --when=+5min",
                Asked::Unknown("--when=+5min".into()),
            ),
        ] {
            assert_eq!(ask(line), asked, "{line}");
        }
    }

    #[test]
    fn who_is_active() {
        let text = "service a up\nservice b armed\nservice c failed\nservice d delayed\n";
        let report = Report::parse(text);
        let (said, code) = active(&report, &names(&["a", "b", "c", "d", "e"]));
        assert_eq!(
            (said.as_str(), code),
            ("active\nactive\nfailed\nactivating\ninactive\n", 0)
        );
        assert_eq!(active(&report, &names(&["c"])), ("failed\n".to_owned(), 3));
    }
}
