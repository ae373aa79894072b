// SPDX-License-Identifier: Apache-2.0
//! `systemctl enable` and `disable`: links by which a target wants a unit file. A quadlet's own section
//! `[Install]` decides about it, and systemd refuses to enable one as well.

use std::fs;
use std::path::{Path, PathBuf};

use sys::error::{Doing, Error, Result};

use super::units::{View, full_name};
use crate::common::terminal::print_plain_error as print_error;
use crate::helpers::quadlet::plain;
use crate::helpers::quadlet::specifiers::Owner;
use crate::helpers::quadlet::unit::Unit;

/// Returns the state of a unit's file, in the words of `is-enabled`.
pub fn word(view: &View<'_>) -> &'static str {
    match &view.unit {
        None if view.is_target => "static",
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

/// Returns the targets whose directories get a link, such as `multi-user.target.wants`. The command runs as
/// root, and a name with a slash would lead out of the directory of the file.
fn targets(unit: &Unit) -> Vec<String> {
    let of = |key, suffix: &str| -> Vec<String> {
        let names = unit.names("Install", key);
        let names = names.filter(|target| !target.contains('/'));
        names.map(|target| format!("{target}.{suffix}")).collect()
    };
    [of("WantedBy", "wants"), of("RequiredBy", "requires")].concat()
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

/// Returns the file of a unit, or that of its template.
fn file(owner: &Owner, name: &str) -> Option<PathBuf> {
    let template = name
        .split_once('@')
        .map(|(prefix, _)| format!("{prefix}@.service"));
    let names = [Some(name.to_owned()), template];
    let mut paths = names.into_iter().flatten().flat_map(|name| {
        let dirs = plain::dirs(owner).into_iter();
        dirs.map(move |dir| dir.join(&name))
    });
    paths.find(|path| path.is_file())
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
    let name = full_name(word);
    let Some(path) = file(owner, &name) else {
        return Ok(false);
    };
    let unit = Unit::parse(&sys::files::read_text(&path)?);
    let targets = targets(&unit);
    if targets.is_empty() {
        print_error(&format!(
            "{name}: its file has no [Install] section: other units start it"
        ));
    }
    let dir = path.parent().unwrap_or(Path::new("/"));
    for target in targets {
        let link = dir.join(target).join(&name);
        if link.is_symlink() {
            continue;
        }
        let parent = link.parent().unwrap_or(dir);
        fs::create_dir_all(parent).on(parent)?;
        std::os::unix::fs::symlink(&path, &link).on(&link)?;
        let (link, path) = (link.display(), path.display());
        print_error(&format!("Created symlink '{link}' \u{2192} '{path}'."));
    }
    Ok(true)
}

/// Removes the links of a unit. Returns false if the unit is none of the owner's files.
///
/// # Errors
/// A link cannot be removed.
pub fn disable(owner: &Owner, word: &str) -> Result<bool> {
    let name = full_name(word);
    if file(owner, &name).is_none() {
        return Ok(false);
    }
    for link in links(owner, &name) {
        fs::remove_file(&link).on(&link)?;
        print_error(&format!("Removed '{}'.", link.display()));
    }
    Ok(true)
}

/// Returns why a unit that is no file cannot be enabled or disabled; `None` if nothing needs to be done.
pub fn refusal(view: &View<'_>, verb: &str) -> Option<Error> {
    let name = &view.name;
    let why = match (&view.unit, verb) {
        (Some(_), _) => format!(
            "Failed to {verb} unit: Unit {} is transient or generated\n\
             Its quadlet's section [Install] decides whether the boot starts it.",
            view.fragment()
        ),
        (None, "enable") if view.exists() => return None,
        (None, _) if view.exists() => format!(
            "Failed to disable unit: {name} is a part of the machine; `b2p flags` lists what turns parts off"
        ),
        (None, _) => format!("Failed to {verb} unit: Unit {name} does not exist"),
    };
    Some(Error::invalid(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_in_the_directory_of_the_file() {
        let unit = Unit::parse(
            "[Install]\nWantedBy=multi-user.target ../../../etc/cron\nRequiredBy=/etc/x web.service\n",
        );
        assert_eq!(
            targets(&unit),
            ["multi-user.target.wants", "web.service.requires"]
        );
    }
}
