// SPDX-License-Identifier: Apache-2.0
//! Units of other kinds than services that units name: targets for which a service stands or which each boot
//! reaches, and those that are not read here.

use super::{Specifiers, Unit, units_of};

/// Services of the machine that stand for targets of systemd.
pub const TARGET_SERVICES: &[(&str, &str)] = &[
    ("network-online.target", "net"),
    ("network.target", "net"),
    ("time-sync.target", "time"),
    ("local-fs.target", "data"),
    // podman's generator names this unit for a user, whose systemd does not know the targets of the machine.
    ("podman-user-wait-network-online.service", "net"),
];
/// Targets that each boot reaches (systemd.special(7)).
pub const BOOT_TARGETS: &[&str] = &[
    "default.target",
    "multi-user.target",
    "graphical.target",
    "basic.target",
    "getty.target",
    "local-fs.target",
    "local-fs-pre.target",
    "network-online.target",
    "network-pre.target",
    "network.target",
    "nss-lookup.target",
    "nss-user-lookup.target",
    "paths.target",
    "remote-fs.target",
    "remote-fs-pre.target",
    "slices.target",
    "sockets.target",
    "swap.target",
    "sysinit.target",
    "time-set.target",
    "time-sync.target",
    "timers.target",
];

/// Units of other kinds that each machine has.
const ALWAYS_THERE: &[&str] = &["-.mount", "-.slice", "podman.socket", "system.slice"];

/// Returns true if the service stands for a target of systemd.
#[must_use]
pub fn stands_for_target(service: &str) -> bool {
    TARGET_SERVICES.iter().any(|(_, own)| *own == service)
}

/// Returns the values that link the unit to units of kinds that are not here, such as targets of the user's own.
/// An order without the other unit has no effect on other systems either.
pub(super) fn unknown_units(unit: &Unit, specifiers: &Specifiers) -> Vec<String> {
    let keys = LINKS.iter().flat_map(|(section, keys)| {
        let keys = keys.iter();
        keys.map(move |key| (*section, *key))
    });
    let unknown = keys.flat_map(|(section, key)| {
        let units = units_of(unit, section, &[key], specifiers).into_iter();
        let unknown = units.filter(|name| !is_known_kind(name));
        unknown.map(move |name| format!("{key}={name}"))
    });
    unknown.collect()
}

/// Keys by which units start or stop with others.
const LINKS: &[(&str, &[&str])] = &[
    (
        "Unit",
        &[
            "Requires",
            "Requisite",
            "BindsTo",
            "PartOf",
            "Wants",
            "Upholds",
        ],
    ),
    ("Install", &["WantedBy", "RequiredBy"]),
];

fn is_known_kind(unit: &str) -> bool {
    unit.is_empty()
        || unit.ends_with(".service")
        || ALWAYS_THERE.contains(&unit)
        || BOOT_TARGETS.contains(&unit)
}
