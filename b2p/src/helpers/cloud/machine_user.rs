// SPDX-License-Identifier: Apache-2.0
//! Name and number of the machine's user (`b2p.user=`), where a document of the host names them.
//! podman machine gives the user the number of its own user, so that shared folders have one owner on
//! both sides.

use std::path::Path;

use config::{Config, Source, Sources};
use log::info;
use sys::account_files::{self, Identity};
use sys::config_sources::{self, RawSources};
use sys::error::{Error, Result};
use sys::files::replace;
use sys::paths::{DOCUMENT_CONFIG, READY};

use super::diagnostics::Diagnostics;
use super::user::User;
use crate::common::atomic_file;
use crate::common::paths::Paths;
use crate::helpers::data::kept::user as kept;

/// Applies what a document says of the machine's user, and reports what cannot be. Returns the name of
/// the machine's user. The users themselves are added later.
pub fn apply(users: &[User], removed: &[String], diagnostics: &mut Diagnostics) -> String {
    let sources = config_sources::read_raw();
    let (config, _) = sources.with_sources(|sources| sources.parse());
    let Some(user) = wanted(&config, users, removed) else {
        return config.user;
    };
    let flag = format!("b2p.user={}:{}", user.name, user.uid);
    let judged = judge(&sources, &flag).and_then(|()| change(&config, &user, &flag));
    if let Err(why) = &judged {
        let kept::User { name, uid } = &user;
        diagnostics.failed(format_args!("users: {name}: uid {uid}: {why}"));
        return config.user;
    }
    diagnostics.record(kept::remember(&Paths::default(), &user));
    user.name
}

/// Returns the user whom the document makes the machine's, if that is another one: the user of the
/// configuration with another number, or the first one of the document where it removes that user.
fn wanted(config: &Config, users: &[User], removed: &[String]) -> Option<kept::User> {
    let accounts = users.iter().map(|user| &user.account);
    let mut people = accounts.filter(|account| account.name != "root");
    let account = match removed.contains(&config.user) {
        true => people.next(),
        false => people.find(|account| account.name == config.user),
    }?;
    let user = kept::User {
        name: account.name.clone(),
        uid: account.uid.unwrap_or(config.uid),
    };
    (user.name != config.user || user.uid != config.uid).then_some(user)
}

/// Changes the files of users, and tells PID 1, which changes the rest when the helper has ended.
fn change(config: &Config, user: &kept::User, flag: &str) -> Result<()> {
    if Path::new(READY).exists() {
        return Err(Error::invalid(
            "the machine was ready before the document came; it is applied at the next boot",
        ));
    }
    let etc = Path::new("/etc");
    let was = Identity {
        name: &config.user,
        uid: config.uid,
    };
    let is = Identity {
        name: &user.name,
        uid: user.uid,
    };
    if let Some(other) = account_files::owner(etc, user.uid)?.filter(|name| *name != config.user) {
        return Err(Error::invalid(format!("{other} has this number already")));
    }
    account_files::change(etc, was, is, &atomic_file::replace_for)?;
    info!("cloud: {flag}");
    replace(Path::new(DOCUMENT_CONFIG), flag.as_bytes(), 0o644)
}

/// Judges the flag that the document amounts to: a flag of the machine's user takes precedence.
///
/// # Errors
/// The value is wrong, or another flag names the user.
fn judge(sources: &RawSources, flag: &str) -> Result<()> {
    let document = Sources {
        document: flag.as_bytes(),
        ..Sources::default()
    };
    if let Some(diagnostic) = document.parse().1.first() {
        return Err(Error::invalid(diagnostic.to_string()));
    }
    let origins = sources.with_sources(config::origins);
    let of_user = origins
        .into_iter()
        .find(|(flag, _)| flag.name == "b2p.user");
    let given = of_user.and_then(|(_, origins)| origins.into_iter().next());
    let of_host = |source| !matches!(source, Source::Disk | Source::Document);
    match given.filter(|origin| of_host(origin.source)) {
        None => Ok(()),
        Some(origin) => Err(Error::invalid(format!(
            "{} ({}) takes precedence",
            origin.flag,
            origin.source.name()
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::why;
    use crate::common::users;

    fn user(name: &str, uid: Option<u32>) -> User {
        User {
            account: users::User {
                name: name.to_owned(),
                uid,
                ..users::User::default()
            },
            ..User::default()
        }
    }

    #[test]
    fn the_document_names_the_user_of_the_machine() {
        let config = Config::default();
        let core = |uid| user("core", uid);
        let (root, ann) = (user("root", Some(0)), user("ann", Some(501)));
        for (all, removed, want) in [
            (vec![], "", None),
            (vec![core(None), root.clone()], "", None),
            (vec![core(Some(1000)), ann.clone()], "", None),
            (vec![root.clone(), core(Some(501))], "", Some(("core", 501))),
            (vec![ann.clone()], "", None),
            (vec![ann.clone()], "eve", None),
            (vec![root.clone(), ann], "core", Some(("ann", 501))),
            (vec![user("ann", None)], "core", Some(("ann", 1000))),
            (vec![root], "core", None),
        ] {
            let seen = wanted(&config, &all, &[removed.to_owned()]);
            let seen = seen.as_ref().map(|user| (user.name.as_str(), user.uid));
            assert_eq!(seen, want, "{all:?} {removed}");
        }
    }

    #[test]
    fn a_flag_of_the_host_takes_precedence_and_a_wrong_number_is_named() {
        let sources = |cmdline: &str, disk: &str, document: &str| RawSources {
            cmdline: cmdline.into(),
            disk: disk.into(),
            document: document.into(),
            ..RawSources::default()
        };
        let none = sources("quiet", "b2p.user=ann", "b2p.user=core:502");
        judge(&none, "b2p.user=core:501").unwrap();
        let given = sources("b2p.user=core:1000", "", "");
        let said = why(judge(&given, "b2p.user=core:501"));
        assert_eq!(said, "b2p.user=core:1000 (command line) takes precedence");
        for wrong in [
            "b2p.user=core:5",
            "b2p.user=core:100000",
            "b2p.user=sshd:1000",
        ] {
            let said = why(judge(&none, wrong));
            assert!(
                said.starts_with(&format!("{wrong} (Ignition or cloud-init, line 1): ")),
                "{said}"
            );
        }
    }
}
