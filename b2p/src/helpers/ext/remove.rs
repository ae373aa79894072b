// SPDX-License-Identifier: Apache-2.0
//! Removes an extension that nothing uses: stops its services, unloads its modules, removes its links and unmounts it.
//! Accounts that it has made stay, because files may belong to them.

use std::fs;
use std::path::{Path, PathBuf};

use log::{info, warn};
use nix::mount::{MntFlags, umount2};
use sys::error::{Doing, Error, Result};

use super::added::{RAM, added, ensure_root, manifest_copy, record, target, values};
use super::find::{self, Files, ON_DISK};
use super::lock::lock;
use super::manifest::{self, Manifest};
use super::record::Record;
use super::{
    emulators, engine_uses, extension_services, keep, kernel_modules, links, runtime, source, uses,
};
use crate::common::service_env::Environment;

/// Removes an extension from the root.
///
/// # Errors
/// The extension is not added, or something uses it; the error says what.
pub fn remove(env: &Environment, name: &str) -> Result<()> {
    ensure_root("remove")?;
    let _lock = lock()?;
    let all = added();
    if !all.iter().any(|known| known == name) {
        let known = match all.is_empty() {
            true => "none is".to_owned(),
            false => format!("these are: {}", all.join(", ")),
        };
        return Err(Error::invalid(format!("it is not added; {known}")));
    }
    let text = sys::files::read_bounded(&manifest_copy(name), super::manifest::MAX_BYTES)
        .on(manifest_copy(name))?;
    let manifest = Manifest::parse(&text)?;
    ensure_unused(env, name, &manifest)?;
    let others = others_of(name, &all);
    if let Err(why) = detach(env, name, &manifest, &others) {
        attach_again(env, name, &manifest)
            .doing(format!("{why}; what it had is not there again"))?;
        return Err(why).doing("it stays added");
    }
    forget(name);
    if let Ok(fetched) = Files::at(&Path::new(RAM).join(name).to_string_lossy()) {
        fetched.remove();
    }
    info!("ext: {name}: removed");
    Ok(())
}

/// Removes an extension from the root, if it is there, and its files from the data disk; returns how it ended.
///
/// # Errors
/// The disk has no such extension, or another one there needs it; something uses it; or a file cannot be removed.
pub fn remove_from_disk(env: &Environment, name: &str) -> Result<String> {
    ensure_root("remove")?;
    let _lock = lock()?;
    let dir = Path::new(ON_DISK);
    let is_name = config::is_extension_name(name);
    if !is_name || !keep::is_there(dir, name)? {
        return Err(Error::invalid(format!("it is not in {ON_DISK}")));
    }
    let needed_by = needs_on_disk().into_iter().find(|(_, need)| need == name);
    if let Some((other, _)) = needed_by {
        let why = format!("in use by the extension {other} in {ON_DISK}, which needs it");
        return Err(Error::invalid(why));
    }
    if added().iter().any(|known| known == name) {
        remove(env, name)?;
    }
    keep::delete(dir, name)?;
    info!("ext: {name}: removed from {ON_DISK}");
    let (config, _) = sys::config_sources::read();
    Ok(match config.extensions.iter().any(|flag| flag == name) {
        true => "removed, also from the data disk; b2p.ext= still names it".to_owned(),
        false => "removed, also from the data disk".to_owned(),
    })
}

/// Returns the extensions on the data disk, each with one that it needs.
pub fn needs_on_disk() -> Vec<(String, String)> {
    let mut needs = Vec::new();
    for files in find::in_dir(Path::new(ON_DISK)) {
        let text = manifest::read_text(&files.manifest()).unwrap_or_default();
        if let Ok(manifest) = Manifest::parse(&text) {
            let own = manifest.values("needs");
            needs.extend(own.map(|need| (files.name(), need.to_owned())));
        }
    }
    needs
}

/// Stops the services of the extension, unloads its modules, removes its links and unmounts it.
fn detach(
    env: &Environment,
    name: &str,
    manifest: &Manifest<'_>,
    others: &[(PathBuf, Record)],
) -> Result<()> {
    let target = target(name);
    extension_services::stop(env, manifest)?;
    // Its services may have used its modules.
    let modules = kernel_modules::loaded(name, manifest);
    if let Some(user) = kernel_modules::blocker(&modules) {
        return Err(Error::invalid(format!("in use by {user}")));
    }
    emulators::unregister(&target)?;
    kernel_modules::unload(&modules)?;
    links::remove(&target, Path::new("/"), &record(name), others)?;
    unmount(&target)?;
    // A rule that another has as well, whose interpreter was this one's.
    for (other, _) in others {
        if let Err(why) = emulators::register(other) {
            warn!("ext: {why}");
        }
    }
    Ok(())
}

/// Returns the images and records of the added extensions besides one.
fn others_of(name: &str, all: &[String]) -> Vec<(PathBuf, Record)> {
    let others = all.iter().filter(|other| *other != name);
    others.map(|other| (target(other), record(other))).collect()
}

/// Undoes an addition that has failed half-way; nothing uses the extension yet.
pub fn undo_attach(name: &str) {
    let others = others_of(name, &added());
    let removed = links::remove(&target(name), Path::new("/"), &record(name), &others);
    // The descriptor of the mount is still open, so that it would be busy.
    let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
    let unmounted = || match find::is_mounted(&target(name)) {
        true => umount2(&target(name), flags).on(target(name)),
        false => Ok(()),
    };
    match removed.and_then(|()| unmounted()) {
        Ok(()) => forget(name),
        Err(why) => warn!("ext: {name}: {why}"),
    }
}

fn forget(name: &str) {
    for file in [manifest_copy(name), source::path(name)] {
        let _ = fs::remove_file(file);
    }
    let _ = fs::remove_dir(target(name));
}

/// Attaches the extension again after a removal that has failed half-way, for example because a process began to use
/// it.
fn attach_again(env: &Environment, name: &str, manifest: &Manifest<'_>) -> Result<()> {
    let target = target(name);
    links::make(&target, Path::new("/"), &record(name))?;
    kernel_modules::load(manifest)?;
    emulators::register(&target)?;
    extension_services::start(env, manifest, &target, false)
}

fn unmount(target: &Path) -> Result<()> {
    umount2(target, MntFlags::UMOUNT_NOFOLLOW).on(target)
}

/// Refuses the removal of an extension that another one, a process, a container or the kernel uses.
fn ensure_unused(env: &Environment, name: &str, manifest: &Manifest<'_>) -> Result<()> {
    let needed_by = values("needs").into_iter().find(|(_, need)| need == name);
    let needed_by = needed_by.map(|(other, _)| format!("the extension {other}, which needs it"));
    let services: Vec<&str> = manifest.values("service").collect();
    let loaded = kernel_modules::loaded(name, manifest);
    // With services, it is known once these have stopped.
    let of_modules = || kernel_modules::blocker(&loaded).filter(|_| services.is_empty());
    let user = needed_by
        .or_else(|| runtime::blocker(&target(name)))
        .or_else(|| engine_uses::blocker(env, &target(name)))
        .or_else(of_modules);
    let user = match user {
        Some(user) => Some(user),
        None => {
            let users = uses::blockers(&target(name), &services)?;
            (!users.is_empty()).then(|| users.join(", "))
        }
    };
    match user {
        Some(user) => Err(Error::invalid(format!("in use by {user}"))),
        None => Ok(()),
    }
}
