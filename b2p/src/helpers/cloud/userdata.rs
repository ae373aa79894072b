// SPDX-License-Identifier: Apache-2.0
//! Parses the supported part of user-data. Names and meanings are those of cloud-init (its page
//! "Module reference").

use super::diagnostics::Diagnostics;
use super::schema::{self, Certs, File, Mount};
use super::user::{self, User};
use super::yaml::{self, Node};

/// Format of a user-data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format<'a> {
    /// White space alone.
    Empty,
    /// `#cloud-config`.
    CloudConfig(&'a str),
    /// `#!…`: a program, which runs once for each instance.
    Script(&'a [u8]),
    /// Another format of cloud-init, by its name.
    Unsupported(&'static str),
}

/// Formats that are not supported: first bytes, name.
#[rustfmt::skip]
const UNSUPPORTED: &[(&[u8], &str)] = &[
    (b"\x1f\x8b",               "a gzip file"),
    (b"## template:",           "a template (## template: jinja)"),
    (b"#include",               "a list of URLs (#include)"),
    (b"#cloud-boothook",        "a boothook (#cloud-boothook)"),
    (b"#part-handler",          "a part handler (#part-handler)"),
    (b"#cloud-config-archive",  "an archive (#cloud-config-archive)"),
    (b"#cloud-config-jsonp",    "a patch (#cloud-config-jsonp)"),
    (b"Content-Type:",          "a MIME message (multipart)"),
    (b"MIME-Version:",          "a MIME message (multipart)"),
    (b"From ",                  "a MIME message (multipart)"),
];

/// Returns the format of a file by its first bytes after white space, in any case, as cloud-init does
/// (`type_from_starts_with`).
#[must_use]
pub fn format(bytes: &[u8]) -> Format<'_> {
    let body = bytes.trim_ascii_start();
    let begins = |head: &[u8]| {
        let start = body.get(..head.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(head))
    };
    if body.is_empty() {
        return Format::Empty;
    }
    if begins(b"#!") {
        return Format::Script(body);
    }
    if let Some((_, name)) = UNSUPPORTED.iter().find(|(head, _)| begins(head)) {
        return Format::Unsupported(name);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if begins(b"#cloud-config") => Format::CloudConfig(text),
        Ok(_) => Format::Unsupported("something else: its first line must be #cloud-config"),
        Err(_) => Format::Unsupported("no UTF-8"),
    }
}

/// Parsed user-data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserData {
    /// Users in the order of the file; the user of `user:` is the first.
    pub users: Vec<User>,
    /// Keys for root and core.
    pub keys: Vec<String>,
    /// Host name.
    pub hostname: Option<String>,
    /// Host name with a domain.
    pub fqdn: Option<String>,
    /// True if the name with the domain is the host name.
    pub prefer_fqdn: bool,
    /// True if user-data must not change the host name.
    pub preserve_hostname: bool,
    /// Files to be written.
    pub files: Vec<File>,
    /// Commands that run at every boot, before the machine is ready.
    pub bootcmd: Vec<String>,
    /// Commands that run once for each instance, when the machine is ready.
    pub runcmd: Vec<String>,
    /// Certificate authorities.
    pub certs: Certs,
    /// Lines of fstab(5).
    pub mounts: Vec<Mount>,
    /// Time zone.
    pub timezone: Option<String>,
    /// True if the first user takes the place of core (`user:`).
    pub replaces_core: bool,
    /// True if the keys of meta-data do not count.
    pub ignores_public_keys: bool,
}

/// Settings that are accepted and need no action, and why.
#[rustfmt::skip]
const NO_ACTION: &[(&str, &str)] = &[
    ("growpart",                   "the data disk grows by itself"),
    ("resize_rootfs",              "the root is RAM"),
    ("disable_root",               "root has the keys that core has"),
    ("manage_etc_hosts",           "/etc/hosts has the machine's name"),
    ("manage_resolv_conf",         "network-config has the name servers"),
    ("resolv_conf",                "network-config has the name servers"),
    ("ssh_deletekeys",             "the host key is the machine's own"),
    ("ssh_genkeytypes",            "the host key is the machine's own"),
    ("no_ssh_fingerprints",        "the console shows them anyway"),
    ("final_message",              "the ready line has the same meaning"),
    ("output",                     "all output is in `b2p log`"),
    ("package_update",             "there are no packages: containers have their own"),
    ("package_upgrade",            "there are no packages: containers have their own"),
    ("package_reboot_if_required", "there are no packages"),
];

/// Settings that let people log in. These settings count even in a file that cannot be parsed as a whole.
const ACCESS: &[&str] = &[
    "user",
    "users",
    "ssh_authorized_keys",
    "ssh-authorized-keys",
];

