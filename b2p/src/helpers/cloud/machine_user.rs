// SPDX-License-Identifier: Apache-2.0
//! Name and number of the machine's user (`b2p.user=`), where a document of the host names them.
//! podman machine gives the user the number of its own user, so that shared folders have one owner on
//! both sides.

use std::fs;
use std::path::Path;

use config::{Config, Origin, Source, Sources};
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
use crate::common::users::numbers::{Kind, Numbers};
use crate::helpers::data::kept::{numbers, user as kept};

/// Applies the settings of a document for the machine's user, and reports those that fail. Returns the name of
/// the machine's user. The users themselves are added later.
pub fn apply(users: &[User], removed: &[String], diagnostics: &mut Diagnostics) -> String {
    let sources = config_sources::read_raw();
    let (config, _) = sources.with_sources(|sources| sources.parse());
    let numbers = numbers::read(&Paths::default()).unwrap_or_default();
    let remembered = given(&sources).is_some_and(|origin| origin.source == Source::Document);
    let document = Document {
        users,
        removed,
        numbers: &numbers,
    };
    let Some(user) = document.wanted(&config, remembered) else {
        return config.user;
    };
    let flag = format!("b2p.user={}:{}", user.name, user.uid);
    let judged = judge(&sources, &flag).and_then(|()| change(&config, &user, &flag, &numbers));
    if let Err(why) = &judged {
        let kept::User { name, uid } = &user;
        diagnostics.failed(format_args!("users: {name}: uid {uid}: {why}"));
        return config.user;
    }
    diagnostics.record(kept::remember(&Paths::default(), &user));
    user.name
}

/// A document's users, and the numbers of earlier boots.
struct Document<'a> {
    users: &'a [User],
    removed: &'a [String],
    numbers: &'a Numbers,
}

impl Document<'_> {
    /// Returns the user that the document makes the machine's, if that is another one: the user of the
    /// configuration with another number, or the first user of a document that removes that user. A user
    /// that is `remembered` from an earlier document stays if this document names that user and not the
    /// image's, or no user; otherwise this document decides, as if there were no earlier one.
    fn wanted(&self, config: &Config, remembered: bool) -> Option<kept::User> {
        let image = Config::default().user;
        let accounts = self.users.iter().map(|user| &user.account);
        let people: Vec<_> = accounts.filter(|account| account.name != "root").collect();
        let named = |name: &str| people.iter().find(|account| account.name == name);
        let removes = |name: &String| self.removed.contains(name);
        let account = match remembered {
            _ if removes(&config.user) => people.first(),
            true if removes(&image) => people.first(),
            true => named(&image).or_else(|| named(&config.user)),
            false => named(&config.user),
        };
        let (name, uid) = match account {
            Some(account) => (&account.name, account.uid),
            None if remembered && !people.is_empty() && !removes(&config.user) => (&image, None),
            None => return None,
        };
        let own = self.numbers.of(Kind::User, name);
        let user = kept::User {
            name: name.clone(),
            uid: uid.or(own).unwrap_or(config.uid),
        };
        (user.name != config.user || user.uid != config.uid).then_some(user)
    }
}

/// Changes the files of users, and informs PID 1, which changes the rest when the helper has ended.
fn change(config: &Config, user: &kept::User, flag: &str, numbers: &Numbers) -> Result<()> {
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
    if let Some(holder) = numbers.holder(Kind::User, user.uid, &user.name) {
        return Err(Error::invalid(format!(
            "it is that of {holder} on the data disk"
        )));
    }
    account_files::change(etc, was, is, &atomic_file::replace_for)?;
    // Before the disk remembers the name: a user without a home would get that of the former user,
    // with its keys.
    let homes = Path::new("/home");
    let home = homes.join(&user.name);
    if user.name != config.user && fs::symlink_metadata(&home).is_err() {
        account_files::make_private(&home, user.uid)?;
        info!(
            "cloud: the home of {} stays",
            homes.join(&config.user).display()
        );
    }
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
    let of_host = |source| !matches!(source, Source::Disk | Source::Document);
    match given(sources).filter(|origin| of_host(origin.source)) {
        None => Ok(()),
        Some(origin) => Err(Error::invalid(format!(
            "{} ({}) takes precedence",
            origin.flag,
            origin.source.name()
        ))),
    }
}

