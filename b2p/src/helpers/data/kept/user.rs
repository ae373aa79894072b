// SPDX-License-Identifier: Apache-2.0
//! The user whose home the disk keeps, in a boot with another name or number (`b2p.user=`, Ignition,
//! cloud-init). The home follows. The containers do not: podman has the path of the store in its
//! database, and files of many numbers in its layers.
//!
//! A user whom Ignition or cloud-init names is known after the homes are mounted. The disk remembers
//! that user, so that a later boot mounts homes that are the user's, with the document or without.

use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

use config::Config;
use log::info;
use sys::error::{Doing, Error, Result};

use super::DIR;
use crate::common::atomic_file;
use crate::common::paths::Paths;

/// File with name and number of the user of the last boot, `core:1000`; and in a second line those of
/// the user whom a document has named, after [`DOCUMENT`].
const RECORD: &str = "user";
/// Files of a store that has had an image or a container.
const STORE_LISTS: &[&str] = &[
    "overlay-images/images.json",
    "overlay-containers/containers.json",
];
/// Longest record that is read, in bytes.
const MAX_RECORD: u64 = 256;

/// Start of the second line of the record.
const DOCUMENT: &str = "document ";

/// A user by name and number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Number of the user.
    pub uid: u32,
}

impl User {
    fn of(config: &Config) -> User {
        User {
            name: config.user.clone(),
            uid: config.uid,
        }
    }
}

/// Knowledge that the disk has of earlier boots.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    /// User of the last boot, with the number whose containers are on the disk.
    last: User,
    /// User whom a document has named.
    document: Option<User>,
}

/// Changes that a disk needs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// Home that gets the user's name.
    rename: Option<String>,
    /// Number of the owner of the home's files, which become the user's.
    from: Option<u32>,
    /// Number whose containers stay where they are.
    left: Option<u32>,
}

/// Decides by the user of the last boot, the number of the owner of a home with the user's name,
/// if there is such a home, and the question whether there is a store of a number.
fn plan(last: &User, user: &User, home: Option<u32>, has_store: impl Fn(u32) -> bool) -> Plan {
    let is_renamed = home.is_none() && last.name != user.name;
    let owner = if is_renamed { Some(last.uid) } else { home };
    Plan {
        rename: is_renamed.then(|| last.name.clone()),
        // A home of root's is one that PID 1 has not finished.
        from: owner.filter(|uid| *uid != user.uid && *uid != 0),
        left: Some(last.uid).filter(|uid| *uid != user.uid && has_store(*uid)),
    }
}

/// Hands the home over to the user of this boot.
///
/// # Errors
/// A file cannot be handed over: the next boot continues. Or containers of another number stay
/// behind, and the error says how to get at them.
pub fn hand_over(paths: &Paths, config: &Config) -> Result<()> {
    let kept = paths.data_disk().join(DIR);
    let homes = kept.join("home");
    let user = User::of(config);
    let Record { last, document } = read(paths)?;
    let home = homes.join(&user.name);
    let owner = fs::symlink_metadata(&home).ok();
    let owner = owner.filter(fs::Metadata::is_dir).map(|m| m.uid());
    let plan = plan(&last, &user, owner, |uid| has_store(paths, uid));
    let old_home = plan.rename.as_ref().map(|name| homes.join(name));
    if let Some(old) = old_home.filter(|old| old.is_dir()) {
        fs::rename(&old, &home).on(&old)?;
        info!("data: {} is the home of {} now", old.display(), user.name);
    }
    if let Some(from) = plan.from.filter(|_| home.is_dir()) {
        own(&home, from, user.uid)?;
        info!(
            "data: files of {from} in the home of {} are those of {}",
            user.name, user.uid
        );
    }
    // A flag that names another user ends what a document has said.
    let document = document.filter(|document| *document == user);
    write(paths, &user, plan.left, document.as_ref())
}

/// Returns the flag for the user whom a document has named in an earlier boot.
///
/// # Errors
/// The record cannot be read.
pub fn remembered(paths: &Paths) -> Result<Option<String>> {
    let document = read(paths)?.document;
    Ok(document.map(|User { name, uid }| format!("b2p.user={name}:{uid}\n")))
}

/// Remembers a user whom a document has named, after `b2p data` has mounted the homes. Without a data
/// disk there is nothing to remember.
///
/// # Errors
/// The record cannot be written. Or containers of another number stay behind, and the error says how to
/// get at them.
pub fn remember(paths: &Paths, user: &User) -> Result<()> {
    if !paths.data_disk().join(DIR).is_dir() {
        return Ok(());
    }
    let last = read(paths)?.last;
    let plan = plan(&last, user, None, |uid| has_store(paths, uid));
    write(paths, user, plan.left, Some(user))
}

fn has_store(paths: &Paths, uid: u32) -> bool {
    let store = paths.data_disk().join("containers/user");
    let store = store.join(uid.to_string());
    STORE_LISTS.iter().any(|list| store.join(list).exists())
}

fn record(paths: &Paths) -> PathBuf {
    paths.data_disk().join(DIR).join(RECORD)
}

fn read(paths: &Paths) -> Result<Record> {
    let text = sys::files::read_whole(&record(paths), MAX_RECORD)?.unwrap_or_default();
    Ok(Record::parse(&String::from_utf8_lossy(&text)))
}

