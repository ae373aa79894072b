// SPDX-License-Identifier: Apache-2.0
//! Unit files that no generator makes, such as those of `podman generate systemd`, drop-ins of all units, and
//! the links by which `systemctl enable` has a target want a unit.
//!
//! A process with the rights of their owner reads the files ([`print_main`]) and prints them as podman's
//! generator would: a link in a home leads to nothing that its owner may not read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sys::error::{Doing, Error, Result};
use sys::printable::one_line;

pub use super::PATH;
use super::UNREADABLE;
use super::generator;
pub use super::generator::DISK_DIR;
use super::specifiers::Owner;
use super::unit::Unit;
use crate::common::terminal::{print, print_error};
use crate::common::user_text;

/// Directories of the machine's unit files, those that take precedence first.
const DIRS: &[&str] = &["/etc/systemd/system", "/run/systemd/system", DISK_DIR];
/// Directory of unit files of all users.
const USERS_DIR: &str = "/etc/systemd/user";
/// Directory of a user's unit files, in the home.
const HOME_DIR: &str = ".config/systemd/user";
/// Longest unit file, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Most entries of a directory that are read.
const MAX_ENTRIES: usize = 1_024;
/// Part of the output with a line for each unit that a target of each boot wants.
pub const WANTED: &str = "wanted";
/// End of the name of a part of the output that has the drop-ins of a unit.
pub const DROP_INS: &str = ".d";
/// Name under which drop-ins of all services are, in `service.d` (systemd.unit(5)).
pub const ALL: &str = "service";
/// Target of timers, which each boot reaches (systemd.special(7)).
const TIMERS: &str = "timers.target";
/// End of the name of a timer.
const TIMER: &str = super::timer::SUFFIX;
/// Ends of the names of units that do not run here.
pub const NOT_RUN: &[&str] = &[".socket", ".path", ".mount", ".automount", ".swap"];
/// Time limit of the process that reads the files.
const LIMIT: Duration = Duration::from_secs(30);

/// Returns the directories of a user's unit files, or of the machine's.
#[must_use]
pub fn dirs(owner: &Owner) -> Vec<PathBuf> {
    match owner.uid {
        0 => DIRS.iter().map(PathBuf::from).collect(),
        _ => vec![Path::new(&owner.home).join(HOME_DIR), USERS_DIR.into()],
    }
}

/// Returns true for a unit whose file is a link to /dev/null.
#[must_use]
pub fn is_off(unit: &Unit) -> bool {
    let mut assignments = unit.assignments().iter();
    assignments.any(|a| a.section == PATH.0 && a.key == PATH.1 && a.value.is_empty())
}

/// Returns true if the owner has a unit file.
#[must_use]
pub fn has_files(owner: &Owner) -> bool {
    let dirs = dirs(owner);
    dirs.iter()
        .flat_map(|dir| entries(dir))
        .any(|name| name.ends_with(".service") || is_other(&name))
}

/// Returns true for a unit that is no service: a timer, or one of a kind that does not run here.
pub(super) fn is_other(name: &str) -> bool {
    name.ends_with(TIMER) || NOT_RUN.iter().any(|suffix| name.ends_with(suffix))
}

/// Returns the text that a process with the rights of the owner reads.
///
/// # Errors
/// The process cannot be started, is not done in time, or fails; a directory has too many entries.
pub fn read(owner: &Owner) -> Result<String> {
    if owner.uid == 0 {
        return text(&dirs(owner));
    }
    let mut command = Command::new(sys::paths::B2P);
    command
        .args(["unit-files", &owner.home])
        .env_clear()
        .current_dir("/")
        .gid(owner.gid)
        .uid(owner.uid);
    let (units, _) = generator::output(&mut command, LIMIT, &[0]).on(sys::paths::B2P)?;
    Ok(units)
}

/// Runs `b2p unit-files HOME`: prints the unit files of a user.
pub fn print_main(args: &[String]) -> i32 {
    let [home] = args else {
        return 2;
    };
    let owner = Owner {
        uid: nix::unistd::geteuid().as_raw().max(1),
        home: home.clone(),
        ..Owner::default()
    };
    match text(&dirs(&owner)) {
        Ok(text) => {
            print(&text);
            0
        }
        Err(why) => {
            print_error(&why.to_string());
            1
        }
    }
}

