// SPDX-License-Identifier: Apache-2.0
//! `logs`, `console`.

use super::{dirs, machine, not_running, one_name, state, takes_ssh};
use crate::fault::Fault;
use crate::keeper::console::tail;
use crate::keeper::tunnel::{ALIVE, host_alias};
use crate::state::State;
use crate::store::watch::Watch;
use crate::store::{Dirs, Machine, lock};
use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command as Process, ExitCode};
use std::thread;

/// Logs of a machine: option and file.
const LOGS: [(&str, &str, &str); 4] = [
    (
        "console",
        "console.log",
        "Output of the machine's console (default)",
    ),
    ("qemu", "qemu.log", "Messages of QEMU"),
    ("keeper", "keeper.log", "Messages of the machine's keeper"),
    ("ssh", "ssh.log", "Messages of the ssh that carries the API"),
];

/// Returns the parser of `logs`.
pub fn command() -> Command {
    let flag = |(name, _, help): (&'static str, &str, &'static str)| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    Command::new("logs")
        .about("Print a log of a machine; it is kept when the machine is off")
        .args(one_name())
        .args(LOGS.map(flag))
        .args([
            Arg::new("follow")
                .short('f')
                .long("follow")
                .action(ArgAction::SetTrue)
                .help("Print what is added, until interrupted"),
            Arg::new("lines")
                .short('n')
                .long("lines")
                .value_name("NUMBER")
                .value_parser(value_parser!(u32))
                .help("Print the last lines alone"),
            Arg::new("previous")
                .long("previous")
                .action(ArgAction::SetTrue)
                .help("Print the log before this one, which was put aside when it was full"),
            Arg::new("service")
                .long("service")
                .value_name("SERVICE")
                .conflicts_with_all(["console", "qemu", "keeper", "ssh", "previous"])
                .help("Print the log of a service in the machine, as `b2p log SERVICE` does there"),
        ])
}

/// Runs `logs`.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let machine = machine(&dirs, matches)?;
    if let Some(service) = matches.get_one::<String>("service") {
        let lines = matches.get_one::<u32>("lines").copied();
        let command = service_log(service, matches.get_flag("follow"), lines)?;
        return log_of_guest(&dirs, &machine, &command);
    }
    let chosen = LOGS.iter().find(|(name, ..)| matches.get_flag(name));
    let name = chosen.map_or("console.log", |(_, file, _)| file);
    let end = if matches.get_flag("previous") {
        ".1"
    } else {
        ""
    };
    let path = machine.file(&format!("{name}{end}"));
    let begin = match matches.get_one::<u32>("lines") {
        Some(&lines) => {
            for line in tail(&path, lines as usize) {
                println!("{line}");
            }
            Some(std::fs::metadata(&path).map_or(0, |meta| meta.len()))
        }
        None => print_from(&path, 0)?,
    };
    match (matches.get_flag("follow"), begin) {
        (true, Some(begin)) => follow(&path, begin),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Returns the command in the machine that prints the log of a service.
fn service_log(service: &str, follow: bool, lines: Option<u32>) -> Result<String, Fault> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@:".contains(c);
    if service.is_empty() || service.starts_with('-') || !service.chars().all(plain) {
        let text = format!(
            "Error: --service {service}: must be the name of a service, as in `b2p status`"
        );
        return Err(Fault::new(text));
    }
    let follow = if follow { " -f" } else { "" };
    let lines = lines.map_or(String::new(), |lines| format!(" -n {lines}"));
    Ok(format!("sudo b2p log{follow}{lines} {service}"))
}

/// Becomes the ssh that runs a command in the machine.
fn log_of_guest(dirs: &Dirs, machine: &Machine, command: &str) -> Result<ExitCode> {
    let state = state(dirs, machine)?;
    if !takes_ssh(machine, state) {
        return Err(not_running());
    }
    let mut ssh = Process::new("ssh");
    ssh.arg("-F").arg(machine.file("ssh_config")).args(ALIVE);
    ssh.arg(host_alias(&machine.name)).args(["--", command]);
    Err(ssh.exec()).context("cannot start ssh: is it installed?")
}

/// Prints a file from an offset on, and returns its length; `None` if the output has no reader any more. A file that is shorter
/// was begun anew.
fn print_from(path: &Path, at: u64) -> Result<Option<u64>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(0)),
        other => other.with_context(|| path.display().to_string())?,
    };
    let at = if file.metadata()?.len() < at { 0 } else { at };
    file.seek(SeekFrom::Start(at))?;
    let copied = crate::out::copy(&mut file).context("copy the log")?;
    Ok(copied.map(|copied| at + copied))
}

