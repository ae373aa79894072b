// SPDX-License-Identifier: Apache-2.0
//! `clone`, `rename`, `export`: machines that are off, as files.

use super::create;
use super::{autostart, dirs, interrupt, snapshot, state};
use crate::clients::{self, Places};
use crate::driver::Snapshot;
use crate::fault::Fault;
use crate::keeper::tunnel::host_alias;
use crate::state::State;
use crate::store::command_lock::CommandLock;
use crate::store::config::MachineConfig;
use crate::store::dirs::remove_all;
use crate::store::{Dirs, Machine, archive, draft, files, quadlet, saved};
use crate::tool;
use anyhow::{Context, Result, ensure};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode};

pub(super) fn word(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(value).help(help)
}

/// Returns the two words of a command.
fn two<'a>(matches: &'a ArgMatches, first: &str, second: &str) -> Result<(&'a str, &'a str)> {
    let get = |id: &str| matches.get_one::<String>(id).map(String::as_str);
    match (get(first), get(second)) {
        (Some(first), Some(second)) => Ok((first, second)),
        _ => Err(Fault::new("Improper number of arguments").into()),
    }
}

/// Returns a machine that is off, its configuration, and the lock that keeps it off.
fn off(dirs: &Dirs, name: &str, command: &str) -> Result<(Machine, MachineConfig, CommandLock)> {
    let machine = Machine::find(dirs, name)?;
    let lock = machine.lock(command)?;
    match state(dirs, &machine)? {
        State::Stopped => {}
        other => {
            let first = match other {
                State::Saved => "start and stop it first",
                _ => "stop it first",
            };
            let word = other.word().to_lowercase();
            let text = format!("Error: machine \"{name}\" is {word}: {first}");
            return Err(Fault::new(text).into());
        }
    }
    let config = machine.config()?;
    Ok((machine, config, lock))
}

/// Returns the parser of `clone`.
pub fn clone_command() -> Command {
    Command::new("clone")
        .about("Copy a machine that is off, with its disk; the copy has a key of its own")
        .arg(word("name", "NAME", "Machine"))
        .arg(word("new", "NEW", "Name of the copy"))
}

