// SPDX-License-Identifier: Apache-2.0
//! `ssh`, `url`, `ip`.

use super::env_text::ssh_url;
use super::show::target;
use super::{
    dirs, lifecycle, machine, machines, many_names, not_running, one_name, state, takes_ssh, wait,
};
use crate::compat::USERNAME;
use crate::fault::Fault;
use crate::keeper::tunnel::host_alias;
use crate::state::State;
use crate::store::{Dirs, Machine, field, share};
use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command as Process, ExitCode};
use std::time::{Duration, Instant};

/// Returns the argument of a command that passes its words on to ssh(1).
fn words(help: &'static str) -> Arg {
    Arg::new("words")
        .value_name("[--start] [NAME] [COMMAND...]")
        .action(ArgAction::Append)
        .num_args(0..)
        .value_parser(clap::value_parser!(OsString))
        .trailing_var_arg(true)
        .allow_hyphen_values(true)
        .help(help)
}

/// Returns the parser of `ssh`.
pub fn ssh_command() -> Command {
    Command::new("ssh")
        .about("Log in to a machine, or run a command in it")
        .arg(words(
            "Machine, options of ssh(1), and a command; --start starts a machine that is off",
        ))
}

/// Runs `ssh`: this process becomes ssh, so that its exit status is that of the command.
pub fn ssh(matches: &ArgMatches) -> Result<ExitCode> {
    become_ssh(matches, |_, rest| Ok(rest))
}

/// Returns the parser of `shell`.
pub fn shell_command() -> Command {
    Command::new("shell")
        .about("Log in to a machine, or run a command in it, in this directory if it is shared")
        .arg(words(
            "Machine, and a command; --start starts a machine that is off",
        ))
}

/// Runs `shell`.
pub fn shell(matches: &ArgMatches) -> Result<ExitCode> {
    become_ssh(matches, |machine, command| {
        let shares = machine.config()?.shares;
        let here = std::env::current_dir().ok();
        let there = here.and_then(|here| share::place(&shares, &here));
        Ok(match there {
            Some(there) => in_directory(&there, &command),
            None => command,
        })
    })
}

/// Returns the arguments of ssh(1) that run a command, or a shell, in a directory of the machine.
fn in_directory(directory: &str, command: &[OsString]) -> Vec<OsString> {
    let directory = format!("'{}'", directory.replace('\'', "'\\''"));
    let command = match command {
        [dashes, rest @ ..] if dashes == "--" => rest,
        all => all,
    };
    match command {
        [] => vec![
            "-t".into(),
            format!("cd {directory}; exec \"$SHELL\" -l").into(),
        ],
        words => {
            let mut line = OsString::from(format!("cd {directory} && "));
            line.push(words.join(" ".as_ref()));
            vec!["--".into(), line]
        }
    }
}

/// Takes `--username USER` from the words before the machine; returns ssh's option for it.
fn login(words: &mut Vec<OsString>) -> Vec<OsString> {
    let user = match words.as_slice() {
        [first, user, ..] if first == USERNAME => user.clone(),
        [first, ..] => match first
            .to_str()
            .and_then(|first| first.strip_prefix(USERNAME)?.strip_prefix('='))
        {
            Some(user) => user.into(),
            None => return Vec::new(),
        },
        [] => return Vec::new(),
    };
    words.drain(..if words[0] == USERNAME { 2 } else { 1 });
    vec!["-l".into(), user]
}

/// Option that starts a machine that does not run.
const START: &str = "--start";

/// Takes [`START`] from the words before the machine.
fn start_flag(words: &mut Vec<OsString>) -> bool {
    let is_first = words.first().is_some_and(|word| word == START);
    if is_first {
        words.remove(0);
    }
    is_first
}

/// Refuses a machine that does not run, or starts one that is off and waits for one that starts: without a line on standard output, which is that of
/// the command. ssh works from the ready line on, whether or not podman's API answers.
fn make_running(dirs: &Dirs, machine: &Machine, starts: bool) -> Result<()> {
    let now = state(dirs, machine)?;
    let limit = Duration::from_secs(lifecycle::START_SECONDS);
    if takes_ssh(machine, now) {
        return Ok(());
    }
    if starts && matches!(now, State::Stopped | State::Saved | State::Paused) {
        crate::out::be_quiet();
        let deadline = Instant::now() + limit;
        let started = lifecycle::start_one(dirs, machine, limit);
        // Another command may have started it meanwhile.
        let now = state(dirs, machine)?;
        if takes_ssh(machine, now) {
            return Ok(());
        }
        if started.is_ok() || now != State::Starting {
            return started;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        return wait::ready(dirs, machine, left);
    }
    if starts && now == State::Starting {
        return wait::ready(dirs, machine, limit);
    }
    let name = &machine.name;
    let text = format!("Error: Cannot run SSH command: Host \"{name}\" is not running");
    Err(Fault::new(text).into())
}

/// Options of ssh that take an argument (ssh(1)).
const WITH_ARGUMENT: &str = "BbcDEeFIiJLlmOoPpQRSWw";

/// Returns the options by which `-A` and `-o ForwardAgent=` forward the user's agent, which the machine's configuration
/// turns off. The options of ssh end at the first word that is none.
fn agent(words: &[OsString]) -> &'static [&'static str] {
    let mut words = words.iter().map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        let Some(letters) = word
            .strip_prefix('-')
            .filter(|letters| !letters.is_empty() && *letters != "-")
        else {
            break;
        };
        let end = letters.find(|letter| WITH_ARGUMENT.contains(letter));
        let (switches, last) = letters.split_at(end.unwrap_or(letters.len()));
        let argument = match last.len() {
            0 => None,
            1 => words.next().map(std::borrow::Cow::into_owned),
            _ => Some(last[1..].to_owned()),
        };
        let option = argument.filter(|_| last.starts_with('o'));
        let forwards = option.is_some_and(|o| o.to_lowercase().starts_with("forwardagent"));
        if switches.contains('A') || forwards {
            return &["-o", "IdentityAgent=SSH_AUTH_SOCK"];
        }
    }
    &[]
}

