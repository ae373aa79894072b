// SPDX-License-Identifier: Apache-2.0
//! Right values of the fields of a configuration. The file may have been edited by hand, or come from
//! an archive: its values reach ssh_config(5), the monitor and the options of QEMU, and paths of this host.

use super::config::MachineConfig;
use super::record::Forward;
use super::share::Share;
use std::fmt;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use vmm::AcceleratorChoice;

/// Number of processors that a machine may have.
pub const CPUS: RangeInclusive<u32> = 1..=512;
/// Least memory of a machine in MiB.
pub const MIN_MEMORY_MIB: u32 = 256;
/// Smallest data disk in bytes: room for a file system.
pub const MIN_DISK_BYTES: u64 = 256 << 20;
/// Largest data disk in bytes: 1 PiB.
pub const MAX_DISK_BYTES: u64 = 1 << 50;
/// Longest login name in bytes (useradd(8)).
const MAX_LOGIN: usize = 32;
/// Longest host name in bytes (hostname(7) has 64 as its most).
const MAX_HOST_NAME: usize = 63;
/// Most characters of a wrong value in a message.
const SHOWN: usize = 60;

/// Field with a value that is not right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Name of the field.
    pub field: &'static str,
    /// Value, as JSON.
    pub value: String,
    /// Form of a right value.
    pub right: &'static str,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.value.chars().take(SHOWN).collect();
        let rest = if shown == self.value { "" } else { "…" };
        write!(f, "{} {shown}{rest}: must be {}", self.field, self.right)
    }
}

impl std::error::Error for Wrong {}

/// Field, the form of its right values, and the function that returns a wrong one as JSON.
type Row = (
    &'static str,
    &'static str,
    fn(&MachineConfig) -> Option<String>,
);

#[rustfmt::skip]
const SETTINGS: &[Row] = &[
    ("name", "a host name of letters, digits, . and -", |c| text(&c.name, is_host_name)),
    ("driver", "the name of a driver, such as qemu", |c| text(&c.driver, is_flag_name)),
    ("cpus", "a number from 1 to 512", |c| number(c.cpus, &CPUS)),
    ("memory_mib", "a number of at least 256", |c| number(c.memory_mib, &(MIN_MEMORY_MIB..=u32::MAX))),
    ("disk_bytes", "a number from 2^28 to 2^50", |c| number(c.disk_bytes, &(MIN_DISK_BYTES..=MAX_DISK_BYTES))),
    ("user", "a login name of letters, digits, _, . and -", |c| text(&c.user, is_login)),
    ("accel", "auto, kvm or tcg", |c| text(&c.accel, |word| AcceleratorChoice::parse(word).is_ok())),
    ("append", "a line without control characters", |c| texts(&c.append, is_line)),
    ("flags", "a name of lower-case letters, digits and _ with a text", |c| first(&c.flags, |(name, value)| is_flag_name(name) && is_text(value))),
    ("labels", "a line without control characters", |c| texts(&c.labels, is_line)),
    ("publish_on", "an IPv4 address", |c| text(&c.publish_on, is_address)),
    ("shares", "an absolute path of this host with one of the machine, without control characters", |c| first(&c.shares, is_share)),
    ("ports", "tcp or udp, an IPv4 address, and two ports from 1 to 65535", |c| first(&c.ports, is_forward)),
];

#[rustfmt::skip]
const IMAGES: &[Row] = &[
    ("image", "sha256- with 64 hexadecimal digits", |c| text(&c.image, is_image)),
    ("previous", "sha256- with 64 hexadecimal digits", |c| c.previous.as_deref().and_then(|id| text(id, is_image))),
];

/// Checks all fields.
pub fn check(config: &MachineConfig) -> Result<(), Wrong> {
    check_settings(config)?;
    check_rows(IMAGES, config)
}

/// Checks the fields of a machine that has no image yet.
pub fn check_settings(config: &MachineConfig) -> Result<(), Wrong> {
    check_rows(SETTINGS, config)
}

fn check_rows(rows: &[Row], config: &MachineConfig) -> Result<(), Wrong> {
    for &(field, right, find) in rows {
        if let Some(value) = find(config) {
            return Err(Wrong {
                field,
                value,
                right,
            });
        }
    }
    Ok(())
}

fn text(value: &str, is_right: impl Fn(&str) -> bool) -> Option<String> {
    (!is_right(value)).then(|| json(value))
}

fn texts(values: &[String], is_right: fn(&str) -> bool) -> Option<String> {
    values.iter().find_map(|value| text(value, is_right))
}

fn number<T: PartialOrd + fmt::Display>(value: T, range: &RangeInclusive<T>) -> Option<String> {
    (!range.contains(&value)).then(|| value.to_string())
}

fn first<T: serde::Serialize>(values: &[T], is_right: impl Fn(&T) -> bool) -> Option<String> {
    values.iter().find(|value| !is_right(value)).map(json)
}

/// Formats a value on one line, with its control characters escaped.
fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Returns true for a name that a guest can have as its host name (hostname(7)).
#[must_use]
pub fn is_host_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let is_label = |label: &str| {
        !label.is_empty()
            && label.chars().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.split('.').all(is_label) && name.len() <= MAX_HOST_NAME
}

/// Returns true for the name of an image in the cache.
#[must_use]
pub fn is_image(id: &str) -> bool {
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    id.strip_prefix("sha256-")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_digit))
}

/// Returns true for the name of a flag without `b2p.`.
#[must_use]
pub fn is_flag_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    !name.is_empty() && name.bytes().all(plain)
}

/// Returns true for a login name, which no program takes for an option.
#[must_use]
pub fn is_login(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.len() <= MAX_LOGIN
        && name.chars().all(plain)
}

