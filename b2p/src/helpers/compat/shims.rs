// SPDX-License-Identifier: Apache-2.0
//! Commands of systemd, OpenRC and Fedora that hosts send into the machine, in one table: [`SHIMS`]. Most have nothing to do
//! here, or little.

use std::fs;
use std::path::Path;

use log::info;
use sys::error::{Error, Result};
use sys::files::replace;

use self::Answer::{Act, Program};
use super::{environment_d, session_environment};
use crate::common::terminal::print_error;
use crate::common::{certs, user_text};

/// A command that is answered without systemd.
pub struct Shim {
    /// Program, and the words that must be among its arguments.
    pub words: &'static [&'static str],
    /// Answer to the command.
    pub answer: Answer,
    /// Reason: the sender of the command, and the ground for this answer.
    pub why: &'static str,
}

/// Answer to a command of the table.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// An action; an error is shown, and the exit status is then 1.
    Act(fn() -> Result<()>),
    /// The program of that name, a row of `crate::applets::APPLETS`, reads the arguments and does the work.
    Program,
}

/// All such commands; the first row whose words are all there counts.
#[rustfmt::skip]
pub const SHIMS: &[Shim] = &[
    Shim { words: &["systemctl", "--user", "daemon-reload"],           answer: Act(nothing),              why: "a user's units are read again, and the proxies are the machine's" },
    Shim { words: &["systemctl", "daemon-reload"],                     answer: Act(environment),          why: "podman machine ends the script that writes the proxies with it, and shows its output" },
    Shim { words: &["systemctl", "daemon-reexec"],                     answer: Act(nothing),              why: "there is no systemd to start again" },
    Shim { words: &["systemctl", "--user", "podman.socket"],           answer: Act(user_socket),          why: "Lima's template enables it: PID 1 holds the socket from the boot on" },
    Shim { words: &["systemctl", "--user", "podman.service"],          answer: Act(user_socket),          why: "the same" },
    Shim { words: &["systemctl", "enable", "podman.socket"],           answer: Act(nothing),              why: "PID 1 holds the socket from the boot on" },
    Shim { words: &["systemctl", "enable", "podman-restart.service"],  answer: Act(nothing),              why: "the service `containers` does that work at each boot" },
    Shim { words: &["systemctl", "enable", "podman-restart"],          answer: Act(nothing),              why: "the same, without the suffix" },
    Shim { words: &["systemctl", "start", "systemd-logind.service"],   answer: Act(nothing),              why: "Lima's boot script: sessions need no manager" },
    Shim { words: &["loginctl", "enable-linger"],                      answer: Act(nothing),              why: "Lima's boot script: users' services run without a session" },
    Shim { words: &["loginctl", "disable-linger"],                     answer: Act(nothing),              why: "the same, which cannot be turned off" },
    Shim { words: &["loginctl", "show-user", "--value"],               answer: Act(lingers_value),        why: "the same, for the value alone" },
    Shim { words: &["loginctl", "show-user"],                          answer: Act(lingers),              why: "programs ask for Linger=yes" },
    Shim { words: &["loginctl", "terminate-user"],                     answer: Act(session_environment::apply), why: "Lima ends sessions when it has written /etc/environment, so that the next one has its variables" },
    Shim { words: &["systemd-tmpfiles", "--create"],                   answer: Program,                   why: "podman machine leads docker's socket to another podman at `set --rootful`" },
    Shim { words: &["rc-update"],                                      answer: Program,                   why: "Lima's boot script adds its agent to a runlevel; services of it begin anew in each boot" },
    Shim { words: &["rc-service"],                                     answer: Program,                   why: "Lima's boot script starts its agent, which forwards ports and sockets" },
    Shim { words: &["update-ca-trust"],                                answer: Act(trust_anchors),        why: "podman machine 6 copies the host's certificate authorities, and calls it" },
];

/// Directory of certificate authorities that Fedora has.
const ANCHORS: &str = "/etc/pki/ca-trust/source/anchors";
/// Bundle of certificate authorities that programs read.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Longest file of certificates that is read, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// Verbs of systemctl(1) that a row without a verb answers: the requested or queried state holds.
const VERBS: &[&str] = &["enable", "start", "restart", "is-active", "is-enabled"];

/// Runs the row of a command; returns the exit status, or `None` without a row.
#[must_use]
pub fn run(program: &str, args: &[String]) -> Option<i32> {
    let shim = find(program, args)?;
    let Answer::Act(act) = shim.answer else {
        return None;
    };
    Some(match act() {
        Ok(()) => 0,
        Err(why) => {
            print_error(&format!("{program}: {why}"));
            1
        }
    })
}

/// Runs a program that is nothing but rows of the table; returns the exit status.
#[must_use]
pub fn main(program: &str, args: &[String]) -> i32 {
    run(program, args).unwrap_or_else(|| {
        let words = args.join(" ");
        print_error(&format!(
            "{program}: {words}: not known here: this is boot2podman, without systemd; see `b2p help`"
        ));
        1
    })
}