/// Prints additions to a log, and sleeps in between.
fn follow(path: &Path, mut at: u64) -> Result<ExitCode> {
    File::options()
        .append(true)
        .create(true)
        .open(path)
        .with_context(|| path.display().to_string())?;
    let watch = Watch::new(path)?;
    loop {
        match print_from(path, at)? {
            Some(end) => at = end,
            None => return Ok(ExitCode::SUCCESS),
        }
        watch.wait()?;
    }
}

/// Returns the parser of `console`.
pub fn console_command() -> Command {
    Command::new("console")
        .about("Connect standard input and output to a machine's serial console")
        .args(one_name())
}

/// Key that ends the connection of a terminal, as in telnet(1): ^].
const ESCAPE: u8 = 0x1d;

/// Runs `console`, until the machine ends or this command is interrupted.
pub fn console(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let machine = machine(&dirs, matches)?;
    if matches!(state(&dirs, &machine)?, State::Stopped | State::Saved) {
        return Err(Fault::new("Host is not running").into());
    }
    // QEMU has one client at a time, and a second one would wait for its end silently.
    let Some(_place) = lock::place(&machine.run_file("console.lock"), 1)? else {
        let name = &machine.name;
        let text = format!("Error: another `podman-machine console` is connected to \"{name}\"");
        return Err(Fault::new(text).into());
    };
    let path = machine.run_file("con.sock");
    let mut output = UnixStream::connect(&path).with_context(|| path.display().to_string())?;
    let mut input = output.try_clone()?;
    let is_terminal = io::stdin().is_terminal();
    if is_terminal {
        eprintln!("Connected to \"{}\": ^] ends the connection", machine.name);
    }
    let raw = is_terminal.then(Raw::begin).transpose()?;
    thread::spawn(move || {
        let end = pass_keys(&mut io::stdin().lock(), &mut input, is_terminal);
        // The end of the input is not that of the output: QEMU would take it for the end of the client.
        if end.is_ok_and(|asked| asked) {
            let _ = input.shutdown(Shutdown::Both);
        }
    });
    let copied = io::copy(&mut output, &mut io::stdout().lock());
    drop(raw);
    copied.context("the console")?;
    Ok(ExitCode::SUCCESS)
}

/// Passes bytes on; returns true at the key that ends the connection, which a terminal alone has.
fn pass_keys(from: &mut impl Read, to: &mut impl Write, is_terminal: bool) -> io::Result<bool> {
    let mut part = [0; 1024];
    loop {
        let len = from.read(&mut part)?;
        let keys = part.get(..len).unwrap_or_default();
        let end = keys.iter().position(|&key| is_terminal && key == ESCAPE);
        to.write_all(&keys[..end.unwrap_or(len)])?;
        match (end, len) {
            (Some(_), _) => return Ok(true),
            (None, 0) => return Ok(false),
            (None, _) => {}
        }
    }
}

/// Terminal of this command without its own treatment of keys, until the value is dropped: ^C is the guest's.
struct Raw(Termios);

impl Raw {
    fn begin() -> Result<Self> {
        let before = tcgetattr(io::stdin()).context("the terminal")?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &raw).context("the terminal")?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_of_the_machine_has_a_log() {
        for (service, follow, lines, expected) in [
            ("sshd", false, None, "sudo b2p log sshd"),
            (
                "getty@tty1",
                true,
                Some(5),
                "sudo b2p log -f -n 5 getty@tty1",
            ),
        ] {
            assert_eq!(service_log(service, follow, lines).as_deref(), Ok(expected));
        }
        for service in ["", "-a", "a b", "a;b", "$(b)"] {
            assert!(service_log(service, false, None).is_err(), "{service}");
        }
    }

    #[test]
    fn a_key_ends_the_connection_of_a_terminal() {
        for (keys, is_terminal, passed, asked) in [
            ("ab\x1dc", true, "ab", true),
            ("ab\x1dc", false, "ab\x1dc", false),
            ("\x03", true, "\x03", false),
            ("", true, "", false),
        ] {
            let mut out = Vec::new();
            let end = pass_keys(&mut keys.as_bytes(), &mut out, is_terminal).expect("passed");
            assert_eq!(
                (out.as_slice(), end),
                (passed.as_bytes(), asked),
                "{keys:?}"
            );
        }
    }
}
