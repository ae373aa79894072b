// SPDX-License-Identifier: Apache-2.0
//! `create`: a machine appears whole, under its name, or not at all.

use super::creation::Creation;
use super::{create_options, dirs, lifecycle, set};
use crate::compat;
use crate::driver::{self, Driver, Program, SSH};
use crate::fault::{Fault, PRE_CREATE};
use crate::store::config::MachineConfig;
use crate::store::dirs::remove_all;
use crate::store::disks::DataDisk;
use crate::store::image::{Image, hold_cache};
use crate::store::image_source::Source;
use crate::store::{Dirs, Machine, ca, draft, field, files, quadlet, template};
use crate::tool;
use anyhow::Result;
use clap::ArgMatches;
use clap::parser::ValueSource;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Runs `create`.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    create(matches, !matches.get_flag("no-start"))
}

/// Runs `init`, podman's name for a creation without a start.
pub fn init(matches: &ArgMatches) -> Result<ExitCode> {
    create(matches, matches.get_flag("now"))
}

/// Returns the one name of the command line, or that of the default machine.
fn name(matches: &ArgMatches) -> Result<&str> {
    let names: Vec<&String> = matches.get_many("name").into_iter().flatten().collect();
    match names.as_slice() {
        [name] => Ok(name.as_str()),
        [] if compat::as_docker() => {
            eprintln!("{}", super::usage(create_options::command()));
            Err(Fault::new("Error: No machine name specified").into())
        }
        [] => Ok("default"),
        [_, rest @ ..] => {
            let rest: Vec<&str> = rest.iter().map(|word| word.as_str()).collect();
            let rest = rest.join(" ");
            let why = format!("Invalid command line. Found extra arguments [{rest}]");
            Err(Fault::new(why).into())
        }
    }
}

fn create(matches: &ArgMatches, start: bool) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let name = name(matches)?;
    check_name(&dirs, name)?;
    let mut config = create_options::configure(name, matches)?;
    let disk = data_disk(&dirs, matches, &mut config)?;
    let saved = matches.get_flag("saved");
    let parts = Parts {
        document: document(matches, saved, &config)?,
        is_saved: saved,
        disk,
    };
    println!("Running pre-create checks...");
    let source = match matches.get_one::<String>("image") {
        Some(text) => Source::parse(text)?,
        None => Source::default_place()?,
    };
    check_programs(driver::named(&config.driver)?)?;
    dirs.create()?;
    draft::sweep(&dirs)?;
    let machine = Machine::at(&dirs, name);
    warn_of_size(matches, &machine, &config);
    let creation = Creation::begin(&dirs, &machine)?;
    let limit = Duration::from_secs(*matches.get_one("timeout").unwrap_or(&600));
    let made = import(&creation, &source, config)
        .and_then(|(config, cache)| make(&creation, &config, &parts, cache, (limit, start)));
    // After a signal this call does not return: the thread of the signal undoes the creation and ends the
    // process.
    creation.done();
    made?;
    parts.disk.map_or(Ok(()), |disk| disk.given())?;
    print_next_step(name);
    Ok(ExitCode::SUCCESS)
}

/// Returns the disk that the command line gives the machine, whose size is that of the machine's disk.
fn data_disk(
    dirs: &Dirs,
    matches: &ArgMatches,
    config: &mut MachineConfig,
) -> Result<Option<DataDisk>> {
    let Some(path) = matches.get_one::<PathBuf>("data-disk") else {
        return Ok(None);
    };
    let driver = driver::named(&config.driver)?;
    let disk = DataDisk::open(dirs, path, |disk| driver.disk_bytes(disk))?;
    config.disk_bytes = disk.bytes;
    Ok(Some(disk))
}

/// Warns of a disk that may outgrow its host's, where its size was asked for.
fn warn_of_size(matches: &ArgMatches, machine: &Machine, config: &MachineConfig) {
    if matches.value_source("disk") != Some(ValueSource::DefaultValue) {
        set::warn_of_size(machine, config.disk_bytes);
    }
}

/// Prints the command that shows how a client connects to the machine.
fn print_next_step(name: &str) {
    let client = match compat::as_docker() {
        true => "Docker Client to the Docker Engine running on this virtual machine",
        false => "podman client to the machine",
    };
    let program = compat::program();
    println!("To see how to connect your {client}, run: {program} env {name}");
}

