// SPDX-License-Identifier: Apache-2.0
//! `snapshot`: states of a machine that can be restored, inside its qcow2 file. A snapshot of a
//! machine that runs contains its memory as well.

use super::{dirs, machine, power_cut, state};
use crate::driver::{self, Snapshot, SnapshotChange};
use crate::fault::Fault;
use crate::keeper::control;
use crate::state::State;
use crate::store::dirs::{make_private, remove_all};
use crate::store::saved::{Saved, USER_PREFIX};
use crate::store::{Dirs, Machine, files, quadlet};
use crate::text::tabwriter;
use anyhow::{Context, Result, anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Returns the parser of `snapshot`.
pub fn command() -> Command {
    let sub =
        |name: &'static str, about: &'static str| Command::new(name).about(about).arg(name_arg());
    let list = sub("list", "List the snapshots of a machine")
        .alias("ls")
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print JSON"),
        );
    Command::new("snapshot")
        .about("Keep states of a machine, and restore them")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            sub(
                "create",
                "Keep disk and memory; for a stopped machine, the disk alone",
            )
            .arg(snapshot()),
        )
        .subcommand(list)
        .subcommand(sub("restore", "Restore a snapshot; later changes are lost").arg(snapshot()))
        .subcommand(sub("rm", "Remove a snapshot").arg(snapshot()))
}

fn name_arg() -> Arg {
    Arg::new("name")
        .value_name("NAME")
        .required(true)
        .help("Machine")
}

fn snapshot() -> Arg {
    Arg::new("snapshot")
        .value_name("SNAPSHOT")
        .required(true)
        .help("Name of the snapshot")
}

/// Runs `snapshot`.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let Some((action, subcommand_args)) = matches.subcommand() else {
        bail!("create, list, restore or rm");
    };
    let dirs = dirs(subcommand_args)?;
    let machine = machine(&dirs, subcommand_args)?;
    if action == "list" {
        return list(&machine, subcommand_args.get_flag("json"));
    }
    let name = subcommand_args.get_one::<String>("snapshot");
    let name = name.map_or("", String::as_str);
    check(name)?;
    let _lock = machine.lock("snapshot")?;
    let exists = names(&machine)?.iter().any(|snapshot| snapshot.tag == name);
    match (action, exists) {
        ("create", true) => Err(fault(&format!("snapshot \"{name}\" already exists"))),
        ("create", false) => create(&dirs, &machine, name),
        (_, false) => Err(fault(&format!(
            "there is no snapshot \"{name}\": `snapshot list` names them"
        ))),
        ("restore", true) => restore(&dirs, &machine, name),
        _ => remove(&dirs, &machine, name),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn fault(text: &str) -> anyhow::Error {
    Fault::new(format!("Error: {text}")).into()
}

/// Refuses a name that a tag or a file cannot have.
fn check(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let right = !name.is_empty() && name.len() <= 63 && name.chars().all(plain);
    match right && name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        true => Ok(()),
        false => Err(fault(&format!(
            "snapshot \"{name}\": a name has up to 63 letters, digits, - _ or ., and begins with a letter or digit"
        ))),
    }
}

fn memory_file(machine: &Machine, name: &str) -> PathBuf {
    machine.file("snapshots").join(format!("{name}.json"))
}

/// Returns the file in which a snapshot keeps the document that the guest had not read at that time.
fn document_file(dir: &Path, name: &str) -> PathBuf {
    dir.join("snapshots").join(format!("{name}.ign"))
}

