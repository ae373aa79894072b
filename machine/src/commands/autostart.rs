// SPDX-License-Identifier: Apache-2.0
//! `autostart`: a unit of the user's systemd whose process is the machine's keeper.

use super::{dirs, json_flag, machine, one_name};
use crate::fault::Fault;
use crate::store::dirs::{make_private, remove_all};
use crate::store::{Dirs, Machine, files};
use crate::{compat, tool};
use anyhow::{Context, Result};
use clap::{ArgMatches, Command};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode};

/// Target that the user's systemd reaches at login, or at boot for a user that lingers.
const WANTS: &str = "default.target.wants";
/// Time limits in seconds: of a start, and of the stop of a machine, which exceeds `keeper::STOP_SECONDS`.
const LIMITS: (u32, u32) = (600, 90);

/// Returns the parser of `autostart`.
pub fn command() -> Command {
    let part =
        |name: &'static str, about: &'static str| Command::new(name).about(about).args(one_name());
    Command::new("autostart")
        .about("Start a machine with the user's systemd: at login, or at boot after `loginctl enable-linger`")
        .subcommand_required(true)
        .subcommand(part("enable", "Write and enable the unit"))
        .subcommand(part("disable", "Remove the unit; a running machine continues"))
        .subcommand(part("status", "Tell whether the unit is there").arg(json_flag()))
}

/// Runs `autostart`.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let Some((action, own)) = matches.subcommand() else {
        return Err(Fault::new("Improper number of arguments").into());
    };
    let machine = machine(&dirs, own)?;
    let units = units()?;
    match action {
        "enable" => {
            let program = std::env::current_exe().context("path of this program")?;
            enable(&units, &dirs, &machine, &program, &variables(&machine)?)?;
            println!(
                "Machine \"{}\" starts with {}.",
                machine.name,
                unit_name(&machine)
            );
        }
        "disable" if enabled(&units, &dirs, &machine) => disable(&units, &machine)?,
        "disable" => return Ok(ExitCode::SUCCESS),
        _ => {
            let word = if enabled(&units, &dirs, &machine) {
                "enabled"
            } else {
                "disabled"
            };
            match own.get_flag("json") {
                true => println!(
                    "{}",
                    serde_json::json!({"Name": machine.name, "Autostart": word})
                ),
                false => println!("{word}"),
            }
            return Ok(ExitCode::SUCCESS);
        }
    }
    reload();
    Ok(ExitCode::SUCCESS)
}

/// Returns the directory of the user's units: systemd.unit(5), "User Unit Search Path".
pub fn units() -> Result<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    Ok(config.context("HOME is not set")?.join("systemd/user"))
}

/// Makes the user's systemd read the units again, if systemd runs for this user.
fn reload() {
    if tool::run(Process::new("systemctl").args(["--user", "daemon-reload"])).is_err() {
        eprintln!("systemd does not run for this user now: the unit counts from the next login on");
    }
}

fn unit_name(machine: &Machine) -> String {
    format!("podman-machine@{}.service", machine.name)
}

/// Returns true if the unit of a machine is enabled. A unit of the same name may belong to a machine of another
/// storage.
#[must_use]
pub fn enabled(units: &Path, dirs: &Dirs, machine: &Machine) -> bool {
    let unit = fs::read_to_string(units.join(WANTS).join(unit_name(machine))).unwrap_or_default();
    is_of(&unit, dirs)
}

/// Tells whether a unit is that of a machine in this storage.
fn is_of(unit: &str, dirs: &Dirs) -> bool {
    let storage = text(&dirs.storage).and_then(|storage| quoted(storage, true));
    storage.is_ok_and(|storage| unit.contains(&format!(" --storage-path {storage} keeper ")))
}

/// Refuses to replace the unit of a machine in another storage, which has the same name.
fn refuse_other(unit: &Path, dirs: &Dirs, machine: &Machine) -> Result<()> {
    let text = fs::read_to_string(unit).unwrap_or_default();
    if text.is_empty() || is_of(&text, dirs) {
        return Ok(());
    }
    Err(Fault::new(format!(
        "Error: {} starts the machine \"{}\" of another storage: `autostart disable` it with the --storage-path that is \
         there first",
        unit.display(),
        machine.name
    ))
    .into())
}

/// Returns the variables of this process that the unit of a machine contains.
fn variables(machine: &Machine) -> Result<Vec<String>> {
    Ok(match machine.config()?.proxy_env {
        true => proxies(|name| std::env::var(name).ok()),
        false => Vec::new(),
    })
}

