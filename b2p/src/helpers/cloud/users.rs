// SPDX-License-Identifier: Apache-2.0
//! Adds users to the files of /etc, with their homes, keys and rights.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use log::{info, warn};
use sys::account_files;
use sys::error::{Doing, Error, Result};
use sys::paths::READY;

use super::diagnostics::Diagnostics;
use super::files::appended;
use super::machine_user;
use super::user::User;
use crate::common::atomic_file;
use crate::common::confined::{Attributes, Tree};
use crate::common::paths::Paths;
use crate::common::runtime_dirs;
use crate::common::users::numbers::{Kind, Numbers};
use crate::common::users::{self, Account, Files};
use crate::helpers::data::kept::numbers;
use crate::helpers::data::kept::owner::own;
use crate::helpers::data::kept::user::has_store;

/// Files of /etc, their modes and groups; 42 is the group shadow.
const FILES: [(&str, u32, u32); 5] = [
    ("/etc/passwd", 0o644, 0),
    ("/etc/group", 0o644, 0),
    ("/etc/shadow", 0o640, 42),
    ("/etc/subuid", 0o644, 0),
    ("/etc/subgid", 0o644, 0),
];
/// File of sudoers(5) with the rules of all users.
const SUDOERS: &str = "/etc/sudoers.d/90-cloud-init-users";
/// Longest file of keys that is read, in bytes.
const MAX_KEYS_BYTES: u64 = 1 << 20;

/// Adds or changes users, where `removed` are to be removed later, and reports those that fail.
pub fn add_all(users: &[User], removed: &[String], diagnostics: &mut Diagnostics) {
    let machine_user = machine_user::apply(users, removed, diagnostics);
    for user in users {
        if let Err(why) = add(user, &machine_user, diagnostics) {
            diagnostics.failed(format_args!("users: {}: {why}", user.account.name));
        }
    }
    let rules: String = users.iter().flat_map(rule_lines).collect();
    if !rules.is_empty() {
        let written = atomic_file::replace(Path::new(SUDOERS), rules.as_bytes(), 0o440);
        diagnostics.record(written);
    }
}

/// Returns the lines of sudoers(5) for a user. A name of capitals alone would be that of an alias without quotes.
fn rule_lines(user: &User) -> impl Iterator<Item = String> {
    let name = &user.account.name;
    let quote = match name.contains(|c: char| c.is_ascii_uppercase()) {
        true => "\"",
        false => "",
    };
    let rules = user.sudo.iter();
    rules.map(move |rule| format!("{quote}{name}{quote} {rule}\n"))
}

fn add(user: &User, machine_user: &str, diagnostics: &mut Diagnostics) -> Result<()> {
    let before = read_files()?;
    let mut files = before.clone();
    let mut wanted = applicable(user, machine_user);
    let name = wanted.name.clone();
    // The machine's user has the number of the configuration.
    let is_other = name != machine_user;
    let refused = is_other.then(|| claim(&mut files, &mut wanted)).flatten();
    let account = users::set(&mut files, &wanted)?;
    if is_other {
        let after = files.clone();
        files.numbers.note_user(&before, &after, &name, &account);
    }
    write_files(&before, &files, diagnostics)?;
    make_directories(&name, &account, &files.numbers)?;
    if let Some(why) = refused {
        diagnostics.failed(format_args!(
            "users: {name}: {why}; {name} has {}",
            account.uid
        ));
    }
    if is_other {
        named(&name, &account, &files.numbers, diagnostics);
    }
    let (uid, home) = (account.uid, &account.home);
    info!("cloud: user {name} is {uid}, at home in {home}");
    add_keys(&Tree::open(Path::new("/"))?, &account, &user.keys)
}

