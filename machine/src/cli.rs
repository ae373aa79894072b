// SPDX-License-Identifier: Apache-2.0
//! Command line: one table of commands, and the way from arguments to an exit status.

use crate::commands::dirs;
use crate::commands::{
    autostart, connect, copy, create, create_options, doctor, events, import, lifecycle, list,
    logs, misc, ports, protect, prune, reach, remove, set, shares, show, snapshot, ssh_config,
    suspend, transfer, trim, upgrade, wait,
};
use crate::compat;
use crate::fault::{FAILURE, Fault};
use crate::keeper::Purpose;
use crate::store::Machine;
use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Command of this program.
struct Entry {
    name: &'static str,
    command: fn() -> Command,
    run: fn(&ArgMatches) -> Result<ExitCode>,
}

#[rustfmt::skip]
const COMMANDS: &[Entry] = &[
    Entry { name: "active", command: list::active_command, run: list::active },
    Entry { name: "autostart", command: autostart::command, run: autostart::run },
    Entry { name: "clone", command: copy::clone_command, run: copy::clone },
    Entry { name: "config", command: show::config_command, run: show::config },
    Entry { name: "connect", command: connect::command, run: connect::run },
    Entry { name: "console", command: logs::console_command, run: logs::console },
    Entry { name: "create", command: create_options::command, run: create::run },
    Entry { name: "disconnect", command: connect::disconnect_command, run: connect::disconnect },
    Entry { name: "doctor", command: doctor::command, run: doctor::run },
    Entry { name: "env", command: show::env_command, run: show::env },
    Entry { name: "events", command: events::command, run: events::run },
    Entry { name: "export", command: copy::export_command, run: copy::export },
    Entry { name: "import", command: import::command, run: import::run },
    Entry { name: "info", command: doctor::info_command, run: doctor::info },
    Entry { name: "init", command: create_options::init_command, run: create::init },
    Entry { name: "inspect", command: show::inspect_command, run: show::inspect },
    Entry { name: "ip", command: reach::ip_command, run: reach::ip },
    Entry { name: "kill", command: lifecycle::kill_command, run: lifecycle::kill },
    Entry { name: "logs", command: logs::command, run: logs::run },
    Entry { name: "ls", command: list::ls_command, run: list::ls },
    Entry { name: "mount", command: transfer::mount_command, run: transfer::mount },
    Entry { name: "os", command: upgrade::os_command, run: upgrade::os },
    Entry { name: "pause", command: suspend::pause_command, run: suspend::pause },
    Entry { name: "ports", command: ports::command, run: ports::run },
    Entry { name: "protect", command: protect::command, run: protect::run },
    Entry { name: "provision", command: misc::provision_command, run: misc::provision },
    Entry { name: "prune", command: prune::command, run: prune::run },
    Entry { name: "regenerate-certs", command: misc::certs_command, run: misc::certs },
    Entry { name: "rename", command: copy::rename_command, run: copy::rename },
    Entry { name: "reset", command: prune::reset_command, run: prune::reset },
    Entry { name: "resize", command: set::resize_command, run: set::resize },
    Entry { name: "restart", command: lifecycle::restart_command, run: lifecycle::restart },
    Entry { name: "resume", command: suspend::resume_command, run: suspend::resume },
    Entry { name: "rm", command: remove::command, run: remove::run },
    Entry { name: "scp", command: transfer::scp_command, run: transfer::scp },
    Entry { name: "set", command: set::command, run: set::run },
    Entry { name: "share", command: shares::command, run: shares::run },
    Entry { name: "shell", command: reach::shell_command, run: reach::shell },
    Entry { name: "snapshot", command: snapshot::command, run: snapshot::run },
    Entry { name: "ssh", command: reach::ssh_command, run: reach::ssh },
    Entry { name: "ssh-config", command: ssh_config::command, run: ssh_config::run },
    Entry { name: "start", command: lifecycle::start_command, run: lifecycle::start },
    Entry { name: "status", command: wait::status_command, run: wait::status },
    Entry { name: "stop", command: lifecycle::stop_command, run: lifecycle::stop },
    Entry { name: "suspend", command: suspend::suspend_command, run: suspend::suspend },
    Entry { name: "trim", command: trim::command, run: trim::run },
    Entry { name: "unprotect", command: protect::unprotect_command, run: protect::unprotect },
    Entry { name: "upgrade", command: upgrade::command, run: upgrade::run },
    Entry { name: "url", command: reach::url_command, run: reach::url },
    Entry { name: "version", command: misc::version_command, run: misc::version },
    Entry { name: "wait", command: wait::wait_command, run: wait::wait },
    // Run by this program and by QEMU.
    Entry { name: "keeper", command: keeper_command, run: keeper },
    Entry { name: "relay", command: || hidden("relay"), run: relay },
];

fn hidden(name: &'static str) -> Command {
    Command::new(name)
        .hide(true)
        .arg(Arg::new("name").required(true))
}

fn keeper_command() -> Command {
    hidden("keeper").arg(Arg::new("adopt").long("adopt").action(ArgAction::SetTrue))
}

