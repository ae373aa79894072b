//! A configuration in the making, and the steps from a value to a setting that
//! are more than one assignment.

use crate::compat::canonical_service_name;
use crate::diagnostic::Problem;
use crate::net;
use crate::settings::{Config, Net};
use crate::sshkey;
use crate::values;

/// What the flags so far come to.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Builder {
    /// All but the hostname is final.
    pub config: Config,
    /// From a flag of its own.
    pub hostname: Option<String>,
    /// From `ip=`: for where no flag of its own gives one.
    pub ip_hostname: Option<String>,
    /// Kept on the data disk: for where no flag gives one.
    pub kept_hostname: Option<String>,
    /// From `ip=`: for where no flag of its own gives one.
    pub ip_ntpserver: Option<String>,
}

impl Builder {
    /// The configuration, what `ip=` says on the side taken where it is wanted.
    pub(crate) fn finish(self) -> Config {
        let mut config = self.config;
        if let Some(name) = self.hostname.or(self.ip_hostname).or(self.kept_hostname) {
            config.hostname = name;
        }
        config.ntpserver = config.ntpserver.or(self.ip_ntpserver);
        config
    }
}

/// One more key, unless it is there already.
pub(crate) fn ssh_key(builder: &mut Builder, text: &str) -> Result<(), Problem> {
    let key = sshkey::key(text)?;
    if !builder.config.ssh_keys.contains(&key) {
        builder.config.ssh_keys.push(key);
    }
    Ok(())
}

/// `ip=`: a name in it that is none does not cost the machine its address.
pub(crate) fn ip(builder: &mut Builder, text: &str) -> Result<(), Problem> {
    let ip = net::ip(text)?;
    builder.config.net = ip.net;
    builder.ip_ntpserver = ip.ntpserver.map(str::to_owned);
    builder.ip_hostname = ip.hostname.map(values::hostname).transpose()?;
    Ok(())
}

/// `nodhcp` turns DHCP off and leaves an address given by hand.
pub(crate) fn nodhcp(builder: &mut Builder, text: &str) -> Result<(), Problem> {
    let on = values::switch(text)?;
    if on && matches!(builder.config.net, Net::Dhcp { .. }) {
        builder.config.net = Net::Off;
    }
    Ok(())
}

/// Services that are to run, or not: the later word on one holds.
pub(crate) fn services(builder: &mut Builder, text: &str, on: bool) -> Result<(), Problem> {
    let list = &mut builder.config.services;
    let mut result = Ok(());
    for name in text.split(',').filter(|name| !name.is_empty()) {
        if values::service(name) {
            let name = canonical_service_name(name);
            list.retain(|(known, _)| known != name);
            list.push((name.to_owned(), on));
        } else {
            result = Err(Problem::bad(
                "not a name of a service (letters, digits, -); the others are taken",
            ));
        }
    }
    result
}

/// More extensions; a bad name does not cost the good ones.
pub(crate) fn extensions(builder: &mut Builder, text: &str) -> Result<(), Problem> {
    let list = &mut builder.config.extensions;
    let mut result = Ok(());
    for name in text.split(',').filter(|name| !name.is_empty()) {
        if !values::extension(name) {
            result = Err(Problem::bad(
                "not a name of an extension (a-z, digits, -); the others are taken",
            ));
        } else if !list.iter().any(|known| known == name) {
            list.push(name.to_owned());
        }
    }
    result
}

/// More modules; a bad name does not cost the good ones.
pub(crate) fn blacklist(builder: &mut Builder, text: &str) -> Result<(), Problem> {
    let list = &mut builder.config.blacklist;
    let mut result = Ok(());
    for name in text.split(',').filter(|name| !name.is_empty()) {
        match values::module(name) {
            Some(module) if !list.contains(&module) => list.push(module),
            Some(_) => {}
            None => result = Err(Problem::bad("not a name of a module; the others are taken")),
        }
    }
    result
}
