//! Users, their homes, keys and rights.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use log::info;
use sys::files::replace;

use super::diagnostics::Notes;
use super::user::{DEFAULT, User};
use crate::common::users::{self, Account, Files, set};

/// Files of /etc, their modes and groups; 42 is shadow's.
const FILES: [(&str, u32, u32); 5] = [
    ("/etc/passwd", 0o644, 0),
    ("/etc/group", 0o644, 0),
    ("/etc/shadow", 0o640, 42),
    ("/etc/subuid", 0o644, 0),
    ("/etc/subgid", 0o644, 0),
];
const SUDOERS: &str = "/etc/sudoers.d/90-cloud-init-users";

/// Makes all of them, and says what could not be.
pub fn make(users: &[User], notes: &mut Notes) {
    for user in users {
        if let Err(why) = one(user) {
            notes.wrong(format!("users: {}: {why}", user.account.name));
        }
    }
    let rules: String = users
        .iter()
        .flat_map(|u| {
            u.sudo
                .iter()
                .map(|rule| format!("{} {rule}\n", u.account.name))
        })
        .collect();
    if !rules.is_empty() {
        replace(Path::new(SUDOERS), rules.as_bytes(), 0o440).unwrap_or_else(|e| notes.wrong(e));
    }
}

fn one(user: &User) -> Result<(), String> {
    let before = read()?;
    let mut files = before.clone();
    let known = set(&mut files, &wanted(user))?;
    save(&before, &files)?;
    home(&known)?;
    info!(
        "cloud: user {} is {}, at home in {}",
        user.account.name, known.uid, known.home
    );
    keys(&known, &user.keys)
}

/// Adds a user that programs of an extension become.
///
/// # Errors
/// What could not be read or written.
pub fn add_system_user(name: &str) -> Result<(), String> {
    let before = read()?;
    let mut files = before.clone();
    users::add_system_user(&mut files, name)?;
    save(&before, &files)
}

fn read() -> Result<Files, String> {
    let [passwd, group, shadow, subuid, subgid] = FILES.map(|(path, ..)| text(path));
    Ok(Files {
        passwd: passwd?,
        group: group?,
        shadow: shadow?,
        subuid: subuid?,
        subgid: subgid?,
    })
}

fn text(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))
}

/// The user of the image is told of by its own name only; one that comes may use podman's
/// socket, as that one may.
fn wanted(user: &User) -> users::User {
    let account = &user.account;
    users::User {
        uid: account.uid.filter(|_| account.name != DEFAULT),
        shell: account.shell.clone().filter(|s| Path::new(s).exists()),
        ..account.clone()
    }
}

fn save(before: &Files, files: &Files) -> Result<(), String> {
    let texts =
        |f: &Files| [&f.passwd, &f.group, &f.shadow, &f.subuid, &f.subgid].map(String::clone);
    let both = texts(before).into_iter().zip(texts(files));
    for ((path, mode, group), (old, new)) in FILES.into_iter().zip(both) {
        if old != new {
            replace(Path::new(path), new.as_bytes(), mode)?;
            chown(path, Some(0), Some(group)).map_err(|e| format!("{path}: {e}"))?;
        }
    }
    Ok(())
}

/// A home and a runtime directory; those that are there stay as they are.
fn home(known: &Account) -> Result<(), String> {
    for dir in [known.home.clone(), format!("/run/user/{}", known.uid)] {
        if Path::new(&dir).is_dir() {
            continue;
        }
        let made = fs::create_dir_all(&dir)
            .and_then(|()| fs::set_permissions(&dir, Permissions::from_mode(0o700)))
            .and_then(|()| chown(&dir, Some(known.uid), Some(known.gid)));
        made.map_err(|e| format!("{dir}: {e}"))?;
    }
    Ok(())
}

/// Keys join those that are there. Nothing is followed that the user may have laid there.
fn keys(known: &Account, keys: &[String]) -> Result<(), String> {
    if keys.is_empty() {
        return Ok(());
    }
    let dir = Path::new(&known.home).join(".ssh");
    let say = |e: std::io::Error| format!("{}: {e}", dir.display());
    match fs::symlink_metadata(&dir) {
        Ok(meta) if !meta.is_dir() => return Err(format!("{}: not a directory", dir.display())),
        Ok(_) => {}
        Err(_) => {
            fs::create_dir(&dir).map_err(say)?;
            fs::set_permissions(&dir, Permissions::from_mode(0o700)).map_err(say)?;
            chown(&dir, Some(known.uid), Some(known.gid)).map_err(say)?;
        }
    }
    let path = dir.join("authorized_keys");
    let there = sys::files::read_bounded(&path, 1 << 20).unwrap_or_default();
    let mut text = String::from_utf8_lossy(&there).into_owned();
    for key in keys
        .iter()
        .filter(|k| !there.windows(k.len()).any(|w| w == k.as_bytes()))
    {
        text.push_str(&format!("{key}\n"));
    }
    replace(&path, text.as_bytes(), 0o600)?;
    chown(&path, Some(known.uid), Some(known.gid)).map_err(say)
}
