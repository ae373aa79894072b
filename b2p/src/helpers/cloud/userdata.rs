// SPDX-License-Identifier: Apache-2.0
//! Parses user-data, as far as it is supported. Names and meanings are those of cloud-init (its
//! page "Module reference").

use sys::error::{Error, Result};

use super::diagnostics::Diagnostics;
use super::schema::{self, Certs, File, Mount};
use super::user::{self, User};
use super::yaml::{Node, parse as parse_yaml};

/// Format of a user-data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format<'a> {
    /// White space alone.
    Empty,
    /// `#cloud-config`.
    CloudConfig(&'a str),
    /// `#!…`: a program, which runs once.
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

/// Returns the format of a file by its first line, as cloud-init does.
#[must_use]
pub fn format(bytes: &[u8]) -> Format<'_> {
    if bytes.trim_ascii().is_empty() {
        return Format::Empty;
    }
    if bytes.starts_with(b"#!") {
        return Format::Script(bytes);
    }
    if let Some((_, name)) = UNSUPPORTED.iter().find(|(head, _)| bytes.starts_with(head)) {
        return Format::Unsupported(name);
    }
    let first_line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    match std::str::from_utf8(bytes) {
        Ok(text) if first_line.trim_ascii_end() == b"#cloud-config" => Format::CloudConfig(text),
        Ok(_) => Format::Unsupported("something else: its first line must be #cloud-config"),
        Err(_) => Format::Unsupported("no UTF-8"),
    }
}

/// Parsed user-data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserData {
    /// Users, in their order.
    pub users: Vec<User>,
    /// Keys for root and core.
    pub keys: Vec<String>,
    /// Host name.
    pub hostname: Option<String>,
    /// Host name with a domain.
    pub fqdn: Option<String>,
    /// True if the name with the domain is the host name.
    pub prefer_fqdn: bool,
    /// True if the host name stays.
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

/// Settings of passwords, which are refused.
const PASSWORDS: &[&str] = &["password", "chpasswd"];

/// Parses `#cloud-config`.
///
/// # Errors
/// The text is not YAML, or not a map; no setting is taken then.
pub fn parse(text: &str) -> Result<(UserData, Diagnostics)> {
    let (mut data, mut diagnostics) = (UserData::default(), Diagnostics::default());
    let tree = parse_yaml(text)?;
    let Node::Map(entries) = &tree else {
        return match tree {
            Node::Null => Ok((data, diagnostics)),
            _ => Err(Error::invalid("not a map of names and values")),
        };
    };
    // A setting with an empty value is ignored.
    for (name, value) in entries.iter().filter(|(_, v)| *v != Node::Null) {
        if !apply(&mut data, name, value, &mut diagnostics) {
            diagnose(name, value, &mut diagnostics);
        }
    }
    Ok((data, diagnostics))
}

/// Applies a setting; returns false if it is unknown.
fn apply(data: &mut UserData, name: &str, value: &Node, diagnostics: &mut Diagnostics) -> bool {
    let text = || value.text().map(str::to_owned);
    let is_true = || value.as_bool() == Some(true);
    match name {
        "users" | "user" => data.users.extend(user::parse_all(value, diagnostics)),
        "ssh_authorized_keys" | "ssh-authorized-keys" => {
            data.keys.extend(user::keys(value, diagnostics));
        }
        "hostname" => data.hostname = text(),
        "fqdn" => data.fqdn = text(),
        "prefer_fqdn_over_hostname" => data.prefer_fqdn = is_true(),
        "preserve_hostname" => data.preserve_hostname = is_true(),
        "write_files" => data.files.extend(schema::files(value, diagnostics)),
        "bootcmd" => data
            .bootcmd
            .extend(schema::commands(name, value, diagnostics)),
        "runcmd" => data
            .runcmd
            .extend(schema::commands(name, value, diagnostics)),
        "ca_certs" | "ca-certs" => data.certs = schema::certs(value),
        "mounts" => data.mounts.extend(schema::mounts(value, diagnostics)),
        "timezone" => data.timezone = text(),
        _ => return false,
    }
    true
}

/// Reports a setting that is not applied, unless it needs no action.
fn diagnose(name: &str, value: &Node, diagnostics: &mut Diagnostics) {
    if NO_ACTION.iter().any(|(known, _)| *known == name) {
        return;
    }
    let asks_for_passwords = name == "ssh_pwauth" && value.as_bool() == Some(true);
    if PASSWORDS.contains(&name) || asks_for_passwords {
        return diagnostics.failed(format_args!(
            "{name}: there are no passwords here; ssh_authorized_keys has the keys that may log in"
        ));
    }
    if name != "ssh_pwauth" {
        diagnostics.unsupported(format_args!("{name} is not supported"));
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
mod tests;
