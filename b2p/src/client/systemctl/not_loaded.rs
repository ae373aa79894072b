// SPDX-License-Identifier: Apache-2.0
//! Units with a file that are no services: masked ones, and those with a bad setting.

use std::path::Path;

use crate::helpers::quadlet::plain::{self, leads_to_null};
use crate::helpers::quadlet::specifiers::Owner;
use crate::helpers::quadlet::store;

/// Reason why a unit with a file is no service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotLoaded {
    /// The file is a link to /dev/null.
    Masked,
    /// The unit cannot run here, for this reason.
    Bad(String),
}

impl NotLoaded {
    /// Returns the state of the load, in the words of systemctl(1).
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            NotLoaded::Masked => "masked",
            NotLoaded::Bad(_) => "bad-setting",
        }
    }

    /// Returns the reason as the end of a sentence that begins with the unit.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            NotLoaded::Masked => "is masked.".to_owned(),
            NotLoaded::Bad(why) => format!("has a bad unit file setting: {why}"),
        }
    }
}

/// Returns why a unit of an owner, which is no service, is none; `None` for a unit without a file.
#[must_use]
pub fn of(owner: &Owner, name: &str) -> Option<NotLoaded> {
    let dirs = plain::dirs(owner);
    let mut paths = dirs.iter().map(|dir| dir.join(name));
    let path = paths.find(|path| path.symlink_metadata().is_ok());
    if path.is_some_and(|path| leads_to_null(&path)) {
        return Some(NotLoaded::Masked);
    }
    let refused = store::refused(owner).into_iter();
    let mut reasons = refused.filter(|(unit, _)| unit == name);
    reasons.next().map(|(_, why)| NotLoaded::Bad(why))
}

/// Returns the names of all such units of an owner.
#[must_use]
pub fn all(owner: &Owner) -> Vec<String> {
    let refused = store::refused(owner).into_iter().map(|(unit, _)| unit);
    let dirs = plain::dirs(owner).into_iter();
    let names = dirs.flat_map(|dir| masked_in(&dir)).chain(refused);
    let mut names: Vec<String> = names.collect();
    sys::sort::sort(&mut names);
    names.dedup();
    names
}

fn masked_in(dir: &Path) -> Vec<String> {
    let mut names = plain::entries(dir);
    names.retain(|name| name.ends_with(".service") && leads_to_null(&dir.join(name)));
    names
}