/// Copies a file, or removes its copy where it is missing.
fn copy_or_remove(from: &Path, to: &Path) -> Result<()> {
    match fs::read(from) {
        Ok(content) => {
            make_private(to.parent().unwrap_or(to))?;
            files::replace(to, &content)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => remove_all(to),
        Err(error) => Err(error).with_context(|| format!("read {}", from.display())),
    }
}

/// Copies the document of a snapshot, if it has one, to a copy of the machine.
pub(super) fn copy_document(from: &Path, to: &Path, name: &str) -> Result<()> {
    let kept = document_file(from, name);
    match kept.exists() {
        true => copy_or_remove(&kept, &document_file(to, name)),
        false => Ok(()),
    }
}

/// Gives the machine the document of a snapshot, whose disk may not have what the document writes. A document that the
/// machine still has stays: the guest leaves files that are on its disk.
fn restore_document(machine: &Machine, name: &str) -> Result<()> {
    let kept = document_file(&machine.dir, name);
    match kept.exists() {
        true => copy_or_remove(&kept, &machine.file(quadlet::FILE)),
        false => Ok(()),
    }
}

fn create(dirs: &Dirs, machine: &Machine, name: &str) -> Result<()> {
    let tag = format!("{USER_PREFIX}{name}");
    let now = state(dirs, machine)?;
    if matches!(now, State::Stopped | State::Running | State::Paused) {
        copy_or_remove(
            &machine.file(quadlet::FILE),
            &document_file(&machine.dir, name),
        )?;
    }
    match now {
        State::Stopped => {
            // A description that an interrupted removal has left does not describe this snapshot.
            remove_all(&memory_file(machine, name))?;
            change(machine, SnapshotChange::Create, &tag)?;
        }
        State::Running | State::Paused => {
            let saved = ask(machine, &json!({"do": "snapshot", "tag": tag}))?;
            let saved = serde_json::to_string_pretty(&saved["saved"])?;
            make_private(&machine.file("snapshots"))?;
            files::replace(&memory_file(machine, name), saved.as_bytes())?;
        }
        State::Saved => {
            return Err(fault(
                "the machine is saved: start it, and make the snapshot then",
            ));
        }
        other => return Err(fault(&format!("the machine is {other}: try again"))),
    }
    println!("Snapshot \"{name}\" was created.");
    Ok(())
}

/// Restores a snapshot. A machine that runs is killed, because its state is replaced. A snapshot with
/// memory leaves the machine saved, one without memory leaves it stopped.
fn restore(dirs: &Dirs, machine: &Machine, name: &str) -> Result<()> {
    let tag = format!("{USER_PREFIX}{name}");
    state(dirs, machine)?;
    power_cut::kill_one(machine)?;
    machine.forget_saved()?;
    restore_document(machine, name)?;
    change(machine, SnapshotChange::Restore, &tag)?;
    keep_size(machine)?;
    // The host key is on the disk, which may be from before the first boot: the next connection learns it.
    remove_all(&machine.file("known_hosts"))?;
    let path = memory_file(machine, name);
    let text = fs::read_to_string(&path).ok();
    let memory: Option<Saved> = text.and_then(|text| serde_json::from_str(&text).ok());
    // The disk is restored here, the memory by the next statement: a power cut between the two leaves a
    // Stopped machine that boots from the restored disk.
    match memory.filter(|saved| saved.tag == tag) {
        Some(saved) => {
            keep_image(machine, &saved)?;
            machine.set_saved(&saved)?;
            println!(
                "Machine \"{}\" is at \"{name}\": `start` continues from there.",
                machine.name
            );
        }
        None => println!(
            "The disk of \"{}\" is at \"{name}\": `start` boots from it.",
            machine.name
        ),
    }
    Ok(())
}

/// Gives a machine that was upgraded since the snapshot the image of that time, without which the memory cannot resume.
fn keep_image(machine: &Machine, saved: &Saved) -> Result<()> {
    let mut config = machine.config()?;
    let image = saved.image().unwrap_or(&config.image).to_owned();
    if image == config.image || !machine.cache.join(&image).is_dir() {
        return Ok(());
    }
    config.image = image;
    machine.save(&config)
}

/// Writes the size of the restored disk into the configuration: the disk may have grown since the snapshot.
fn keep_size(machine: &Machine) -> Result<()> {
    let mut config = machine.config()?;
    let bytes = driver::named(&config.driver)?.disk_bytes(&machine.disk())?;
    if config.disk_bytes == bytes {
        return Ok(());
    }
    config.disk_bytes = bytes;
    machine.save(&config)
}

fn remove(dirs: &Dirs, machine: &Machine, name: &str) -> Result<()> {
    let tag = format!("{USER_PREFIX}{name}");
    match state(dirs, machine)? {
        State::Saved if machine.saved()?.is_some_and(|saved| saved.tag == tag) => {
            return Err(fault(
                "the machine is saved at this snapshot: start the machine first",
            ));
        }
        State::Stopped | State::Saved => change(machine, SnapshotChange::Remove, &tag)?,
        State::Running | State::Paused => {
            ask(machine, &json!({"do": "delete-snapshot", "tag": tag}))?;
        }
        other => return Err(fault(&format!("the machine is {other}: try again"))),
    }
    remove_all(&memory_file(machine, name))?;
    remove_all(&document_file(&machine.dir, name))?;
    println!("Snapshot \"{name}\" was removed.");
    Ok(())
}

fn ask(machine: &Machine, request: &Value) -> Result<Value> {
    let answer = control::ask_long(&machine.run_file(control::SOCKET), request)?;
    match answer["error"].as_str() {
        Some(error) => Err(anyhow!("{error}")),
        None => Ok(answer),
    }
}

fn change(machine: &Machine, change: SnapshotChange, tag: &str) -> Result<()> {
    driver::of(machine)?.change_snapshots(&machine.disk(), change, tag)
}

/// Returns the snapshots that the user made, with their names.
pub(super) fn names(machine: &Machine) -> Result<Vec<Snapshot>> {
    let mut found = user_snapshots(driver::of(machine)?.snapshots(&machine.disk())?);
    // Saved memory without a description belongs to another machine, of which this one is a copy.
    for snapshot in &mut found {
        if !memory_file(machine, &snapshot.tag).exists() {
            snapshot.memory_bytes = 0;
        }
    }
    Ok(found)
}

fn user_snapshots(all: Vec<Snapshot>) -> Vec<Snapshot> {
    let named = |snapshot: Snapshot| {
        let tag = snapshot.tag.strip_prefix(USER_PREFIX)?.to_owned();
        Some(Snapshot { tag, ..snapshot })
    };
    all.into_iter().filter_map(named).collect()
}

fn list(machine: &Machine, as_json: bool) -> Result<ExitCode> {
    let snapshots = names(machine)?;
    if as_json {
        let list: Vec<Value> = snapshots
            .iter()
            .map(|s| json!({"Name": s.tag, "Memory": s.memory_bytes, "Created": s.created}))
            .collect();
        println!("{}", serde_json::to_string_pretty(&list)?);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}", table(&snapshots));
    Ok(ExitCode::SUCCESS)
}

fn table(snapshots: &[Snapshot]) -> String {
    let mut text = String::from("NAME\tMEMORY\tAGE\n");
    let now = crate::keeper::now();
    for snapshot in snapshots {
        let memory = match snapshot.memory_bytes {
            0 => "-".to_owned(),
            bytes => format!("{} MiB", bytes >> 20),
        };
        let age = age(now.saturating_sub(snapshot.created));
        text += &format!("{}\t{memory}\t{age}\n", snapshot.tag);
    }
    tabwriter::align(&text, tabwriter::LS).trim_end().to_owned()
}

/// Formats an age of `seconds` in the largest unit of which it has two.
fn age(seconds: u64) -> String {
    match seconds {
        0..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_the_largest_unit_of_two() {
        let cases = [
            (119, "1 min"),
            (7_199, "119 min"),
            (7_200, "2 h"),
            (172_799, "47 h"),
            (172_800, "2 d"),
        ];
        for (seconds, text) in cases {
            assert_eq!(age(seconds), text);
        }
    }

    #[test]
    fn names_of_snapshots() {
        for name in ["a", "1", "before-upgrade", "v1.2_x", &"x".repeat(63)] {
            check(name).expect(name);
        }
        for name in [
            "",
            ".a",
            "-a",
            "_a",
            "a b",
            "a/b",
            "../a",
            "é",
            "a,b",
            &"x".repeat(64),
        ] {
            assert!(check(name).is_err(), "{name}");
        }
    }

    #[test]
    fn snapshots_of_the_user_are_told_from_internal_ones() {
        let all = [
            (".suspended", 9),
            ("own.a", 3 << 20),
            ("other", 0),
            ("own.1", 0),
        ];
        let all = all.map(|(tag, memory)| Snapshot {
            tag: tag.to_owned(),
            memory_bytes: memory,
            created: 5,
        });
        let found = user_snapshots(all.into());
        let named: Vec<_> = found
            .iter()
            .map(|s| (s.tag.as_str(), s.memory_bytes))
            .collect();
        assert_eq!(named, [("a", 3 << 20), ("1", 0)]);
        let text = table(&found);
        assert!(
            text.contains("3 MiB") && text.starts_with("NAME   MEMORY   AGE\n"),
            "{text}"
        );
    }
}
