// SPDX-License-Identifier: Apache-2.0
//! `systemctl enable` and `disable`: links by which a target wants a unit file. A quadlet is enabled by
//! its own section `[Install]`, and systemd refuses to enable a quadlet as well.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sys::error::{Doing, Error, Result};

use super::not_loaded::NotLoaded;
use super::units::{View, full_name};
use crate::common::terminal::print_plain_error as print_error;
use crate::helpers::quadlet::install::{self, file, targets};
use crate::helpers::quadlet::plain::{self, DISK_DIR};
use crate::helpers::quadlet::specifiers::Owner;
use crate::helpers::quadlet::unit::Unit;

/// Returns the state of a unit's file, in the words of `is-enabled`.
pub fn word(view: &View<'_>) -> &'static str {
    match &view.unit {
        None if view.not_loaded == Some(NotLoaded::Masked) => "masked",
        None if view.not_loaded.is_some() => "bad",
        None if view.is_target => "static",
        None if view.timer.as_ref().is_some_and(|timer| timer.is_active) => "enabled",
        None if view.timer.is_some() => "disabled",
        None if view.service.is_some_and(|s| !s.is_user_service) => "enabled",
        None if view.service.is_some() => "enabled-runtime",
        None => "not-found",
        Some(_) if !view.is_plain() => "generated",
        Some(unit) => {
            let is_linked = links(&view.owner, &view.name).next().is_some();
            match is_linked {
                true => "enabled",
                false if targets(unit).is_empty() => "static",
                false => "disabled",
            }
        }
    }
}

/// Returns the links to a unit that there are.
fn links(owner: &Owner, name: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let name = name.to_owned();
    let dirs = plain::dirs(owner).into_iter();
    let inner = dirs.flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
    let inner = inner.map(|entry| entry.path()).filter(|path| {
        let extension = path.extension().and_then(|e| e.to_str());
        matches!(extension, Some("wants" | "requires"))
    });
    inner
        .map(move |dir| dir.join(&name))
        .filter(|link| link.is_symlink())
}

/// Returns true if the unit is one of the owner's files.
pub fn is_file(owner: &Owner, word: &str) -> bool {
    file(owner, &full_name(word)).is_some()
}

/// Makes the links of a unit. Returns false if the unit is none of the owner's files.
///
/// # Errors
/// A link cannot be made.
pub fn enable(owner: &Owner, word: &str) -> Result<bool> {
    enable_all(owner, full_name(word), &mut Vec::new())
}

/// Makes the links of a unit and of those that its `Also=` names, each once.
fn enable_all(owner: &Owner, name: String, seen: &mut Vec<String>) -> Result<bool> {
    if name.contains('/') {
        return Err(Error::invalid(format!(
            "Failed to enable unit: {name}: copy the file to {DISK_DIR}, and name the unit"
        )));
    }
    if plain::NOT_RUN.iter().any(|suffix| name.ends_with(suffix)) && file(owner, &name).is_some() {
        let why = "units of this kind do not run here";
        return Err(Error::invalid(format!(
            "Failed to enable unit: {name}: {why}"
        )));
    }
    let Some(enabled) = install::enable(owner, &name)? else {
        return Ok(false);
    };
    if !enabled.is_wanted {
        print_error(&format!(
            "{name}: its file has no [Install] section: other units start it"
        ));
    }
    let device = |path: &Path| path.metadata().ok().map(|file| file.dev());
    if !enabled.made.is_empty() && is_lost(&enabled.file, device) {
        let file = enabled.file.display();
        print_error(&format!(
            "{file} and its links are in RAM, and are gone at power-off; files in {DISK_DIR} stay"
        ));
    }
    for link in enabled.made {
        let (link, path) = (link.display(), enabled.file.display());
        print_error(&format!("Created symlink '{link}' \u{2192} '{path}'."));
    }
    seen.push(name);
    for other in enabled.also {
        if !seen.contains(&other) && !enable_all(owner, other.clone(), seen)? {
            let why = "Also= names it, and it has no file";
            print_error(&format!("{other}: {why}"));
        }
    }
    Ok(true)
}

/// Returns true for a file that the end of the machine removes, on a machine that has a disk for such files. `device`
/// returns the file system of a path.
fn is_lost(file: &Path, device: impl Fn(&Path) -> Option<u64>) -> bool {
    let root = device(Path::new("/"));
    let has_disk = device(Path::new(DISK_DIR)) != root;
    has_disk && (file.starts_with("/run") || device(file) == root)
}

/// Removes the links of a unit. Returns false if the unit is none of the owner's files.
///
/// # Errors
/// A link cannot be removed.
pub fn disable(owner: &Owner, word: &str) -> Result<bool> {
    let name = full_name(word);
    let Some(file) = file(owner, &name) else {
        return Ok(false);
    };
    let unit = Unit::parse(&sys::files::read_text(file)?);
    let also = unit.names("Install", "Also").map(str::to_owned);
    let name = install::with_instance(&unit, &name);
    for name in [name].into_iter().chain(also) {
        for link in links(owner, &name) {
            fs::remove_file(&link).on(&link)?;
            print_error(&format!("Removed '{}'.", link.display()));
        }
    }
    Ok(true)
}

/// Returns why a unit that is no file cannot be enabled or disabled; `None` if nothing needs to be done.
pub fn refusal(view: &View<'_>, verb: &str) -> Option<Error> {
    let name = &view.name;
    let why = match (&view.unit, verb) {
        (Some(_), "mask") => return None,
        (Some(_), _) => format!(
            "Failed to {verb} unit: Unit {} is transient or generated\n\
             Its quadlet's section [Install] decides whether the boot starts it.",
            view.fragment()
        ),
        (None, "enable" | "reenable") if view.exists() => return None,
        (None, _) if view.exists() => format!(
            "Failed to {verb} unit: {name} is a part of the machine; `b2p flags` lists what turns parts off"
        ),
        (None, "mask") => return None,
        (None, _) => format!("Failed to {verb} unit: Unit {name} does not exist"),
    };
    Some(Error::invalid(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_the_power_off_removes() {
        let device = |disk: u64, etc: u64| {
            move |path: &Path| {
                Some(match path {
                    path if path.starts_with("/etc") => etc,
                    path if path.starts_with(DISK_DIR) => disk,
                    path if path.starts_with("/run") => 9,
                    _ => 1,
                })
            }
        };
        let (etc, run) = (
            Path::new("/etc/systemd/system/a.service"),
            Path::new("/run/systemd/system/a.service"),
        );
        assert!(is_lost(etc, device(2, 1)) && is_lost(run, device(2, 1)));
        // With `b2p.etc=all`, on the disk, and without one.
        assert!(!is_lost(etc, device(2, 3)));
        assert!(!is_lost(
            &Path::new(DISK_DIR).join("a.service"),
            device(2, 1)
        ));
        assert!(!is_lost(etc, device(1, 1)) && !is_lost(run, device(1, 1)));
    }
}
