// SPDX-License-Identifier: Apache-2.0
//! The user whose home the disk keeps, in a boot with another name or number (`b2p.user=`, Ignition,
//! cloud-init). The home follows. The containers do not: podman has the path of the store in its
//! database, and files of many numbers in its layers.
//!
//! The record names the numbers that files of the home may have before any file gets another one, so that a
//! boot with any user, after a power cut at any moment, finds all of them.
//!
//! A user of Ignition or cloud-init is known after the homes are mounted. The disk remembers that
//! user, so that a later boot mounts homes that are the user's, with the document or without.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use config::Config;
use log::info;
use sys::account_files;
use sys::error::{Doing, Error, Result};

use super::DIR;
use super::owner::own;
use crate::common::atomic_file;
use crate::common::paths::Paths;

/// File with name and number of the user of the last boot, `core:1000`, and further lines.
const RECORD: &str = "user";
/// Start of the line with the user of a document.
const DOCUMENT: &str = "document ";
/// Start of the line with names that the home may have, and numbers of the owners of its files:
/// `home core,ann 1000,501`.
const HOME: &str = "home ";
/// Files of a store that has had an image or a container.
const STORE_LISTS: &[&str] = &[
    "overlay-images/images.json",
    "overlay-containers/containers.json",
];
/// Longest record that is read, in bytes.
const MAX_RECORD: u64 = 4096;

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
    /// User named by a document.
    document: Option<User>,
    /// Names that the home may have.
    names: Vec<String>,
    /// Numbers that files of the home may have. Disks of older versions name none.
    uids: Vec<u32>,
}

/// Changes that a home needs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// Home that gets the user's name.
    rename: Option<String>,
    /// Numbers of owners of the home's files, which become the user's.
    from: Vec<u32>,
}

/// Decides by the record, and by the owners of homes by their names.
fn plan(record: &Record, user: &User, owner: impl Fn(&str) -> Option<u32>) -> Plan {
    let own = owner(&user.name);
    let mut others = record.names.iter().filter(|name| **name != user.name);
    let old = others.find(|name| own.is_none() && owner(name).is_some());
    let found = own.or_else(|| owner(old?));
    let mut from = record.uids.clone();
    from.extend(found.filter(|uid| !record.uids.contains(uid)));
    // A home of root's is one that PID 1 has not finished.
    from.retain(|uid| found.is_some() && *uid != user.uid && *uid != 0);
    Plan {
        rename: old.cloned(),
        from,
    }
}

/// Hands the home over to the user of this boot.
///
/// # Errors
/// A file cannot be handed over: the next boot continues. Or containers of another number stay
/// behind, and the error says how to get at them.
pub fn hand_over(paths: &Paths, config: &Config) -> Result<()> {
    let homes = paths.data_disk().join(DIR).join("home");
    let user = User::of(config);
    let mut record = read(paths)?;
    let owner = |name: &str| {
        let metadata = fs::symlink_metadata(homes.join(name)).ok();
        metadata.filter(fs::Metadata::is_dir).map(|m| m.uid())
    };
    let link = fs::symlink_metadata(homes.join(&user.name)).is_ok_and(|m| m.is_symlink());
    let plan = match link {
        // The target of the link is not on this disk, or has another owner.
        true => Plan::default(),
        false => plan(&record, &user, owner),
    };
    if plan != Plan::default() {
        record.include(&user.name, plan.from.iter().chain([&user.uid]));
        write(paths, &record)?;
        carry_out(&homes, &user, &plan)?;
    }
    // A flag that names another user overrides the document.
    record.document.take_if(|document| *document != user);
    let others: Vec<u32> = record
        .uids
        .iter()
        .copied()
        .filter(|uid| *uid != user.uid)
        .collect();
    if link && !others.is_empty() {
        record.include(&user.name, [&user.uid]);
        finish(paths, record, &user)?;
        return Err(behind_link(&user, &others));
    }
    (record.names, record.uids) = (vec![user.name.clone()], vec![user.uid]);
    finish(paths, record, &user)
}

fn behind_link(user: &User, others: &[u32]) -> Error {
    let User { name, uid } = user;
    let others = listed(others);
    Error::invalid(format!(
        "/home/{name} is a link: what it leads to may have files of {others}, which stay as they are, and {name} \
         has the number {uid}; a directory in its place is handed over"
    ))
}

/// Returns the uids as `uid 501, uid 502`.
fn listed(uids: &[u32]) -> String {
    let uids: Vec<String> = uids.iter().map(|uid| format!("uid {uid}")).collect();
    uids.join(", ")
}

/// Makes the user's home, once the homes are mounted, if it was removed.
///
/// # Errors
/// The home cannot be made, or another kind of file is in its place.
pub fn make_home(home: &Path, uid: u32) -> Result<()> {
    let Ok(metadata) = fs::symlink_metadata(home) else {
        info!("data: {} is made anew", home.display());
        return account_files::make_private(home, uid);
    };
    let why = match (metadata.is_symlink(), home.is_dir()) {
        (_, true) => return Ok(()),
        (true, false) => "a link that leads to no directory",
        (false, false) => "no directory",
    };
    let right = "the next boot makes a home where nothing is";
    Err(Error::invalid(format!("{why}; {right}"))).on(home)
}

