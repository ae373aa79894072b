// SPDX-License-Identifier: Apache-2.0
//! Users and groups of the document (`passwd`).

use config::is_user_name;

use super::document::Object;
use crate::common::users;
use crate::helpers::cloud::diagnostics::Diagnostics;
use crate::helpers::cloud::user::{User, is_field, is_path};
use crate::helpers::data::keys::ValidKeys;

/// Greatest number of a user or group; the one above it means "none" (chown(2)).
const MAX_ID: u32 = u32::MAX - 1;

/// Users and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Groups to be made, with their numbers.
    pub groups: Vec<(String, Option<u32>)>,
    /// Users to be made or changed.
    pub users: Vec<User>,
    /// Users that must not exist.
    pub removed: Vec<String>,
}

/// Parses `passwd`.
pub fn parse(mut passwd: Object<'_>, diagnostics: &mut Diagnostics) -> Accounts {
    let mut accounts = Accounts::default();
    for object in passwd.objects("groups", diagnostics) {
        group(object, &mut accounts, diagnostics);
    }
    for object in passwd.objects("users", diagnostics) {
        user(object, &mut accounts, diagnostics);
    }
    passwd.finish(diagnostics);
    accounts
}

fn group(mut group: Object<'_>, accounts: &mut Accounts, diagnostics: &mut Diagnostics) {
    let name = name(&mut group, diagnostics);
    let gid = group.number("gid", MAX_ID, diagnostics);
    let exists = group.flag("shouldExist", diagnostics) != Some(false);
    refuse_password(&mut group, diagnostics);
    let _ = group.get("system");
    let path = group.path_of("shouldExist");
    group.finish(diagnostics);
    match name {
        Some(name) if exists => accounts.groups.push((name, gid)),
        Some(_) => diagnostics.failed(format_args!("{path}: false: groups are not removed")),
        None => {}
    }
}

fn user(mut object: Object<'_>, accounts: &mut Accounts, diagnostics: &mut Diagnostics) {
    let name = name(&mut object, diagnostics);
    let exists = object.flag("shouldExist", diagnostics) != Some(false);
    let absolute = "must be an absolute path without a colon";
    let home = checked(&mut object, "homeDir", is_path, absolute, diagnostics);
    let shell = checked(&mut object, "shell", is_path, absolute, diagnostics);
    let one_line = "must be a line without a colon";
    let gecos = checked(&mut object, "gecos", is_field, one_line, diagnostics);
    let uid = object.number("uid", MAX_ID, diagnostics);
    let groups = groups(&mut object, diagnostics);
    let keys = keys(&mut object, diagnostics);
    refuse_password(&mut object, diagnostics);
    // A user always has a home and a group of its own, and there is no record of log-ins.
    for accepted in ["noCreateHome", "noUserGroup", "noLogInit", "system"] {
        let _ = object.get(accepted);
    }
    object.finish(diagnostics);
    let Some(name) = name else { return };
    if !exists {
        accounts.removed.push(name);
        return;
    }
    let account = users::User {
        name,
        uid,
        gecos: gecos.unwrap_or_default(),
        home,
        shell,
        groups,
    };
    let sudo = Vec::new();
    accounts.users.push(User {
        account,
        sudo,
        keys,
    });
}

/// Returns a text that `is_right` accepts; another is named.
fn checked(
    object: &mut Object<'_>,
    name: &'static str,
    is_right: fn(&str) -> bool,
    right: &str,
    diagnostics: &mut Diagnostics,
) -> Option<String> {
    let text = object.text(name, diagnostics)?;
    if is_right(text) {
        return Some(text.to_owned());
    }
    diagnostics.failed(format_args!("{}: {right}", object.path_of(name)));
    None
}

fn groups(object: &mut Object<'_>, diagnostics: &mut Diagnostics) -> Vec<String> {
    let mut listed = object.texts("groups", diagnostics);
    listed.extend(object.text("primaryGroup", diagnostics));
    let (names, others): (Vec<_>, Vec<_>) =
        listed.into_iter().partition(|group| is_user_name(group));
    for group in others {
        let path = object.path_of("groups");
        diagnostics.failed(format_args!("{path}: {group:?} is no name"));
    }
    names.into_iter().map(str::to_owned).collect()
}

fn name(object: &mut Object<'_>, diagnostics: &mut Diagnostics) -> Option<String> {
    let name = object.text("name", diagnostics).unwrap_or_default();
    if is_user_name(name) {
        return Some(name.to_owned());
    }
    diagnostics.failed(format_args!(
        "{}: {name:?}: must be letters, digits, -, _ and ., begin with a letter or _, and have at most 32 characters",
        object.path_of("name")
    ));
    None
}

/// Returns the lines that are keys. Others are counted and not shown: they may be secret.
fn keys(object: &mut Object<'_>, diagnostics: &mut Diagnostics) -> Vec<String> {
    let path = object.path_of("sshAuthorizedKeys");
    let texts = object.texts("sshAuthorizedKeys", diagnostics);
    let valid = ValidKeys::of(texts.into_iter().flat_map(str::lines));
    if valid.wrong > 0 {
        let (wrong, total) = (valid.wrong, valid.total);
        diagnostics.failed(format_args!(
            "{path}: {wrong} of {total} are no keys; each must be a line of a .pub file"
        ));
    }
    valid.keys
}

fn refuse_password(object: &mut Object<'_>, diagnostics: &mut Diagnostics) {
    if object.text("passwordHash", diagnostics).is_some() {
        diagnostics.failed(format_args!(
            "{}: there are no passwords here; use sshAuthorizedKeys",
            object.path_of("passwordHash")
        ));
    }
}
