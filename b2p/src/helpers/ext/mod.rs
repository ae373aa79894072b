// SPDX-License-Identifier: Apache-2.0
//! `b2p ext`: extensions, read-only images with more programs, which become part of the root
//! (docs/guide/extensions.md). PID 1 runs `b2p ext boot` where a flag asks for extensions; users
//! run `b2p ext add`.
//!
//! An image is an erofs, mounted from where it lies, and its files are linked into the root
//! ([`links`]). It is taken only with its manifest: an image that was made for another machine,
//! or was changed, is refused. An extension that was asked for at boot and is not there becomes
//! a degraded line.

mod find;
mod image;
mod links;
mod list;
pub mod manifest;
mod runtime;

use std::fs::{self, File};
use std::path::Path;

use log::info;
use nix::fcntl::{Flock, FlockArg};
use sys::error::{Doing, Error, Result};
use sys::paths::EXTENSIONS_DIR;

use crate::common::audit;
use crate::common::degraded::Degraded;
use crate::common::terminal::{print, print_error};
use crate::helpers::cloud::users;
use find::{Files, Wait};
use links::Linked;
use manifest::Manifest;

/// Number of files that are named, of those that were in the root already.
const NAMED_FILES: usize = 5;

/// `b2p ext [list|add NAME|FILE...|boot]`.
pub fn main(args: &[String]) -> i32 {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [] | ["list"] => list::main(),
        ["add", names @ ..] if !names.is_empty() => add_all(names),
        ["boot"] => boot(),
        _ => {
            print_error("b2p ext: list, or add and the names of extensions");
            2
        }
    }
}

/// Adds the extensions of the flags. One that cannot be added does not fail the helper.
fn boot() -> i32 {
    sys::kmsg::init_logger(log::LevelFilter::Info);
    // PID 1 has reported what is wrong with the flags.
    let (config, _) = sys::config_sources::read();
    let wait = Wait::ForMedium {
        seconds: config.waitusb.as_ref().map_or(0, |w| w.seconds),
    };
    let mut degraded = Degraded::of("ext");
    for name in &config.extensions {
        match find::find(name, wait).and_then(|files| add(&files)) {
            Ok(summary) => info!("ext: {name}: {summary}"),
            Err(why) => degraded.warn(format_args!("{name}: {why}")),
        }
    }
    find::release_medium();
    if let Some(Err(why)) = config.runtime.as_deref().map(runtime::apply) {
        degraded.warn(why);
    }
    degraded.report()
}

/// Adds extensions by name or file; returns 0 if all of them are part of the root.
fn add_all(names: &[&str]) -> i32 {
    let mut status = 0;
    for name in names {
        let files = match name.contains('/') {
            true => Files::at(name),
            false => find::find(name, Wait::No),
        };
        match files.and_then(|files| add(&files)) {
            Ok(summary) => {
                audit::record(&format!("ext add {name}: {summary}"));
                print(&format!("{name}: {summary}\n"));
            }
            Err(why) => {
                print_error(&format!("b2p ext: {name}: {why}"));
                status = 1;
            }
        }
    }
    find::release_medium();
    status
}

/// Makes an extension part of the root; returns how many files it has.
fn add(files: &Files) -> Result<String> {
    if !nix::unistd::geteuid().is_root() {
        let reason = "only root may add one: sudo b2p ext add";
        return Err(Error::invalid(reason));
    }
    let target = Path::new(EXTENSIONS_DIR).join(files.name());
    fs::create_dir_all(&target).on(&target)?;
    let _lock = lock()?;
    let text = manifest::read_text(&files.manifest())?;
    let manifest = image::check_platform(files, &text)?;
    let copy = target.with_extension("manifest");
    let mounted = find::is_mounted(&target).then(|| fs::read(&copy).unwrap_or_default());
    match mounted {
        Some(mounted) if mounted == text => {}
        Some(_) => {
            return Err(Error::invalid(
                "another extension of this name is there; a reboot removes it",
            ));
        }
        None => {
            image::verify(files, &manifest)?;
            image::mount(&files.image(), &target)?;
            sys::files::replace(&copy, &text, 0o644)?;
        }
    }
    for user in manifest.users() {
        users::add_system_user(user.name, user.uid)?;
    }
    let linked = links::make(&target, Path::new("/"))?;
    Ok(summary(&linked, &manifest))
}

/// Waits until no other process adds an extension, and keeps others from it.
fn lock() -> Result<Flock<File>> {
    let path = Path::new(EXTENSIONS_DIR).join(".lock");
    let file = File::create(&path).on(&path)?;
    let lock = Flock::lock(file, FlockArg::LockExclusive);
    lock.map_err(|(_, errno)| errno).on(path)
}

fn summary(linked: &Linked, manifest: &Manifest<'_>) -> String {
    let count = linked.added + linked.shared;
    let added = format!("{count} files of {}", manifest.packages());
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