/// Takes the numbers of the home of a user without a record. Refuses a number that is another's in the
/// record, and returns the reason: the user gets a new number.
fn claim(files: &mut Files, wanted: &mut users::User) -> Option<String> {
    let name = &wanted.name;
    let home = wanted
        .home
        .clone()
        .unwrap_or_else(|| format!("/home/{name}"));
    let metadata = fs::symlink_metadata(home).ok().filter(fs::Metadata::is_dir);
    if let (Some(metadata), None) = (metadata, wanted.uid) {
        let known = files.clone();
        let numbers = (metadata.uid(), metadata.gid());
        files.numbers.adopt(&known, name, numbers);
    }
    let uid = wanted.uid?;
    let of_disk = files.numbers.holder(Kind::User, uid, name);
    let why = match (of_disk, users::owner_of_range(&files.subuid, uid, name)) {
        (Some(holder), _) => format!("uid: {uid} is that of {holder} on the data disk"),
        (_, Some(holder)) => {
            format!("uid: {uid} is a subordinate number of {holder}, whose containers have it")
        }
        (None, None) => return None,
    };
    wanted.uid = None;
    Some(why)
}

/// Names directories on the disk that do not belong to the user: the home, or containers of an earlier number.
fn named(name: &str, account: &Account, numbers: &Numbers, diagnostics: &mut Diagnostics) {
    let (uid, home) = (account.uid, &account.home);
    let owner = fs::metadata(home).map_or(uid, |metadata| metadata.uid());
    if owner != uid {
        // A directory elsewhere may be the system's.
        let right = match home.starts_with("/home/") {
            true => format!("`chown -R {name}: {home}` as root gives it to {name}"),
            false => format!("use /home/{name}"),
        };
        diagnostics.failed(format_args!(
            "users: {name}: {home} is that of number {owner}, and {name} has {uid}; {right}"
        ));
    }
    let paths = Paths::default();
    let earlier = numbers.all(Kind::User, name);
    for left in earlier.filter(|left| *left != uid && has_store(&paths, *left)) {
        diagnostics.failed(format_args!(
            "users: {name}: containers of number {left} stay in /var/lib/containers/user/{left}, unused, \
             because {name} has the number {uid}; uid: {left} uses them"
        ));
    }
}

/// Adds groups, and reports those that fail.
pub fn add_groups(groups: &[(String, Option<u32>)], diagnostics: &mut Diagnostics) {
    for (name, gid) in groups {
        let added = change(|files| {
            let before = files.clone();
            users::add_group(files, name, *gid)?;
            let after = files.clone();
            files.numbers.note_groups(&before, &after);
            Ok(())
        });
        diagnostics.record(added.doing(format!("groups: {name}")));
    }
}

/// Removes users from the files of /etc, and reports those that cannot be. Their homes stay.
pub fn remove_all(names: &[String], diagnostics: &mut Diagnostics) {
    for name in names {
        let removed = match name.as_str() {
            "root" => Err(Error::invalid("root cannot be removed")),
            name => change(|files| {
                users::remove(files, name);
                Ok(())
            }),
        };
        diagnostics.record(removed.doing(format!("users: {name}")));
    }
}

fn change(act: impl FnOnce(&mut Files) -> Result<()>) -> Result<()> {
    let before = read_files()?;
    let mut files = before.clone();
    act(&mut files)?;
    let mut diagnostics = Diagnostics::default();
    write_files(&before, &files, &mut diagnostics)?;
    match diagnostics.failed.pop() {
        Some(why) => Err(Error::invalid(why)),
        None => Ok(()),
    }
}

/// Adds a user as which programs of an extension run, with this number if one is given.
///
/// # Errors
/// A file cannot be read or written, or the errors of [`users::add_system_user`].
pub fn add_system_user(name: &str, uid: Option<u32>) -> Result<()> {
    change(|files| users::add_system_user(files, name, uid))
}

