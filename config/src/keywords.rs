// SPDX-License-Identifier: Apache-2.0
//! Keywords that flags take as their values, and the meaning of each.

use crate::settings::{Console, Etc, Ignition, Loglevel, Modules, Podman, Role, Rootless, Slot};
use crate::storage::FormatPolicy;

pub(crate) const FORMATS: [(&str, FormatPolicy); 3] = [
    ("magic", FormatPolicy::Magic),
    ("blank", FormatPolicy::Blank),
    ("never", FormatPolicy::Never),
];

pub(crate) const CLOUDS: [(&str, bool); 2] = [("auto", true), ("off", false)];

pub(crate) const IGNITIONS: [(&str, Ignition); 4] = [
    ("auto", Ignition::Auto),
    ("disk", Ignition::Disk),
    ("vsock", Ignition::Vsock),
    ("off", Ignition::Off),
];

pub(crate) const CONSOLES: [(&str, Console); 3] = [
    ("status", Console::Status),
    ("shell", Console::Shell),
    ("off", Console::Off),
];

pub(crate) const PODMANS: [(&str, Podman); 3] = [
    ("ondemand", Podman::OnDemand),
    ("boot", Podman::Boot),
    ("off", Podman::Off),
];

pub(crate) const ETCS: [(&str, Etc); 3] = [
    ("containers", Etc::Containers),
    ("all", Etc::All),
    ("ram", Etc::Ram),
];

pub(crate) const ROOTLESS: [(&str, Rootless); 3] = [
    ("on", Rootless::On),
    ("off", Rootless::Off),
    ("default", Rootless::Default),
];

pub(crate) const SLOTS: [(&str, Slot); 6] = [
    ("a", Slot::new('a', Role::Confirmed)),
    ("b", Slot::new('b', Role::Confirmed)),
    ("a:trial", Slot::new('a', Role::Trial)),
    ("b:trial", Slot::new('b', Role::Trial)),
    ("a:fallback", Slot::new('a', Role::Fallback)),
    ("b:fallback", Slot::new('b', Role::Fallback)),
];

pub(crate) const MODULES: [(&str, Modules); 2] =
    [("fast", Modules::Fast), ("verified", Modules::Verified)];

pub(crate) const LOGLEVELS: [(&str, Loglevel); 5] = [
    ("info", Loglevel::Info),
    ("error", Loglevel::Error),
    ("warn", Loglevel::Warn),
    ("debug", Loglevel::Debug),
    ("trace", Loglevel::Trace),
];