/// Returns the user that cloud-init's `default` means: the machine's user by a flag, or the image's. A user whom an
/// earlier document named is not the default of a later one.
pub fn of_flags() -> String {
    default_user(&config_sources::read_raw())
}

fn default_user(sources: &RawSources) -> String {
    let is_document = given(sources).is_some_and(|origin| origin.source == Source::Document);
    match is_document {
        true => Config::default().user,
        false => sources.with_sources(|sources| sources.parse()).0.user,
    }
}

/// Returns where the name of the machine's user is from.
fn given(sources: &RawSources) -> Option<Origin> {
    let origins = sources.with_sources(config::origins);
    let mut origins = origins.into_iter();
    let of_user = origins.find(|(flag, _)| flag.name == "b2p.user");
    of_user.and_then(|(_, origins)| origins.into_iter().next())
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
            (vec![user("joe", None)], "core", Some(("joe", 1007))),
            (vec![root], "core", None),
        ] {
            assert_eq!(
                seen(&config, false, &all, removed),
                owned(want),
                "{all:?} {removed}"
            );
        }
    }

    fn owned(user: Option<(&str, u32)>) -> Option<(String, u32)> {
        user.map(|(name, uid)| (name.to_owned(), uid))
    }

    fn seen(
        config: &Config,
        remembered: bool,
        users: &[User],
        removed: &str,
    ) -> Option<(String, u32)> {
        let document = Document {
            users,
            removed: &[removed.to_owned()],
            numbers: &Numbers::parse("user joe 1007\n"),
        };
        let wanted = document.wanted(config, remembered)?;
        Some((wanted.name, wanted.uid))
    }

    #[test]
    fn a_document_replaces_the_user_of_an_earlier_one() {
        let config = Config {
            user: "ann".into(),
            uid: 501,
            ..Config::default()
        };
        let (ann, bob) = (user("ann", None), user("bob", None));
        let core = |uid| user("core", uid);
        for (all, removed, of_document, of_flag) in [
            (vec![], "", None, None),
            (vec![ann.clone()], "core", None, None),
            (vec![ann.clone()], "", None, None),
            (vec![user("root", Some(0))], "", None, None),
            (vec![bob.clone()], "core", Some(("bob", 501)), None),
            (
                vec![bob.clone(), ann.clone()],
                "core",
                Some(("bob", 501)),
                None,
            ),
            (
                vec![bob.clone()],
                "ann",
                Some(("bob", 501)),
                Some(("bob", 501)),
            ),
            (vec![core(Some(1000))], "", Some(("core", 1000)), None),
            (vec![core(None), ann], "", Some(("core", 501)), None),
            (vec![bob], "", Some(("core", 501)), None),
            (vec![], "ann", None, None),
        ] {
            for (remembered, want) in [(true, of_document), (false, of_flag)] {
                let seen = seen(&config, remembered, &all, removed);
                assert_eq!(seen, owned(want), "{all:?} {removed} {remembered}");
            }
        }
    }

    #[test]
    fn default_is_the_user_of_a_flag_and_not_of_an_earlier_document() {
        for (cmdline, document, name) in [
            ("quiet", "", "core"),
            ("b2p.user=joe", "", "joe"),
            ("b2p.user=joe:1234", "b2p.user=ann:1000", "joe"),
            ("", "b2p.user=ann:1000", "core"),
        ] {
            let sources = RawSources {
                cmdline: cmdline.into(),
                document: document.into(),
                ..RawSources::default()
            };
            assert_eq!(default_user(&sources), name, "{cmdline} {document}");
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
            "b2p.user=core:65535",
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