/// Returns the texts of the files that list users.
///
/// # Errors
/// A file cannot be read.
pub fn read_files() -> Result<Files> {
    let read = |(path, ..): (&'static str, u32, u32)| sys::files::read_text(path);
    let [passwd, group, shadow, subuid, subgid] = FILES.map(read);
    Ok(Files {
        passwd: passwd?,
        group: group?,
        shadow: shadow?,
        subuid: subuid?,
        subgid: subgid?,
        // A log-in is worth more than a number.
        numbers: numbers::read(&Paths::default()).unwrap_or_else(|why| {
            warn!("cloud: numbers of earlier boots: {why}");
            Numbers::default()
        }),
    })
}

/// Returns the account without settings that do not apply: the machine's user has its number by now,
/// and a shell that does not exist is ignored.
fn applicable(user: &User, machine_user: &str) -> users::User {
    let account = &user.account;
    users::User {
        uid: account.uid.filter(|_| account.name != machine_user),
        shell: account.shell.clone().filter(|s| Path::new(s).exists()),
        ..account.clone()
    }
}

/// Writes the files that have changed, and before them the record of numbers; homes and stores follow.
/// A disk that refuses the record is reported; users can still log in.
fn write_files(before: &Files, after: &Files, diagnostics: &mut Diagnostics) -> Result<()> {
    diagnostics.record(numbers::write(&Paths::default(), &after.numbers));
    let texts = |f: &Files| {
        let texts = [&f.passwd, &f.group, &f.shadow, &f.subuid, &f.subgid];
        texts.map(String::clone)
    };
    let pairs = texts(before).into_iter().zip(texts(after));
    for ((path, mode, group), (old, new)) in FILES.into_iter().zip(pairs) {
        if old != new {
            let owner = Some((0, group));
            atomic_file::replace_as(Path::new(path), new.as_bytes(), mode, owner)?;
        }
    }
    Ok(())
}

/// Makes the home and the runtime directory. An existing home is handed over, if its owner is a number
/// without a name, or an earlier number of the user.
fn make_directories(name: &str, account: &Account, numbers: &Numbers) -> Result<()> {
    let home = Path::new(&account.home);
    let owner = fs::symlink_metadata(home).ok().filter(fs::Metadata::is_dir);
    let owner = owner.map(|metadata| metadata.uid());
    // While people are logged in, files may change under the hand.
    let others = owner.filter(|uid| *uid != 0 && !Path::new(READY).exists());
    if let Some(from) = others
        && numbers.holder(Kind::User, from, name).is_none()
        && account_files::owner(Path::new("/etc"), from)?.is_none()
    {
        own(home, &[from], account.uid)?;
        info!(
            "cloud: {}: files of {from} are those of {}",
            account.home, account.uid
        );
    }
    if !home.is_dir() {
        fs::create_dir_all(home)
            .and_then(|()| make_private(home, account))
            .on(home)?;
    }
    runtime_dirs::make(account.uid, account.gid)
}

/// Gives a directory to the user alone.
fn make_private(dir: &Path, account: &Account) -> io::Result<()> {
    fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    chown(dir, Some(account.uid), Some(account.gid))
}

/// Adds keys to those of the user. The data disk may keep the home, with links and pipes that the
/// user made in place of these files: none is followed.
fn add_keys(root: &Tree, account: &Account, keys: &[String]) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let dir = format!("{}/.ssh", account.home);
    let owned = |mode| Attributes {
        mode,
        uid: account.uid,
        gid: account.gid,
    };
    if root.kind(&dir)?.is_none() {
        root.directory(&dir, owned(0o700))?;
    }
    let path = format!("{dir}/authorized_keys");
    let mut lines = root.read(&path, MAX_KEYS_BYTES)?.unwrap_or_default();
    for key in keys {
        lines = appended(lines, format!("{key}\n").as_bytes());
    }
    root.replace(&path, &lines, owned(0o600))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};
    use std::os::unix::fs::symlink;

    #[test]
    fn keys_are_added_to_files_only() {
        let temp = Temp::new();
        let account = Account {
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            home: "/home/ann".to_owned(),
        };
        let root = Tree::open(temp.dir()).unwrap();
        let add = |key: &str| add_keys(&root, &account, &[key.to_owned()]);
        fs::create_dir_all(temp.path("home/ann")).unwrap();
        add("one").unwrap();
        add("two").unwrap();
        add("one").unwrap();
        let keys = temp.path("home/ann/.ssh/authorized_keys");
        assert_eq!(fs::read_to_string(&keys).unwrap(), "one\ntwo\n");
        fs::write(&keys, "#three\ncommand=\"x\" four").unwrap();
        add("three").unwrap();
        add("four").unwrap();
        let all = "#three\ncommand=\"x\" four\nthree\nfour\n";
        assert_eq!(fs::read_to_string(&keys).unwrap(), all);
        fs::remove_file(&keys).unwrap();
        fs::write(temp.path("secret"), "secret\n").unwrap();
        symlink(temp.path("secret"), &keys).unwrap();
        assert!(why(add("three")).contains("authorized_keys"));
        assert!(keys.is_symlink(), "it is not replaced by what it leads to");
    }
}
