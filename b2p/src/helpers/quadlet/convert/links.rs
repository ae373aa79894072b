// SPDX-License-Identifier: Apache-2.0
//! Links between units: keys of units that name others, and the resulting lines of service files.

use super::{Definition, Owner, add};

/// Begin of a comment of a service file that names services which start with the service.
pub(super) const WANTS: &str = "# wants";
/// Begin of a comment of a service file that names services with which the service stops and
/// restarts.
pub(super) const PART_OF: &str = "# part-of";

/// Adds the links that units declare for others: `Before=`, `WantedBy=` and `RequiredBy=` of a
/// service.
pub fn link(definitions: &mut [Definition]) {
    let mut links = Vec::new();
    for d in definitions.iter() {
        for (others, key) in [
            (&d.before, "Before"),
            (&d.wanted_by, "WantedBy"),
            (&d.required_by, ""),
        ] {
            links.extend(
                others
                    .iter()
                    .map(|other| (other.clone(), key, d.service.clone())),
            );
        }
    }
    for (other, key, own) in links {
        let mut others = definitions.iter_mut();
        let Some(other) = others.find(|d| d.service == other) else {
            continue;
        };
        let list = match key {
            "Before" => &mut other.after,
            "WantedBy" => &mut other.wants,
            _ => &mut other.needs,
        };
        add(list, own);
    }
}

/// Services that a service file names, by [`links`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Services that the service needs.
    pub needs: Vec<String>,
    /// Services that start with the service.
    pub wants: Vec<String>,
    /// Services with which the service stops and restarts.
    pub part_of: Vec<String>,
}

/// Reads the services that a text of [`Definition::service_file`] names.
#[must_use]
pub fn links(text: &str) -> Links {
    let names = |keyword: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|l| l.strip_prefix(keyword));
        let lines = lines.filter_map(|rest| rest.strip_prefix(' '));
        lines
            .flat_map(str::split_whitespace)
            .map(str::to_owned)
            .collect()
    };
    Links {
        needs: names("needs"),
        wants: names(WANTS),
        part_of: names(PART_OF),
    }
}

/// Returns true if a text of [`Definition::service_file`] is that of a unit of this user.
#[must_use]
pub fn belongs_to(text: &str, owner: &Owner) -> bool {
    let user = text.lines().find_map(|line| line.strip_prefix("user "));
    user.unwrap_or("root") == if owner.uid == 0 { "root" } else { &owner.name }
}
