// SPDX-License-Identifier: Apache-2.0
//! Names of a unit in the log: that of its service, and that of its container.

use std::fs;

use super::paths::{self, DEFINITIONS};
use super::program::Program;
use super::specifiers::{Owner, Specifiers};
use super::unit::Unit;
use super::{NAME, host};
use crate::common::pattern::matches;

/// Returns the names of a unit in the log.
#[must_use]
pub fn of_unit(word: &str, owner: &Owner) -> Vec<String> {
    let stem = [".service", ".socket"]
        .iter()
        .find_map(|suffix| word.strip_suffix(suffix));
    let stem = stem.unwrap_or(word);
    let service = paths::service_name(stem, owner).filter(|s| paths::unit(s).exists());
    match service {
        Some(service) => of_service(service, owner),
        None if paths::unit(stem).exists() => of_service(stem.to_owned(), owner),
        None => crate::common::log::filter::service_names(stem).collect(),
    }
}

/// Returns the names in the log of the units of an owner that a pattern stands for.
#[must_use]
pub fn of_owner(owner: &Owner, pattern: &str) -> Vec<String> {
    let entries = fs::read_dir(DEFINITIONS).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let own = names.filter(|service| {
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
    let container = container(&unit, &specifiers);
    [Some(service), container].into_iter().flatten().collect()
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
