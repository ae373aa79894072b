// SPDX-License-Identifier: Apache-2.0
//! Shape of a row of the table of flags ([`crate::flags`]).

use crate::builder::Builder;
use crate::diagnostic::Problem;

/// Applies a value to the configuration, or returns its fault.
type Apply = fn(&mut Builder, &str) -> Result<(), Problem>;

/// One flag: its documentation, and the function that applies the value.
pub struct Flag {
    /// Name on the command line. In fw_cfg the name has no `b2p.`.
    pub name: &'static str,
    /// Values that the flag takes, the default first; `<…>` stands for a text.
    pub values: &'static str,
    /// Value in force without the flag; empty if there is none.
    pub default: &'static str,
    /// Purpose, in one line.
    pub description: &'static str,
    /// True if the flag may be given several times and every occurrence counts.
    pub repeatable: bool,
    /// True if the flag may be given without a value, which means `on`.
    pub value_optional: bool,
    /// Flag for the same setting, if this one is only another name.
    pub alias_of: Option<&'static str>,
    /// True if diagnostics do not show the value, because a user may have written a secret by
    /// mistake.
    pub secret: bool,
    /// True if the flag is needed before the data disk is mounted: in a file on that disk the flag is reported as too
    /// late, and not applied.
    pub before_data_disk: bool,
    pub(crate) apply: Apply,
}

impl Flag {
    /// Flag without properties, to be completed by each row of the table.
    pub(crate) const EMPTY: Flag = Flag {
        name: "",
        values: "",
        default: "",
        description: "",
        repeatable: false,
        value_optional: false,
        alias_of: None,
        secret: false,
        before_data_disk: false,
        apply: |_, _| Ok(()),
    };

    /// Returns the name without `b2p.`, as in fw_cfg.
    #[must_use]
    pub fn short_name(&self) -> &'static str {
        self.name.strip_prefix("b2p.").unwrap_or(self.name)
    }

    /// Returns the name of the setting, which is equal for a flag and its aliases.
    pub(crate) fn setting(&self) -> &'static str {
        self.alias_of.unwrap_or(self.name)
    }
}
