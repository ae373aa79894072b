// SPDX-License-Identifier: Apache-2.0
//! Files of units, and the names of their services.

use std::path::PathBuf;

use super::specifiers::Owner;

/// Directory of the service files that units become.
pub const DEFINITIONS: &str = "/run/boot2podman/units";
/// Longest name of a service, in bytes.
const MAX_NAME_BYTES: usize = 32;

/// Path of the unit that the service `name` is.
#[must_use]
pub fn unit(name: &str) -> PathBuf {
    PathBuf::from(format!("{DEFINITIONS}/{name}.service"))
}

/// Path of the socket for messages of the unit's processes.
#[must_use]
pub fn socket(name: &str, owner: &Owner) -> PathBuf {
    PathBuf::from(format!("{}/unit-{name}.notify", owner.runtime_dir()))
}

/// Returns the name of the service that a unit becomes: `my-app-1` of `My_App@1.service`, and
/// `core-my-app-1` of one of a user; `None` if there is none.
#[must_use]
pub fn service_name(unit: &str, owner: &Owner) -> Option<String> {
    let stem = unit.strip_suffix(".service").unwrap_or(unit);
    let allowed = |c: char| match c {
        'a'..='z' | '0'..='9' => c,
        'A'..='Z' => c.to_ascii_lowercase(),
        _ => '-',
    };
    let name: String = stem.chars().map(allowed).collect();
    let name = match owner.uid {
        0 => name.trim_start_matches('-').to_owned(),
        _ if name.is_empty() => name,
        _ => format!("{}-{}", owner.name, name.trim_start_matches('-')),
    };
    (1..=MAX_NAME_BYTES).contains(&name.len()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_services() {
        for (unit, name) in [
            ("web.service", Some("web")),
            ("My_App@1.service", Some("my-app-1")),
            ("p-pod", Some("p-pod")),
            ("_x.y.service", Some("x-y")),
            ("caf\u{e9}.service", Some("caf-")),
            ("@.service", None),
            (".service", None),
            ("a-name-of-thirty-three-characters.service", None),
        ] {
            let machine = Owner::default();
            assert_eq!(service_name(unit, &machine).as_deref(), name, "{unit}");
        }
        let core = Owner {
            uid: 1000,
            name: "core".to_owned(),
            ..Owner::default()
        };
        let name = service_name("Web@1.service", &core);
        assert_eq!(name.as_deref(), Some("core-web-1"));
    }
}
