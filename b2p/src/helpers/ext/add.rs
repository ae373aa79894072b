// SPDX-License-Identifier: Apache-2.0
//! Adds an extension: everything that can be wrong with it is looked for while no other process sees it; then
//! its image gets its place, its users and links are made, its modules are loaded, and its services start.

use std::fs;
use std::path::{Path, PathBuf};

use sys::error::{Doing, Error, Result};
use sys::image::detached::Detached;

use super::added::{added, manifest_copy, record, target};
use super::extension_services::Taken;
use super::find::{self, Files};
use super::links::{self, Linked};
use super::manifest::{self, Manifest};
use super::{emulators, extension_services, image, kernel_modules, remove, source, tree, vet};
use crate::common::service_env::Environment;
use crate::common::users::{self as accounts};
use crate::helpers::cloud::users;

/// Number of files that are named, of those that were in the root already.
const NAMED_FILES: usize = 5;

/// An extension that has passed every check.
pub struct Checked {
    /// Name.
    pub name: String,
    /// Files; `None` for one that is part of the root already.
    pub files: Option<Files>,
    text: Vec<u8>,
    /// Mount, which no other process sees, and the version of its file; `None` for one that is part of the root already.
    mounted: Option<(Detached, String)>,
}

impl Checked {
    /// Returns the extension that is part of the root with this manifest.
    pub fn already_added(name: &str, text: Vec<u8>) -> Checked {
        Checked {
            name: name.to_owned(),
            files: None,
            text,
            mounted: None,
        }
    }
}

/// Accounts and services that the machine has once the extensions checked so far are added.
pub struct Batch {
    accounts: accounts::Files,
    services: Vec<String>,
}

impl Batch {
    /// Returns those that the machine has now.
    ///
    /// # Errors
    /// The files of accounts cannot be read.
    pub fn new() -> Result<Batch> {
        Ok(Batch {
            accounts: users::read_files()?,
            services: Vec::new(),
        })
    }
}

/// Returns true if the extension is part of the root with this manifest, false if none of its name is.
///
/// # Errors
/// Another extension has the name.
pub fn is_added(name: &str, text: &[u8]) -> Result<bool> {
    if !find::is_mounted(&target(name)) {
        return Ok(false);
    }
    match fs::read(manifest_copy(name)).unwrap_or_default() == text {
        true => Ok(true),
        false => Err(Error::invalid(format!(
            "another extension of this name is there; `b2p ext remove {name}` or a reboot removes it"
        ))),
    }
}

/// Checks an extension completely, beside those that are added with it.
///
/// # Errors
/// The first reason for which the extension is refused.
pub fn check(env: &Environment, files: Files, keep: bool, batch: &mut Batch) -> Result<Checked> {
    let name = files.name();
    let text = manifest::read_text(&files.manifest())?;
    let manifest = image::check_platform(&name, &text)?;
    let mounted = match is_added(&name, &text)? {
        // Its files have passed; what is kept must be the same.
        true if keep => image::open(&files, &manifest).map(|_| None)?,
        true => None,
        false => Some(open(env, &files, &manifest, batch)?),
    };
    Ok(Checked {
        name,
        files: Some(files),
        mounted,
        text,
    })
}

/// Mounts an image where no other process sees it, and checks all that is in it.
fn open(
    env: &Environment,
    files: &Files,
    manifest: &Manifest<'_>,
    batch: &mut Batch,
) -> Result<(Detached, String)> {
    let file = image::open(files, manifest)?;
    let mounted = image::mount(&file)?;
    let root = mounted.path();
    let links = |path: &Path| fs::read_link(path).ok();
    let of_extensions = links_of_extensions();
    vet::check(
        &tree::read(&root)?,
        &vet::Root {
            links: &links,
            has: &|path| has_own(path, &of_extensions),
            name: manifest.value("name"),
            kernel: manifest.value("kernel"),
        },
    )?;
    kernel_modules::check(manifest, &root)?;
    emulators::check(&root)?;
    for user in manifest.users() {
        accounts::add_system_user(&mut batch.accounts, user.name, user.uid)?;
    }
    let services: Vec<String> = manifest.values("service").map(str::to_owned).collect();
    let taken = (!services.is_empty())
        .then(|| Taken::ask(env))
        .transpose()?;
    let is_taken = |name: &str| match batch.services.iter().any(|known| known == name) {
        true => Some("a service of an extension that it needs has this name".to_owned()),
        false => taken.as_ref()?.by(name),
    };
    extension_services::check(manifest, &root, &batch.accounts, &is_taken)?;
    batch.services.extend(services);
    Ok((mounted, source::version(&file.metadata()?)))
}

