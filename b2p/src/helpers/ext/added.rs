// SPDX-License-Identifier: Apache-2.0
//! Extensions that are part of the root: their places and records.

use std::fs;
use std::path::{Path, PathBuf};

use sys::error::{Error, Result};
use sys::paths::EXTENSIONS_DIR;

use super::find;
use super::manifest::Manifest;
use super::record::Record;

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
