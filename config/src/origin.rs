// SPDX-License-Identifier: Apache-2.0
//! Origin of every setting, for users who ask why a setting has its value. PID 1 does not use this
//! module.

use crate::diagnostic::Source;
use crate::flag::Flag;
use crate::flags::FLAGS;
use crate::reader::{Assignment, HOSTNAME_FILE, Reader};
use crate::settings::Net;
use crate::sources::Sources;

/// Flag in force and its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Full text of the flag, unchanged. A value that may be a secret is left out.
    pub flag: String,
    /// Source of the flag.
    pub source: Source,
}

impl Origin {
    /// Returns the value of the flag; `on` for a flag without a value.
    #[must_use]
    pub fn value(&self) -> &str {
        self.flag.split_once('=').map_or("on", |(_, value)| value)
    }
}

impl From<&Assignment> for Origin {
    fn from(assignment: &Assignment) -> Origin {
        Origin {
            flag: assignment.flag.clone(),
            source: assignment.source,
        }
    }
}

/// Returns every setting in the order of [`FLAGS`], without aliases, and the origins of its value:
/// none for a default, more than one only for a repeatable flag. Invalid flags are left out.
#[must_use]
pub fn origins(sources: &Sources<'_>) -> Vec<(&'static Flag, Vec<Origin>)> {
    let reader = Reader::read(sources, true);
    let settings = FLAGS.iter().filter(|flag| flag.alias_of.is_none());
    let with_origins = |flag: &'static Flag| {
        let assignments = reader.assignments.iter();
        let own = assignments.filter(|assignment| assignment.setting == flag.name);
        let mut origins: Vec<Origin> = own.map(Origin::from).collect();
        if origins.is_empty() {
            origins.extend(reader.implied(flag.name));
        }
        (flag, origins)
    };
    settings.map(with_origins).collect()
}

impl Reader {
    /// Returns the origin of a setting that another flag sets as well, as `ip=` sets the hostname.
    fn implied(&self, setting: &str) -> Option<Origin> {
        let builder = &self.builder;
        let (by, value) = match setting {
            "b2p.hostname" if builder.ip_hostname.is_none() => {
                let name = builder.disk_hostname.as_deref()?;
                return Some(Origin {
                    flag: [HOSTNAME_FILE, "=", name].concat(),
                    source: Source::Disk,
                });
            }
            "b2p.hostname" => ("b2p.net", builder.ip_hostname.as_deref()?),
            "ntpserver" => ("b2p.net", builder.ip_ntpserver.as_deref()?),
            "b2p.net" if builder.config.net == Net::Off => ("nodhcp", "off"),
            _ => return None,
        };
        let mut assignments = self.assignments.iter();
        let cause = assignments.find(|assignment| assignment.setting == by)?;
        let name = cause.flag.split('=').next().unwrap_or_default();
        Some(Origin {
            flag: [name, "=", value].concat(),
            source: cause.source,
        })
    }
}