/// Returns the proxies of an environment, `NAME=VALUE`. The user's systemd does not have the variables of a login
/// shell.
fn proxies(variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let names = ["http_proxy", "https_proxy", "no_proxy"];
    let names = names
        .iter()
        .flat_map(|name| [(*name).to_owned(), name.to_ascii_uppercase()]);
    let set = names.filter_map(|name| Some(format!("{name}={}", variable(&name)?)));
    set.collect()
}

fn enable(
    units: &Path,
    dirs: &Dirs,
    machine: &Machine,
    program: &Path,
    variables: &[String],
) -> Result<()> {
    let wants = units.join(WANTS);
    let name = unit_name(machine);
    refuse_other(&units.join(&name), dirs, machine)?;
    make_private(&wants)?;
    let text = unit(&dirs.storage, &machine.name, program, variables)?;
    files::replace(&units.join(&name), text.as_bytes())?;
    let link = wants.join(&name);
    remove_all(&link)?;
    symlink(Path::new("..").join(&name), &link).with_context(|| link.display().to_string())
}

/// Removes the unit of a machine.
pub fn disable(units: &Path, machine: &Machine) -> Result<()> {
    let name = unit_name(machine);
    remove_all(&units.join(WANTS).join(&name))?;
    remove_all(&units.join(&name))
}

/// Returns the text of the unit. The keeper notifies systemd when the machine is ready, and ends in order by
/// SIGTERM (sd_notify(3), systemd.kill(5)).
fn unit(storage: &Path, name: &str, program: &Path, variables: &[String]) -> Result<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let (start, stop) = LIMITS;
    let mut environment = vec![quoted(&format!("PATH={path}"), false)?];
    for variable in variables {
        environment.push(quoted(variable, false)?);
    }
    Ok(format!(
        "[Unit]\nDescription=Machine {name} of {}\n\n[Service]\nType=notify\nNotifyAccess=main\n\
         Environment={}\nExecStart={} --storage-path {} keeper {name}\nKillMode=mixed\n\
         TimeoutStartSec={start}\nTimeoutStopSec={stop}\n\n[Install]\nWantedBy=default.target\n",
        compat::program(),
        environment.join(" "),
        quoted(text(program)?, true)?,
        quoted(text(storage)?, true)?,
    ))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{}: not UTF-8", path.display()))
}

/// Quotes a word: systemd.service(5), "Command lines", and systemd.unit(5), "Specifiers".
fn quoted(word: &str, command: bool) -> Result<String> {
    if word.chars().any(char::is_control) {
        return Err(Fault::new(format!(
            "Error: {word:?}: a unit of systemd cannot hold this"
        ))
        .into());
    }
    let word = word
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%");
    let word = if command {
        word.replace('$', "$$")
    } else {
        word
    };
    Ok(format!("\"{word}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn autostart_writes_and_removes_its_unit() {
        let tmp = tempfile::tempdir().expect("a directory");
        let dirs = Dirs {
            storage: tmp.path().join("s t"),
            runtime: tmp.path().join("r"),
        };
        let units = tmp.path().join("systemd/user");
        let machine = Machine::at(&dirs, "box");
        assert!(!enabled(&units, &dirs, &machine));
        let variable = |name: &str| (name == "HTTPS_PROXY").then(|| "http://u:50%@p:1".to_owned());
        let variables = proxies(variable);
        for _ in 0..2 {
            let program = Path::new("/a b/100%$x\"");
            enable(&units, &dirs, &machine, program, &variables).expect("written");
        }
        assert!(enabled(&units, &dirs, &machine));
        let link = units.join(WANTS).join("podman-machine@box.service");
        let text = fs::read_to_string(link).expect("the link leads to the unit");
        let expected = format!(
            "ExecStart=\"/a b/100%%$$x\\\"\" --storage-path \"{}\" keeper box\n",
            dirs.storage.display()
        );
        assert!(text.contains(&expected), "{text}");
        let expected = "\" \"HTTPS_PROXY=http://u:50%%@p:1\"\nExecStart=";
        assert!(text.contains(expected), "{text}");
        let others = Dirs {
            storage: tmp.path().join("other"),
            ..dirs.clone()
        };
        let same_name = Machine::at(&others, "box");
        let error = enable(&units, &others, &same_name, Path::new("/p"), &[]);
        let error = error.expect_err("another storage").to_string();
        assert!(error.contains("of another storage"), "{error}");
        assert!(enabled(&units, &dirs, &machine));
        disable(&units, &machine).expect("removed");
        assert!(!enabled(&units, &dirs, &machine));
        assert_eq!(
            fs::read_dir(&units).expect("there").count(),
            1,
            "the directory of links stays"
        );
    }

    #[test]
    fn quoted_refuses_line_breaks() {
        assert!(quoted("a\nb", true).is_err());
    }
}
