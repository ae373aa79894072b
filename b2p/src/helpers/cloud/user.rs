// SPDX-License-Identifier: Apache-2.0
//! Parses `users:` of user-data. Passwords are refused; other settings of useradd(8) are taken if
//! they have a meaning here.

use config::is_user_name;

use super::diagnostics::Diagnostics;
use super::yaml::Node;
use crate::common::users;
use crate::helpers::data::keys::ValidKeys;

/// A user of user-data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Name, number, home directory, shell and groups.
    pub account: users::User,
    /// Rules of sudoers(5), without the name with which they begin.
    pub sudo: Vec<String>,
    /// Lines of authorized_keys.
    pub keys: Vec<String>,
}

/// User of the image.
pub const DEFAULT: &str = "core";
/// Groups of that user in the image.
const DEFAULT_GROUPS: [&str; 4] = ["adm", "wheel", "sudo", "podman"];
/// Settings that are texts.
const TEXTS: &[&str] = &["name", "uid", "gecos", "homedir", "home", "shell"];
/// Longest path in passwd(5).
const MAX_PATH: usize = 255;
/// Longest rule of sudoers(5).
const MAX_RULE: usize = 511;

/// Reason why keys are not fetched.
pub const NO_IMPORT: &str = "no key is fetched; use ssh_authorized_keys";
/// Settings that are refused.
const PASSWORDS: &[&str] = &[
    "passwd",
    "hashed_passwd",
    "plain_text_passwd",
    "plain-text-passwd",
];
/// Settings that are accepted and need no action.
const NO_ACTION: &[&str] = &[
    "lock_passwd",
    "lock-passwd",
    "no_create_home",
    "no-create-home",
    "no_user_group",
    "no-user-group",
    "no_log_init",
    "inactive",
    "expiredate",
    "selinux_user",
    "selinux-user",
    "create_groups",
    "system",
    "doas",
];

/// Parses the list; an item may be a name alone. The name `default` means the user of the parameter `default`.
pub fn parse_all(node: &Node, default: &str, diagnostics: &mut Diagnostics) -> Vec<User> {
    let users = match node {
        Node::Map(_) => std::slice::from_ref(node),
        _ => node.list("users", diagnostics),
    };
    let users = users.iter();
    users
        .filter_map(|node| parse(node, default, diagnostics))
        .collect()
}

/// Parses `user:`, the user in place of `default`, with its groups (cloud-init's `normalize_users_groups`).
pub fn in_place_of_default(node: &Node, diagnostics: &mut Diagnostics) -> Option<User> {
    let mut user = parse(node, DEFAULT, diagnostics)?;
    if user.account.name != "root" {
        let groups = DEFAULT_GROUPS.map(str::to_owned);
        user.account.groups.extend(groups);
    }
    Some(user)
}

fn parse(node: &Node, default: &str, diagnostics: &mut Diagnostics) -> Option<User> {
    let name = node.text().or_else(|| node.get_text("name"));
    let name = match name.unwrap_or_default() {
        "default" => default,
        name => name,
    };
    if !is_user_name(name) {
        diagnostics.failed(format_args!(
            "users: {name:?} is no name: must be letters, digits, -, _ and ., begin with a letter or _, and have at most 32 characters"
        ));
        return None;
    }
    let account = users::User {
        name: name.to_owned(),
        ..users::User::default()
    };
    let mut user = User {
        account,
        ..User::default()
    };
    let Node::Map(settings) = node else {
        return Some(user);
    };
    for (key, value) in settings.iter().filter(|(_, v)| *v != Node::Null) {
        apply(&mut user, key, value, diagnostics);
    }
    Some(user)
}