fn find(program: &str, args: &[String]) -> Option<&'static Shim> {
    let has = |word: &&str| *word == program || args.iter().any(|arg| arg == word);
    let fits = |shim: &&Shim| {
        // A row of systemctl answers its own verbs and units only: neither other units nor `stop`.
        let is_known =
            |arg: &str| arg.starts_with('-') || shim.words.contains(&arg) || VERBS.contains(&arg);
        let is_whole = program != "systemctl" || args.iter().all(|arg| is_known(arg));
        shim.words.first() == Some(&program) && shim.words.iter().all(&has) && is_whole
    };
    SHIMS.iter().find(fits)
}

fn nothing() -> Result<()> {
    Ok(())
}

/// Gives podman the variables of environment.d(5). A file that cannot be read is named, and is no failure: systemd's
/// `daemon-reload` succeeds then, and podman machine's start ends with the status of the command.
fn environment() -> Result<()> {
    if let Err(why) = environment_d::apply() {
        print_error(&format!("systemctl: daemon-reload: {why}"));
    }
    Ok(())
}

fn lingers() -> Result<()> {
    crate::common::terminal::print("Linger=yes\n");
    Ok(())
}

fn lingers_value() -> Result<()> {
    crate::common::terminal::print("yes\n");
    Ok(())
}

/// Succeeds if the caller has a socket of podman's API.
fn user_socket() -> Result<()> {
    let uid = nix::unistd::getuid();
    let path = format!("/run/user/{uid}/podman/podman.sock");
    match Path::new(&path).exists() {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "{path} is not there; /run/podman/podman.sock is the machine's"
        ))),
    }
}

/// Adds the certificate authorities of [`ANCHORS`] to the bundle.
fn trust_anchors() -> Result<()> {
    let mut added = Vec::new();
    let mut errors = Vec::new();
    for entry in fs::read_dir(ANCHORS).into_iter().flatten().flatten() {
        let path = entry.path();
        let text = user_text::read(&path, MAX_BYTES)?.unwrap_or_default();
        match certs::certificates(&String::from_utf8_lossy(&text)) {
            Ok(found) => added.extend(found),
            Err(why) => errors.push(Error::invalid(format!("{}: {why}", path.display()))),
        }
    }
    let before = sys::files::read_text(BUNDLE).unwrap_or_default();
    let after = certs::with(&before, &added);
    if after != before {
        replace(Path::new(BUNDLE), after.as_bytes(), 0o644)?;
        info!("update-ca-trust: {} certificates", added.len());
    }
    Error::join(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: &str) -> Option<&'static [&'static str]> {
        let mut words = line.split_whitespace().map(str::to_owned);
        let program = words.next().unwrap_or_default();
        let args: Vec<String> = words.collect();
        find(&program, &args).map(|shim| shim.words)
    }

    #[test]
    fn commands_as_hosts_send_them() {
        for (line, last) in [
            ("systemctl daemon-reload", Some("daemon-reload")),
            ("systemctl --system daemon-reload", Some("daemon-reload")),
            ("systemctl daemon-reload --user", Some("daemon-reload")),
            (
                "systemctl --user enable --now podman.socket",
                Some("podman.socket"),
            ),
            (
                "systemctl --user is-active --quiet podman.socket",
                Some("podman.socket"),
            ),
            (
                "systemctl enable --now podman.socket",
                Some("podman.socket"),
            ),
            (
                "systemctl start systemd-logind.service",
                Some("systemd-logind.service"),
            ),
            ("loginctl enable-linger ann", Some("enable-linger")),
            (
                "loginctl show-user ann --property=Linger",
                Some("show-user"),
            ),
            ("loginctl show-user ann -p Linger --value", Some("--value")),
            ("systemctl enable podman-restart", Some("podman-restart")),
            ("loginctl terminate-user ann", Some("terminate-user")),
            ("update-ca-trust extract", Some("update-ca-trust")),
            ("systemctl start podman.socket", None),
            ("systemctl enable podman.socket web.service", None),
            ("systemctl --user stop podman.socket", None),
            ("systemctl --user disable --now podman.socket", None),
            ("systemctl --user status podman.socket", None),
            ("systemctl enable web", None),
            ("loginctl list-sessions", None),
            (
                "systemd-tmpfiles --create --prefix=/run/docker.sock",
                Some("--create"),
            ),
            (
                "rc-service --ifstarted lima-guestagent restart",
                Some("rc-service"),
            ),
            ("rc-update add lima-guestagent default", Some("rc-update")),
        ] {
            assert_eq!(
                row(line).and_then(|words| words.last()).copied(),
                last,
                "{line}"
            );
        }
    }

    #[test]
    fn a_user_who_has_units_read_again_changes_nothing_of_the_machine() {
        let users = row("systemctl --user daemon-reload").unwrap_or_default();
        assert!(users.contains(&"--user"), "{users:?}");
        let machines = row("systemctl daemon-reload").unwrap_or_default();
        assert!(!machines.contains(&"--user"), "{machines:?}");
    }

    #[test]
    fn every_row_has_a_reason() {
        assert!(
            SHIMS
                .iter()
                .all(|s| !s.why.is_empty() && !s.words.is_empty())
        );
    }
}