/// Returns the units of directories, their drop-ins, and which of them a boot starts.
///
/// # Errors
/// A directory has too many entries: with only a part of the units, the rest would count as
/// removed.
fn text(dirs: &[PathBuf]) -> Result<String> {
    let mut out = String::new();
    let mut seen = BTreeSet::new();
    let mut links = Links::default();
    for dir in dirs {
        let names = entries(dir);
        if names.len() > MAX_ENTRIES {
            let most = format!("more than {MAX_ENTRIES} entries");
            return Err(Error::invalid(most)).on(dir);
        }
        for name in names {
            let path = dir.join(&name);
            if let Some(unit) = name
                .strip_suffix(DROP_INS)
                .filter(|n| n.ends_with(".service") || n.ends_with(TIMER) || *n == ALL)
            {
                let drop_ins = links.drop_ins.entry(unit.to_owned()).or_default();
                add_drop_ins(drop_ins, &path);
            } else if let Some((unit, key)) = unit_of_links(&name) {
                links.add(&name, unit, key, &path);
            } else if (name.ends_with(".service") || is_other(&name)) && seen.insert(name.clone()) {
                part(&mut out, &name, &unit(&path));
            }
        }
    }
    let Links { wanted, drop_ins } = links;
    for (unit, texts) in drop_ins {
        let texts: Vec<String> = texts.into_values().collect();
        part(&mut out, &format!("{unit}{DROP_INS}"), &texts.join("\n"));
    }
    let wanted: String = wanted.iter().map(|name| format!("{name}\n")).collect();
    part(&mut out, WANTED, &wanted);
    Ok(out)
}

/// Links of units, which directories such as `multi-user.target.wants` hold, and drop-ins.
#[derive(Default)]
struct Links {
    /// Units that a boot starts.
    wanted: BTreeSet<String>,
    /// Texts of drop-ins by the extended unit and their own name.
    drop_ins: BTreeMap<String, BTreeMap<String, String>>,
}

impl Links {
    /// Adds the links of a directory: those of a target are started at boot, those of a service become a drop-in.
    fn add(&mut self, name: &str, unit: &str, key: &str, path: &Path) {
        let is_boot = unit == TIMERS || super::convert::BOOT_TARGETS.contains(&unit);
        let links = entries(path).into_iter();
        let links = links.filter(|n| n.ends_with(".service") || is_boot && n.ends_with(TIMER));
        if is_boot {
            self.wanted.extend(links);
        } else if unit.ends_with(".service") {
            let links = links.collect::<Vec<_>>().join(" ");
            let drop_ins = self.drop_ins.entry(unit.to_owned()).or_default();
            let text = drop_ins.entry(name.to_owned()).or_default();
            *text += &format!("[Unit]\n{key}={links}\n");
        }
    }
}

fn part(out: &mut String, name: &str, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "---{name}---\n{}", text.trim_end());
}

/// Returns the unit whose links a directory has, and the key that the links stand for
/// (systemd.unit(5)).
fn unit_of_links(name: &str) -> Option<(&str, &str)> {
    let wants = name.strip_suffix(".wants").map(|owner| (owner, "Wants"));
    let requires = || Some((name.strip_suffix(".requires")?, "Requires"));
    wants.or_else(requires)
}

/// Returns the text of a unit file, and its path. A link to /dev/null leaves the path empty: the unit is
/// switched off.
fn unit(path: &Path) -> String {
    let (section, key) = PATH;
    if leads_to_null(path) {
        return format!("[{section}]\n{key}=");
    }
    let text = content(path);
    format!(
        "{}\n\n[{section}]\n{key}={}",
        text.trim_end(),
        path.display()
    )
}

/// Returns true for a link to /dev/null, which masks a unit (systemctl(1), "mask").
pub fn leads_to_null(path: &Path) -> bool {
    fs::canonicalize(path).is_ok_and(|to| to == Path::new("/dev/null"))
}

/// Adds the drop-ins of a directory. Of drop-ins with one name the one of the earlier directory counts, also if
/// that is a link to /dev/null; all are read in the order of their names (systemd.unit(5)).
fn add_drop_ins(texts: &mut BTreeMap<String, String>, dir: &Path) {
    let names = entries(dir).into_iter().filter(|n| n.ends_with(".conf"));
    for name in names {
        let path = dir.join(&name);
        let text = || match leads_to_null(&path) {
            true => String::new(),
            false => content(&path),
        };
        texts.entry(name.clone()).or_insert_with(text);
    }
}

/// Returns the text of a file; of one that cannot be read, a key with the reason, which becomes a fault.
fn content(path: &Path) -> String {
    let (section, key) = UNREADABLE;
    match user_text::read(path, MAX_BYTES) {
        Ok(bytes) => String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned(),
        Err(why) => format!("[{section}]\n{key}={}\n", one_line(&why.to_string())),
    }
}

