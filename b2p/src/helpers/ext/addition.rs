// SPDX-License-Identifier: Apache-2.0
//! `b2p ext add`: finds an extension and those that it needs, checks all of them, and then makes them part of the
//! root: one that is refused has brought nothing with it.

use std::path::Path;

use log::info;
use sys::error::{Doing, Error, Result};

use super::add::{self, Batch, Checked};
use super::added::{RAM, added, ensure_root};
use super::fetch::{self, Address};
use super::find::{Files, ON_DISK, Wait};
use super::lock::lock;
use super::manifest::{self, Manifest};
use super::request::Request;
use super::{find, image, keep, plan};
use crate::common::service_env::Environment;

/// Adds one extension by name, file or address, with those that it needs.
///
/// # Errors
/// One of them is refused, and nothing has changed; or a step failed, which is named.
pub fn add_one(env: &Environment, request: &Request<'_>, name: &str) -> Result<String> {
    ensure_root("add")?;
    if request.keep {
        keep::ensure_disk()?;
    }
    // Until a fetched extension is in its place, another `add` would take it for one that a cut has left.
    let _lock = lock()?;
    sweep()?;
    let result = look_up(request, name).and_then(|found| match found {
        Found::AlreadyAdded(checked) => add::attach(env, &checked, true),
        Found::Files(files) => add_with_needs(env, &files, Wait::No, request.keep),
    });
    if result.is_err() {
        // What was fetched or copied for it.
        sweep()?;
    }
    result
}

/// Adds an extension that a flag names, with those that it needs.
///
/// # Errors
/// One of them is refused, and nothing has changed; or a step failed, which is named.
pub fn add_at_boot(env: &Environment, name: &str, wait: Wait) -> Result<String> {
    // The medium is awaited before, because others wait for the lock.
    find_on_media(name, wait)?;
    let _lock = lock()?;
    // Another `b2p ext` may have released the medium meanwhile, or removed the extension.
    let files = find_on_media(name, wait)?;
    add_with_needs(env, &files, wait, false)
}

/// An extension that is to be added.
enum Found {
    Files(Files),
    /// An extension that is added already: its missing links are made and its stopped services started.
    AlreadyAdded(Checked),
}

fn look_up(request: &Request<'_>, name: &str) -> Result<Found> {
    if !fetch::is_address(name) {
        let files = match name.contains('/') {
            true => Files::at(name),
            false => find_on_media(name, Wait::No),
        };
        return files.map(Found::Files);
    }
    let address = Address::parse(name, request.sha256)?;
    let text = address.manifest()?;
    let manifest = image::check_platform(&address.name, &text)?;
    // The image of one that is added is mounted: it is neither fetched again nor touched.
    let here = add::is_added(&address.name, &text)?;
    if here && !request.keep {
        return Ok(Found::AlreadyAdded(Checked::already_added(
            &address.name,
            text,
        )));
    }
    let dir = match request.keep {
        true => keep::new_dir(Path::new(ON_DISK)),
        false => Path::new(RAM).to_owned(),
    };
    let files = address.fetch(&dir, &text, &manifest)?;
    Ok(Found::Files(files))
}

/// Adds an extension after those that it needs. With `keep`, each of them is put on the data disk.
///
/// # Errors
/// One of them is refused, and nothing has changed; or a step failed, which is named.
fn add_with_needs(env: &Environment, files: &Files, wait: Wait, keep: bool) -> Result<String> {
    let name = files.name();
    let mut found: Vec<Files> = Vec::new();
    let order = plan::order(&name, &mut |wanted| {
        let files = match wanted == name {
            true => files.clone(),
            false if added().iter().any(|known| known == wanted) => return Ok(None),
            false => find_on_media(wanted, wait)?,
        };
        let text = manifest::read_text(&files.manifest())?;
        let needs = Manifest::parse(&text)?
            .needed_extensions()
            .map(str::to_owned)
            .collect();
        found.push(files);
        Ok(Some(needs))
    })?;
    let of_need = |need: &str| (need != name).then(|| format!("it needs {need}"));
    let mut batch = Batch::new()?;
    let mut checked = Vec::new();
    for files in order
        .iter()
        .filter_map(|n| found.iter().find(|f| f.name() == *n))
    {
        let one = stage(files, keep).and_then(|files| add::check(env, files, keep, &mut batch));
        checked.push(with_step(one, of_need(&files.name()))?);
    }
    let mut summary = String::new();
    for one in &mut checked {
        let added = commit(one, keep).and_then(|()| add::attach(env, one, wait == Wait::No));
        summary = with_step(added, of_need(&one.name))?;
    }
    Ok(summary)
}

fn with_step<T>(result: Result<T>, step: Option<String>) -> Result<T> {
    match step {
        Some(step) => result.doing(step),
        None => result,
    }
}

/// Copies an extension that is to be kept beside its place, unless it is on the data disk already.
fn stage(files: &Files, keep: bool) -> Result<Files> {
    let dir = Path::new(ON_DISK);
    match keep && !files.are_in(dir) && !files.are_in(&keep::new_dir(dir)) {
        true => keep::copy(files, dir),
        false => Ok(files.clone()),
    }
}

/// Moves an extension that has passed every check to its place on the data disk.
fn commit(checked: &mut Checked, keep: bool) -> Result<()> {
    let dir = Path::new(ON_DISK);
    let staged = checked.files.clone();
    let staged = staged.filter(|files| keep && files.are_in(&keep::new_dir(dir)));
    if let Some(files) = staged {
        checked.files = Some(keep::commit(&files, dir)?);
        info!("ext: {}: kept in {ON_DISK}", files.name());
    }
    Ok(())
}

/// Finds an extension by its name, after a move that a power cut had interrupted is complete.
///
/// # Errors
/// No extension has the name.
fn find_on_media(name: &str, wait: Wait) -> Result<Files> {
    if !config::is_extension_name(name) {
        return Err(Error::invalid(
            "no name of an extension (a-z, digits, -); a file is named by a path with a slash",
        ));
    }
    if nix::unistd::geteuid().is_root() && keep::new_dir(Path::new(ON_DISK)).exists() {
        let _lock = lock()?;
        keep::recover(Path::new(ON_DISK), name)?;
    }
    find::find(name, wait)
}

/// Completes or removes what a power cut has left of extensions that were being kept, and removes what a kill has
/// left of those that were being fetched into memory.
///
/// # Errors
/// The lock cannot be made.
pub fn sweep() -> Result<()> {
    let is_kept = keep::new_dir(Path::new(ON_DISK)).exists();
    if !is_kept && !Path::new(RAM).exists() {
        return Ok(());
    }
    let _lock = lock()?;
    if is_kept {
        keep::sweep(Path::new(ON_DISK));
    }
    fetch::sweep(Path::new(RAM), &added());
    Ok(())
}
