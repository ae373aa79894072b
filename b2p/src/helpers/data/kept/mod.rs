// SPDX-License-Identifier: Apache-2.0
//! Directories of the root that the data disk keeps: the homes, and the part of /etc that
//! `b2p.etc=` selects. Each is an overlay of a directory of the disk over that of the image
//! (overlayfs.rst), so that the disk has only the written files, and an unwritten file is the
//! image's, also that of a newer image.
//!
//! A file may also be written without a change. Such a file gives way to the image's ([`judge`]);
//! for that decision the image's file is recorded, because a newer image has another one.

mod accounts;
mod judge;
mod listing;
pub(crate) mod numbers;
pub(crate) mod owner;
mod root_files;
pub(crate) mod user;

use std::fs;
use std::path::Path;

use config::{Config, Etc};
use log::{info, warn};
use nix::mount::mount;
use sys::account_files::{self, Identity};
use sys::error::{Doing, Error, Result};

use self::judge::{Fate, Listing};
use super::errors::combine;
use crate::common::atomic_file;
use crate::common::paths::Paths;
use crate::common::registry_files;

/// Directory on the disk.
const DIR: &str = "kept";
/// Directory in [`DIR`] for the work directories of overlays, which must be on the same file
/// system.
const WORK: &str = ".work";
/// File in [`DIR`] with the record of the image's files.
const RECORD: &str = "shipped";
/// Longest record that is read, in bytes.
const MAX_RECORD: u64 = 4 << 20;

/// A directory that is kept.
struct Tree {
    /// Path in the root and on the disk.
    path: &'static str,
    /// Name of the work directory, and of the directory in messages.
    name: &'static str,
}

const HOMES: Tree = Tree {
    path: "home",
    name: "homes",
};
const CONTAINERS: Tree = Tree {
    path: "etc/containers",
    name: "containers",
};
/// podman machine writes where docker's socket leads after `set --rootful`, once.
const TMPFILES: Tree = Tree {
    path: "etc/tmpfiles.d",
    name: "tmpfiles",
};
const ETC: Tree = Tree {
    path: "etc",
    name: "etc",
};

/// Files that the machine writes at each boot from flags and from other files of the disk (ssh/,
/// certs/, machine-id): path, and its source.
const OWN_FILES: &[(&str, &str)] = &[
    ("etc/hostname", "b2p.hostname=, or hostname of the disk"),
    ("etc/machine-id", "machine-id of the disk"),
    ("etc/ssh/ssh_host_ed25519_key", "ssh/ of the disk"),
    ("etc/ssh/ssh_host_ed25519_key.pub", "ssh/ of the disk"),
    ("etc/ssl/certs/ca-certificates.crt", "certs/ of the disk"),
    ("etc/containers/certs.d", "a link to certs.d/ of the disk"),
    (
        "etc/containers/podman-machine",
        "the host, which publishes ports",
    ),
    ("etc/podman-machine", "the same, for podman 6"),
];

/// Returns the directories that are kept.
fn trees(etc: Etc) -> &'static [Tree] {
    match etc {
        Etc::Containers => &[HOMES, CONTAINERS, TMPFILES],
        Etc::All => &[HOMES, ETC],
        Etc::Ram => &[HOMES],
    }
}

/// Mounts the directories. Where a mount fails, the machine uses the directory in RAM.
///
/// # Errors
/// Some cannot be mounted, or files of the image cannot take the place of old ones; the others are
/// mounted.
pub fn mount_all(paths: &Paths, config: &Config) -> Result<()> {
    let etc = config.etc;
    let disk = paths.data_disk().join(DIR);
    for (dir, mode) in [("", 0o755), (WORK, 0o700), ("etc", 0o755)] {
        atomic_file::directory(&disk.join(dir), mode, 0)?;
    }
    let mut errors = Vec::new();
    errors.extend(root_files::link(paths).err());
    let names = user::names(paths).unwrap_or_default();
    errors.extend(user::hand_over(paths, config).err());
    errors.extend(give_way(paths, &disk, trees(etc)).err());
    if etc == Etc::All && paths.root() == Path::new("/") {
        // PID 1 will find the right name, and not write to the disk.
        errors.extend(sys::hostname::set(&config.hostname, &sys::files::replace_at_once).err());
    }
    if etc == Etc::All {
        errors.extend(merge_accounts(paths, &disk, config, &names).err());
    }
    for tree in trees(etc) {
        errors.extend(mount_one(paths, &disk, tree).err());
    }
    combine(errors)
}

fn mount_one(paths: &Paths, disk: &Path, tree: &Tree) -> Result<()> {
    let (upper, work) = (disk.join(tree.path), disk.join(WORK).join(tree.name));
    let target = paths.root().join(tree.path);
    atomic_file::directory(&upper, 0o755, 0)?;
    atomic_file::directory(&work, 0o700, 0)?;
    fs::create_dir_all(&target).on(&target)?;
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}",
        target.display(),
        upper.display(),
        work.display()
    );
    mount(
        Some(tree.name),
        &target,
        Some("overlay"),
        super::mount::FLAGS,
        Some(layers.as_str()),
    )
    .doing(format!(
        "{} are not kept: mount {}",
        tree.name,
        target.display()
    ))
}

