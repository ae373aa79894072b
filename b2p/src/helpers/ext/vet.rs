// SPDX-License-Identifier: Apache-2.0
//! Entries of an image that no extension may have: they would give rights, lead elsewhere, or take
//! the place of what the machine itself is made of. Pure; an image is refused before any of it is in the root.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sys::error::{Doing, Error, Result};

use super::places::{self, PROGRAM_DIRS};
use super::resolve::{Links, Lost, resolve};
use super::tree::{Entry, Kind};

/// Directory of kernel modules, one below it for each kernel.
const MODULES: &str = "/usr/lib/modules";
/// Part of paths of libraries that are used in place of plain ones (ld.so(8)).
const HWCAPS: &str = "glibc-hwcaps";
/// Bits of set-user-ID and set-group-ID (inode(7)).
const SET_IDS: u32 = 0o6000;

/// Facts about the root that decide.
pub struct Root<'a> {
    /// Target of a symbolic link of the root.
    pub links: &'a Links<'a>,
    /// Returns true if the machine has a file here that is neither busybox's nor an extension's.
    pub has: &'a dyn Fn(&Path) -> bool,
    /// Release of the kernel that the manifest names; empty without one.
    pub kernel: &'a str,
}

/// Checks all entries of an image.
///
/// # Errors
/// The first entry that is not allowed, and why.
pub fn check(entries: &[Entry], root: &Root<'_>) -> Result<()> {
    let own: HashMap<PathBuf, &Kind> = entries
        .iter()
        .map(|entry| (Path::new("/").join(&entry.path), &entry.kind))
        .collect();
    // An image covers the root where both have something.
    let links = |path: &Path| match own.get(path) {
        Some(Kind::Link(target)) => Some(target.clone()),
        Some(Kind::Dir) | None => (root.links)(path),
        Some(_) => None,
    };
    for entry in entries {
        if let Some(reason) = fault(entry, root, &links) {
            // The name may be anything; its quoted form is one printable line.
            let name = format!("{:?}", Path::new("/").join(&entry.path));
            let name = name.trim_matches('"').to_owned();
            return Err(Error::invalid(reason)).doing(format!("refused: {name}"));
        }
    }
    Ok(())
}

fn fault(entry: &Entry, root: &Root<'_>, links: &Links<'_>) -> Option<String> {
    let name = entry.path.to_str().unwrap_or("\0");
    if name.contains(char::is_control) {
        return Some("its name is not one printable line of UTF-8".into());
    }
    let shown = Path::new("/").join(&entry.path);
    let parent = shown.parent().unwrap_or(Path::new("/"));
    let file_name = Path::new(shown.file_name().unwrap_or_default());
    let Ok(parent) = resolve(Path::new("/"), parent, root.links) else {
        return Some("its directory leads out of the root".into());
    };
    let place = parent.join(file_name);
    match &entry.kind {
        Kind::Dir => return dir_fault(&shown, &place),
        Kind::Other(what) => return Some(format!("{what}; an extension has files and links")),
        Kind::File { mode, .. } if mode & SET_IDS != 0 => {
            return Some("a set-user-ID or set-group-ID file, which gives rights".into());
        }
        Kind::File {
            has_capabilities: true,
            ..
        } => return Some("a file with capabilities, which give rights".into()),
        Kind::File { .. } => {}
        Kind::Link(target) => {
            if let Some(fault) = link_fault(&parent, target, links) {
                return Some(fault);
            }
        }
    }
    place_fault(&place, root)
}

/// Directories become those of the root; only where one may be is of interest.
fn dir_fault(shown: &Path, place: &Path) -> Option<String> {
    let is_top = shown.components().count() == 2;
    let is_inside = places::is_inside(&match is_top {
        true => place.join("x"),
        false => place.to_path_buf(),
    });
    (!is_inside).then(outside)
}

fn outside() -> String {
    "an extension has files below /usr, /etc, /opt, /srv and /var only".into()
}

fn link_fault(dir: &Path, target: &Path, links: &Links<'_>) -> Option<String> {
    let target_shown = format!("{target:?}");
    match resolve(dir, target, links) {
        Err(Lost::AboveRoot) => Some(format!("a link to {target_shown}, above the root")),
        Err(Lost::Circle) => Some(format!("a link to {target_shown}, which is a circle")),
        Ok(place) if !places::is_inside(&place) || places::is_reserved(&place) => Some(format!(
            "a link to {target_shown}, out of the files that extensions have"
        )),
        Ok(_) => None,
    }
}

fn place_fault(place: &Path, root: &Root<'_>) -> Option<String> {
    if !places::is_inside(place) {
        return Some(outside());
    }
    if places::is_reserved(place) {
        return Some(format!("{} belongs to the machine itself", place.display()));
    }
    program_fault(place, root)
        .or_else(|| library_fault(place, root))
        .or_else(|| module_fault(place, root.kernel))
}

/// Refuses a program that would run in place of one of the machine: by its name, or because its
/// directory comes first in PATH.
fn program_fault(place: &Path, root: &Root<'_>) -> Option<String> {
    let (dir, name) = places::program(place)?;
    if places::is_reserved_program(name) {
        return Some(format!("it would stand for the machine's own {name}"));
    }
    let behind = PROGRAM_DIRS.iter().skip_while(|known| **known != dir);
    let mut behind = behind.skip(1).map(|dir| Path::new(dir).join(name));
    let hidden = behind.find(|path| (root.has)(path))?;
    Some(format!("it would hide the machine's {}", hidden.display()))
}

/// Refuses a library that the loader prefers to one of the machine.
fn library_fault(place: &Path, root: &Root<'_>) -> Option<String> {
    let text = place.to_str()?;
    let (dir, _) = text.split_once(HWCAPS)?;
    let hidden = Path::new(dir).join(place.file_name()?);
    (root.has)(&hidden).then(|| format!("it would hide the machine's {}", hidden.display()))
}

/// Refuses a module of another kernel than the manifest names.
fn module_fault(place: &Path, kernel: &str) -> Option<String> {
    let rest = place.strip_prefix(MODULES).ok()?;
    let release = rest.components().next()?.as_os_str().to_str()?;
    match kernel {
        "" => Some("a kernel module, and its manifest names no kernel".into()),
        kernel if kernel != release => Some(format!(
            "for the kernel {release}, and its manifest says {kernel}"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