/// Brings the image into the cache, and returns the cache's lock file. `prune` removes nothing until the
/// file is closed.
fn import(
    creation: &Creation,
    source: &Source,
    mut config: MachineConfig,
) -> Result<(MachineConfig, fs::File)> {
    let (dirs, machine) = (&creation.dirs, &creation.machine);
    println!("({}) Verifying the image...", machine.name);
    let cache = hold_cache(dirs)?;
    let import = Image::import_by(&dirs.cache(), source, |draft| creation.make_draft(draft));
    config.image = import?.id;
    Ok((config, cache))
}

/// Returns the directory of the template for a configuration, which is made if there is none.
fn template(creation: &Creation, config: &MachineConfig, limit: Duration) -> Result<PathBuf> {
    let dirs = &creation.dirs;
    let host = driver::named(&config.driver)?.host(&dirs.cache(), config)?;
    let dir = template::dir(dirs, config, &host);
    if !template::is_whole(&dir) {
        let name = &creation.machine.name;
        println!(
            "({name}) Booting the template that machines of this image and hardware begin with..."
        );
        let draft = template::draft(&dirs.cache(), std::process::id());
        creation.make_draft(&draft)?;
        let made = make_disk(&draft, config).and_then(|()| {
            crate::keeper::template::make(&template::machine(dirs, &draft), config, limit)?;
            template::commit(dirs, &draft, &dir)
        });
        if made.is_err() {
            remove_all(&draft)?;
        }
        made?;
    }
    Ok(dir)
}

/// Returns the document for quadlet files and certificates, if some are given; refuses options that a template does not
/// fit.
fn document(matches: &ArgMatches, saved: bool, config: &MachineConfig) -> Result<Option<Vec<u8>>> {
    let dir = matches.get_one::<PathBuf>("quadlet");
    if saved {
        template::check(config, dir.is_some(), matches.contains_id("ca"))?;
    }
    let mut rows = dir.map_or(Ok(Vec::new()), |dir| quadlet::rows(dir))?;
    let files = matches.get_many("ca").into_iter().flatten();
    rows.append(&mut ca::rows(&files.cloned().collect::<Vec<PathBuf>>())?);
    Ok(quadlet::document(&rows))
}

/// Content of the disk of a new machine.
struct Parts {
    /// True for a copy of the template.
    is_saved: bool,
    /// Document that writes quadlet files and certificates at the first boot.
    document: Option<Vec<u8>>,
    /// Disk of an earlier machine.
    disk: Option<DataDisk>,
}

/// Makes the machine within a time, and starts it if that is asked for; `cache` keeps its image.
fn make(
    creation: &Creation,
    config: &MachineConfig,
    parts: &Parts,
    cache: fs::File,
    (limit, start): (Duration, bool),
) -> Result<()> {
    let (dirs, machine) = (&creation.dirs, &creation.machine);
    let copied = parts.is_saved.then(|| template(creation, config, limit));
    let copied = copied.transpose()?;
    println!("Creating machine...");
    let held = parts
        .disk
        .as_ref()
        .map(|disk| disk.hold(dirs))
        .transpose()?;
    let lock = creation.publish(|draft| fill(dirs, draft, config, parts, copied.as_deref()))?;
    drop((cache, held));
    if !start {
        return Ok(());
    }
    let mut spawn = || creation.spawn_keeper(&lock);
    let started = lifecycle::start_held(dirs, machine, limit, &mut spawn, &mut |_| {});
    if started.is_err() {
        creation.undo()?;
        eprintln!("({}) the machine is removed again", machine.name);
    }
    started
}

/// Names of devices on Windows, to which no directory can be called; so can it not with digits from 1 to 9 behind the
/// last two ("Naming Files, Paths, and Namespaces").
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];

fn is_device(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let base = name.split('.').next().unwrap_or_default();
    let numbered = |device: &&str| {
        let rest = base.strip_prefix(*device);
        rest.is_some_and(|rest| rest.len() == 1 && ('1'..='9').any(|digit| rest.contains(digit)))
    };
    DEVICES[..4].contains(&base) || DEVICES[4..].iter().any(numbered)
}

