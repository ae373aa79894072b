// SPDX-License-Identifier: Apache-2.0
//! Builder of a configuration, and the steps from a value to a setting that are more than one
//! assignment.

use crate::diagnostic::Problem;
use crate::net;
use crate::settings::Config;
use crate::sshkey;
use crate::values;

/// Configuration from the flags that were read so far.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Builder {
    /// Configuration so far. [`Builder::finish`] adds the host name and, if no flag gives one, the
    /// time server of `ip=`.
    pub config: Config,
    /// Host name from `b2p.hostname=` or `host=`.
    pub hostname: Option<String>,
    /// Host name from `ip=`, used if [`Builder::hostname`] is not set.
    pub ip_hostname: Option<String>,
    /// Host name from the data disk, used if neither of the other two is set.
    pub disk_hostname: Option<String>,
    /// Time server from `ip=`, used if no `ntpserver=` gives one.
    pub ip_ntpserver: Option<String>,
}

impl Builder {
    /// Fills in host name and time server in their order of precedence, and returns the
    /// configuration.
    pub(crate) fn finish(self) -> Config {
        let mut config = self.config;
        if let Some(name) = self.hostname.or(self.ip_hostname).or(self.disk_hostname) {
            config.hostname = name;
        }
        config.ntpserver = config.ntpserver.or(self.ip_ntpserver);
        config
    }
}

/// Applies `b2p.ssh_key=`: adds a key.
pub(crate) fn ssh_key(builder: &mut Builder, text: &str) -> Result<(), Problem> {
    let key = sshkey::key(text)?;
    if !builder.config.ssh_keys.contains(&key) {
        builder.config.ssh_keys.push(key);
    }
    Ok(())
}

/// Applies `ip=`. An invalid host name in the value leaves the address valid.
pub(crate) fn ip(builder: &mut Builder, text: &str) -> Result<(), Problem> {
    let ip = net::ip(text)?;
    builder.config.net = ip.net;
    builder.ip_ntpserver = ip.ntpserver.map(str::to_owned);
    builder.ip_hostname = None;
    match ip.hostname {
        Some(name) => values::hostname(name, &mut builder.ip_hostname),
        None => Ok(()),
    }
}

/// Applies `b2p.ext=`: adds extensions.
pub(crate) fn extensions(builder: &mut Builder, text: &str) -> Result<(), Problem> {
    let extensions = &mut builder.config.extensions;
    each_item(text, |name| {
        if !values::is_extension_name(name) {
            return Err(Problem::invalid(
                "invalid extension name (a-z, digits, -); the other names in the list are applied",
            ));
        }
        if !extensions.iter().any(|known| known == name) {
            extensions.push(name.to_owned());
        }
        Ok(())
    })
}

/// Applies every item of a comma-separated list, also those after an invalid one, and returns the
/// last problem.
pub(crate) fn each_item(
    text: &str,
    mut apply: impl FnMut(&str) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut result = Ok(());
    for item in text.split(',').filter(|item| !item.is_empty()) {
        if let Err(problem) = apply(item) {
            result = Err(problem);
        }
    }
    result
}