fn keeper(matches: &ArgMatches) -> Result<ExitCode> {
    let name = matches.get_one::<String>("name").map_or("", String::as_str);
    let machine = Machine::find(&dirs(matches)?, name)?;
    let purpose = match matches.get_flag("adopt") {
        true => Purpose::Adopt,
        false => Purpose::Start,
    };
    crate::keeper::run(&machine, purpose)?;
    Ok(ExitCode::SUCCESS)
}

fn relay(matches: &ArgMatches) -> Result<ExitCode> {
    let run_dir = matches.get_one::<String>("name").map_or("", String::as_str);
    crate::keeper::relay::run(run_dir.as_ref(), &|| adopt(run_dir.as_ref()))?;
    Ok(ExitCode::SUCCESS)
}

/// Starts a keeper for the machine of a runtime directory, if it has lost its own.
fn adopt(run_dir: &Path) -> Result<()> {
    let (dirs, machine) = Machine::of_run(run_dir)?;
    crate::commands::state(&dirs, &machine).map(|_| ())
}

/// Returns the parser of the whole command line.
#[must_use]
pub fn parser() -> Command {
    let parser = Command::new("podman-machine")
        .about("Create and run machines of boot2podman")
        .arg(
            Arg::new("version")
                .short('v')
                .short_alias('V')
                .long("version")
                .action(ArgAction::SetTrue)
                .help("Print the version"),
        )
        .arg(
            Arg::new("storage-path")
                .short('s')
                .long("storage-path")
                .value_name("DIR")
                .global(true)
                .help("Directory of machines and images [env: MACHINE_STORAGE_PATH]"),
        )
        .arg(
            Arg::new("debug")
                .short('D')
                .long("debug")
                .global(true)
                .action(ArgAction::SetTrue)
                .help("Print the programs that are run, on standard error [env: MACHINE_DEBUG]"),
        );
    COMMANDS.iter().fold(parser, |parser, entry| {
        parser.subcommand((entry.command)().name(entry.name))
    })
}

/// Runs a command line, and prints its error.
#[must_use]
pub fn run(args: Vec<OsString>) -> ExitCode {
    let prepared = compat::prepare(&parser(), args);
    for flag in &prepared.ignored {
        eprintln!("{flag} has no meaning for these machines, and is ignored");
    }
    let matches = match parser().try_get_matches_from(&prepared.args) {
        Ok(matches) => matches,
        Err(error) => return refuse_arguments(&error, &prepared.args),
    };
    if matches.get_flag("version") {
        println!("{}", misc::version_text());
        return printed(ExitCode::SUCCESS);
    }
    let Some((name, subcommand_args)) = matches.subcommand() else {
        let _ = parser().print_help();
        return ExitCode::from(FAILURE);
    };
    if subcommand_args.get_flag("debug")
        || std::env::var_os("MACHINE_DEBUG").is_some_and(|value| !value.is_empty())
    {
        crate::debug::start();
    }
    let entry = COMMANDS.iter().find(|entry| entry.name == name);
    match entry.map(|entry| (entry.run)(subcommand_args)) {
        Some(Ok(status)) => printed(status),
        Some(Err(error)) => ExitCode::from(report(&error)),
        None => ExitCode::from(FAILURE),
    }
}

/// Prints the help or the version that a command line asks for, or its error; returns the exit status.
fn refuse_arguments(error: &clap::Error, args: &[OsString]) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let parser = parser();
    let mut words = args.iter().skip(1).map(|arg| arg.to_string_lossy());
    let command = words.find(|word| parser.find_subcommand(word.as_ref()).is_some());
    print_argument_error(error, command.as_deref().as_slice());
    ExitCode::from(FAILURE)
}

/// Prints clap's error in one line; for a command without its required subcommand, the help text.
fn print_argument_error(error: &clap::Error, command: &[&str]) {
    let text = error.render().to_string();
    let first: Vec<&str> = text
        .split("\n\n")
        .next()
        .unwrap_or_default()
        .lines()
        .map(str::trim)
        .collect();
    let first = first.join(" ");
    let Some(why) = first.strip_prefix("error: ") else {
        let _ = error.print();
        return;
    };
    let command = [&[compat::program()], command, &["--help"]].concat();
    eprintln!("Error: {why}: see `{}`", command.join(" "));
}

/// Returns the status of a command that has succeeded, unless its output could not be written.
fn printed(status: ExitCode) -> ExitCode {
    match crate::out::failure() {
        None => status,
        Some(why) => {
            if !why.is_empty() {
                eprintln!("{why}");
            }
            ExitCode::from(FAILURE)
        }
    }
}

/// Removes the control characters of an error but for its newlines: names and contents of foreign files are parts of some.
fn plain_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(vmm::without_controls).collect();
    lines.join("\n")
}

/// Prints an error, and returns its exit status.
fn report(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Fault>() {
        Some(fault) => {
            eprintln!("{}", plain_lines(&fault.text));
            fault.status
        }
        None => {
            eprintln!("Error: {}", plain_lines(&format!("{error:#}")));
            FAILURE
        }
    }
}