fn is_line(line: &str) -> bool {
    !line.chars().any(|c| c.is_control() && c != '\t')
}

/// Returns true for the value of a flag, which may have several lines.
fn is_text(text: &str) -> bool {
    text.lines().all(is_line)
}

fn is_address(address: &str) -> bool {
    address.parse::<Ipv4Addr>().is_ok()
}

fn is_share(share: &Share) -> bool {
    let source = share.source.to_str();
    source.is_some_and(|source| source.starts_with('/') && is_line(source))
        && share.target.starts_with('/')
        && !share.target.contains(':')
        && is_line(&share.target)
}

fn is_forward(forward: &Forward) -> bool {
    ["tcp", "udp"].contains(&forward.protocol.as_str())
        && is_address(&forward.address)
        && forward.port > 0
        && forward.guest > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn whole() -> Value {
        let hex = "0a".repeat(32);
        json!({
            "version": 1, "name": "web.box-1", "driver": "qemu", "image": format!("sha256-{hex}"),
            "previous": format!("sha256-{hex}"), "cpus": 512, "memory_mib": 256, "disk_bytes": MAX_DISK_BYTES,
            "user": "a_b.c-1", "accel": "tcg", "append": ["quiet\tx", ""], "labels": ["a=b", "ü"],
            "flags": [["tz", "UTC"], ["script", "one\ntwo\n"]], "publish_on": "0.0.0.0", "created": 1,
            "shares": [{"source": "/home/a b", "target": "/mnt/ü"}],
            "ports": [{"protocol": "udp", "address": "127.0.0.1", "port": 53, "guest": 53}],
        })
    }

    #[rustfmt::skip]
    fn wrong_values() -> Vec<(&'static str, Value)> {
        let hex = "0".repeat(64);
        let share = |source: &str, target: &str| json!([{"source": source, "target": target}]);
        let port = |protocol: &str, address: &str, port: u16, guest: u16| {
            json!([{"protocol": protocol, "address": address, "port": port, "guest": guest}])
        };
        let rows = [
            ("name", vec![json!(""), json!("../x"), json!("a b"), json!("a,id=x"), json!("a\n")]),
            ("driver", vec![json!(""), json!("../x"), json!("qemu\n")]),
            ("image", vec![json!(""), json!("../../x"), json!("sha256-0"), json!(format!("sha256-{hex}/..")), json!(format!("sha256-{hex}0")), json!(hex)]),
            ("previous", vec![json!("../x"), json!("")]),
            ("cpus", vec![json!(0), json!(513)]),
            ("memory_mib", vec![json!(0), json!(255)]),
            ("disk_bytes", vec![json!(0), json!(MIN_DISK_BYTES - 1), json!(MAX_DISK_BYTES + 1)]),
            ("user", vec![json!("core\n  ProxyCommand touch x"), json!(""), json!("-oProxyCommand=x"), json!("a b"), json!("a%h"), json!("a@b"), json!("ä"), json!("a".repeat(33))]),
            ("accel", vec![json!("hvf"), json!("tcg,thread=single")]),
            ("append", vec![json!(["a\nb"]), json!(["a", "\0"])]),
            ("flags", vec![json!([["../x", ""]]), json!([["a,file=x", ""]]), json!([["", ""]]), json!([["tz", "\0"]])]),
            ("labels", vec![json!(["a=b\u{1b}[2J"]), json!(["a=b", "\n"])]),
            ("publish_on", vec![json!(""), json!("::1"), json!("127.0.0.1:80-:22\nquit"), json!("localhost")]),
            ("shares", vec![share("x", "/x"), share("/x\n", "/x"), share("/x", "x"), share("/x", "/x\n"), share("/x", "/x:ro")]),
            ("ports", vec![port("sctp", "127.0.0.1", 1, 1), port("tcp", "x\nquit", 1, 1), port("tcp", "127.0.0.1", 0, 1), port("tcp", "127.0.0.1", 1, 0)]),
        ];
        rows.into_iter().flat_map(|(field, values)| values.into_iter().map(move |value| (field, value))).collect()
    }

    #[test]
    fn every_field_of_a_file_has_a_right_form() {
        MachineConfig::parse(&whole().to_string()).expect("right values");
        for (field, value) in wrong_values() {
            let mut file = whole();
            file[field] = value.clone();
            let error = MachineConfig::parse(&file.to_string()).expect_err(field);
            let error = format!("{error:#}");
            let named = error.starts_with(&format!("config.json: {field} "));
            assert!(named && error.contains(": must be "), "{value}: {error}");
            assert!(!error.contains(char::is_control), "{value}: {error}");
        }
    }

    #[test]
    fn every_text_of_a_configuration_has_a_row() {
        let file = whole();
        let names = file.as_object().expect("an object").keys();
        let checked: Vec<&str> = SETTINGS.iter().chain(IMAGES).map(|row| row.0).collect();
        let free: Vec<&String> = names
            .filter(|name| !checked.contains(&name.as_str()))
            .collect();
        assert_eq!(free, ["created", "version"]);
        // The file above has each field: what serde would write beside them is a number or a boolean.
        let parsed = MachineConfig::parse(&file.to_string()).expect("right values");
        let written: Value = serde_json::from_str(&parsed.text()).expect("JSON");
        let added = written.as_object().expect("an object").iter();
        for (name, value) in added.filter(|(name, _)| file.get(name.as_str()).is_none()) {
            assert!(value.is_number() || value.is_boolean(), "{name}");
        }
    }

    #[test]
    fn a_long_value_is_cut() {
        let mut config = MachineConfig::new("box");
        config.user = "x".repeat(1000);
        let text = check(&config).expect_err("long").to_string();
        assert!(
            text.len() < 200 && text.contains("x…: must be a login name"),
            "{text}"
        );
    }
}