fn apply(user: &mut User, key: &str, value: &Node, diagnostics: &mut Diagnostics) {
    let text = value.text().unwrap_or_default();
    let account = &mut user.account;
    let place = format!("users: {}: {key}", account.name);
    if TEXTS.contains(&key) && value.expect_text(&place, diagnostics).is_none() {
        return;
    }
    let mut wrong = |why: &str| diagnostics.failed(format_args!("{place}: {why}"));
    match key {
        "name" => {}
        "uid" => match text.parse::<u32>() {
            // 65534 is the uid of the user `nobody`, and the last number means "none" (chown(2)).
            Ok(uid) if uid != 0 && uid != 65534 && uid < u32::MAX => account.uid = Some(uid),
            _ => wrong("a number from 1 to 4294967294, not 65534"),
        },
        "gecos" if text.contains([':', '\n']) => wrong("no colon and no end of a line in it"),
        "gecos" => account.gecos = text.to_owned(),
        "homedir" | "home" | "shell" if !is_path(text) => {
            wrong("an absolute path without a colon");
        }
        "homedir" | "home" => account.home = Some(text.to_owned()),
        "shell" => account.shell = Some(text.to_owned()),
        "groups" | "primary_group" | "primary-group" => {
            add_groups(&mut account.groups, &place, value, diagnostics);
        }
        "sudo" if value.as_bool() == Some(false) => {}
        "sudo" => add_rules(&mut user.sudo, &place, value, diagnostics),
        "ssh_authorized_keys" | "ssh-authorized-keys" => {
            user.keys.extend(keys(&place, value, diagnostics));
        }
        "ssh_import_id" | "ssh-import-id" => wrong(NO_IMPORT),
        key if PASSWORDS.contains(&key) => wrong("there are no passwords here"),
        key if NO_ACTION.contains(&key) => {}
        _ => diagnostics.unsupported(format_args!("{place} is not supported")),
    }
}

fn add_rules(rules: &mut Vec<String>, place: &str, value: &Node, diagnostics: &mut Diagnostics) {
    for rule in value.texts(place, diagnostics) {
        match is_rule(rule) {
            true => rules.push(rule.to_owned()),
            false => diagnostics.failed(format_args!(
                "{place}: a rule such as ALL=(ALL) NOPASSWD:ALL"
            )),
        }
    }
}

fn add_groups(groups: &mut Vec<String>, place: &str, value: &Node, diagnostics: &mut Diagnostics) {
    let texts = value.texts(place, diagnostics).into_iter();
    let names = texts.flat_map(|text| text.split([',', ' ', '\n', '\t']));
    for name in names.filter(|name| !name.is_empty()) {
        match is_user_name(name) {
            true => groups.push(name.to_owned()),
            false => diagnostics.failed(format_args!("{place}: {name:?} is no name")),
        }
    }
}

/// Returns the keys in a list, in a map, or in one text with several lines. Lines that are no keys are
/// counted and not shown, since such a line may be secret.
pub fn keys(place: &str, node: &Node, diagnostics: &mut Diagnostics) -> Vec<String> {
    let texts = node.all_texts().into_iter();
    let valid = ValidKeys::of(texts.flat_map(str::lines));
    if valid.wrong > 0 {
        let (wrong, total) = (valid.wrong, valid.total);
        diagnostics.failed(format_args!(
            "{place}: {wrong} of {total} lines are no keys; each must be a line of a .pub file"
        ));
    }
    valid.keys
}

/// Returns true for a text that can stand in a field of passwd(5).
#[must_use]
pub fn is_field(text: &str) -> bool {
    text.len() <= MAX_PATH && !text.contains([':', '\n']) && !text.contains(char::is_control)
}

/// Returns true for an absolute path that can stand in passwd(5).
#[must_use]
pub fn is_path(text: &str) -> bool {
    let is_valid = |c: char| !c.is_control() && c != ':';
    text.starts_with('/')
        && text.len() <= MAX_PATH
        && text.chars().all(is_valid)
        && !text.split('/').any(|part| part == "..")
}

/// Returns true for a rule that sudo can read; sudo complains about others at each use.
fn is_rule(rule: &str) -> bool {
    let is_valid = |b: u8| b.is_ascii_alphanumeric() || b" =(),:_-/*.!%@+".contains(&b);
    let (hosts, commands) = rule.split_once('=').unwrap_or_default();
    !hosts.trim().is_empty()
        && !commands.trim().is_empty()
        && rule.len() <= MAX_RULE
        && rule.bytes().all(is_valid)
        && rule.matches('(').count() == rule.matches(')').count()
}
