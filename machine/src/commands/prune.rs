// SPDX-License-Identifier: Apache-2.0
//! `prune` and `reset`.

use super::{dirs, protect, remove, text_of};
use crate::fault::Fault;
use crate::store::dirs::remove_all;
use crate::store::saved::Saved;
use crate::store::template::DESCRIPTION;
use crate::store::{Dirs, Machine, draft, files, lock, template};
use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::fs;
use std::process::ExitCode;

/// Begin of the name of an image in the cache.
const IMAGE: &str = "sha256-";

/// Returns the parser of `prune`.
pub fn command() -> Command {
    Command::new("prune")
        .about("Remove images that no machine uses, and what interrupted commands left")
        .arg(
            Arg::new("dry-run")
                .short('n')
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Print what would be removed"),
        )
}

/// Runs `prune`.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let _cache = empty_cache(&dirs)?;
    prune(&dirs, matches.get_flag("dry-run"))?;
    Ok(ExitCode::SUCCESS)
}

/// Takes the lock of the cache, while no command adds an image to it.
fn empty_cache(dirs: &Dirs) -> Result<fs::File> {
    dirs.create()?;
    let file = lock::open(&dirs.cache().join("lock"))?;
    file.try_lock().map_err(|_| {
        Fault::new("Error: another podman-machine brings an image into the cache: try again")
    })?;
    Ok(file)
}

/// Removes unused images, and names them.
fn prune(dirs: &Dirs, dry: bool) -> Result<()> {
    for path in draft::abandoned(dirs) {
        println!("{}: of an interrupted command", path.display());
        if !dry {
            remove_all(&path)?;
        }
    }
    for image in unused(dirs)? {
        let bytes = size(&dirs.cache().join(&image));
        println!("{image}  {} MB", bytes.div_ceil(1_000_000));
        if !dry {
            remove_all(&dirs.cache().join(image))?;
        }
    }
    Ok(())
}

fn size(dir: &std::path::Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some(entry.metadata().ok()?.len()))
        .sum()
}

/// Returns the image of an entry of the cache: a template belongs to one, too. One whose
/// description cannot be read belongs to none.
fn image_of(dirs: &Dirs, name: &str) -> Option<String> {
    if name.starts_with(IMAGE) {
        return Some(name.to_owned());
    }
    let path = dirs.cache().join(name).join(DESCRIPTION);
    let saved: Saved = serde_json::from_str(&files::read_text(&path).ok()?).ok()?;
    saved.image().map(str::to_owned)
}

/// Returns the images in the cache that no configuration and no snapshot names, and their templates. A machine may name several, as
/// `upgrade` keeps the one before, so its whole text counts; a configuration that cannot be read
/// might name any.
fn unused(dirs: &Dirs) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for name in Machine::names(dirs)? {
        let machine = Machine::at(dirs, &name);
        let text = files::read_text(&machine.file("config.json")).unwrap_or_default();
        if machine.config().is_err() {
            let text = format!(
                "Error: the configuration of machine \"{name}\" cannot be read, and may name any image: \
                 `rm -f {name}` removes the machine"
            );
            return Err(Fault::new(text).into());
        }
        texts.push(text);
        // The memory of a snapshot resumes only with the image of the snapshot.
        let snapshots = fs::read_dir(machine.file("snapshots"));
        let snapshots = snapshots.into_iter().flatten().flatten();
        texts.extend(snapshots.filter_map(|entry| files::read_text(&entry.path()).ok()));
    }
    let entries = fs::read_dir(dirs.cache()).with_context(|| dirs.cache().display().to_string())?;
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let is_used = |name: &str| {
        let image = image_of(dirs, name);
        image.is_some_and(|image| texts.iter().any(|text| text.contains(&image)))
    };
    let is_entry = |name: &String| name.starts_with(IMAGE) || name.starts_with(template::PREFIX);
    let mut images: Vec<String> = names
        .filter(|name| is_entry(name) && !is_used(name))
        .collect();
    images.sort_unstable();
    Ok(images)
}

/// Returns the parser of `reset`.
pub fn reset_command() -> Command {
    Command::new("reset")
        .about("Remove all machines with their disks, and all images")
        .arg(
            Arg::new("force")
                .short('f')
                .long("force")
                .short_alias('y')
                .action(ArgAction::SetTrue)
                .help("Remove without asking"),
        )
}

/// Runs `reset`.
pub fn reset(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let names = Machine::names(&dirs)?;
    // All or none: before anything is removed.
    let mut machines = names.iter().map(|name| Machine::at(&dirs, name));
    machines.try_for_each(|machine| protect::check(&machine))?;
    println!(
        "About to remove all images and {} machines: {}",
        names.len(),
        names.join(", ")
    );
    println!("WARNING: This action will delete the disks of all machines.");
    if !(matches.get_flag("force") || remove::confirmed()?) {
        return Ok(ExitCode::SUCCESS);
    }
    let _cache = empty_cache(&dirs)?;
    let remove_one = |name: &String| remove::remove(&dirs, &Machine::at(&dirs, name)).err();
    let errors: Vec<String> = names
        .iter()
        .filter_map(remove_one)
        .map(|error| text_of(&error))
        .collect();
    if !errors.is_empty() {
        return Err(Fault::new(errors.join("\n")).into());
    }
    // Nobody has agreed to the end of a machine that was made while this command asked.
    for name in Machine::names(&dirs)? {
        eprintln!("Machine \"{name}\" was made meanwhile, and is left");
    }
    prune(&dirs, false)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::config::MachineConfig;

    #[test]
    fn images_in_use_stay() {
        let tmp = tempfile::tempdir().expect("a directory");
        let dirs = Dirs {
            storage: tmp.path().into(),
            runtime: tmp.path().join("run"),
        };
        dirs.create().expect("made");
        let [a, b, c] = ["a", "b", "c"].map(|digit| format!("sha256-{}", digit.repeat(64)));
        for name in [&a, &b, &c, "other"] {
            fs::create_dir(dirs.cache().join(name)).expect("made");
        }
        let machine = Machine::at(&dirs, "box");
        fs::create_dir(&machine.dir).expect("made");
        let mut config = MachineConfig::new("box");
        config.image = a;
        config.previous = Some(b);
        machine.save(&config).expect("written");
        assert_eq!(unused(&dirs).expect("read"), [c]);
        fs::write(machine.file("config.json"), "{").expect("written");
        assert!(unused(&dirs).is_err());
    }
}