/// Replaces unchanged files by those of the image, and records the image's files.
fn give_way(paths: &Paths, disk: &Path, trees: &[Tree]) -> Result<()> {
    let record = disk.join(RECORD);
    let text = sys::files::read_whole(&record, MAX_RECORD)?.unwrap_or_default();
    let recorded = judge::from_text(&String::from_utf8_lossy(&text));
    let is_kept = |path: &str| {
        trees
            .iter()
            .any(|tree| Path::new(path).starts_with(tree.path))
    };
    let mut shipped = Listing::new();
    for tree in trees {
        listing::add(&mut shipped, paths.root(), tree.path);
    }
    let mut errors = Vec::new();
    for path in shipped.keys() {
        errors.extend(put_odd_aside(disk, path).err());
    }
    for path in stale_registries(disk) {
        errors.extend(listing::remove(disk, &path).err());
    }
    for (path, _) in OWN_FILES.iter().filter(|(path, _)| is_kept(path)) {
        errors.extend(listing::replace(paths.root(), disk, path).err());
    }
    let all = shipped
        .keys()
        .chain(recorded.keys().filter(|p| !shipped.contains_key(*p)));
    for path in all.filter(|path| is_kept(path)) {
        errors.extend(update(paths, disk, path, shipped.get(path), recorded.get(path)).err());
    }
    let others = recorded.iter().filter(|(path, _)| !is_kept(path));
    shipped.extend(others.map(|(path, entry)| (path.clone(), entry.clone())));
    if errors.is_empty() && shipped != recorded {
        atomic_file::replace(&record, judge::to_text(&shipped).as_bytes(), 0o644)?;
    }
    combine(errors)
}

/// Replaces an unchanged file of the disk by that of the image; logs that a changed file stays.
fn update(
    paths: &Paths,
    disk: &Path,
    path: &str,
    shipped: Option<&judge::Entry>,
    recorded: Option<&judge::Entry>,
) -> Result<()> {
    let Some(kept) = listing::entry(disk, path) else {
        return Ok(());
    };
    match judge::fate(&kept, shipped, recorded) {
        Fate::GivesWay if shipped == Some(&kept) => {}
        Fate::GivesWay => return listing::replace(paths.root(), disk, path),
        Fate::StaysBehind => warn!("data: /{path} is yours, and the image has a newer one"),
        Fate::Stays => info!("data: /{path} is yours"),
    }
    Ok(())
}

/// Renames an entry in the place of a file of the image that is not a file, so that the file of the image is used.
fn put_odd_aside(disk: &Path, path: &str) -> Result<()> {
    let account_file = Path::new(path).strip_prefix(ETC.path).ok();
    let is_account_file = account_file
        .and_then(Path::to_str)
        .is_some_and(|name| accounts::FILES.contains(&name));
    let why = match listing::oddity(disk, path) {
        None if is_account_file => listing::unreadable(disk, path),
        why => why,
    };
    let Some(why) = why else { return Ok(()) };
    let aside = listing::put_aside(disk, path)?;
    let outcome = format!("/{path} is the image's; yours is /{aside} now");
    Err(Error::invalid(format!("{why}; {outcome}")))
}

/// Returns the paths of the registry files that `b2p registries` copied in an earlier boot.
fn stale_registries(disk: &Path) -> Vec<String> {
    let dir = registry_files::DIR.trim_start_matches('/');
    let record = format!("{dir}/{}", registry_files::COPIES);
    let text = listing::text(disk, &record).unwrap_or_default();
    let names = text
        .lines()
        .filter(|name| !name.is_empty() && !name.contains('/'));
    let files = names.map(|name| format!("{dir}/{name}"));
    files.chain([record.clone()]).collect()
}

/// Adds the users of the image to kept files of users, and gives the machine's user of an earlier boot,
/// with one of `names`, the name and number of this boot's user.
fn merge_accounts(paths: &Paths, disk: &Path, config: &Config, names: &[String]) -> Result<()> {
    let user = Identity {
        name: &config.user,
        uid: config.uid,
    };
    let text = |file: &str| listing::text(disk, &format!("{}/{file}", ETC.path));
    // The user may have written to one of the files alone.
    let (passwd, group) = (text("passwd"), text("group"));
    let texts = passwd.iter().chain(&group);
    let former = texts
        .filter_map(|text| accounts::former(text, names, user))
        .next();
    let mut errors = Vec::new();
    for file in accounts::FILES {
        let path = format!("{}/{file}", ETC.path);
        let (Some(kept), Some(entry)) = (text(file), listing::entry(disk, &path)) else {
            continue;
        };
        let shipped = listing::text(paths.root(), &path).unwrap_or_default();
        let mut merged = kept.clone();
        if let Some(former) = former.filter(|former| *former != user) {
            merged = account_files::text_with(file, &merged, former, user);
        }
        merged = accounts::merged(&merged, &shipped);
        if *file == "group" {
            merged = accounts::with_member(&merged, &shipped, user.name);
        }
        if merged != kept {
            errors.extend(listing::write(disk, &path, merged.as_bytes(), &entry).err());
        }
    }
    combine(errors)
}

#[cfg(test)]
mod tests;
