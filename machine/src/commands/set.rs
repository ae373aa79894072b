// SPDX-License-Identifier: Apache-2.0
//! `set` and `resize`: settings of a machine that exists.

use super::create_options::{self, disk_size};
use super::{dirs, flags, lifecycle, machine, state};
use crate::driver;
use crate::fault::Fault;
use crate::keeper::control;
use crate::state::State;
use crate::store::config::MachineConfig;
use crate::store::{Dirs, Machine, field, share, space};
use anyhow::{Context, Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

/// Setting: its name, the form of its values, the function that applies it. An option of this name and `NAME=VALUE` are the
/// same.
struct Setting {
    name: &'static str,
    value: &'static str,
    help: &'static str,
    apply: fn(&mut MachineConfig, &str) -> Result<()>,
}

#[rustfmt::skip]
const SETTINGS: &[Setting] = &[
    Setting { name: "cpus", value: "NUMBER", help: "Number of processors", apply: create_options::set_cpus },
    Setting { name: "memory", value: "SIZE", help: "Memory; a number without a unit is MiB", apply: create_options::set_memory },
    Setting { name: "disk", value: "SIZE", help: "Size of the data disk, which only grows; a number without a unit is GiB", apply: disk },
    Setting { name: "accel", value: "ACCEL", help: "Accelerator: auto, kvm or tcg", apply: create_options::accel },
    Setting { name: "ssh-port", value: "PORT", help: "Port of 127.0.0.1 for ssh; 0 for any free one", apply: create_options::ssh_port },
    Setting { name: "publish-on", value: "ADDRESS", help: "Address of the host for ports that are published without one", apply: create_options::publish_on },
    Setting { name: "proxy-env", value: "on|off", help: "Proxies of the host's environment", apply: create_options::proxy_env },
    Setting { name: "flag", value: "NAME=VALUE", help: "Flag of the machine; an empty value takes it back", apply: set_flag },
];

/// Returns the parser of `set`.
pub fn command() -> Command {
    let option = |setting: &Setting| {
        let option = Arg::new(setting.name)
            .long(setting.name)
            .value_name(setting.value)
            .action(ArgAction::Append)
            .help(setting.help);
        match setting.name {
            "cpus" => option.short('c'),
            "memory" => option.short('m'),
            _ => option,
        }
    };
    Command::new("set")
        .about("Change settings of a machine; they count from its next start on, a larger disk at once")
        .arg(
            Arg::new("words")
                .value_name("[NAME] [SETTING=VALUE...]")
                .action(ArgAction::Append)
                .num_args(0..)
                .help("Machine, and settings: cpus, memory, disk, accel, ssh-port, publish-on, proxy-env, flag.NAME"),
        )
        .args(SETTINGS.iter().map(option))
        .arg(restart_flag())
}

fn restart_flag() -> Arg {
    Arg::new("restart")
        .long("restart")
        .action(ArgAction::SetTrue)
        .help("Restart the machine if it runs")
}

/// Runs `set`.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let words: Vec<&String> = matches.get_many("words").into_iter().flatten().collect();
    let (pairs, names): (Vec<&str>, Vec<&str>) = words
        .iter()
        .map(|word| word.as_str())
        .partition(|word| word.contains('='));
    let machine = match names.as_slice() {
        [] => super::named(&dirs, None)?,
        [name] => super::named(&dirs, Some(name))?,
        _ => return Err(Fault::new("Error: Expected one machine name as an argument").into()),
    };
    let mut changes: Vec<(&Setting, &str)> = Vec::new();
    for setting in SETTINGS {
        let values = matches
            .get_many::<String>(setting.name)
            .into_iter()
            .flatten();
        changes.extend(values.map(|value| (setting, value.as_str())));
    }
    for pair in pairs {
        changes.push(setting(pair)?);
    }
    change(&dirs, &machine, |config| {
        changes
            .iter()
            .try_for_each(|(setting, value)| (setting.apply)(config, value))
    })?;
    restart(&dirs, &machine, matches.get_flag("restart"))
}

/// Finds the setting of `NAME=VALUE`, or of `flag.NAME=VALUE`.
fn setting(pair: &str) -> Result<(&'static Setting, &str)> {
    let (pair, name) = match pair.strip_prefix("flag.") {
        Some(flag) => (flag, "flag"),
        None => pair
            .split_once('=')
            .map(|(name, value)| (value, name))
            .unwrap_or_default(),
    };
    let found = SETTINGS.iter().find(|setting| setting.name == name);
    let names: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
    let found = found.with_context(|| {
        format!(
            "{name}: no such setting; there are {}, as in flag.tz=UTC",
            names.join(", ")
        )
    })?;
    Ok((found, pair))
}

fn set_flag(config: &mut MachineConfig, text: &str) -> Result<()> {
    let (name, value) = flags::parse(text)?;
    flags::set(config, &name, value)
}

fn disk(config: &mut MachineConfig, text: &str) -> Result<()> {
    let bytes = disk_size(text)?;
    if bytes < config.disk_bytes {
        bail!(
            "the disk has {} GiB and cannot shrink: clone what it holds to another machine",
            config.disk_bytes >> 30
        );
    }
    config.disk_bytes = bytes;
    Ok(())
}

/// Warns of a disk that may outgrow its host's.
pub fn warn_of_size(machine: &Machine, bytes: u64) {
    let dir = machine.dir.parent().unwrap_or(&machine.dir);
    if let Some(note) = space::note(dir, bytes) {
        eprintln!("({}) {note}", machine.name);
    }
}

