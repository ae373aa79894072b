//! The data disk: found, made, mended, grown and mounted, once at boot and again
//! when a disk appears that could be it: `b2p data`, run by PID 1. As it is told by
//! the kernel flags; tests tell it in words, `--data=… --format=… --wait=…`.
//!
//! A process of its own, because a disk may take as long as it likes. What is
//! decided is in the `disk` crate; here it is done, in the order of [`run`].
//! What it has to say to PID 1 is in a file: [`report`].

mod async_probe;
pub mod drivers;
mod export_config;
mod firmware;
pub mod format;
pub mod fsck;
mod grow;
pub mod hostkey;
pub mod ioctl;
mod keys;
mod mount;
mod options;
pub mod owner;
mod persist;
pub mod report;
pub mod scan;
pub mod wait;

use std::path::Path;

use disk::choose::{Choice, Decision};
use disk::device::Device;
use disk::signature::SignatureKind;
use log::{info, warn};

use drivers::Drivers;
use options::Asked;
use report::Report;
use wait::Wait;

use crate::common::paths::Paths;
use crate::helpers::cloud::datasource;
use crate::helpers::compat::legacy_state;

/// Does everything and says how it went. That there is no data disk is no failure.
pub fn main(words: &[String]) -> i32 {
    let asked = match Asked::parse(words) {
        Ok(asked) => asked,
        Err(why) => {
            crate::common::terminal::print_error(&format!("b2p data: {why}"));
            return 2;
        }
    };
    let paths = Paths::below(asked.root.clone());
    let time = match report::before(&paths) {
        report::Before::Disk(line) => {
            crate::common::terminal::print(&line);
            return 0;
        }
        report::Before::Ram => Time::Running,
        report::Before::Nothing => Time::Boot,
    };
    let drivers = match words {
        [] => Drivers::of_the_machine(),
        _ => Drivers::default(),
    };
    let mut wait = Wait::begin(&asked, time, drivers);
    let mut report = Report::default();
    run(&asked, &paths, time, &mut wait, &mut report);
    report.finish(&paths);
    0
}

/// When it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Before anything that could need a disk.
    Boot,
    /// In a machine that has come up in RAM: its host key and its id are known.
    Running,
}

/// So often a disk is worked on before another look.
const ROUNDS: usize = 4;

fn run(asked: &Asked, paths: &Paths, time: Time, wait: &mut Wait, report: &mut Report) {
    for _ in 0..ROUNDS {
        let (choice, devices) = wait.choice(asked);
        report.seen(wait.seen());
        note_cidata(paths, &devices);
        let device = |name: &str| devices.iter().find(|d| d.name == name);
        let worked = match &choice.decision {
            Decision::None(why) => {
                note(&choice, report);
                return report.ram(why);
            }
            Decision::Use(name, kind) => {
                note(&choice, report);
                return match device(name) {
                    Some(device) => take(device, *kind, paths, time, report),
                    None => report.ram("a device vanished"),
                };
            }
            Decision::Format(name) => device(name).map(|d| format::format(d, paths)),
            Decision::Sweep(name) => device(name).map(format::sweep),
        };
        if let Some(Err(why)) = worked {
            note(&choice, report);
            report.degraded(&format!("format: {why}"));
            return report.ram(&why);
        }
    }
    report.degraded("a disk that is made is not found");
    report.ram("a disk that is made is not found");
}

/// What `b2p cloud` need not look for again.
fn note_cidata(paths: &Paths, devices: &[Device]) {
    let named = |d: &&Device| d.signatures.iter().flatten().any(datasource::is_cidata);
    let names: String = devices
        .iter()
        .filter(named)
        .map(|d| format!("{}\n", d.name))
        .collect();
    sys::files::replace(
        &paths.at(sys::paths::CLOUD_SEED_DEVICES),
        names.as_bytes(),
        0o644,
    )
    .unwrap_or_else(|e| warn!("{e}"));
}

/// Keys that may log in besides, as root and core.
///
/// # Errors
/// What could not be written.
pub fn more_keys(lines: &str) -> Result<(), String> {
    keys::add(&Paths::default(), lines)
}

/// What there is to say about the devices that were looked at.
fn note(choice: &Choice, report: &mut Report) {
    choice.notes.iter().for_each(|n| info!("data: {n}"));
    choice.degraded.iter().for_each(|d| report.degraded(d));
}

/// The file system is checked, grown, mounted and used; what fails leaves the
/// machine in RAM and the disk as it is.
fn take(device: &Device, kind: SignatureKind, paths: &Paths, time: Time, report: &mut Report) {
    let path = Path::new("/dev").join(&device.name);
    let taken = mount::hidden(paths)
        .and_then(|()| fsck::check(&path, kind))
        .and_then(|()| {
            grow::partition(device).unwrap_or_else(|e| warn!("data: not grown: {e}"));
            mount::mount(&path, &device.name, kind, paths)
        })
        .and_then(|()| {
            grow::filesystem(&path, kind, &paths.data_disk())
                .unwrap_or_else(|e| warn!("data: not grown: {e}"));
            // A check may take so long that the machine has gone on without.
            let bound = mount::hidden(paths).and_then(|()| mount::bind(paths));
            bound.inspect_err(|_| mount::undo(paths))
        });
    if let Err(why) = taken {
        report.degraded(&format!("{}: {why}", device.name));
        return report.ram(&format!("{}: {why}", device.name));
    }
    for (what, done) in persist::all(paths, time) {
        done.unwrap_or_else(|why: String| report.degraded(&format!("{what}: {why}")));
    }
    if let Some(line) = legacy_state::unused_files(&paths.data_disk(), &paths.state()) {
        warn!("data: {line}");
    }
    report.disk(&path, kind, scan::size(&device.name).unwrap_or(device.size));
}
