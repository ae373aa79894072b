// SPDX-License-Identifier: Apache-2.0
//! Compatibility with the ancestors: Tiny Core's boot codes, and service names of earlier
//! versions of this system.
//!
//! The boot codes keep the meaning that they have in Tiny Core
//! (tinycorelinux/Core-scripts, etc/init.d/tc-config).

use crate::builder;
use crate::flags::{Flag, ROW};
use crate::rsyslog;
use crate::values::{self, switch};

pub(crate) const HOST: Flag = Flag {
    name: "host",
    values: "<name>",
    default: "boot2podman",
    why: "the same, as Tiny Core calls it",
    same_as: Some("b2p.hostname"),
    apply: |to, text| values::hostname(text).map(|name| to.hostname = Some(name)),
    ..ROW
};

pub(crate) const WAITUSB: Flag = Flag {
    name: "waitusb",
    values: "<seconds>, <seconds>:LABEL=<label>, <seconds>:UUID=<uuid>",
    why: "Tiny Core: wait for a slow disk, at most so long",
    early: true,
    apply: |to, text| values::wait_usb(text).map(|wait| to.config.waitusb = Some(wait)),
    ..ROW
};

pub(crate) const TZ: Flag = Flag {
    name: "tz",
    values: "<zone>",
    why: "Tiny Core: the time zone, as CET-1CEST or Europe/Berlin",
    apply: |to, text| values::timezone(text).map(|zone| to.config.tz = Some(zone)),
    ..ROW
};

pub(crate) const NOUTC: Flag = Flag {
    name: "noutc",
    values: "off, on",
    default: "off",
    why: "Tiny Core: the hardware clock keeps local time",
    bare: true,
    apply: |to, text| switch(text).map(|on| to.config.utc = !on),
    ..ROW
};

pub(crate) const NODHCP: Flag = Flag {
    name: "nodhcp",
    values: "off, on",
    default: "off",
    why: "Tiny Core: no DHCP; an address given by hand stays",
    bare: true,
    early: true,
    apply: builder::nodhcp,
    ..ROW
};

pub(crate) const NOSWAP: Flag = Flag {
    name: "noswap",
    values: "off, on",
    default: "off",
    why: "Tiny Core: no swap, whatever else is said",
    bare: true,
    apply: |to, text| switch(text).map(|on| to.config.swap = !on),
    ..ROW
};

pub(crate) const NOAUTOLOGIN: Flag = Flag {
    name: "noautologin",
    values: "off, on",
    default: "off",
    why: "Tiny Core: no console logs anyone in by itself",
    bare: true,
    apply: |to, text| switch(text).map(|on| to.config.autologin = !on),
    ..ROW
};

pub(crate) const NTPSERVER: Flag = Flag {
    name: "ntpserver",
    values: "<server>",
    why: "Tiny Core: where the time comes from",
    apply: |to, text| values::server(text).map(|name| to.config.ntpserver = Some(name)),
    ..ROW
};

pub(crate) const BLACKLIST: Flag = Flag {
    name: "blacklist",
    values: "<module>[,<module>...]",
    why: "Tiny Core: kernel modules never to load",
    repeats: true,
    early: true,
    apply: builder::blacklist,
    ..ROW
};

pub(crate) const SWAPFILE: Flag = Flag {
    name: "swapfile",
    values: "<partition>, LABEL=<label>, UUID=<uuid>, /dev/<disk>",
    why: "Tiny Core: the partition with the swap file tc.swp",
    apply: |to, text| values::partition(text).map(|disk| to.config.swapfile = Some(disk)),
    ..ROW
};

pub(crate) const SYSLOG: Flag = Flag {
    name: "syslog",
    values: "off, on",
    default: "off",
    why: "Tiny Core: keep a system log in files",
    bare: true,
    apply: |to, text| switch(text).map(|on| to.config.syslog = on),
    ..ROW
};

pub(crate) const RSYSLOG: Flag = Flag {
    name: "rsyslog",
    values: "<server>[:<port>][,tcp]",
    why: "the same as b2p.rsyslog, as Tiny Core calls it",
    same_as: Some("b2p.rsyslog"),
    apply: |to, text| rsyslog::receiver(text).map(|it| to.config.rsyslog = Some(it)),
    ..ROW
};

/// Earlier names of services, each with the name that replaced it. `b2p.off=`, `b2p.on=` and the
/// client's commands take both.
const SERVICE_ALIASES: &[(&str, &str)] = &[
    ("settle", "late-drivers"),
    ("own", "user-services"),
    ("keep", "log-files"),
    ("store", "image-sync"),
    ("zone", "timezone"),
];

/// Returns the present name of the service that was once called `name`, or `name` itself.
#[must_use]
pub fn canonical_service_name(name: &str) -> &str {
    let alias = SERVICE_ALIASES.iter().find(|(old, _)| *old == name);
    alias.map_or(name, |(_, present)| present)
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
            assert!(values::service(old) && values::service(present));
        }
        assert_eq!(canonical_service_name("web"), "web");
        assert_eq!(canonical_service_name(""), "");
    }
}
