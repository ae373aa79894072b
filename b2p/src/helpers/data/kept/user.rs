// SPDX-License-Identifier: Apache-2.0
//! The user whose home the disk keeps, in a boot with another name or number (`b2p.user=`). The home
//! follows. The containers do not: podman has the path of the store in its database, and files of
//! many numbers in its layers.

use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;

use config::{Config, DEFAULT_UID};
use log::info;
use sys::error::{Doing, Error, Result};

use super::DIR;
use crate::common::atomic_file;
use crate::common::paths::Paths;

/// File with name and number of the user of the last boot.
const RECORD: &str = "user";
/// Files of a store that has had an image or a container.
const STORE_LISTS: &[&str] = &[
    "overlay-images/images.json",
    "overlay-containers/containers.json",
];
/// Longest record that is read, in bytes.
const MAX_RECORD: u64 = 256;

/// A user by name and number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    name: String,
    uid: u32,
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
    let (homes, record) = (kept.join("home"), kept.join(RECORD));
    let user = User {
        name: config.user.clone(),
        uid: config.uid,
    };
    let text = sys::files::read_whole(&record, MAX_RECORD)?.unwrap_or_default();
    // Disks without a record are of versions without such a number.
    let last = parse(&String::from_utf8_lossy(&text)).unwrap_or(User {
        name: "core".to_owned(),
        uid: DEFAULT_UID,
    });
    let home = homes.join(&user.name);
    let owner = fs::symlink_metadata(&home).ok();
    let owner = owner.filter(fs::Metadata::is_dir).map(|m| m.uid());
    let has_store = |uid: u32| {
        let store = paths.data_disk().join("containers/user");
        let store = store.join(uid.to_string());
        STORE_LISTS.iter().any(|list| store.join(list).exists())
    };
    let plan = plan(&last, &user, owner, has_store);
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
    // A number whose containers stay is named in each boot.
    let recorded = plan.left.unwrap_or(user.uid);
    let line = format!("{}:{recorded}\n", user.name);
    if text != line.as_bytes() {
        atomic_file::replace(&record, line.as_bytes(), 0o644)?;
    }
    plan.left.map_or(Ok(()), |uid| Err(left_behind(uid, &user)))
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
fn own(path: &Path, from: u32, to: u32) -> Result<()> {
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
    }
}
