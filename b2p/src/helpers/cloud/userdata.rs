//! user-data, as far as it is supported: cloud-init's names (its page "Module
//! reference"), read into what the machine is to do. Pure.

use super::diagnostics::Notes;
use super::schema::{self, Certs, File, Mount};
use super::user::{self, User};
use super::yaml::{Node, parse};

/// What a user-data file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// Empty.
    Nothing,
    /// `#cloud-config`.
    Config(&'a str),
    /// `#!…`: a program, to be run once.
    Script(&'a [u8]),
    /// Another of cloud-init's formats; its name.
    Other(&'static str),
}

/// How the other formats begin, and what they are called.
const OTHERS: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "a gzip file"),
    (b"## template:", "a template (## template: jinja)"),
    (b"#include", "a list of URLs (#include)"),
    (b"#cloud-boothook", "a boothook (#cloud-boothook)"),
    (b"#part-handler", "a part handler (#part-handler)"),
    (
        b"#cloud-config-archive",
        "an archive (#cloud-config-archive)",
    ),
    (b"#cloud-config-jsonp", "a patch (#cloud-config-jsonp)"),
    (b"Content-Type:", "a MIME message (multipart)"),
    (b"MIME-Version:", "a MIME message (multipart)"),
    (b"From ", "a MIME message (multipart)"),
];

/// Looks at how it begins: as cloud-init does, by its first line.
#[must_use]
pub fn kind(bytes: &[u8]) -> Kind<'_> {
    if bytes.trim_ascii().is_empty() {
        return Kind::Nothing;
    }
    if bytes.starts_with(b"#!") {
        return Kind::Script(bytes);
    }
    if let Some((_, name)) = OTHERS.iter().find(|(begin, _)| bytes.starts_with(begin)) {
        return Kind::Other(name);
    }
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    match std::str::from_utf8(bytes) {
        Ok(text) if first.trim_ascii_end() == b"#cloud-config" => Kind::Config(text),
        Ok(_) => Kind::Other("something else: its first line must be #cloud-config"),
        Err(_) => Kind::Other("no UTF-8"),
    }
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserData {
    /// People, in their order.
    pub users: Vec<User>,
    /// Keys for root and core.
    pub keys: Vec<String>,
    /// The machine's name, and its name with a domain.
    pub hostname: Option<String>,
    /// As above.
    pub fqdn: Option<String>,
    /// The second of them is the machine's.
    pub prefer_fqdn: bool,
    /// The name stays.
    pub preserve_hostname: bool,
    /// Files to be written.
    pub files: Vec<File>,
    /// Run at every boot, before the machine is ready.
    pub bootcmd: Vec<String>,
    /// Run once for each instance, afterwards.
    pub runcmd: Vec<String>,
    /// Certificate authorities.
    pub certs: Certs,
    /// Lines of fstab(5).
    pub mounts: Vec<Mount>,
    /// A time zone.
    pub timezone: Option<String>,
}

/// What is taken without doing anything, and why.
const NOTHING_TO_DO: &[(&str, &str)] = &[
    ("growpart", "the data disk grows by itself"),
    ("resize_rootfs", "the root is RAM"),
    ("disable_root", "root has the keys that core has"),
    ("manage_etc_hosts", "/etc/hosts has the machine's name"),
    ("manage_resolv_conf", "network-config has the name servers"),
    ("resolv_conf", "network-config has the name servers"),
    ("ssh_deletekeys", "the host key is the machine's own"),
    ("ssh_genkeytypes", "the host key is the machine's own"),
    ("no_ssh_fingerprints", "the console shows them anyway"),
    ("final_message", "the ready line says it"),
    ("output", "all output is in `b2p log`"),
    (
        "package_update",
        "there are no packages: containers have their own",
    ),
    (
        "package_upgrade",
        "there are no packages: containers have their own",
    ),
    ("package_reboot_if_required", "there are no packages"),
];

/// Passwords: refused, wherever they stand.
const PASSWORDS: &[&str] = &["password", "chpasswd"];

/// Reads `#cloud-config`.
///
/// # Errors
/// What is wrong with it as YAML; then none of it is taken.
pub fn read(text: &str) -> Result<(UserData, Notes), String> {
    let (mut data, mut notes) = (UserData::default(), Notes::default());
    let tree = parse(text)?;
    let Node::Map(all) = &tree else {
        return match tree {
            Node::Null => Ok((data, notes)),
            _ => Err("not a map of names and values".to_owned()),
        };
    };
    // An empty value is as good as none.
    for (name, value) in all.iter().filter(|(_, v)| *v != Node::Null) {
        if !take(&mut data, name, value, &mut notes) {
            leave(name, value, &mut notes);
        }
    }
    Ok((data, notes))
}

fn take(data: &mut UserData, name: &str, value: &Node, notes: &mut Notes) -> bool {
    let text = || value.text().map(str::to_owned);
    match name {
        "users" | "user" => data.users.extend(user::read_all(value, notes)),
        "ssh_authorized_keys" | "ssh-authorized-keys" => {
            data.keys.extend(user::keys(value, notes));
        }
        "hostname" => data.hostname = text(),
        "fqdn" => data.fqdn = text(),
        "prefer_fqdn_over_hostname" => data.prefer_fqdn = value.truth() == Some(true),
        "preserve_hostname" => data.preserve_hostname = value.truth() == Some(true),
        "write_files" => data.files.extend(schema::files(value, notes)),
        "bootcmd" => data.bootcmd.extend(schema::commands(name, value, notes)),
        "runcmd" => data.runcmd.extend(schema::commands(name, value, notes)),
        "ca_certs" | "ca-certs" => data.certs = schema::certs(value),
        "mounts" => data.mounts.extend(schema::mounts(value, notes)),
        "timezone" => data.timezone = text(),
        _ => return false,
    }
    true
}

fn leave(name: &str, value: &Node, notes: &mut Notes) {
    if NOTHING_TO_DO.iter().any(|(known, _)| *known == name) {
        return;
    }
    if PASSWORDS.contains(&name) || (name == "ssh_pwauth" && value.truth() == Some(true)) {
        return notes.wrong(format!(
            "{name}: there are no passwords here; ssh_authorized_keys has who may log in"
        ));
    }
    if name != "ssh_pwauth" {
        notes.left(format!("{name} is not supported"));
    }
}

/// The machine's name that comes of it, with that of meta-data for want of another.
#[must_use]
pub fn hostname(data: &UserData, meta: Option<&str>) -> Option<String> {
    if data.preserve_hostname {
        return None;
    }
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let full = data.fqdn.clone().filter(|_| data.prefer_fqdn);
    let name = full
        .or_else(|| data.hostname.clone())
        .or_else(|| data.fqdn.as_deref().map(short))
        .or_else(|| meta.map(short));
    name.filter(|n| !n.is_empty())
}

#[cfg(test)]
mod tests;
