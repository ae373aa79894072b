// SPDX-License-Identifier: Apache-2.0
//! `b2p share`: mounts folders that the host shares. PID 1 runs the helper before the machine is
//! ready if flags request folders, and again when the host adds or removes one.
//!
//! The device of a tag decides between virtiofs and 9p ([`host_shares`]). A folder that is
//! mounted already is left alone, so that the helper may run again. A requested folder that is
//! missing becomes a degraded line.
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

/// Time limit of folders side by side. A server that runs answers at once, one that has ended never.
const FOLDER_LIMIT: Duration = Duration::from_secs(3);
/// Time limit of all folders, also where some are in others, shorter than the time for which the ready line waits
/// (`init::service_table`).
const TOTAL_LIMIT: Duration = Duration::from_secs(15);

/// Mounts every folder. A folder that cannot be mounted does not fail the helper.
pub fn main() -> i32 {
    // PID 1 has reported the faults of the flags.
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

/// Mounts the folders, and returns the result for each.
fn mount_all(mut folders: Vec<SharedFolder>) -> Vec<(SharedFolder, Result<String>)> {
    sys::sort::sort_by(&mut folders, |a, b| a.path.cmp(&b.path));
    let shares = read_shares(&folders);
    rosetta::name_folder(&mut folders, &shares);
    let work = |folder: &SharedFolder| mount_one(folder, &shares);
    let deadline = Instant::now() + TOTAL_LIMIT;
    let mut outcomes = Vec::new();
    for folders in by_depth(folders) {
        let limit = FOLDER_LIMIT.min(deadline.saturating_duration_since(Instant::now()));
        let mounted = mount::side_by_side(&folders, limit, work);
        outcomes.extend(folders.into_iter().zip(mounted));
    }
    outcomes
}

/// Returns the folders that are in no other one, then those in one other, and so on: an inner folder is
/// mounted after the outer one, and a server that does not answer delays no folder beside its own.
fn by_depth(folders: Vec<SharedFolder>) -> Vec<Vec<SharedFolder>> {
    let mut levels: Vec<Vec<SharedFolder>> = Vec::new();
    let paths: Vec<String> = folders.iter().map(|f| f.path.clone()).collect();
    for folder in folders {
        let is_above = |path: &&String| {
            **path != folder.path && Path::new(&folder.path).starts_with(path.as_str())
        };
        let depth = paths.iter().filter(is_above).count();
        levels.resize_with(levels.len().max(depth + 1), Vec::new);
        levels
            .get_mut(depth)
            .into_iter()
            .for_each(|level| level.push(folder.clone()));
    }
    levels
}

/// Mounts a folder, or unmounts it if the host no longer has it; an access may wait for ever.
fn mount_one(folder: &SharedFolder, shares: &HostShares) -> Result<String> {
    let is_rosetta = folder.path == config::ROSETTA_PATH;
    if is_rosetta && !rosetta::FITS {
        return Err(rosetta::refused());
    }
    let transport = shares
        .find(&folder.tag)
        .inspect_err(|_| mount::unmount(folder))?;
    let how = mount::mount(folder, transport)?;
    match is_rosetta {
        true => rosetta::register().map(|()| how),
        false => Ok(how),
    }
}

/// Reads the list of the host's folders, and loads drivers only if a folder is missing.
fn read_shares(folders: &[SharedFolder]) -> HostShares {
    let complete = |shares: &HostShares| folders.iter().all(|f| shares.find(&f.tag).is_ok());
    let shares = HostShares::read(Path::new(uevent::SYSFS));
    if complete(&shares) {
        return shares;
    }
    Drivers::of_the_machine().load(host_shares::may_share);
    HostShares::read(Path::new(uevent::SYSFS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_inside_another_comes_after_it() {
        let folder = |path: &str| SharedFolder {
            tag: path.into(),
            path: path.into(),
            read_only: false,
        };
        let paths = ["/a", "/a/b", "/a/b/c", "/ab", "/d/e"];
        let levels = by_depth(paths.map(folder).to_vec());
        let levels: Vec<Vec<&str>> = levels
            .iter()
            .map(|level| level.iter().map(|f| f.path.as_str()).collect())
            .collect();
        assert_eq!(
            levels,
            [vec!["/a", "/ab", "/d/e"], vec!["/a/b"], vec!["/a/b/c"]]
        );
    }
}
