// SPDX-License-Identifier: Apache-2.0
//! Entries of an image that no extension may have: they would give rights, lead elsewhere, or take
//! the place of what the machine itself is made of. Pure; an image is refused before any of it is in the root.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use sys::error::{Doing, Error, Result};
use sys::printable::printable_text;

use super::manifest::is_unprintable;
use super::places::{self, PROGRAM_DIRS};
use super::resolve::{Links, Lost, resolve};
use super::tree::{Entry, Kind};

/// Directory of kernel modules, one below it for each kernel.
const MODULES: &str = "/usr/lib/modules";
/// Part of paths of libraries that are used in place of plain ones (ld.so(8)).
const HWCAPS: &str = "glibc-hwcaps";
/// Bits of set-user-ID and set-group-ID (inode(7)).
const SET_IDS: u32 = 0o6000;

/// Names of extended attributes on which no file system or kernel of the machine acts, and the label that an
/// LSM shows for every file. The others give rights (file capabilities, ACLs), hide files (overlayfs), or are the
/// kernel's (xattr(7)).
const HARMLESS: &[&str] = &["user.", "security.selinux"];
/// Attributes of overlayfs for users, among those of [`HARMLESS`] (Documentation/filesystems/overlayfs.rst).
const OVERLAY: &str = "user.overlay.";

/// Facts about the root and the manifest that decide.
pub struct Root<'a> {
    /// Target of a symbolic link of the root.
    pub links: &'a Links<'a>,
    /// Returns true if the machine has a file here that is neither busybox's nor an extension's.
    pub has: &'a dyn Fn(&Path) -> bool,
    /// Name of the extension.
    pub name: &'a str,
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
    // A link that is in the root stays, unless it is one of busybox (`links`).
    let makes_room = |existing: &Path| existing.file_name().is_some_and(|name| name == "busybox");
    let links = |path: &Path| match ((root.links)(path), own.get(path)) {
        (existing, Some(Kind::Link(target))) if existing.as_deref().is_none_or(makes_room) => {
            Some(target.clone())
        }
        (existing, _) => existing,
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
    if name.contains(is_unprintable) {
        return Some("its name is not one printable line of UTF-8".into());
    }
    if let Some(fault) = attribute_fault(&entry.attributes) {
        return Some(fault);
    }
    let place = Path::new("/").join(&entry.path);
    let parent = place.parent().unwrap_or(Path::new("/"));
    if let Some(fault) = parent_fault(parent, root) {
        return Some(fault);
    }
    match &entry.kind {
        Kind::Dir => return dir_fault(&place, root),
        Kind::Other(what) => return Some(format!("{what}; an extension has files and links")),
        Kind::File { mode } if mode & SET_IDS != 0 => {
            return Some("a set-user-ID or set-group-ID file, which gives rights".into());
        }
        Kind::File { .. } => {}
        Kind::Link(target) => {
            if let Some(fault) = link_fault(parent, target, links) {
                return Some(fault);
            }
        }
    }
    place_fault(&place, root)
}

/// Refuses a directory that a link of the root leads elsewhere: each file has one path, by which everything
/// that looks at the image finds it.
fn parent_fault(parent: &Path, root: &Root<'_>) -> Option<String> {
    if parent != Path::new("/") && !places::is_inside(&parent.join("x")) {
        return Some(outside());
    }
    match resolve(Path::new("/"), parent, root.links) {
        Ok(place) if place == parent => None,
        Ok(place) => Some(format!(
            "its directory {} is {} here, by a link",
            parent.display(),
            place.display()
        )),
        Err(_) => Some("its directory leads out of the root".into()),
    }
}

/// Refuses extended attributes that the kernel acts on.
fn attribute_fault(attributes: &[String]) -> Option<String> {
    let is_harmless = |name: &str| {
        HARMLESS.iter().any(|known| name.starts_with(known)) && !name.starts_with(OVERLAY)
    };
    let name = attributes.iter().find(|name| !is_harmless(name))?;
    let name = printable_text(name.as_bytes());
    Some(format!(
        "it has the extended attribute {name}, which may give rights or hide files"
    ))
}

/// Refuses a directory outside the directories of extensions, and a new directory below a path of the machine itself:
/// it could be created on the data disk, or stand where the machine looks for a file.
fn dir_fault(place: &Path, root: &Root<'_>) -> Option<String> {
    let is_top = place.components().count() == 2;
    let is_inside = places::is_inside(&match is_top {
        true => place.join("x"),
        false => place.to_path_buf(),
    });
    match is_inside {
        false => Some(outside()),
        true if places::is_reserved(place) && !(root.has)(place) => Some(reserved(place)),
        true => None,
    }
}

fn reserved(place: &Path) -> String {
    format!("{} belongs to the machine itself", place.display())
}

fn outside() -> String {
    "an extension has files below /usr, /etc, /opt, /srv and /var only".into()
}

/// Refuses a link that leads to a place of the machine itself, or could do so once another extension has been
/// added or removed, whose own links are each judged by this rule: none leads to a directory above such a place,
/// and none goes back from a directory in whose place a link may come.
fn link_fault(dir: &Path, target: &Path, links: &Links<'_>) -> Option<String> {
    let target_shown = format!("{target:?}");
    if goes_back(target) {
        return Some(format!(
            "a link to {target_shown}, which goes through a directory and back"
        ));
    }
    match resolve(dir, target, links) {
        Err(Lost::AboveRoot) => Some(format!("a link to {target_shown}, above the root")),
        Err(Lost::Circle) => Some(format!("a link to {target_shown}, which is a circle")),
        Ok(place) if is_foreign(&place) => Some(format!(
            "a link to {target_shown}, out of the files that extensions have"
        )),
        Ok(_) => None,
    }
}

fn is_foreign(place: &Path) -> bool {
    !places::is_inside(place) || places::is_reserved(place) || places::leads_to_reserved(place)
}

/// Returns true if a name precedes a `..` in the target of a link.
fn goes_back(target: &Path) -> bool {
    let mut components = target.components();
    let mut has_name = false;
    components.any(|component| {
        has_name |= matches!(component, Component::Normal(_));
        has_name && component == Component::ParentDir
    })
}

fn place_fault(place: &Path, root: &Root<'_>) -> Option<String> {
    if !places::is_inside(place) {
        return Some(outside());
    }
    if places::is_reserved(place) {
        return Some(reserved(place));
    }
    program_fault(place, root)
        .or_else(|| library_fault(place, root))
        .or_else(|| module_fault(place, root))
}

/// Refuses a program that would run in place of one of the machine: by its name, or because its
/// directory is the first in PATH.
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

/// Refuses a module of another kernel than the manifest names, and lists of modules (`sys::modules`) other than
/// those of this extension.
fn module_fault(place: &Path, root: &Root<'_>) -> Option<String> {
    let rest = place.strip_prefix(MODULES).ok()?.to_str()?;
    let (release, file) = rest.split_once('/').unwrap_or((rest, ""));
    let (dir, list) = file.split_once('/').unwrap_or(("", file));
    let is_own = || {
        let lists = sys::modules::LISTS.iter();
        let mut own = lists.map(|kind| format!("{}.{kind}", root.name));
        own.any(|own| own == list)
    };
    match (root.kernel, dir) {
        ("", _) => Some("a kernel module, and its manifest names no kernel".into()),
        (kernel, _) if kernel != release => Some(format!(
            "for the kernel {release}, and its manifest says {kernel}"
        )),
        (_, "") if list.starts_with("modules.") => {
            Some("a list of the machine's own modules".into())
        }
        (_, "ext") if !is_own() => Some("a list of the modules of another extension".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