/// Runs `clone`.
pub fn clone(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let (name, new) = two(matches, "name", "new")?;
    create::check_name(&dirs, new)?;
    let (machine, mut config, _lock) = off(&dirs, name, "clone")?;
    renamed(&mut config, new);
    config.created = crate::keeper::now();
    config.last_up = None;
    config.protected = false;
    let copy = Machine::at(&dirs, new);
    let snapshots = snapshot::names(&machine)?;
    interrupt::remove_on_signal(vec![draft::path(&dirs, new, std::process::id())])?;
    create::publish(&dirs, &copy, |draft| {
        fill_copy(&machine, draft, &config, &snapshots)
    })?;
    println!("Machine \"{name}\" was cloned: {new}");
    let with_memory: Vec<&str> = snapshots
        .iter()
        .filter(|snapshot| snapshot.memory_bytes > 0)
        .map(|snapshot| snapshot.tag.as_str())
        .collect();
    if !with_memory.is_empty() {
        eprintln!(
            "The copy has the disks of the snapshots {}, and not their memory, which knows the key of \"{name}\" alone",
            with_memory.join(", ")
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the files of a copy, which has the name and the settings of `config`.
fn fill_copy(
    machine: &Machine,
    draft: &Path,
    config: &MachineConfig,
    snapshots: &[Snapshot],
) -> Result<()> {
    write_config(draft, config)?;
    create::keygen(draft, &config.name)?;
    copy_hosts(machine, draft, &config.name)?;
    copy_marks(machine, draft)?;
    for snapshot in snapshots {
        snapshot::copy_document(&machine.dir, draft, &snapshot.tag)?;
    }
    // Shares blocks where the file system can.
    let mut cp = Process::new("cp");
    cp.args(["--reflink=auto", "--sparse=always", "--"]);
    tool::run(
        cp.arg(machine.file("disk.qcow2"))
            .arg(draft.join("disk.qcow2")),
    )
}

/// Copies the files that the next start passes to the guest, or removes from the disk.
fn copy_marks(machine: &Machine, draft: &Path) -> Result<()> {
    let document = machine.file(quadlet::FILE);
    if document.exists() {
        let copied = fs::copy(&document, draft.join(quadlet::FILE));
        copied.with_context(|| format!("copy {}", document.display()))?;
    }
    if machine.is_pending() {
        saved::mark_pending(draft)?;
    }
    Ok(())
}

/// Changes the name; a port that the user has chosen can be that of one machine alone.
pub(super) fn renamed(config: &mut MachineConfig, new: &str) {
    new.clone_into(&mut config.name);
    (config.ssh_port, config.ssh_port_fixed) = (0, false);
}

pub(super) fn write_config(draft: &Path, config: &MachineConfig) -> Result<()> {
    files::replace(&draft.join("config.json"), config.text().as_bytes())
}

/// Copies the known key of the machine's ssh server, which is on the disk, under the new name.
fn copy_hosts(machine: &Machine, to: &Path, new: &str) -> Result<()> {
    let Ok(text) = fs::read_to_string(machine.file("known_hosts")) else {
        return Ok(());
    };
    let text = hosts(&text, &machine.name, new);
    files::replace(&to.join("known_hosts"), text.as_bytes())
}

pub(super) fn hosts(text: &str, old: &str, new: &str) -> String {
    let (old, new) = (host_alias(old), host_alias(new));
    let line = |line: &str| match line.split_once(' ') {
        Some((name, key)) if name == old => format!("{new} {key}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Returns the parser of `rename`.
pub fn rename_command() -> Command {
    Command::new("rename")
        .about("Give a machine that is off another name")
        .arg(word("name", "NAME", "Machine"))
        .arg(word("new", "NEW", "New name"))
}

/// Runs `rename`.
pub fn rename(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let (name, new) = two(matches, "name", "new")?;
    if name == new {
        let text = format!("Error: machine \"{name}\" has this name already");
        return Err(Fault::new(text).into());
    }
    let (machine, mut config, lock) = off(&dirs, name, "rename")?;
    if !name.eq_ignore_ascii_case(new) {
        create::check_name(&dirs, new)?;
    }
    if autostart::units().is_ok_and(|units| autostart::enabled(&units, &dirs, &machine)) {
        let text =
            format!("Error: machine \"{name}\" starts by itself: `autostart disable {name}` first");
        return Err(Fault::new(text).into());
    }
    copy_hosts(&machine, &machine.dir, new)?;
    // The name of the directory is the name of the machine; the steps before its rename may be repeated.
    let fixed = (config.ssh_port, config.ssh_port_fixed);
    renamed(&mut config, new);
    (config.ssh_port, config.ssh_port_fixed) = fixed;
    machine.save(&config)?;
    let target = Machine::at(&dirs, new);
    // This step precedes the rename: afterwards nothing leads to the connections of the old name.
    if let Ok(places) = Places::of_environment() {
        clients::rename(&places, &machine, &target)?;
    }
    fs::rename(&machine.dir, &target.dir)
        .with_context(|| format!("rename {}", machine.dir.display()))?;
    files::sync_dir(&dirs.machines())?;
    remove_all(&machine.run)?;
    // It has the old name and place; the next start writes it.
    remove_all(&target.file("ssh_config"))?;
    drop(lock);
    println!("Machine \"{name}\" is called \"{new}\" now.");
    Ok(ExitCode::SUCCESS)
}

/// Returns the parser of `export`.
pub fn export_command() -> Command {
    Command::new("export")
        .about("Write a machine that is off to a file: configuration and disk")
        .arg(word("name", "NAME", "Machine"))
        .arg(word("file", "FILE", "File to make, a tar archive"))
        .arg(
            Arg::new("with-key")
                .long("with-key")
                .action(ArgAction::SetTrue)
                .help("Write the private key of ssh, too"),
        )
        .arg(
            Arg::new("without-snapshots")
                .long("without-snapshots")
                .action(ArgAction::SetTrue)
                .help("Leave the snapshots out, which an archive does not hold"),
        )
}

/// Refuses a machine whose snapshots an archive would not hold.
fn refuse_snapshots(machine: &Machine) -> Result<()> {
    let snapshots = snapshot::names(machine)?;
    if snapshots.is_empty() {
        return Ok(());
    }
    let tags: Vec<&str> = snapshots
        .iter()
        .map(|snapshot| snapshot.tag.as_str())
        .collect();
    let text = format!(
        "Error: machine \"{}\" has the snapshots {}, which an archive does not hold: \
         `export --without-snapshots` leaves them out",
        machine.name,
        tags.join(", ")
    );
    Err(Fault::new(text).into())
}

/// Returns the name of an archive that is being written: a part of one never has its name.
fn beside(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// Runs `export`.
pub fn export(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let (name, file) = two(matches, "name", "file")?;
    draft::sweep(&dirs)?;
    let (machine, _, _lock) = off(&dirs, name, "export")?;
    let file = PathBuf::from(file);
    ensure!(!file.exists(), "{}: exists already", file.display());
    if !matches.get_flag("without-snapshots") {
        refuse_snapshots(&machine)?;
    }
    // Swept, or named by `prune`, where this command is killed.
    let draft = draft::path(&dirs, name, std::process::id());
    let part = beside(&file);
    interrupt::remove_on_signal(vec![part.clone(), draft.clone()])?;
    draft::make(&draft)?;
    let written = pack(&machine, &draft, &part, matches.get_flag("with-key")).and_then(|()| {
        // Another machine may have been created meanwhile.
        ensure!(!file.exists(), "{}: exists already", file.display());
        fs::rename(&part, &file).with_context(|| format!("rename {}", part.display()))
    });
    remove_all(&draft)?;
    if written.is_err() {
        remove_all(&part)?;
    }
    written?;
    println!("Machine \"{name}\" was written to {}.", file.display());
    Ok(ExitCode::SUCCESS)
}

/// Writes the archive `file` of a machine that is off, whose disk is made smaller in `draft` before.
fn pack(machine: &Machine, draft: &Path, file: &Path, with_key: bool) -> Result<()> {
    let small = draft.join("disk.qcow2");
    let mut convert = Process::new("qemu-img");
    convert.args([
        "convert",
        "-q",
        "-f",
        "qcow2",
        "-O",
        "qcow2",
        "-c",
        "-o",
        "compression_type=zstd",
    ]);
    let mut contents = vec!["config.json", "known_hosts", quadlet::FILE];
    if with_key {
        contents.extend(["id_ed25519", "id_ed25519.pub"]);
    }
    tool::run(convert.arg(machine.file("disk.qcow2")).arg(&small))?;
    let mut list: Vec<(&str, PathBuf)> = contents
        .iter()
        .map(|name| (*name, machine.file(name)))
        .collect();
    list.push(("disk.qcow2", small));
    remove_all(file)?;
    archive::write(file, &list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hosts_follow_the_name() {
        let text = "podman-machine-a ssh-ed25519 AAAA\nother ssh-ed25519 BBBB\n";
        assert_eq!(
            hosts(text, "a", "b"),
            "podman-machine-b ssh-ed25519 AAAA\nother ssh-ed25519 BBBB\n"
        );
    }
}
