// SPDX-License-Identifier: Apache-2.0
//! `b2p data`: finds, formats, checks, grows and mounts the data disk. PID 1 runs the helper once
//! at boot and again when a disk appears that could be the data disk. Kernel flags select the disk,
//! and in tests options do (`--data=… --format=… --wait=…`).
//!
//! The helper is a process of its own because a disk may take any time to answer. The `disk` crate
//! decides the steps, and [`run`] takes them in their order. The result for PID 1 is a file
//! ([`report`]).

mod cloud_seed;
mod errors;
mod export_config;
mod format;
pub mod fsck;
mod grow;
pub mod hostkey;
pub(crate) mod kept;
pub mod keys;
pub mod mount;
mod options;
mod overlay_support;
mod persist;
pub mod report;
mod search;
mod trigger;
pub mod user_files;

use std::path::Path;

use config::{Config, Etc};
use disk::choose::{Choice, Decision};
use disk::device::Device;
use disk::signature::SignatureKind;
use log::{info, warn};
use sys::account_files::{self, Identity};
use sys::config_sources;
use sys::error::Result;
use sys::paths::DOCUMENT_CONFIG;

use crate::common::atomic_file;
use crate::common::paths::Paths;
use crate::common::terminal::{print, print_error};
use crate::helpers::block::drivers::Drivers;
use crate::helpers::block::scan;
use crate::helpers::compat::{environment_d, legacy_state, session_environment};
pub use cloud_seed::{is_ignition, is_seed};
use options::Options;
use report::{EarlierRun, Report};
use search::Search;
use trigger::Trigger;

/// Maximum number of rounds. A round chooses a disk, and uses it, formats it, or finishes its format.
const MAX_ROUNDS: usize = 4;

/// Takes all steps and writes the report. A machine without a data disk is no failure.
pub fn main(args: &[String]) -> i32 {
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(why) => {
            print_error(&format!("b2p data: {why}"));
            return 2;
        }
    };
    let paths = Paths::below(options.root.clone());
    let trigger = match report::earlier_run(&paths) {
        EarlierRun::Disk(line) => {
            print(&line);
            return 0;
        }
        EarlierRun::Ram => Trigger::Hotplug,
        EarlierRun::None => Trigger::Boot,
    };
    let drivers = match args {
        [] => Drivers::of_the_machine(),
        _ => Drivers::default(),
    };
    let mut search = Search::begin(&options, trigger, drivers);
    let mut report = Report::default();
    run(&options, trigger, &mut search, &mut report);
    report.finish(&paths);
    0
}

fn run(options: &Options, trigger: Trigger, search: &mut Search<'_>, report: &mut Report) {
    let paths = &Paths::below(options.root.clone());
    for _ in 0..MAX_ROUNDS {
        let (choice, devices) = search.choose();
        report.seen(search.seqnum());
        cloud_seed::note(paths, &devices);
        let device = |name: &str| devices.iter().find(|d| d.name == name);
        let worked = match &choice.decision {
            Decision::NoDisk(why) => {
                log_findings(&choice, report);
                return report.ram(why);
            }
            Decision::Use(name, kind) => {
                log_findings(&choice, report);
                return match device(name) {
                    Some(device) => use_disk(device, *kind, options, trigger, report),
                    None => report.ram("a device vanished"),
                };
            }
            Decision::Format(name) => device(name).map(|d| format::format(d, paths)),
            Decision::FinishFormat(name) => device(name).map(format::finish),
        };
        if let Some(Err(why)) = worked {
            log_findings(&choice, report);
            report.degraded(format_args!("format: {why}"));
            return report.ram(&why.to_string());
        }
    }
    report.degraded("a disk that was formatted is not found");
    report.ram("a disk that was formatted is not found");
}

/// Logs the notes about the devices, and reports their faults.
fn log_findings(choice: &Choice, report: &mut Report) {
    choice.notes.iter().for_each(|note| info!("data: {note}"));
    choice.degraded.iter().for_each(|why| report.degraded(why));
}