/// Returns the names in a directory, sorted, and one more than may be at most.
pub fn entries(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.take(MAX_ENTRIES + 1).map(|entry| entry.file_name());
    let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    sys::sort::sort(&mut names);
    names
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::common::testing::Temp;
    use crate::helpers::quadlet::unit::split_output;

    #[test]
    fn a_drop_in_that_cannot_be_read_is_named() {
        let temp = Temp::new();
        let dir = temp.path("web.service.d");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("a.conf"), b"\xff\xfe[\0U\0").unwrap();
        fs::write(dir.join("b.conf"), "\u{feff}[Unit]\r\nA=1\r\n").unwrap();
        let text = text(&[temp.dir().to_owned()]).unwrap();
        let unit = Unit::parse(split_output(&text)[0].1);
        let why = unit.last(UNREADABLE.0, UNREADABLE.1).unwrap();
        assert!(why.contains("a.conf: UTF-16; save it as UTF-8"), "{why}");
        assert_eq!(unit.last("Unit", "A"), Some("1"));
    }

    #[test]
    fn units_drop_ins_and_links() {
        let temp = Temp::new();
        let (first, second) = (temp.path("first"), temp.path("second"));
        for dir in [
            "web.service.d",
            "multi-user.target.wants",
            "x.service.wants",
        ] {
            fs::create_dir_all(first.join(dir)).unwrap();
        }
        fs::create_dir_all(second.join("web.service.d")).unwrap();
        let lower = |name: &str| second.join("web.service.d").join(name);
        fs::write(lower("0.conf"), "[Unit]\nA=0").unwrap();
        fs::write(lower("a.conf"), "[Unit]\nA=x").unwrap();
        fs::write(lower("ab.conf"), "[Unit]\nA=x").unwrap();
        symlink("/dev/null", first.join("web.service.d/ab.conf")).unwrap();
        fs::write(first.join("web.service"), "[Service]\r\nExecStart=/a\r\n").unwrap();
        fs::write(first.join("web.service.d/b.conf"), "[Unit]\nA=2").unwrap();
        fs::write(first.join("web.service.d/a.conf"), "[Unit]\nA=1\n").unwrap();
        fs::write(first.join("web.service.d/a.txt"), "no").unwrap();
        fs::write(second.join("web.service"), "second").unwrap();
        symlink("/dev/null", second.join("off.service")).unwrap();
        symlink(
            "../web.service",
            first.join("multi-user.target.wants/web.service"),
        )
        .unwrap();
        symlink(
            "../web.service",
            first.join("x.service.wants/other.service"),
        )
        .unwrap();
        let text = text(&[first.clone(), second]).unwrap();
        let parts = split_output(&text);
        let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names,
            [
                "web.service",
                "off.service",
                "web.service.d",
                "x.service.d",
                "wanted"
            ]
        );
        let path = first.join("web.service");
        let unit = format!(
            "[Service]\nExecStart=/a\n\n[X-Unit]\nPath={}\n",
            path.display()
        );
        assert_eq!(parts[0].1, unit);
        // The first directory has precedence for a name, and names give the order.
        assert_eq!(parts[2].1, "[Unit]\nA=0\n[Unit]\nA=1\n\n\n[Unit]\nA=2\n");
        assert_eq!(
            (parts[1].1, parts[4].1),
            ("[X-Unit]\nPath=\n", "web.service\n")
        );
    }

    #[test]
    fn a_link_is_a_dependency_of_the_unit_whose_directory_has_it() {
        let temp = Temp::new();
        for (dir, link) in [
            ("first/x.service.wants", "a.service"),
            ("first/x.service.requires", "b.service"),
            ("second/x.service.wants", "c.service"),
            ("second/x.target.wants", "d.service"),
        ] {
            let dir = temp.path(dir);
            fs::create_dir_all(&dir).unwrap();
            symlink("/dev/null", dir.join(link)).unwrap();
        }
        let text = text(&["first", "second"].map(|dir| temp.path(dir))).unwrap();
        let [("x.service.d", drop_ins), ("wanted", "\n")] = split_output(&text)[..] else {
            panic!("{text}");
        };
        let links = Unit::parse(drop_ins);
        let names = |key| links.names("Unit", key).collect::<Vec<_>>();
        assert_eq!(names("Wants"), ["a.service", "c.service"]);
        assert_eq!(names("Requires"), ["b.service"]);
    }

    #[test]
    fn timers_are_read_with_their_drop_ins_and_links() {
        let temp = Temp::new();
        for (path, text) in [
            ("a.timer", "[Timer]\nOnCalendar=daily\n"),
            ("a.timer.d/x.conf", "[Timer]\nPersistent=yes\n"),
            ("timers.target.wants/a.timer", ""),
            ("timers.target.wants/b.service", ""),
            ("other.target.wants/c.timer", ""),
            ("web.socket", "[Socket]\n"),
            ("notes.txt", ""),
        ] {
            fs::create_dir_all(temp.path(path).parent().unwrap()).unwrap();
            fs::write(temp.path(path), text).unwrap();
        }
        let text = text(&[temp.dir().to_owned()]).unwrap();
        let parts = split_output(&text);
        let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["a.timer", "web.socket", "a.timer.d", "wanted"]);
        assert_eq!(parts[3].1, "a.timer\nb.service\n");
    }

    #[test]
    fn a_part_of_a_directory_is_not_taken_for_the_whole() {
        let temp = Temp::new();
        for n in 0..=MAX_ENTRIES {
            fs::write(temp.path(&format!("{n}.service")), "").unwrap();
        }
        let dirs = [temp.dir().to_owned()];
        let why = crate::common::testing::why(text(&dirs));
        assert!(why.contains("more than 1024 entries"), "{why}");
        fs::remove_file(temp.path("0.service")).unwrap();
        assert!(text(&dirs).is_ok());
    }
}
