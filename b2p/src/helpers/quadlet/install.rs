// SPDX-License-Identifier: Apache-2.0
//! The section `[Install]` of plain unit files (systemd.unit(5)): links by which targets and other units want a
//! unit, which `systemctl enable` and documents of Ignition ask for.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sys::error::{Doing, Error, Result};

use super::specifiers::Owner;
use super::unit::Unit;
use super::{host, plain};

/// A unit file whose links are there.
#[derive(Debug, PartialEq, Eq)]
pub struct Enabled {
    /// The unit file.
    pub file: PathBuf,
    /// Links that were made; the others were there.
    pub made: Vec<PathBuf>,
    /// False if nothing is to want the unit.
    pub is_wanted: bool,
    /// Units that are to be enabled as well (`Also=`).
    pub also: Vec<String>,
}

/// Returns the directories of a unit's links, such as `multi-user.target.wants`. The caller runs as root, and a
/// name with a slash would lead out of the directory of the file.
#[must_use]
pub fn targets(unit: &Unit) -> Vec<String> {
    expanded_targets(unit, str::to_owned)
}

fn expanded_targets(unit: &Unit, expand: impl Fn(&str) -> String) -> Vec<String> {
    let of = |key, suffix: &str| -> Vec<String> {
        let names = unit.names("Install", key).map(&expand);
        let names = names.filter(|target| !target.contains('/'));
        names.map(|target| format!("{target}.{suffix}")).collect()
    };
    [of("WantedBy", "wants"), of("RequiredBy", "requires")].concat()
}

/// Returns the name of the unit that a name stands for: of a template `web@.service`, the instance of
/// `DefaultInstance=`, if there is one (systemd.unit(5), "[Install] Section Options").
#[must_use]
pub fn with_instance(unit: &Unit, name: &str) -> String {
    let prefix = name.strip_suffix("@.service");
    let instance = prefix.zip(unit.last("Install", "DefaultInstance"));
    instance.map_or_else(
        || name.to_owned(),
        |(prefix, instance)| format!("{prefix}@{instance}.service"),
    )
}

/// Returns the file of a unit, or that of its template.
#[must_use]
pub fn file(owner: &Owner, name: &str) -> Option<PathBuf> {
    file_in(&plain::dirs(owner), name)
}

fn file_in(dirs: &[PathBuf], name: &str) -> Option<PathBuf> {
    let template = name
        .split_once('@')
        .map(|(prefix, _)| format!("{prefix}@.service"));
    let names = [Some(name.to_owned()), template];
    let mut names = names.into_iter().flatten();
    names.find_map(|name| {
        let mut paths = dirs.iter().map(|dir| dir.join(&name));
        paths.find(|path| path.is_file())
    })
}

/// Makes the links of a unit. Returns `None` if the unit is none of the owner's files.
///
/// # Errors
/// The file cannot be read, or a link cannot be made.
pub fn enable(owner: &Owner, name: &str) -> Result<Option<Enabled>> {
    let dirs = plain::dirs(owner);
    // The links of a user are in the home, also those to files of all users.
    let links = dirs.first().filter(|_| owner.uid != 0);
    enable_in(&dirs, links.map(PathBuf::as_path), owner, name)
}

/// Makes the links in `links`, or else beside the file.
fn enable_in(
    dirs: &[PathBuf],
    links: Option<&Path>,
    owner: &Owner,
    name: &str,
) -> Result<Option<Enabled>> {
    let Some(file) = file_in(dirs, name) else {
        return Ok(None);
    };
    let unit = Unit::parse(&sys::files::read_text(&file)?);
    let name = &with_instance(&unit, name);
    if name.ends_with("@.service") {
        return Err(Error::invalid(format!(
            "Failed to enable unit: Unit name {name} is missing the instance name: a word after the @"
        )));
    }
    let specifiers = host::specifiers(name, &unit, owner.clone());
    let expand = |text: &str| specifiers.expand(text).unwrap_or_else(|_| text.to_owned());
    let targets = expanded_targets(&unit, expand);
    let dir = links.unwrap_or_else(|| file.parent().unwrap_or(Path::new("/")));
    let mut made = Vec::new();
    for target in &targets {
        let parent = dir.join(target);
        let link = parent.join(name);
        if link.is_symlink() {
            continue;
        }
        fs::create_dir_all(&parent).on(&parent)?;
        symlink(&file, &link).on(&link)?;
        made.push(link);
    }
    let also: Vec<String> = unit.names("Install", "Also").map(str::to_owned).collect();
    let is_wanted = !targets.is_empty() || !also.is_empty();
    Ok(Some(Enabled {
        file,
        made,
        is_wanted,
        also,
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

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

    #[test]
    fn a_unit_is_enabled_once_by_its_own_file_or_its_template() {
        let temp = Temp::new();
        let dirs = [temp.path("none"), temp.dir().to_owned()];
        let write = |name: &str, text: &str| fs::write(temp.path(name), text).unwrap();
        write("web@.service", "[Install]\nWantedBy=multi-user.target\n");
        write("one.service", "[Service]\nExecStart=/bin/true\n");
        write(
            "two.service",
            "[Install]\nWantedBy=%N-x.target\nAlso=one.service\n",
        );
        let root = Owner::default();
        let enable_in = |dirs: &[PathBuf], name: &str| enable_in(dirs, None, &root, name);
        assert_eq!(enable_in(&dirs, "other.service").unwrap(), None);
        let one = enable_in(&dirs, "one.service").unwrap().unwrap();
        assert!(!one.is_wanted && one.made.is_empty());
        let link = temp.path("multi-user.target.wants/web@2.service");
        for made in [vec![link.clone()], Vec::new()] {
            let web = enable_in(&dirs, "web@2.service").unwrap().unwrap();
            assert_eq!((web.made, web.is_wanted), (made, true));
        }
        assert_eq!(fs::read_link(link).unwrap(), temp.path("web@.service"));
        // A template alone stands for its default instance.
        assert!(enable_in(&dirs, "web@.service").is_err());
        let text = "[Install]\nDefaultInstance=a\nWantedBy=multi-user.target\n";
        write("web@.service", text);
        let web = enable_in(&dirs, "web@.service").unwrap().unwrap();
        let link = temp.path("multi-user.target.wants/web@a.service");
        assert_eq!(web.made, [link]);
        let two = enable_in(&dirs, "two.service").unwrap().unwrap();
        assert_eq!(two.also, ["one.service"]);
        assert_eq!(two.made, [temp.path("two-x.target.wants/two.service")]);
        // A user's links to a file of all users are the user's own.
        let home = temp.path("home");
        let made = super::enable_in(&dirs, Some(home.as_path()), &root, "web@3.service");
        let link = home.join("multi-user.target.wants/web@3.service");
        assert_eq!(made.unwrap().unwrap().made, [link]);
    }
}