/// Returns the parser of `resize`.
pub fn resize_command() -> Command {
    Command::new("resize")
        .about("Make the data disk of a machine larger, also while it runs")
        .arg(
            Arg::new("name")
                .value_name("NAME")
                .help("Machine; `default` if none is given"),
        )
        .arg(
            Arg::new("size")
                .value_name("SIZE")
                .help("Size; a number without a unit is GiB"),
        )
}

/// Runs `resize`. One argument is the size of the default machine's disk.
pub fn resize(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let word = |id: &str| matches.get_one::<String>(id).map(String::as_str);
    let (machine, size) = match (word("name"), word("size")) {
        (Some(_), Some(size)) => (machine(&dirs, matches)?, size),
        (Some(size), None) => (super::named(&dirs, None)?, size),
        _ => return Err(Fault::new("Improper number of arguments").into()),
    };
    change(&dirs, &machine, |config| disk(config, size))?;
    Ok(ExitCode::SUCCESS)
}

/// Changes the configuration of a machine: by its keeper where it has one, which is then the only
/// writer of the file.
pub fn change(
    dirs: &Dirs,
    machine: &Machine,
    act: impl FnOnce(&mut MachineConfig) -> Result<()>,
) -> Result<()> {
    let _lock = machine.lock("set")?;
    let state = state(dirs, machine)?;
    let old = machine.config()?;
    let mut new = old.clone();
    act(&mut new)?;
    field::check(&new)?;
    if new.flags != old.flags
        && let Some(problem) = share::problem(&new.flags)
    {
        return Err(Fault::new(format!("Error: flag: {problem}")).into());
    }
    if new.disk_bytes != old.disk_bytes {
        warn_of_size(machine, new.disk_bytes);
    }
    match state {
        _ if new == old => Ok(()),
        State::Saved if new.disk_bytes != old.disk_bytes => Err(Fault::new(format!(
            "Error: the memory of machine \"{0}\" is saved with its disk: start and stop \"{0}\" first",
            machine.name
        ))
        .into()),
        State::Saved if is_same_hardware(&old, &new) => machine.save(&new),
        State::Saved => {
            warn_of_memory(machine);
            machine.save(&new)
        }
        State::Stopped => {
            if new.disk_bytes != old.disk_bytes {
                driver::named(&new.driver)?.grow_disk(&machine.disk(), new.disk_bytes)?;
            }
            machine.save(&new)
        }
        _ => configure_running(machine, &new),
    }
}

fn warn_of_memory(machine: &Machine) {
    eprintln!(
        "Machine \"{}\" is saved: memory that does not fit its settings is given up by `start --cold` alone",
        machine.name
    );
}

/// Returns true if a saved memory cannot see the difference of two configurations.
fn is_same_hardware(old: &MachineConfig, new: &MachineConfig) -> bool {
    let new = MachineConfig {
        protected: old.protected,
        ports: old.ports.clone(),
        publish_on: old.publish_on.clone(),
        ..new.clone()
    };
    new == *old
}

/// Sends a configuration to the keeper of a machine.
fn configure_running(machine: &Machine, config: &MachineConfig) -> Result<()> {
    let request = json!({"do": "configure", "config": config.text()});
    let answer = control::ask(&machine.run_file(control::SOCKET), &request)?;
    match answer["error"].as_str() {
        Some(error) => bail!("{error}"),
        None => Ok(()),
    }
}

/// Restarts a machine that runs if this was asked for, else tells when the change counts.
pub fn restart(dirs: &Dirs, machine: &Machine, asked: bool) -> Result<ExitCode> {
    let runs = !matches!(state(dirs, machine)?, State::Stopped | State::Saved);
    match (runs, asked) {
        (true, true) => {
            lifecycle::stop_one(dirs, machine, crate::keeper::STOP_SECONDS)?;
            lifecycle::start_one(dirs, machine, Duration::from_secs(600))?;
        }
        (true, false) => eprintln!(
            "Machine \"{0}\" runs: `{1} restart {0}` applies what needs a start",
            machine.name,
            crate::compat::program()
        ),
        (false, _) => {}
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_parsed_and_applied() {
        let applied = |pair: &str| -> Result<MachineConfig> {
            let mut config = MachineConfig::new("box");
            let (setting, value) = setting(pair)?;
            (setting.apply)(&mut config, value)?;
            Ok(config)
        };
        assert_eq!(applied("cpus=1").expect("right").cpus, 1);
        assert_eq!(applied("memory=1G").expect("right").memory_mib, 1024);
        assert_eq!(applied("disk=200").expect("right").disk_bytes, 200 << 30);
        assert_eq!(applied("accel=tcg").expect("right").accel, "tcg");
        assert!(applied("ssh-port=2222").expect("right").ssh_port_fixed);
        assert!(!applied("ssh-port=0").expect("right").ssh_port_fixed);
        assert!(!applied("proxy-env=off").expect("right").proxy_env);
        let flags = applied("flag.tz=Europe/Berlin").expect("right").flags;
        assert_eq!(flags, [("tz".to_owned(), "Europe/Berlin".to_owned())]);
        let flags = applied("flag.http_proxy=http://h:1/?a=")
            .expect("right")
            .flags;
        assert_eq!(flags[0].1, "http://h:1/?a=");
        #[rustfmt::skip]
        let wrong = [
            "cpus=0", "cpus=x", "memory=8M", "memory=", "disk=1", "disk=0", "accel=hvf", "ssh-port=70000",
            "publish-on=::1", "proxy-env=1", "flag.=x", "flag.TZ=x", "flag=tz", "cpu=1", "=1",
        ];
        for pair in wrong {
            let error = format!("{:#}", applied(pair).expect_err(pair));
            assert!(!error.contains('\n'), "{pair}: {error}");
        }
    }
}
