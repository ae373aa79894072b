// SPDX-License-Identifier: Apache-2.0
//! Adds an extension: everything that can be wrong with it is looked for while no other process sees it; then
//! its image gets its place, its users and links are made, its modules are loaded, and its services start.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{Flock, FlockArg};
use sys::error::{Doing, Error, Result};
use sys::image::detached::Detached;
use sys::paths::EXTENSIONS_DIR;

use super::extension_services::Taken;
use super::find::{self, Files};
use super::links::{self, Linked};
use super::manifest::{self, Manifest};
use super::record::Record;
use super::{emulators, extension_services, image, kernel_modules, tree, vet};
use crate::common::service_env::Environment;
use crate::common::users::{self as accounts};
use crate::helpers::cloud::users;

/// Number of files that are named, of those that were in the root already.
const NAMED_FILES: usize = 5;

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
    let lock = Flock::lock(file, FlockArg::LockExclusive);
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

/// Checks an extension completely. Returns its mount, which no other process sees.
///
/// # Errors
/// The first reason for which the extension is refused.
pub fn open(env: &Environment, files: &Files, manifest: &Manifest<'_>) -> Result<Detached> {
    image::verify(files, manifest)?;
    let mounted = image::mount(&files.image())?;
    let root = mounted.path();
    let links = |path: &Path| fs::read_link(path).ok();
    vet::check(
        &tree::read(&root)?,
        &vet::Root {
            links: &links,
            has: &has_own,
            name: manifest.value("name"),
            kernel: manifest.value("kernel"),
        },
    )?;
    kernel_modules::check(manifest, &root)?;
    emulators::check(&root)?;
    let mut files = users::read_files()?;
    for user in manifest.users() {
        accounts::add_system_user(&mut files, user.name, user.uid)?;
    }
    let has_services = manifest.values("service").next().is_some();
    let taken = has_services.then(|| Taken::ask(env)).transpose()?;
    let is_taken = |name: &str| taken.as_ref()?.by(name);
    extension_services::check(manifest, &root, &files, &is_taken)?;
    Ok(mounted)
}

/// Returns true if the machine has a file here that is neither busybox's nor an extension's.
fn has_own(path: &Path) -> bool {
    match fs::read_link(path) {
        Ok(target) => {
            let is_busybox = target.file_name().is_some_and(|name| name == "busybox");
            !is_busybox && !target.starts_with(EXTENSIONS_DIR)
        }
        Err(_) => path.exists(),
    }
}

/// Makes an extension part of the root; returns how many files it has. `wait` tells whether its services are
/// awaited.
///
/// # Errors
/// The extension is refused, and nothing has changed; or a step failed, which is named.
pub fn add(env: &Environment, files: &Files, wait: bool) -> Result<String> {
    ensure_root("add")?;
    let _lock = lock()?;
    let name = files.name();
    let (target, copy) = (target(&name), manifest_copy(&name));
    let text = manifest::read_text(&files.manifest())?;
    let manifest = image::check_platform(files, &text)?;
    let mounted = find::is_mounted(&target).then(|| fs::read(&copy).unwrap_or_default());
    match mounted {
        Some(mounted) if mounted == text => {}
        Some(_) => {
            return Err(Error::invalid(format!(
                "another extension of this name is there; `b2p ext remove {name}` or a reboot removes it"
            )));
        }
        None => {
            let mounted = open(env, files, &manifest)?;
            record(&name).remove();
            fs::create_dir_all(&target).on(&target)?;
            sys::files::replace(&copy, &text, 0o644)?;
            mounted.attach(&target)?;
        }
    }
    for user in manifest.users() {
        users::add_system_user(user.name, user.uid)?;
    }
    let linked = links::make(&target, Path::new("/"), &record(&name))?;
    let loaded = kernel_modules::load(&manifest);
    loaded
        .and_then(|()| emulators::register(&target))
        .and_then(|()| extension_services::start(env, &manifest, &target, wait))
        .doing("it is added, but")?;
    Ok(summary(&linked, &manifest))
}

fn summary(linked: &Linked, manifest: &Manifest<'_>) -> String {
    let count = linked.added + linked.shared;
    let packages = match manifest.packages() {
        packages if packages.is_empty() => "no package".to_owned(),
        packages => packages,
    };
    let added = format!("{count} files of {packages}");
    if linked.existing.is_empty() {
        return added;
    }
    let named = linked.existing.iter().take(NAMED_FILES);
    let named: Vec<String> = named.map(|path| path.display().to_string()).collect();
    let existing = linked.existing.len();
    format!("{added}; kept {existing} existing: {}", named.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_stays_is_named() {
        let text = "format 1\nname a\narchitecture amd64\nsuite x\nlibc 1\nsize 1\n\
            sha256 0\npackage b 2\n";
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        let mut linked = Linked {
            added: 2,
            shared: 1,
            existing: Vec::new(),
        };
        assert_eq!(summary(&linked, &manifest), "3 files of b 2");
        linked.existing = (0..7).map(|n| format!("/x{n}").into()).collect();
        let expected = "3 files of b 2; kept 7 existing: /x0, /x1, /x2, /x3, /x4";
        assert_eq!(summary(&linked, &manifest), expected);
    }
}
