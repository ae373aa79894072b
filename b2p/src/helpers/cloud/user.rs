//! `users:` of user-data: who may log in. Passwords are refused by name; what else
//! useradd(8) would be told is taken as far as it means something here.

use config::FwCfg;

use super::diagnostics::Notes;
use super::yaml::Node;
use crate::common::users;

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Name, number, home directory, shell and groups.
    pub account: users::User,
    /// Rules of sudoers(5), without the name that they begin with.
    pub sudo: Vec<String>,
    /// Lines as in authorized_keys.
    pub keys: Vec<String>,
}

/// The user that the image has.
pub const DEFAULT: &str = "core";

/// What may not be.
const PASSWORDS: &[&str] = &[
    "passwd",
    "hashed_passwd",
    "plain_text_passwd",
    "plain-text-passwd",
];
/// What there is nothing to do for.
const NOTHING_TO_DO: &[&str] = &[
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

/// Reads the list; a name by itself is a user as well.
pub fn read_all(node: &Node, notes: &mut Notes) -> Vec<User> {
    let all = match node {
        Node::Map(_) => std::slice::from_ref(node),
        _ => node.list(),
    };
    all.iter().filter_map(|n| read(n, notes)).collect()
}

fn read(node: &Node, notes: &mut Notes) -> Option<User> {
    let name = node
        .text()
        .or_else(|| node.word("name"))
        .unwrap_or_default();
    let name = if name == "default" { DEFAULT } else { name };
    if !is_name(name) {
        notes.wrong(format!(
            "users: {name:?} is no name: a to z, 0 to 9, - and _, a letter first, 32 at the most"
        ));
        return None;
    }
    let mut user = User {
        account: users::User {
            name: name.to_owned(),
            ..users::User::default()
        },
        ..User::default()
    };
    let Node::Map(all) = node else {
        return Some(user);
    };
    for (key, value) in all.iter().filter(|(_, v)| *v != Node::Null) {
        take(&mut user, key, value, node, notes);
    }
    Some(user)
}

fn take(user: &mut User, key: &str, value: &Node, node: &Node, notes: &mut Notes) {
    let text = value.text().unwrap_or_default();
    let name = user.account.name.clone();
    let mut wrong = |why: &str| notes.wrong(format!("users: {name}: {key}: {why}"));
    match key {
        "name" => {}
        "uid" => match text.parse::<u32>() {
            // 65534 is nobody's, the last is "none" (chown(2)).
            Ok(uid) if uid != 0 && uid != 65534 && uid < u32::MAX => user.account.uid = Some(uid),
            _ => wrong("a number from 1 to 4294967294, not 65534"),
        },
        "gecos" if text.contains([':', '\n']) => wrong("no colon and no end of a line in it"),
        "gecos" => user.account.gecos = text.to_owned(),
        "homedir" | "home" if !is_path(text) => wrong("an absolute path without a colon"),
        "homedir" | "home" => user.account.home = Some(text.to_owned()),
        "shell" if !is_path(text) => wrong("an absolute path without a colon"),
        "shell" => user.account.shell = Some(text.to_owned()),
        "groups" | "primary_group" | "primary-group" => {
            let (good, bad): (Vec<_>, Vec<_>) =
                node.words(key).into_iter().partition(|g| is_name(g));
            bad.iter().for_each(|g| wrong(&format!("{g:?} is no name")));
            user.account.groups.extend(good);
        }
        "sudo" => rules(user, value, wrong),
        "ssh_authorized_keys" | "ssh-authorized-keys" => user.keys.extend(keys(value, notes)),
        key if PASSWORDS.contains(&key) => wrong("there are no passwords here"),
        key if NOTHING_TO_DO.contains(&key) => {}
        _ => notes.left(format!("users: {name}: {key} is not supported")),
    }
}

fn rules(user: &mut User, value: &Node, mut wrong: impl FnMut(&str)) {
    if value.truth() == Some(false) {
        return;
    }
    for rule in value.list().iter().filter_map(Node::text) {
        match is_rule(rule) {
            true => user.sudo.push(rule.to_owned()),
            false => wrong("a rule such as ALL=(ALL) NOPASSWD:ALL"),
        }
    }
}

/// The lines that sshd would take, of a list or of one text with several lines. What is
/// no key is not shown: it may be a secret.
pub fn keys(node: &Node, notes: &mut Notes) -> Vec<String> {
    let texts = node.list().iter().filter_map(Node::text);
    let lines = texts.flat_map(str::lines).map(str::trim);
    let lines: Vec<&str> = lines
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
        .collect();
    let entries: Vec<_> = lines
        .iter()
        .map(|l| FwCfg {
            name: b"ssh_key",
            value: l.as_bytes(),
        })
        .collect();
    let (config, complaints) = config::parse(b"", &entries);
    if !complaints.is_empty() {
        let (bad, all) = (complaints.len(), lines.len());
        notes.wrong(format!(
            "ssh_authorized_keys: {bad} of {all} lines are no keys"
        ));
    }
    config.ssh_keys
}

/// As useradd(8) takes names.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    first && name.len() <= 32 && name.bytes().all(rest)
}

/// It can stand in passwd(5), and leads nowhere else.
fn is_path(text: &str) -> bool {
    let good = |c: char| !c.is_control() && c != ':';
    text.starts_with('/')
        && text.len() < 256
        && text.chars().all(good)
        && !text.split('/').any(|part| part == "..")
}

/// A rule that sudo can read: what it cannot is a complaint at every use of it.
fn is_rule(rule: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b" =(),:_-/*.!%@+".contains(&b);
    let (hosts, what) = rule.split_once('=').unwrap_or_default();
    !hosts.trim().is_empty()
        && !what.trim().is_empty()
        && rule.len() < 512
        && rule.bytes().all(good)
        && rule.matches('(').count() == rule.matches(')').count()
}