/// Checks, grows, mounts and uses the file system. If the check or the mount fails, the machine
/// keeps its state in RAM; completed repairs and growth remain on the disk.
fn use_disk(
    device: &Device,
    kind: SignatureKind,
    options: &Options,
    trigger: Trigger,
    report: &mut Report,
) {
    let paths = &Paths::below(options.root.clone());
    let path = Path::new("/dev").join(&device.name);
    if let Err(why) = check_and_mount(device, &path, kind, paths) {
        report.degraded(format_args!("{}: {why}", device.name));
        return report.ram(&format!("{}: {why}", device.name));
    }
    for (what, outcome) in persist::all(paths, trigger) {
        outcome.unwrap_or_else(|why| report.degraded(format_args!("{what}: {why}")));
    }
    // After a hot-plug the machine already has its user, which is not changed.
    if trigger == Trigger::Boot {
        remember_user(paths).unwrap_or_else(|why| report.degraded(format_args!("user: {why}")));
    }
    let config = options.settings();
    mount::user_store(paths, config.uid)
        .unwrap_or_else(|why| report.degraded(format_args!("user: {why}")));
    // After a hot-plug, programs already have files of these directories open.
    if trigger == Trigger::Boot {
        use_kept(paths, options, &config, report);
    }
    overlay_support::record(kind, paths).unwrap_or_else(|why| warn!("data: {why}"));
    if let Some(line) = legacy_state::unused_files(&paths.data_disk(), &paths.state_dir()) {
        warn!("data: {line}");
    }
    report.disk(&path, kind, scan::size(&device.name).unwrap_or(device.size));
}

/// Mounts the homes and the other directories that the disk keeps over those in RAM, and makes the user and the
/// variables that the kept files name.
fn use_kept(paths: &Paths, options: &Options, config: &Config, report: &mut Report) {
    let mut outcomes = vec![("kept files", kept::mount_all(paths, config))];
    if options.come_from_flags() {
        let home = Path::new("/home").join(&config.user);
        outcomes.extend([
            ("user", make_user(config)),
            ("user", kept::user::make_home(&home, config.uid)),
            ("variables", kept_variables(config.etc)),
        ]);
    }
    for (what, outcome) in outcomes {
        outcome.unwrap_or_else(|why| report.degraded(format_args!("{what}: {why}")));
    }
}

/// Gives podman and sessions the variables of files in /etc that an earlier boot has written. PID 1 writes the
/// environment of sessions when this helper has ended.
fn kept_variables(etc: Etc) -> Result<()> {
    if etc != Etc::All {
        return Ok(());
    }
    environment_d::apply()?;
    session_environment::note(Path::new("/")).map(drop)
}

/// Gives the machine the user that a document named in an earlier boot; a document of this boot, or a
/// flag, takes precedence.
fn remember_user(paths: &Paths) -> Result<()> {
    let Some(flag) = kept::user::remembered(paths)? else {
        return Ok(());
    };
    let path = paths.at(DOCUMENT_CONFIG);
    sys::files::replace(&path, flag.as_bytes(), 0o644)
}

/// Makes the user that the disk names, and the home. PID 1, which writes to no disk, does the rest when
/// this helper has ended.
fn make_user(config: &Config) -> Result<()> {
    let host = config_sources::read_host();
    account_files::make_user(
        Path::new("/"),
        identity(&host),
        identity(config),
        &atomic_file::replace_for,
    )
}

fn identity(config: &Config) -> Identity<'_> {
    Identity {
        name: &config.user,
        uid: config.uid,
    }
}

fn check_and_mount(device: &Device, path: &Path, kind: SignatureKind, paths: &Paths) -> Result<()> {
    mount::refuse_to_hide(paths)?;
    fsck::check(path, kind)?;
    grow::partition(device).unwrap_or_else(|e| warn!("data: not grown: {e}"));
    mount::mount(path, &device.name, kind, paths)?;
    grow::filesystem(path, kind, &paths.data_disk())
        .unwrap_or_else(|e| warn!("data: not grown: {e}"));
    // During a long check the machine may have started to use RAM.
    mount::refuse_to_hide(paths)
        .and_then(|()| mount::bind(paths))
        .inspect_err(|_| mount::undo(paths))
}
