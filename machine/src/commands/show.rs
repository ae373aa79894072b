// SPDX-License-Identifier: Apache-2.0
//! `env`, `inspect`, `config` and `version`.

use std::env;
use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::env_text::{self, Mode, Request, Target};
use super::{dirs, inspect_text, machine, machines, many_names, not_running, one_name, state};
use crate::compat;
use crate::fault::Fault;
use crate::keeper::tunnel::host_alias;
use crate::state::State;
use crate::store::config::MachineConfig;
use crate::store::{Dirs, Machine};
use crate::text::shell::Shell;

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}

/// Returns the parser of `env`.
pub fn env_command() -> Command {
    Command::new("env")
        .alias("shellinit")
        .about("Print the commands that make podman and docker use a machine")
        .arg(many_names())
        .arg(
            Arg::new("shell")
                .long("shell")
                .value_name("SHELL")
                .help("bash, zsh, sh, fish, powershell, pwsh, cmd, tcsh, emacs, nushell, elvish, xonsh, or none for K=V"),
        )
        .arg(flag("unset", "Unset the variables").short('u'))
        .arg(flag("no-proxy", "Add the machine's address to NO_PROXY"))
        .arg(flag("ssh", "Use ssh in place of the socket"))
        .arg(flag("docker", "Print docker-machine's variables"))
        .arg(flag("legacy", "Print the variables of podman 1"))
        .arg(flag("varlink", "Print the variables of podman 1 for its varlink interface"))
        .arg(flag("json", "Print a JSON object; null means unset"))
}

/// Runs `env`.
pub fn env(matches: &ArgMatches) -> Result<ExitCode> {
    let names = matches.get_many::<String>("name").map_or(0, |n| n.len());
    let request = request(matches);
    if matches.get_flag("unset") {
        if names > 0 {
            let text = "Error: Expected no machine name when the -u flag is present";
            return Err(Fault::new(text).into());
        }
        print!("{}", env_text::unset(&request)?);
        return Ok(ExitCode::SUCCESS);
    }
    if names > 1 {
        return Err(Fault::new("Error: Expected one machine name as an argument").into());
    }
    let dirs = dirs(matches)?;
    let machine = machines(&dirs, matches)?.remove(0);
    if state(&dirs, &machine)? != State::Running {
        return Err(not_running());
    }
    let target = target(&machine, &machine.config()?)?;
    if request.mode == Mode::Ssh {
        eprintln!(
            "docker takes no key by a variable: it finds the machine after `{} ssh-config --install`",
            compat::program()
        );
    }
    print!("{}", env_text::set(&request, &target)?);
    Ok(ExitCode::SUCCESS)
}

fn request(matches: &ArgMatches) -> Request {
    let variable = |name: &str| env::var(name).ok();
    let verbatim = variable("PODMAN_MACHINE_COMPAT").as_deref() == Some("docker-machine");
    let mode = match () {
        () if matches.get_flag("varlink") => Mode::Varlink,
        () if matches.get_flag("legacy") => Mode::Legacy,
        () if matches.get_flag("ssh") => Mode::Ssh,
        () if verbatim => Mode::Verbatim,
        () if matches.get_flag("docker") || compat::as_docker() => Mode::Docker,
        () => Mode::Socket,
    };
    let shell = matches.get_one::<String>("shell").map(String::as_str);
    let proxy = || env_text::no_proxy_variable(variable("no_proxy"), variable("NO_PROXY"));
    Request {
        mode,
        shell: Shell::detect(shell, parent().as_deref(), variable("SHELL").as_deref()),
        json: matches.get_flag("json"),
        windows: cfg!(windows),
        no_proxy: matches.get_flag("no-proxy").then(proxy),
        args: env::args_os()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect(),
    }
}

/// Returns the name of the parent process: proc_pid_comm(5).
fn parent() -> Option<String> {
    let pid = std::os::unix::process::parent_id();
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

/// Returns the data of a machine for clients.
pub(super) fn target(machine: &Machine, config: &MachineConfig) -> Result<Target> {
    let text = |path: std::path::PathBuf| {
        let text = path.to_str().map(str::to_owned);
        text.with_context(|| format!("{}: not UTF-8", path.display()))
    };
    Ok(Target {
        name: machine.name.clone(),
        socket: text(machine.api())?,
        ssh_host: host_alias(&machine.name),
        user: config.user.clone(),
        port: machine.ssh_port(config),
        key: text(machine.file("id_ed25519"))?,
        dir: text(machine.dir.clone())?,
    })
}

/// Returns the parser of `inspect`.
pub fn inspect_command() -> Command {
    Command::new("inspect")
        .about("Print all about machines, as JSON or by a Go template")
        .arg(many_names())
        .arg(
            Arg::new("format")
                .short('f')
                .long("format")
                .value_name("TEMPLATE")
                .help("Print by a Go template"),
        )
}

/// Runs `inspect`.
pub fn inspect(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let machines = machines(&dirs, matches)?;
    let objects: Result<Vec<_>> = machines.iter().map(|m| object(&dirs, m)).collect();
    let format = matches.get_one::<String>("format").map(String::as_str);
    print!("{}", inspect_text::render(&objects?, format)?);
    Ok(ExitCode::SUCCESS)
}

fn object(dirs: &Dirs, machine: &Machine) -> Result<serde_json::Value> {
    let config = machine.config()?;
    let target = target(machine, &config)?;
    let state = state(dirs, machine)?;
    let storage = dirs.storage.to_string_lossy();
    let mut object = inspect_text::object(&config, &target, state, &storage);
    // The setting may leave the choice to the host.
    let record = machine.live_record();
    object["Accelerator"] = record.and_then(|record| record.accelerator).into();
    Ok(object)
}

/// Returns the parser of `config`.
pub fn config_command() -> Command {
    Command::new("config")
        .about("Print the options that make podman, or docker, use a machine")
        .args(one_name())
}

/// Runs `config`.
pub fn config(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let machine = machine(&dirs, matches)?;
    if state(&dirs, &machine)? != State::Running {
        return Err(not_running());
    }
    let target = target(&machine, &machine.config()?)?;
    print!(
        "{}",
        inspect_text::config(&target.socket, compat::as_docker())
    );
    Ok(ExitCode::SUCCESS)
}
