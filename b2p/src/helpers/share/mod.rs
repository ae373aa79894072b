// SPDX-License-Identifier: Apache-2.0
//! `b2p share`: mounts folders that the host shares. PID 1 runs it before the machine is ready
//! where flags ask for folders, and again when the host adds or removes one.
//!
//! The device of a tag decides between virtiofs and 9p ([`host_shares`]). A folder that is
//! mounted already is left alone, so that the helper may run again. A folder that was asked for
//! and is not there becomes a degraded line.
//!
//! A request to a server that has ended is never answered, and a process that waits for the
//! answer cannot be killed (fs/fuse/dev.c, request_wait_answer). Every access to a folder
//! therefore happens in a child with a time limit, which is left behind.

mod host_shares;
mod mount;
mod rosetta;

use std::path::Path;
use std::time::{Duration, Instant};

use config::SharedFolder;
use log::info;
use sys::error::Result;
use sys::uevent;

use crate::common::degraded::Degraded;
use crate::helpers::block::drivers::Drivers;
use host_shares::HostShares;

/// Time limit of one folder. A server that runs answers at once, one that has ended never.
const FOLDER_LIMIT: Duration = Duration::from_secs(3);
/// Time limit of all folders, shorter than the time for which the ready line waits
/// (`init::service_table`).
const TOTAL_LIMIT: Duration = Duration::from_secs(15);

/// Mounts every folder. A folder that cannot be mounted does not fail the helper.
pub fn main() -> i32 {
    // PID 1 has reported what is wrong with the flags.
    let (config, _) = sys::config_sources::read();
    let mut degraded = Degraded::of("share");
    for line in mount_and_report(config.shares) {
        degraded.warn(line);
    }
    degraded.report()
}

/// Mounts folders; returns a line for each that cannot be mounted.
pub fn mount_and_report(folders: Vec<SharedFolder>) -> Vec<String> {
    let mut lines = Vec::new();
    for (folder, outcome) in mount_all(folders) {
        let folder = format!("{} at {}", folder.tag, folder.path);
        match outcome {
            Ok(how) => info!("share: {folder}: {how}"),
            Err(why) => lines.push(format!("{folder}: {why}")),
        }
    }
    lines
}

/// Returns for each folder how it was mounted.
fn mount_all(mut folders: Vec<SharedFolder>) -> Vec<(SharedFolder, Result<String>)> {
    // A folder inside another one is mounted after it.
    sys::sort::sort_by(&mut folders, |a, b| a.path.cmp(&b.path));
    let shares = read_shares(&folders);
    let deadline = Instant::now() + TOTAL_LIMIT;
    let mount_one = |folder: SharedFolder| {
        let limit = FOLDER_LIMIT.min(deadline.saturating_duration_since(Instant::now()));
        let is_rosetta = folder.path == config::ROSETTA_PATH;
        let outcome = match shares.find(&folder.tag) {
            _ if is_rosetta && !rosetta::FITS => Err(rosetta::refused()),
            Ok(transport) => {
                mount::mount(&folder, transport, limit).and_then(|how| match is_rosetta {
                    true => mount::bounded(limit, || rosetta::register().map(|()| how)),
                    false => Ok(how),
                })
            }
            Err(why) => {
                mount::unmount(&folder, limit);
                Err(why)
            }
        };
        (folder, outcome)
    };
    folders.into_iter().map(mount_one).collect()
}

/// Reads what the host shares, and loads drivers only if a folder is missing.
fn read_shares(folders: &[SharedFolder]) -> HostShares {
    let complete = |shares: &HostShares| folders.iter().all(|f| shares.find(&f.tag).is_ok());
    let shares = HostShares::read(Path::new(uevent::SYSFS));
    if complete(&shares) {
        return shares;
    }
    Drivers::of_the_machine().load(host_shares::may_share);
    HostShares::read(Path::new(uevent::SYSFS))
}