fn carry_out(homes: &Path, user: &User, plan: &Plan) -> Result<()> {
    let User { name, uid } = user;
    let home = homes.join(name);
    if let Some(old) = &plan.rename {
        fs::rename(homes.join(old), &home).on(homes.join(old))?;
        info!("data: the home of {old} is that of {name} now");
    }
    if !plan.from.is_empty() {
        own(&home, &plan.from, *uid)?;
        let from = listed(&plan.from);
        info!("data: files of {from} in the home of {name} are those of {uid}");
    }
    // The record of the change must not be on the disk before the change itself.
    let homes = fs::File::open(homes).on(homes)?;
    sys::syscall::syncfs(&homes).doing("sync the homes")
}

/// Returns the names of the machine's users of earlier boots.
///
/// # Errors
/// The record cannot be read.
pub fn names(paths: &Paths) -> Result<Vec<String>> {
    let record = read(paths)?;
    let mut names = record.names;
    names.extend(Some(record.last.name).filter(|last| !names.contains(last)));
    Ok(names)
}

/// Returns the flag for the user that a document named in an earlier boot.
///
/// # Errors
/// The record cannot be read.
pub fn remembered(paths: &Paths) -> Result<Option<String>> {
    let document = read(paths)?.document;
    Ok(document.map(|User { name, uid }| format!("b2p.user={name}:{uid}\n")))
}

/// Remembers a user named by a document, after `b2p data` has mounted the homes. Without a data disk
/// there is nothing to remember.
///
/// # Errors
/// The record cannot be written, or containers of another number stay behind; the error then names the
/// way to these containers.
pub fn remember(paths: &Paths, user: &User) -> Result<()> {
    if !paths.data_disk().join(DIR).is_dir() {
        return Ok(());
    }
    let mut record = read(paths)?;
    record.document = Some(user.clone());
    record.include(&user.name, [&user.uid]);
    finish(paths, record, user)
}

/// Returns true if podman has had an image or a container in the store of this number.
pub fn has_store(paths: &Paths, uid: u32) -> bool {
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

/// Writes the record with this user as the last one. A number whose containers stay is recorded in place
/// of the user's own, and named in each boot.
fn finish(paths: &Paths, mut record: Record, user: &User) -> Result<()> {
    let left = Some(record.last.uid).filter(|uid| *uid != user.uid && has_store(paths, *uid));
    record.last = User {
        name: user.name.clone(),
        uid: left.unwrap_or(user.uid),
    };
    write(paths, &record)?;
    left.map_or(Ok(()), |uid| Err(left_behind(uid, user)))
}

/// Writes a changed record.
fn write(paths: &Paths, to: &Record) -> Result<()> {
    let path = record(paths);
    let text = to.to_text();
    let before = sys::files::read_whole(&path, MAX_RECORD)?;
    match before.is_some_and(|before| before == text.as_bytes()) {
        true => Ok(()),
        false => atomic_file::replace(&path, text.as_bytes(), 0o644),
    }
}

impl Record {
    fn parse(text: &str) -> Record {
        let mut lines = text.lines();
        let last = lines.next().and_then(parse);
        // Disks without a record are of versions without such a number.
        let last = last.unwrap_or_else(|| User::of(&Config::default()));
        let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
        let home = line(HOME).and_then(|line| line.split_once(' '));
        let (names, uids) = home.unwrap_or_default();
        let names = names.split(',').filter(|name| is_plain(name));
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        if names.is_empty() {
            names.push(last.name.clone());
        }
        Record {
            document: line(DOCUMENT).and_then(parse),
            names,
            uids: uids.split(',').filter_map(|uid| uid.parse().ok()).collect(),
            last,
        }
    }

    fn to_text(&self) -> String {
        let line = |start: &str, User { name, uid }: &User| format!("{start}{name}:{uid}\n");
        let document = self.document.as_ref();
        let document = document.map_or(String::new(), |user| line(DOCUMENT, user));
        let uids: Vec<String> = self.uids.iter().map(u32::to_string).collect();
        let home = format!("{HOME}{} {}\n", self.names.join(","), uids.join(","));
        line("", &self.last) + &document + &home
    }

    /// Records that the home may have this name, and its files these numbers.
    fn include<'a>(&mut self, name: &str, uids: impl IntoIterator<Item = &'a u32>) {
        if self.names.iter().all(|known| known != name) {
            self.names.push(name.to_owned());
        }
        for uid in uids {
            if !self.uids.contains(uid) {
                self.uids.push(*uid);
            }
        }
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
    is_plain(name).then(|| User {
        name: name.to_owned(),
        uid,
    })
}

fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', ','])
}

#[cfg(test)]
mod tests;
