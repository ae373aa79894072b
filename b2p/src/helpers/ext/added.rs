// SPDX-License-Identifier: Apache-2.0
//! Extensions that are part of the root: their places and records, and the lock of all changes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{Flock, FlockArg};
use sys::error::{Doing, Error, Result};
use sys::paths::EXTENSIONS_DIR;

use super::find;
use super::manifest::Manifest;
use super::record::Record;
use crate::common::terminal::print_error;

/// Directory of images that were fetched and are not kept, in memory.
pub const RAM: &str = "/run/boot2podman/ext/.fetched";

/// Returns the mount point of an extension.
pub fn target(name: &str) -> PathBuf {
    Path::new(EXTENSIONS_DIR).join(name)
}

/// Returns the record of an extension's changes.
pub fn record(name: &str) -> Record {
    Record::at(target(name).with_extension("links"))
}

/// Returns the copy of the manifest of an added extension.
pub fn manifest_copy(name: &str) -> PathBuf {
    target(name).with_extension("manifest")
}

/// Returns the names of the added extensions.
pub fn added() -> Vec<String> {
    let entries = fs::read_dir(EXTENSIONS_DIR).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names
        .filter(|name| config::is_extension_name(name) && find::is_mounted(&target(name)))
        .collect();
    sys::sort::sort(&mut names);
    names
}

/// Returns the values of a key in the manifests of the added extensions, each with its extension's name.
pub fn values(key: &str) -> Vec<(String, String)> {
    let mut values = Vec::new();
    for name in added() {
        let text = fs::read(manifest_copy(&name)).unwrap_or_default();
        if let Ok(manifest) = Manifest::parse(&text) {
            let own = manifest.values(key);
            values.extend(own.map(|value| (name.clone(), value.to_owned())));
        }
    }
    values
}

/// Refuses users who may not change the root.
///
/// # Errors
/// The user is not root.
pub fn ensure_root(verb: &str) -> Result<()> {
    match nix::unistd::geteuid().is_root() {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "only root may {verb} one: sudo b2p ext {verb}"
        ))),
    }
}

/// Lock of the extensions; `None` in a step of a change whose process has the lock.
pub struct Lock(Option<Flock<File>>);

/// True while this process, which has one thread, has the lock.
static IS_LOCKED: AtomicBool = AtomicBool::new(false);

/// Waits until no other process changes extensions, and keeps others from it.
///
/// # Errors
/// The lock cannot be made.
pub fn lock() -> Result<Lock> {
    if IS_LOCKED.load(Ordering::Relaxed) {
        return Ok(Lock(None));
    }
    fs::create_dir_all(EXTENSIONS_DIR).on(EXTENSIONS_DIR)?;
    let path = Path::new(EXTENSIONS_DIR).join(".lock");
    let file = File::create(&path).on(&path)?;
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).or_else(|(file, _)| {
        print_error("b2p ext: waits for another b2p ext, which adds or removes one");
        Flock::lock(file, FlockArg::LockExclusive)
    });
    let lock = lock.map_err(|(_, errno)| errno).on(path)?;
    IS_LOCKED.store(true, Ordering::Relaxed);
    Ok(Lock(Some(lock)))
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.0.is_some() {
            IS_LOCKED.store(false, Ordering::Relaxed);
        }
    }
}
