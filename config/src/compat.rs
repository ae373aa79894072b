// SPDX-License-Identifier: Apache-2.0
//! Compatibility with the ancestors: Tiny Core's boot codes, and service names of earlier
//! versions of this system.
//!
//! The boot codes keep the meaning that they have in Tiny Core
//! (tinycorelinux/Core-scripts, etc/init.d/tc-config).

use std::borrow::Cow;

use crate::builder::{Builder, each_item};
use crate::diagnostic::Problem;
use crate::flag::Flag;
use crate::rsyslog;
use crate::settings::Net;
use crate::values::{self, on_off};

pub(crate) const HOST: Flag = Flag {
    name: "host",
    values: "<name>",
    default: "boot2podman",
    description: "Tiny Core's name of b2p.hostname",
    alias_of: Some("b2p.hostname"),
    apply: |to, text| values::hostname(text, &mut to.hostname),
    ..Flag::EMPTY
};

pub(crate) const WAITUSB: Flag = Flag {
    name: "waitusb",
    values: "<seconds>, <seconds>:LABEL=<label>, <seconds>:UUID=<uuid>, <seconds>:PARTUUID=<uuid>, <seconds>:/dev/<disk>",
    description: "Tiny Core: maximum time to wait for a slow disk",
    before_data_disk: true,
    apply: |to, text| values::wait_usb(text).map(|wait| to.config.waitusb = Some(wait)),
    ..Flag::EMPTY
};

pub(crate) const TZ: Flag = Flag {
    name: "tz",
    values: "<zone>",
    description: "Tiny Core: time zone, as CET-1CEST or Europe/Berlin",
    apply: |to, text| values::timezone(text).map(|zone| to.config.tz = Some(zone)),
    ..Flag::EMPTY
};

pub(crate) const NOUTC: Flag = Flag {
    name: "noutc",
    values: "off, on",
    default: "off",
    description: "Tiny Core: the hardware clock keeps local time",
    value_optional: true,
    apply: |to, text| on_off(text).map(|on| to.config.utc = !on),
    ..Flag::EMPTY
};

pub(crate) const NODHCP: Flag = Flag {
    name: "nodhcp",
    values: "off, on",
    default: "off",
    description: "Tiny Core: no DHCP; a static address stays",
    value_optional: true,
    before_data_disk: true,
    apply: nodhcp,
    ..Flag::EMPTY
};

pub(crate) const NOSWAP: Flag = Flag {
    name: "noswap",
    values: "off, on",
    default: "off",
    description: "Tiny Core: no swap, whatever other flags say",
    value_optional: true,
    apply: |to, text| on_off(text).map(|on| to.config.swap_allowed = !on),
    ..Flag::EMPTY
};

pub(crate) const NOAUTOLOGIN: Flag = Flag {
    name: "noautologin",
    values: "off, on",
    default: "off",
    description: "Tiny Core: no automatic login on the consoles",
    value_optional: true,
    apply: |to, text| on_off(text).map(|on| to.config.autologin = !on),
    ..Flag::EMPTY
};

pub(crate) const NTPSERVER: Flag = Flag {
    name: "ntpserver",
    values: "<server>",
    description: "Tiny Core: time server",
    apply: |to, text| values::server(text).map(|name| to.config.ntpserver = Some(name)),
    ..Flag::EMPTY
};

pub(crate) const BLACKLIST: Flag = Flag {
    name: "blacklist",
    values: "<module>[,<module>...]",
    description: "Tiny Core: kernel modules that are never loaded",
    repeatable: true,
    before_data_disk: true,
    apply: blacklist,
    ..Flag::EMPTY
};

pub(crate) const SWAPFILE: Flag = Flag {
    name: "swapfile",
    values: "<partition>, LABEL=<label>, UUID=<uuid>, /dev/<disk>",
    description: "Tiny Core: partition with the swap file tc.swp",
    apply: |to, text| values::partition(text).map(|disk| to.config.swapfile = Some(disk)),
    ..Flag::EMPTY
};

pub(crate) const SYSLOG: Flag = Flag {
    name: "syslog",
    values: "off, on",
    default: "off",
    description: "Tiny Core: system log in files",
    value_optional: true,
    apply: |to, text| on_off(text).map(|on| to.config.syslog = on),
    ..Flag::EMPTY
};

pub(crate) const RSYSLOG: Flag = Flag {
    name: "rsyslog",
    values: "<server>[:<port>][,tcp]",
    description: "Tiny Core's name of b2p.rsyslog",
    alias_of: Some("b2p.rsyslog"),
    apply: |to, text| rsyslog::receiver(text).map(|it| to.config.rsyslog = Some(it)),
    ..Flag::EMPTY
};

/// Applies `nodhcp`: turns DHCP off and leaves a static address.
fn nodhcp(builder: &mut Builder, text: &str) -> Result<(), Problem> {
    let on = on_off(text)?;
    if on && matches!(builder.config.net, Net::Dhcp { .. }) {
        builder.config.net = Net::Off;
    }
    Ok(())
}

/// Applies `blacklist=`: adds modules.
fn blacklist(builder: &mut Builder, text: &str) -> Result<(), Problem> {
    let blacklist = &mut builder.config.blacklist;
    each_item(text, |name| {
        let module = values::module(name).ok_or(Problem::invalid(
            "invalid module name; the other names in the list are applied",
        ))?;
        if !blacklist.contains(&module) {
            blacklist.push(module);
        }
        Ok(())
    })
}

/// Earlier names of services and those that systemd has, each with the name here. `b2p.off=`, `b2p.on=` and the
/// client's commands take both.
const SERVICE_ALIASES: &[(&str, &str)] = &[
    ("settle", "late-drivers"),
    ("own", "user-services"),
    ("keep", "log-files"),
    ("store", "image-sync"),
    ("zone", "timezone"),
    ("podman-auto-update", "auto-update"),
];

/// Prefixes of services of a terminal, whose names end in the lower case of the terminal's.
const TERMINAL_PREFIXES: [&str; 2] = ["console-", "rescue-"];

/// Returns the name that a service has here, of an earlier name, one of systemd or one with the terminal's own
/// spelling (`console-ttyS0`), or `name` itself.
#[must_use]
pub fn canonical_service_name(name: &str) -> Cow<'_, str> {
    if TERMINAL_PREFIXES
        .iter()
        .any(|prefix| name.starts_with(prefix))
    {
        return Cow::Owned(name.to_ascii_lowercase());
    }
    let alias = SERVICE_ALIASES.iter().find(|(old, _)| *old == name);
    Cow::Borrowed(alias.map_or(name, |(_, present)| present))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_service_names_lead_to_the_present_ones() {
        assert_eq!(canonical_service_name("store"), "image-sync");
        for (old, present) in SERVICE_ALIASES {
            assert_eq!(canonical_service_name(old), *present);
            assert_eq!(canonical_service_name(present), *present);
            assert!(values::is_service_name(old) && values::is_service_name(present));
        }
        assert_eq!(canonical_service_name("console-ttyS0"), "console-ttys0");
        assert_eq!(canonical_service_name("rescue-hvc0"), "rescue-hvc0");
        assert_eq!(canonical_service_name("web"), "web");
        assert_eq!(canonical_service_name(""), "");
    }
}