/// Parses `#cloud-config`; `default` is the name of the user that the entry `default` of `users:` stands for. If the
/// text is not YAML, or not a map, those users and keys count that can be read.
#[must_use]
pub fn parse(text: &str, default: &str) -> (UserData, Diagnostics) {
    let (mut data, mut diagnostics) = (UserData::default(), Diagnostics::default());
    let (mut entries, fault) = yaml::entries("user-data", text, &mut diagnostics);
    // A setting with an empty value is ignored.
    entries.retain(|(_, value)| *value != Node::Null);
    if let Some(why) = fault {
        diagnostics.failed(format_args!("{why}; of it, only users and keys are taken"));
        entries.retain(|(name, _)| ACCESS.contains(&name.as_str()));
    }
    if let Some((_, value)) = entries.iter().find(|(name, _)| name == "user") {
        let user = user::in_place_of_default(value, &mut diagnostics);
        data.replaces_core = user.as_ref().is_some_and(|user| {
            let name = user.account.name.as_str();
            name != user::DEFAULT && name != "root"
        });
        data.users.extend(user);
    }
    for (name, value) in &entries {
        let is_known = match name.as_str() {
            "users" => {
                users(&mut data, value, default, &mut diagnostics);
                true
            }
            _ => apply(&mut data, name, value, &mut diagnostics),
        };
        if !is_known {
            diagnose(name, value, &mut diagnostics);
        }
    }
    (data, diagnostics)
}

/// Adds the listed users; `default` is also the name that `user:` gives.
fn users(data: &mut UserData, value: &Node, default: &str, diagnostics: &mut Diagnostics) {
    let first = data.users.first().filter(|_| data.replaces_core);
    let default = first.map_or(default, |user| &user.account.name);
    let users = user::parse_all(value, default, diagnostics);
    data.users.extend(users);
}

/// Applies a setting; returns false for an unknown one.
fn apply(data: &mut UserData, name: &str, value: &Node, diagnostics: &mut Diagnostics) -> bool {
    let text = |value: &Node, diagnostics: &mut Diagnostics| {
        value.expect_text(name, diagnostics).map(str::to_owned)
    };
    let commands =
        |value: &Node, diagnostics: &mut Diagnostics| schema::commands(name, value, diagnostics);
    match name {
        "user" => {}
        "ssh_authorized_keys" | "ssh-authorized-keys" => {
            data.keys.extend(user::keys(name, value, diagnostics));
        }
        "hostname" => data.hostname = text(value, diagnostics),
        "fqdn" => data.fqdn = text(value, diagnostics),
        "timezone" => data.timezone = text(value, diagnostics),
        "prefer_fqdn_over_hostname" => {
            data.prefer_fqdn = value.expect_bool(name, diagnostics) == Some(true);
        }
        "preserve_hostname" => {
            data.preserve_hostname = value.expect_bool(name, diagnostics) == Some(true);
        }
        "allow_public_ssh_keys" => {
            data.ignores_public_keys = value.expect_bool(name, diagnostics) == Some(false);
        }
        "write_files" => data.files.extend(schema::files(value, diagnostics)),
        "bootcmd" => data.bootcmd.extend(commands(value, diagnostics)),
        "runcmd" => data.runcmd.extend(commands(value, diagnostics)),
        "ca_certs" | "ca-certs" => data.certs = schema::certs(name, value, diagnostics),
        "mounts" => data.mounts.extend(schema::mounts(value, diagnostics)),
        _ => return false,
    }
    true
}

/// Reports a setting that is not applied, unless the setting needs no action.
fn diagnose(name: &str, value: &Node, diagnostics: &mut Diagnostics) {
    if NO_ACTION.iter().any(|(known, _)| *known == name) {
        return;
    }
    let has = |setting| value.get(setting).is_some();
    let asks_for_passwords = match name {
        "password" => true,
        // Without a list of users, `expire` has none to expire.
        "chpasswd" => !matches!(value, Node::Map(_)) || has("list") || has("users"),
        "ssh_pwauth" => value.as_bool() == Some(true),
        "ssh_import_id" => return diagnostics.failed(format_args!("{name}: {}", user::NO_IMPORT)),
        _ => return diagnostics.unsupported(format_args!("{name} is not supported")),
    };
    if asks_for_passwords {
        diagnostics.failed(format_args!(
            "{name}: there are no passwords here; ssh_authorized_keys has the keys that may log in"
        ));
    }
}

/// Returns the host name; that of meta-data if user-data has none.
#[must_use]
pub fn hostname(data: &UserData, from_meta_data: Option<&str>) -> Option<String> {
    if data.preserve_hostname {
        return None;
    }
    let without_domain = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let with_domain = data.fqdn.clone().filter(|_| data.prefer_fqdn);
    let name = with_domain
        .or_else(|| data.hostname.clone())
        .or_else(|| data.fqdn.as_deref().map(without_domain))
        .or_else(|| from_meta_data.map(without_domain));
    name.filter(|n| !n.is_empty())
}

#[cfg(test)]
mod platforms;
#[cfg(test)]
mod tests;