/// Refuses a name that is taken, or that cannot be one.
pub fn check_name(dirs: &Dirs, name: &str) -> Result<()> {
    if is_device(name) {
        let text = format!(
            "Error creating machine: Invalid hostname specified. \"{name}\" is the name of a device on Windows"
        );
        return Err(Fault::new(text).into());
    }
    if !field::is_host_name(name) {
        let text = "Error creating machine: Invalid hostname specified. Allowed hostname chars are: 0-9a-zA-Z . -";
        return Err(Fault::new(text).into());
    }
    let taken = Machine::names(dirs)?
        .into_iter()
        .find(|other| other.eq_ignore_ascii_case(name));
    match taken {
        Some(other) => {
            Err(Fault::new(format!("{} \"{other}\" already exists", compat::kind())).into())
        }
        None => Ok(()),
    }
}

fn check_programs(driver: &dyn Driver) -> Result<()> {
    let needed = driver.programs().iter().chain(SSH);
    needed.copied().try_for_each(check_program)
}

fn check_program(program: Program) -> Result<()> {
    let (name, package) = (program.name, program.package);
    let why = match tool::find(name) {
        None => format!("is not in PATH; Debian's package is {package}"),
        Some(_) if program.oldest == (0, 0) => return Ok(()),
        // A program that does not tell its version fails later, with its own words.
        Some(_) => match tool::output(Command::new(name).arg(program.version)) {
            Ok(words) => match program.too_old(&words) {
                Some(why) => why,
                None => return Ok(()),
            },
            Err(_) => return Ok(()),
        },
    };
    let text = format!("Error with pre-create check: {name} {why}");
    Err(Fault::with_status(text, PRE_CREATE).into())
}

/// Makes the files of a machine in a draft by `fill`, and gives the draft its name.
pub fn publish(
    dirs: &Dirs,
    machine: &Machine,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    draft::sweep(dirs)?;
    let draft = draft::path(dirs, &machine.name, std::process::id());
    draft::make(&draft)?;
    let built = fill(&draft).and_then(|()| draft::publish(&draft, machine));
    if built.is_err() {
        remove_all(&draft)?;
    }
    built
}

fn fill(
    dirs: &Dirs,
    draft: &Path,
    config: &MachineConfig,
    parts: &Parts,
    template: Option<&Path>,
) -> Result<()> {
    files::replace(&draft.join("config.json"), config.text().as_bytes())?;
    keygen(draft, &config.name)?;
    if let Some(document) = &parts.document {
        files::replace(&draft.join(quadlet::FILE), document)?;
    }
    match (template, &parts.disk) {
        (Some(dir), _) => template::copy(dir, draft),
        (None, Some(disk)) => disk.put(dirs, draft),
        (None, None) => make_disk(draft, config),
    }
}

fn make_disk(draft: &Path, config: &MachineConfig) -> Result<()> {
    let disk = draft.join("disk.qcow2");
    driver::named(&config.driver)?.create_disk(&disk, config.disk_bytes)
}

/// Makes the key of a machine.
pub fn keygen(draft: &Path, name: &str) -> Result<()> {
    let mut keygen = Command::new("ssh-keygen");
    let comment = format!("podman-machine {name}");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", &comment, "-f"]);
    tool::run(keygen.arg(draft.join("id_ed25519")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_existing_machines_are_refused() {
        let tmp = tempfile::tempdir().expect("a directory");
        let dirs = Dirs {
            storage: tmp.path().into(),
            runtime: tmp.path().join("run"),
        };
        fs::create_dir_all(dirs.machines().join("Box")).expect("made");
        for name in [
            "a",
            "9",
            "a.b-c",
            "com",
            "lpt0",
            "com10",
            "console",
            &"x".repeat(63),
        ] {
            check_name(&dirs, name).expect(name);
        }
        for name in [
            "",
            "-a",
            ".a",
            "a-",
            "a.",
            "a..b",
            "a-.b",
            "a.-b",
            "a_b",
            "a/b",
            "../x",
            "a b",
            "é",
            &"x".repeat(64),
            "box",
            "Box",
            "CON",
            "aux.x",
            "com1",
        ] {
            assert!(check_name(&dirs, name).is_err(), "{name}");
        }
    }
}
