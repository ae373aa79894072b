//! Which flags were given, and where: for those who ask why a setting is what
//! it is. PID 1 has no use for it.

use crate::diagnostic::Source;
use crate::flags::{FLAGS, Flag};
use crate::reader::HOSTNAME_FILE;
use crate::reader::{Assignment, Reader};
use crate::sources::Sources;

/// A value that holds, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The flag as it was written, in full; a value that could be a secret is
    /// left out of it.
    pub flag: String,
    /// Where it stood.
    pub source: Source,
}

impl Origin {
    /// The value alone; `on` where there is none, which is what that means.
    #[must_use]
    pub fn value(&self) -> &str {
        self.flag.split_once('=').map_or("on", |(_, value)| value)
    }
}

/// Every setting, in the order of [`FLAGS`] (other names of one left out), with
/// the values given for it: none where the default holds, more than one only
/// where the flag repeats. What was wrong is not there: it does not hold.
#[must_use]
pub fn origins(sources: &Sources<'_>) -> Vec<(&'static Flag, Vec<Origin>)> {
    let reader = Reader::reading(sources, true);
    let settings = FLAGS.iter().filter(|flag| flag.same_as.is_none());
    let given = |flag: &'static Flag| {
        let made = reader.made.iter().filter(|made| made.sets == flag.name);
        let given: Vec<Origin> = made.map(Origin::from).collect();
        let implied = given
            .is_empty()
            .then(|| reader.implied(flag.name))
            .flatten();
        (flag, given.into_iter().chain(implied).collect())
    };
    settings.map(given).collect()
}

impl From<&Assignment> for Origin {
    fn from(made: &Assignment) -> Origin {
        Origin {
            flag: made.shown.clone(),
            source: made.source,
        }
    }
}

impl Reader {
    /// What `ip=` and its like say on the side about another setting.
    fn implied(&self, name: &str) -> Option<Origin> {
        let builder = &self.builder;
        let (by, value) = match name {
            "b2p.hostname" if builder.ip_hostname.is_none() => {
                let name = builder.kept_hostname.as_deref()?;
                return Some(Origin {
                    flag: [HOSTNAME_FILE, "=", name].concat(),
                    source: Source::Disk,
                });
            }
            "b2p.hostname" => ("b2p.net", builder.ip_hostname.as_deref()?),
            "ntpserver" => ("b2p.net", builder.ip_ntpserver.as_deref()?),
            "b2p.net" if builder.config.net == crate::Net::Off => ("nodhcp", "off"),
            _ => return None,
        };
        let made = self.made.iter().find(|made| made.sets == by)?;
        let flag = made.shown.split('=').next().unwrap_or_default();
        Some(Origin {
            flag: [flag, "=", value].concat(),
            source: made.source,
        })
    }
}