/// Becomes ssh, with the arguments that `arguments` makes of those behind the machine's name.
fn become_ssh(
    matches: &ArgMatches,
    arguments: impl FnOnce(&Machine, Vec<OsString>) -> Result<Vec<OsString>>,
) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let mut words: Vec<OsString> = matches
        .get_many("words")
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    let mut starts = start_flag(&mut words);
    let mut login = login(&mut words);
    starts |= start_flag(&mut words);
    let name = (!words.is_empty()).then(|| words.remove(0));
    let mut name = name.map(|name| name.to_string_lossy().into_owned());
    // No name of a machine has an `@`.
    if let Some((user, machine)) = name.as_deref().and_then(|name| name.split_once('@')) {
        if !field::is_login(user) {
            let text =
                format!("Error: {user}: must be a login name of letters, digits, _, . and -");
            return Err(Fault::new(text).into());
        }
        login = vec!["-l".into(), user.into()];
        name = Some(machine.to_owned());
    }
    let machine = super::named(&dirs, name.as_deref())?;
    let name = machine.name.as_str();
    make_running(&dirs, &machine, starts)?;
    let mut ssh = Process::new("ssh");
    ssh.arg("-F")
        .arg(machine.file("ssh_config"))
        .args(agent(&words))
        .args(login)
        .arg(host_alias(name))
        .args(arguments(&machine, words)?);
    Err(ssh.exec()).context("cannot start ssh: is it installed?")
}

/// Returns the parser of `url`.
pub fn url_command() -> Command {
    Command::new("url")
        .about("Print the URL of a machine's podman API")
        .args(one_name())
        .arg(
            Arg::new("ssh")
                .long("ssh")
                .action(ArgAction::SetTrue)
                .help("Print the URL by ssh"),
        )
}

/// Runs `url`.
pub fn url(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let machine = machine(&dirs, matches)?;
    if state(&dirs, &machine)? != State::Running {
        return Err(not_running());
    }
    match matches.get_flag("ssh") {
        true => println!("{}", ssh_url(&target(&machine, &machine.config()?)?)),
        false => println!("unix://{}", machine.api().display()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the parser of `ip`.
pub fn ip_command() -> Command {
    Command::new("ip")
        .about("Print the address at which machines are reached")
        .arg(many_names())
}

/// Runs `ip`.
pub fn ip(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    for machine in machines(&dirs, matches)? {
        if state(&dirs, &machine)? != State::Running {
            return Err(not_running());
        }
        println!("127.0.0.1");
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn a_login_name_comes_before_the_machine() {
        for (line, rest, option) in [
            ("--username root box ls", "box ls", "-l root"),
            ("--username=root box", "box", "-l root"),
            ("--username root", "", "-l root"),
            ("--username", "--username", ""),
            ("box --username root", "box --username root", ""),
            ("box", "box", ""),
        ] {
            let mut words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let blank = OsStr::new(" ");
            assert_eq!(login(&mut words).join(blank), option, "{line}");
            assert_eq!(words.join(blank), rest, "{line}");
        }
    }

    #[test]
    fn an_agent_is_forwarded_in_every_form_of_the_option() {
        for (line, forwards) in [
            ("-A", true),
            ("-tA ls", true),
            ("-v -p 22 -A", true),
            ("-o ForwardAgent=yes ls", true),
            ("-oforwardagent=yes", true),
            ("-l A ls", false),
            ("-lA ls", false),
            ("ls -A", false),
            ("-- ls -A", false),
            ("-", false),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(!agent(&words).is_empty(), forwards, "{line}");
        }
    }

    #[test]
    fn a_shell_is_in_the_directory_of_the_host() {
        let line = |directory: &str, command: &[&str]| {
            let command: Vec<OsString> = command.iter().map(OsString::from).collect();
            in_directory(directory, &command).join(OsStr::new(" "))
        };
        for (directory, command, expected) in [
            ("/w", &[][..], "-t cd '/w'; exec \"$SHELL\" -l"),
            ("/w", &["--"], "-t cd '/w'; exec \"$SHELL\" -l"),
            (
                "/it's a",
                &["make", "-j2"],
                "-- cd '/it'\\''s a' && make -j2",
            ),
            ("/w", &["--", "ls", "-l"], "-- cd '/w' && ls -l"),
        ] {
            assert_eq!(line(directory, command), expected);
        }
    }
}
