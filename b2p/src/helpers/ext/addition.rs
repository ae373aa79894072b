// SPDX-License-Identifier: Apache-2.0
//! `b2p ext add`: finds an extension and those that it needs, checks all of them, and then makes them part of the
//! root: one that is refused has brought nothing with it.

use std::path::Path;

use log::info;
use sys::error::{Doing, Result};

use super::add::{self, Batch, Checked};
use super::added::{RAM, added, ensure_root};
use super::fetch::{self, Address};
use super::find::{Files, ON_DISK, Wait};
use super::lock::lock;
use super::manifest;
use super::places_of_needs::{Origin, Places, find_on_media};
use super::request::Request;
use super::{image, keep};
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
        Found::Files(files, places) => add_with_needs(env, &files, &places),
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
    add_with_needs(env, &files, &Places::of(wait, false))
}

/// An extension that is to be added.
enum Found {
    /// Files, and the places of those that it needs.
    Files(Files, Places),
    /// An extension that is added already: its missing links are made and its stopped services started.
    AlreadyAdded(Checked),
}

fn look_up(request: &Request<'_>, name: &str) -> Result<Found> {
    let mut places = Places::of(Wait::No, request.keep);
    if !fetch::is_address(name) {
        let files = match name.contains('/') {
            true => Files::at(name)?,
            false => return Ok(Found::Files(find_on_media(name, Wait::No)?, places)),
        };
        places.origin = Origin::Beside(files.clone());
        return Ok(Found::Files(files, places));
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
    // A need that is missing is found before the image, which may be large, is fetched.
    places.origin = Origin::Web;
    places.of_needs(&address.name, &text)?;
    let dir = match request.keep {
        true => keep::new_dir(Path::new(ON_DISK)),
        false => Path::new(RAM).to_owned(),
    };
    let files = address.fetch(&dir, &text, &manifest)?;
    Ok(Found::Files(files, places))
}

/// Adds an extension after those that it needs. If it is kept, each of them is put on the data disk.
///
/// # Errors
/// One of them is refused, and nothing has changed; or a step failed, which is named.
fn add_with_needs(env: &Environment, files: &Files, places: &Places) -> Result<String> {
    let (name, keep) = (files.name(), places.keep);
    let mut all = places.of_needs(&name, &manifest::read_text(&files.manifest())?)?;
    all.push(files.clone());
    let of_need = |need: &str| (need != name).then(|| format!("it needs {need}"));
    let mut batch = Batch::new()?;
    let mut checked = Vec::new();
    for files in &all {
        let one = stage(files, keep).and_then(|files| add::check(env, files, keep, &mut batch));
        checked.push(with_step(one, of_need(&files.name()))?);
    }
    let mut summary = String::new();
    for one in &mut checked {
        let added = commit(one, keep).and_then(|()| {
            let added = add::attach(env, one, places.wait == Wait::No);
            with_step(added, keep.then(|| format!("it is kept in {ON_DISK}, but")))
        });
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

/// Copies an extension that is to be kept beside its place, unless it is on the data disk already, and one that
/// others may write to into memory.
fn stage(files: &Files, keep: bool) -> Result<Files> {
    let dir = Path::new(ON_DISK);
    let is_on_disk = files.are_in(dir) || files.are_in(&keep::new_dir(dir));
    if is_on_disk {
        image::take_over(&files.image())?;
    } else if keep {
        return keep::copy(files, &keep::new_dir(dir));
    }
    let text = manifest::read_text(&files.manifest())?;
    match image::others_may_write(&files.image())? && !add::is_added(&files.name(), &text)? {
        true => keep::copy(files, Path::new(RAM)),
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