/// Writes the record, if it has changed. A number whose containers stay is named in each boot.
fn write(paths: &Paths, user: &User, left: Option<u32>, document: Option<&User>) -> Result<()> {
    let recorded = left.unwrap_or(user.uid);
    let mut text = format!("{}:{recorded}\n", user.name);
    if let Some(User { name, uid }) = document {
        text += &format!("{DOCUMENT}{name}:{uid}\n");
    }
    let path = record(paths);
    let before = sys::files::read_whole(&path, MAX_RECORD)?;
    if before.is_none_or(|before| before != text.as_bytes()) {
        atomic_file::replace(&path, text.as_bytes(), 0o644)?;
    }
    left.map_or(Ok(()), |uid| Err(left_behind(uid, user)))
}

impl Record {
    fn parse(text: &str) -> Record {
        let mut lines = text.lines();
        let last = lines.next().and_then(parse);
        let document = lines.find_map(|line| parse(line.strip_prefix(DOCUMENT)?));
        // Disks without a record are of versions without such a number.
        let last = last.unwrap_or_else(|| User::of(&Config::default()));
        Record { last, document }
    }
}

fn left_behind(uid: u32, user: &User) -> Error {
    let User { name, uid: own } = user;
    Error::invalid(format!(
        "containers of number {uid} stay in /var/lib/containers/user/{uid}, unused, because {name} has \
         the number {own}; b2p.user={name}:{uid} uses them"
    ))
}

fn parse(text: &str) -> Option<User> {
    let (name, uid) = text.trim_end().split_once(':')?;
    let uid = uid.parse().ok()?;
    let is_plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    is_plain.then(|| User {
        name: name.to_owned(),
        uid,
    })
}

/// Gives the files of `from` to `to`. The directory itself is last: until then it is known that
/// files may be left.
pub fn own(path: &Path, from: u32, to: u32) -> Result<()> {
    let metadata = fs::symlink_metadata(path).on(path)?;
    if metadata.is_dir() {
        for child in fs::read_dir(path).on(path)? {
            own(&child.on(path)?.path(), from, to)?;
        }
    }
    let new = |id: u32| (id == from).then_some(to);
    let (uid, gid) = (new(metadata.uid()), new(metadata.gid()));
    match uid.is_some() || gid.is_some() {
        true => lchown(path, uid, gid).on(path),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    fn user(name: &str, uid: u32) -> User {
        User {
            name: name.to_owned(),
            uid,
        }
    }

    #[test]
    fn a_home_follows_and_containers_stay() {
        let core = user("core", 1000);
        let row = |rename: Option<&str>, from, left| Plan {
            rename: rename.map(str::to_owned),
            from,
            left,
        };
        for (now, home, store, want) in [
            (user("core", 1000), Some(1000), true, row(None, None, None)),
            (
                user("core", 501),
                Some(1000),
                false,
                row(None, Some(1000), None),
            ),
            (
                user("core", 501),
                Some(1000),
                true,
                row(None, Some(1000), Some(1000)),
            ),
            (
                user("core", 501),
                Some(501),
                true,
                row(None, None, Some(1000)),
            ),
            (user("ann", 1000), None, true, row(Some("core"), None, None)),
            (
                user("ann", 501),
                None,
                false,
                row(Some("core"), Some(1000), None),
            ),
            (user("ann", 501), Some(0), false, row(None, None, None)),
            (user("ann", 1000), Some(1000), false, row(None, None, None)),
        ] {
            let seen = plan(&core, &now, home, |uid| store && uid == 1000);
            assert_eq!(seen, want, "{now:?} {home:?} {store}");
        }
    }

    #[test]
    fn a_record_is_a_name_and_a_number() {
        assert_eq!(parse("core:1000\n"), Some(user("core", 1000)));
        for garbage in [
            "", "core", ":1", "..:1", "a/b:1", "core:", "core:x", "core:-1",
        ] {
            assert_eq!(parse(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn containers_that_stay_are_named_until_the_number_is_back() {
        let temp = Temp::new();
        let paths = Paths::below(temp.dir());
        let kept = paths.data_disk().join(DIR);
        fs::create_dir_all(kept.join("home/core")).unwrap();
        let store = paths
            .data_disk()
            .join("containers/user/1000/overlay-images");
        fs::create_dir_all(&store).unwrap();
        fs::write(store.join("images.json"), "[]").unwrap();
        let boot = |name: &str, uid| {
            let config = Config {
                user: name.to_owned(),
                uid,
                ..Config::default()
            };
            hand_over(&paths, &config)
        };
        boot("core", 1000).unwrap();
        for _ in 0..2 {
            let said = why(boot("ann", 501));
            assert!(said.contains("b2p.user=ann:1000 uses them"), "{said}");
        }
        assert!(kept.join("home/ann").is_dir() && !kept.join("home/core").exists());
        boot("core", 1000).unwrap();
        boot("core", 1000).unwrap();
        assert!(kept.join("home/core").is_dir());
        // A document has another number: the containers are named, and the number is remembered.
        let mac = user("core", 501);
        assert!(why(remember(&paths, &mac)).contains("b2p.user=core:1000 uses them"));
        let flag = || remembered(&paths).unwrap();
        assert_eq!(flag().as_deref(), Some("b2p.user=core:501\n"));
        for _ in 0..2 {
            assert!(why(boot("core", 501)).contains("of number 1000 stay"));
            assert!(flag().is_some());
        }
        // A flag has the last word.
        boot("core", 1000).unwrap();
        assert_eq!(flag(), None);
        fs::remove_dir_all(paths.data_disk()).unwrap();
        remember(&paths, &mac).unwrap();
        assert!(!paths.data_disk().exists(), "there is no disk");
    }
}
