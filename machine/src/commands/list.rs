// SPDX-License-Identifier: Apache-2.0
//! `ls` and `active`.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::dirs;
use super::ls_text::{self, Clients, Filters, Item, natural};
use super::misc::engine_version;
use crate::compat;
use crate::fault::Fault;
use crate::state::State;
use crate::store::{Dirs, Machine};

/// Returns docker-machine's option with the time limit of a list. A state follows from locks, which
/// never make anybody wait; an engine may.
fn timeout() -> Arg {
    Arg::new("timeout")
        .short('t')
        .long("timeout")
        .value_name("SECONDS")
        .value_parser(value_parser!(u64).range(..=super::lifecycle::MAX_SECONDS))
        .default_value("10")
        .help("Time limit for the versions of engines; states are known at once")
}

/// Returns the parser of `ls`.
pub fn ls_command() -> Command {
    let switch = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    Command::new("ls")
        .about("List machines")
        .visible_alias("list")
        .arg(switch("quiet").short('q').help("Print names alone"))
        .arg(
            Arg::new("filter")
                .long("filter")
                .value_name("KEY=VALUE")
                .action(ArgAction::Append)
                .help(
                    "List machines with this driver, state, name (a regular expression) or label",
                ),
        )
        .arg(
            Arg::new("format")
                .short('f')
                .long("format")
                .value_name("TEMPLATE")
                .help("Print each machine by a Go template; `table …` has headers, `json` is JSON"),
        )
        .arg(switch("noheading").short('n').help("Print no headers"))
        .arg(switch("json").help("Print an array of JSON objects"))
        .arg(timeout())
        // docker-machine ignores words behind `ls`, and scripts have them.
        .arg(Arg::new("ignored").hide(true).num_args(0..))
}

/// Runs `ls`.
pub fn ls(matches: &ArgMatches) -> Result<ExitCode> {
    let conditions = matches.get_many::<String>("filter").into_iter().flatten();
    let filters = Filters::parse(conditions.map(String::as_str))?;
    let dirs = dirs(matches)?;
    let quiet = matches.get_flag("quiet");
    let mut items = items(&dirs, !quiet || filters.need_state())?;
    items.retain(|item| filters.match_item(item));
    let format = matches
        .get_one::<String>("format")
        .map_or("", String::as_str);
    let docker = compat::as_docker() && format.is_empty() || format.contains("DockerVersion");
    if docker && !quiet {
        let seconds = matches.get_one("timeout").copied().unwrap_or(10);
        ask_engines(&mut items, Duration::from_secs(seconds));
    }
    if quiet {
        items.iter().for_each(|item| println!("{}", item.name));
    } else if matches.get_flag("json") || format == "json" {
        print!("{}", ls_text::json_list(&items, &clients()));
    } else {
        let text = ls_text::render(&items, &clients(), format, compat::as_docker())?;
        match matches.get_flag("noheading") && (format.is_empty() || format.starts_with("table")) {
            true => print!("{}", text.split_once('\n').map_or("", |(_, rows)| rows)),
            false => print!("{text}"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks the podman APIs for their versions, side by side.
fn ask_engines(items: &mut [Item], limit: Duration) {
    thread::scope(|scope| {
        for item in items {
            scope.spawn(move || {
                let socket = item.url.strip_prefix("unix://").map(Path::new);
                let version = socket.and_then(|socket| engine_version(socket, limit).ok());
                if let Some(version) = version {
                    item.engine = format!("v{version}");
                }
            });
        }
    });
}

/// Returns the parser of `active`.
pub fn active_command() -> Command {
    Command::new("active")
        .about("Print the machine that clients of this shell use")
        .arg(timeout())
        .arg(Arg::new("name").hide(true).num_args(0..))
}

/// Runs `active`.
pub fn active(matches: &ArgMatches) -> Result<ExitCode> {
    if matches
        .get_many::<String>("name")
        .is_some_and(|n| n.len() > 0)
    {
        return Err(Fault::new("Error: Too many arguments given").into());
    }
    let items = items(&dirs(matches)?, true)?;
    println!("{}", ls_text::active(&items, &clients())?);
    Ok(ExitCode::SUCCESS)
}

/// Returns the variables that say which machine clients use.
fn clients() -> Clients {
    let variable = |name: &str| env::var(name).unwrap_or_default();
    Clients {
        machine: match compat::as_docker() {
            true => variable("DOCKER_MACHINE_NAME"),
            false => variable("PODMAN_MACHINE_NAME"),
        },
        docker: variable("DOCKER_HOST"),
        container: variable("CONTAINER_HOST"),
    }
}

/// Returns all machines, sorted.
fn items(dirs: &Dirs, with_state: bool) -> Result<Vec<Item>> {
    let mut names = Machine::names(dirs)?;
    names.sort_by(|a, b| natural(a, b));
    let item = |name: &String| {
        item(dirs, name, with_state).unwrap_or_else(|why| Item::broken(name, &format!("{why:#}")))
    };
    Ok(names.iter().map(item).collect())
}

fn item(dirs: &Dirs, name: &str, with_state: bool) -> Result<Item> {
    let machine = Machine::at(dirs, name);
    let config = machine.config()?;
    let (state, error) = match with_state.then(|| super::state(dirs, &machine)) {
        None => (State::Stopped, String::new()),
        Some(Ok(state)) => (state, trouble(&machine, state)),
        Some(Err(why)) => (State::Error, format!("{why:#}").replace('\n', " ")),
    };
    let url = match state {
        State::Running => format!("unix://{}", machine.api().display()),
        _ => String::new(),
    };
    Ok(Item {
        name: name.to_owned(),
        port: machine.ssh_port(&config),
        driver: config.driver,
        state,
        url,
        error,
        engine: "Unknown".to_owned(),
        labels: config.labels,
        cpus: config.cpus,
        memory: u64::from(config.memory_mib) << 20,
        disk: config.disk_bytes,
        disk_used: used(&machine),
        resident: resident(&machine, state),
        created: config.created,
        last_up: config.last_up,
    })
}

/// Returns the reason for a state that was not asked for.
fn trouble(machine: &Machine, state: State) -> String {
    let why = match state {
        State::Stopped => machine
            .end_record()
            .filter(|record| !record.clean)
            .map(|record| record.why),
        State::Saved => None,
        _ => machine.live_record().and_then(|record| record.trouble),
    };
    why.unwrap_or_default().replace('\n', " ")
}

/// Returns the bytes that the disk, which has holes, takes on the host.
fn used(machine: &Machine) -> u64 {
    // st_blocks counts units of 512 bytes (inode(7)).
    machine
        .disk()
        .metadata()
        .map_or(0, |meta| meta.blocks() * 512)
}

/// Returns the resident memory of the driver's program: proc_pid_status(5).
fn resident(machine: &Machine, state: State) -> u64 {
    if matches!(state, State::Stopped | State::Saved | State::Error) {
        return 0;
    }
    let kib = || -> Option<u64> {
        let pid = machine.qemu().ok()??;
        let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    kib().unwrap_or_default() << 10
}
