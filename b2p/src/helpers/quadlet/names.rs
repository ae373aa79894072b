// SPDX-License-Identifier: Apache-2.0
//! Names of a unit in the log: that of its service, and those of its containers.

use std::collections::BTreeSet;
use std::fs;

use super::dependents::is_of;
use super::paths::{self, DEFINITIONS};
use super::program::Program;
use super::specifiers::{Owner, Specifiers};
use super::unit::Unit;
use super::{NAME, host};
use crate::common::log::tag_of_user;
use crate::common::pattern::matches;
use crate::common::unit_containers::{self, noted_in};

/// A name in the log, and the unit whose name it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Name of a service, or the tag of a container.
    pub name: String,
    /// Name of the unit.
    pub unit: String,
    /// True for the name of a container.
    pub is_container: bool,
    /// True for a unit of a user other than root.
    pub is_users: bool,
}

/// Returns the names of all units in the log.
#[must_use]
pub fn all() -> Vec<Logged> {
    let owners = super::owners();
    let of_service = |service: String| {
        let (_, unit, owner) = unit_of(&service, &owners)?;
        let names = of_service(service.clone(), owner).into_iter();
        let logged = names.map(move |name| Logged {
            is_container: name != service,
            is_users: owner.uid != 0,
            unit: unit.clone(),
            name,
        });
        Some(logged.collect::<Vec<_>>())
    };
    services().filter_map(of_service).flatten().collect()
}

/// Returns the names of the units that have the name of a program in the log (systemd.exec(5), "SyslogIdentifier=").
#[must_use]
pub fn of_identifier(identifier: &str) -> Vec<String> {
    let owners = super::owners();
    let of_service = |service: String| {
        let (unit, name, owner) = unit_of(&service, &owners)?;
        let own = unit.last("Service", "SyslogIdentifier")?;
        let specifiers = host::specifiers(&name, &unit, owner.clone());
        let is_one = specifiers.expand(own).is_ok_and(|own| own == identifier);
        is_one.then(|| of_service(service, owner))
    };
    services().filter_map(of_service).flatten().collect()
}

/// Returns the unit that a service is, with its name and its owner.
fn unit_of<'a>(service: &str, owners: &'a [Owner]) -> Option<(Unit, String, &'a Owner)> {
    let unit = Unit::parse(&sys::files::read_text(paths::unit(service)).ok()?);
    let name = unit.last(NAME.0, NAME.1)?.to_owned();
    let is_own = |owner: &&Owner| paths::service_name(&name, owner).as_deref() == Some(service);
    let owner = owners.iter().find(is_own)?;
    Some((unit, name, owner))
}

/// Returns the services that are units.
fn services() -> impl Iterator<Item = String> {
    let entries = fs::read_dir(DEFINITIONS).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|service| paths::unit(service).exists())
}

/// Returns the names of a unit in the log.
#[must_use]
pub fn of_unit(word: &str, owner: &Owner) -> Vec<String> {
    let stem = [".service", ".socket"]
        .iter()
        .find_map(|suffix| word.strip_suffix(suffix));
    let stem = stem.unwrap_or(word);
    let service = paths::service_name(stem, owner);
    let service = service.filter(|s| is_of(s, &format!("{stem}.service")));
    match service {
        Some(service) => of_service(service, owner),
        // The service of a unit, which may be a user's.
        None if paths::unit(stem).exists() => {
            let owners = super::owners();
            let unit = unit_of(stem, &owners);
            let owner = unit.map_or(owner.clone(), |(_, _, owner)| owner.clone());
            of_service(stem.to_owned(), &owner)
        }
        None => crate::common::log::filter::service_names(stem).collect(),
    }
}

/// Returns the names in the log of the units of an owner that a pattern stands for.
#[must_use]
pub fn of_owner(owner: &Owner, pattern: &str) -> Vec<String> {
    let own = services().filter(|service| {
        let unit = sys::files::read_text(paths::unit(service)).unwrap_or_default();
        let name = Unit::parse(&unit).last(NAME.0, NAME.1).map(str::to_owned);
        let name = name.filter(|name| matches(pattern, name));
        name.and_then(|name| paths::service_name(&name, owner)) == Some(service.clone())
    });
    own.flat_map(|service| of_service(service, owner)).collect()
}

fn of_service(service: String, owner: &Owner) -> Vec<String> {
    let text = sys::files::read_text(paths::unit(&service)).unwrap_or_default();
    let unit = Unit::parse(&text);
    let name = unit.last(NAME.0, NAME.1).unwrap_or(&service);
    let specifiers = host::specifiers(name, &unit, owner.clone());
    let mut names: Vec<String> = container(&unit, &specifiers).into_iter().collect();
    names.extend(noted_in(&unit_containers::path(&service, owner.uid)));
    let tags = names.iter().map(|name| tag_of_user(owner.uid, name));
    let mut names: Vec<String> = tags.collect();
    names.insert(0, service);
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// Returns the name of the container that a unit runs.
fn container(unit: &Unit, specifiers: &Specifiers) -> Option<String> {
    let program = Program::of(unit, specifiers).ok()?;
    let words: &[String] = &program.commands.start.first()?.argv;
    let is_podman = words.first().is_some_and(|p| p.ends_with("/podman"));
    let joined = words.iter().find_map(|word| word.strip_prefix("--name="));
    let next = || {
        let at = words.iter().position(|word| word == "--name")?;
        words.get(at + 1).map(String::as_str)
    };
    let name = joined.or_else(next).filter(|_| is_podman);
    name.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_a_name_of_its_own() {
        let named = |command: &str| {
            let unit = Unit::parse(&format!("[Service]\nExecStart={command}\n"));
            let specifiers = Specifiers {
                unit: "web.service".to_owned(),
                ..Specifiers::default()
            };
            container(&unit, &specifiers)
        };
        let right = Some("systemd-web".to_owned());
        assert_eq!(named("/usr/bin/podman run --name systemd-%N -d x"), right);
        assert_eq!(named("/usr/bin/podman run --name=systemd-%N -d x"), right);
        assert_eq!(named("/usr/bin/podman volume create x"), None);
        assert_eq!(named("/bin/x --name=y"), None);
        assert_eq!(of_unit("sshd.service", &Owner::default()), ["sshd"]);
    }
}