/// Returns the places of links that extensions have made.
fn links_of_extensions() -> Vec<PathBuf> {
    let mut places = Vec::new();
    for name in added() {
        let changes = record(&name).read().unwrap_or_default();
        places.extend(changes.iter().map(|c| Path::new("/").join(c.path())));
    }
    sys::sort::sort(&mut places);
    places
}

/// Returns true if the machine has a file here that is neither busybox's nor one of the links of extensions, which
/// are sorted.
fn has_own(path: &Path, of_extensions: &[PathBuf]) -> bool {
    match fs::read_link(path) {
        Ok(target) => {
            let is_busybox = target.file_name().is_some_and(|name| name == "busybox");
            let is_theirs = of_extensions.binary_search_by(|place| place.as_path().cmp(path));
            !is_busybox && is_theirs.is_err()
        }
        Err(_) => path.exists(),
    }
}

/// Makes an extension part of the root; returns how many files it has. `wait` tells whether its services are
/// awaited.
///
/// # Errors
/// A step failed: nothing of it is there, or the error says that it is added.
pub fn attach(env: &Environment, checked: &Checked, wait: bool) -> Result<String> {
    let name = checked.name.as_str();
    let (target, manifest) = (target(name), Manifest::parse(&checked.text)?);
    for user in manifest.users() {
        users::add_system_user(user.name, user.uid)?;
    }
    let placed = place(checked, &target);
    let linked = placed.and_then(|()| links::make(&target, Path::new("/"), &record(name)));
    if linked.is_err() && checked.mounted.is_some() {
        remove::undo_attach(name);
    }
    let linked = linked.doing("nothing of it is added")?;
    let loaded = kernel_modules::load(&manifest);
    loaded
        .and_then(|()| emulators::register(&target))
        .and_then(|()| extension_services::start(env, &manifest, &target, wait))
        .doing("it is added, but")?;
    Ok(summary(&linked, &manifest))
}

/// Gives the mount of an extension its place, with its manifest, and with the path of its files for people.
fn place(checked: &Checked, target: &Path) -> Result<()> {
    let (Some((mounted, version)), Some(files)) = (&checked.mounted, &checked.files) else {
        return Ok(());
    };
    record(&checked.name).remove();
    fs::create_dir_all(target).on(target)?;
    source::record(&checked.name, version, &files.image())?;
    sys::files::replace(&manifest_copy(&checked.name), &checked.text, 0o644)?;
    mounted.attach(target)
}

fn summary(linked: &Linked, manifest: &Manifest<'_>) -> String {
    let count = linked.in_root + linked.shared;
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
    use crate::common::testing::Temp;

    #[test]
    fn links_of_extensions_are_none_of_the_machine() {
        let temp = Temp::new();
        let at = |name: &str| temp.path(name);
        for (name, target) in [
            ("cc", "gcc-14"),
            ("vi", "/usr/bin/busybox"),
            ("awk", "mawk"),
        ] {
            std::os::unix::fs::symlink(target, at(name)).unwrap();
        }
        fs::write(at("bash"), "").unwrap();
        let theirs = [at("bash"), at("cc")];
        for (name, expected) in [
            ("cc", false),
            ("vi", false),
            ("awk", true),
            // A file of a person, in the place of a link.
            ("bash", true),
            ("none", false),
        ] {
            assert_eq!(has_own(&at(name), &theirs), expected, "{name}");
        }
    }

    #[test]
    fn existing_files_are_named_in_the_summary() {
        let text = "format 1\nname a\narchitecture amd64\nsuite x\nlibc 1\nsize 1\n\
            sha256 0\npackage b 2\n";
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        let mut linked = Linked {
            in_root: 2,
            shared: 1,
            existing: Vec::new(),
        };
        assert_eq!(summary(&linked, &manifest), "3 files of b 2");
        linked.existing = (0..7).map(|n| format!("/x{n}").into()).collect();
        let expected = "3 files of b 2; kept 7 existing: /x0, /x1, /x2, /x3, /x4";
        assert_eq!(summary(&linked, &manifest), expected);
    }
}
