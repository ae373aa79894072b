// SPDX-License-Identifier: Apache-2.0
//! Flags of optional parts of the machine.

use crate::builder::{Builder, each_item};
use crate::compat::canonical_service_name;
use crate::diagnostic::Problem;
use crate::flag::Flag;
use crate::settings::AutoUpdate;
use crate::share;
use crate::values::{self, lookup, number, on_off};

pub(crate) const TEMPLATE: Flag = Flag {
    name: "b2p.template",
    values: "off, on",
    default: "off",
    description: "boot as a template: the machine waits, before it has a key, an id or an address of its own, until a host has copied its memory, as podman-machine create --saved does",
    value_optional: true,
    before_data_disk: true,
    apply: |to, text| on_off(text).map(|on| to.config.template = on),
    ..Flag::EMPTY
};

pub(crate) const VARLINK: Flag = Flag {
    name: "b2p.varlink",
    values: "on, off",
    default: "on",
    description: "varlink services: the resolver, the machine's own interface, that of podman 1; started at the first connection",
    apply: |to, text| on_off(text).map(|on| to.config.varlink = on),
    ..Flag::EMPTY
};

pub(crate) const AUTO_UPDATE: Flag = Flag {
    name: "b2p.auto_update",
    values: "off, daily, <HH>:<MM>",
    default: "off",
    description: "podman auto-update of containers with the label io.containers.autoupdate, each day: daily in the hour after midnight, or at the given time",
    apply: |to, text| auto_update(text).map(|when| to.config.auto_update = when),
    ..Flag::EMPTY
};

pub(crate) const RUNTIME: Flag = Flag {
    name: "b2p.runtime",
    values: "crun, <program>",
    default: "crun",
    description: "OCI runtime that podman uses by default; another one than crun is in an extension, such as runc",
    apply: |to, text| runtime(text).map(|name| to.config.runtime = name),
    ..Flag::EMPTY
};

pub(crate) const ROSETTA: Flag = Flag {
    name: "b2p.rosetta",
    values: "off, on",
    default: "off",
    description: "programs and containers of x86-64 run on Apple's processors by Rosetta, which macOS shares by the tag rosetta",
    value_optional: true,
    apply: |to, text| on_off(text).map(|on| share::rosetta(to, on)),
    ..Flag::EMPTY
};

/// Parses `b2p.runtime=`: the name of a program, which is also podman's name of the runtime.
fn runtime(text: &str) -> Result<Option<String>, Problem> {
    match text {
        "crun" => Ok(None),
        name if values::is_extension_name(name) => Ok(Some(name.to_owned())),
        _ => Err(Problem::invalid("not a name of a runtime (a-z, digits, -)")),
    }
}

/// Parses `b2p.auto_update=`.
fn auto_update(text: &str) -> Result<AutoUpdate, Problem> {
    let Some((hour, minute)) = text.split_once(':') else {
        return lookup(
            text,
            &[("off", AutoUpdate::Off), ("daily", AutoUpdate::Daily)],
        );
    };
    match (number(hour, 23), number(minute, 59)) {
        (Some(hour), Some(minute)) if has_short_parts(text) => Ok(AutoUpdate::At { hour, minute }),
        _ => Err(Problem::invalid("not a time of day")),
    }
}

fn has_short_parts(text: &str) -> bool {
    text.split(':').all(|part| (1..=2).contains(&part.len()))
}

/// Applies `b2p.on=` and `b2p.off=`: the later flag for a service wins.
pub(crate) fn services(builder: &mut Builder, text: &str, on: bool) -> Result<(), Problem> {
    let services = &mut builder.config.services;
    each_item(text, |name| {
        let name = canonical_service_name(name);
        if !values::is_service_name(&name) {
            return Err(Problem::invalid(
                "invalid service name (a-z, digits, -; at most 64); the other names in the list are applied",
            ));
        }
        services.retain(|(known, _)| *known != name);
        services.push((name.into_owned(), on));
        Ok(())
    })
}
