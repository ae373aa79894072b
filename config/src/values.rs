// SPDX-License-Identifier: Apache-2.0
//! Parsers of simple values. All of them refuse control characters.

use std::str::FromStr;

use crate::diagnostic::Problem;
use crate::hostname;
use crate::settings::DEFAULT_UID;
use crate::storage::{DiskSelector, WaitUsb};
use crate::suggest::suggest;

/// Maximum length of a DNS name in bytes (RFC 1035, section 2.3.4).
const MAX_DNS_NAME: usize = 253;
/// Maximum length of a module's name: the kernel's `MODULE_NAME_LEN` of 56, without the NUL.
const MAX_MODULE: usize = 55;
/// Maximum length of a service's name in bytes, as in the control socket (`control::Name`).
const MAX_SERVICE_NAME: usize = 64;
/// Maximum length of an extension's name in bytes.
const MAX_EXTENSION_NAME: usize = 32;
/// Maximum length of a label in bytes; no file system has a longer one.
const MAX_LABEL: usize = 255;
/// Maximum length of the path of a device node in bytes, less than Linux `PATH_MAX`.
const MAX_DEVICE: usize = 255;
/// Maximum time to wait for a disk in seconds: an hour.
const MAX_WAIT_S: u16 = 3600;
/// Maximum length of a time zone in bytes.
const MAX_TZ: usize = 64;
/// Maximum length of a user name in bytes (useradd(8)).
const MAX_USER: usize = 32;
/// Names in the image's passwd(5), group(5) and subuid(5) besides core.
const SYSTEM_USERS: &[&str] = &[
    "root",
    "daemon",
    "bin",
    "sys",
    "mail",
    "www-data",
    "sshd",
    "nobody",
    "adm",
    "tty",
    "disk",
    "wheel",
    "kmem",
    "dialout",
    "cdrom",
    "tape",
    "sudo",
    "audio",
    "shadow",
    "utmp",
    "video",
    "staff",
    "users",
    "kvm",
    "render",
    "podman",
    "nogroup",
    "containers",
];
/// Maximum length of a proxy or of a list of hosts in bytes.
const MAX_PROXY: usize = 1024;

/// Returns the value that `table` has for `text`.
pub(crate) fn lookup<T: Copy>(text: &str, table: &[(&'static str, T)]) -> Result<T, Problem> {
    match table.iter().find(|(name, _)| *name == text) {
        Some((_, value)) => Ok(*value),
        None => Err(no_such_value(
            text,
            &mut table.iter().map(|(name, _)| *name),
        )),
    }
}

/// Returns the problem of a text that is none of `valid`, with the most similar one.
pub(crate) fn no_such_value(text: &str, valid: &mut dyn Iterator<Item = &'static str>) -> Problem {
    Problem::InvalidValue {
        why: "no such value",
        suggestion: suggest(text, valid),
    }
}

/// Parses a switch, in the spellings of the kernel and others.
pub(crate) fn on_off(text: &str) -> Result<bool, Problem> {
    lookup(
        text,
        &[
            ("on", true),
            ("off", false),
            ("yes", true),
            ("no", false),
            ("true", true),
            ("false", false),
            ("1", true),
            ("0", false),
        ],
    )
}

/// Parses a decimal number of digits only (`parse` takes a sign as well).
pub(crate) fn number<T: FromStr + PartialOrd>(text: &str, max: T) -> Option<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number <= max)
}

/// Parses `b2p.data=`.
pub(crate) fn data(text: &str) -> Result<DiskSelector, Problem> {
    match text {
        "auto" => Ok(DiskSelector::Auto),
        "off" => Ok(DiskSelector::Off),
        _ if text.contains(['=', '/']) => disk(text),
        _ => Err(no_such_value(text, &mut ["auto", "off"].into_iter())),
    }
}

/// Parses `swapfile=`. Tiny Core accepts the partition without its `/dev/`, too.
pub(crate) fn partition(text: &str) -> Result<DiskSelector, Problem> {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(DiskSelector::Device(["/dev/", text].concat()));
    }
    disk(text)
}

/// Parses a disk that is given by label, UUID or device node.
pub(crate) fn disk(text: &str) -> Result<DiskSelector, Problem> {
    if text.starts_with("/dev/") {
        return device(text);
    }
    let end = text.find('=').map_or(text.len(), |at| at + 1);
    let (prefix, name) = text.split_at_checked(end).unwrap_or((text, ""));
    // The kernel keeps the quotes of b2p.data=LABEL="my disk".
    let unquoted = name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'));
    let name = unquoted.unwrap_or(name);
    match prefix {
        "LABEL=" => label(name).map(DiskSelector::Label),
        "UUID=" => uuid(name).map(DiskSelector::Uuid),
        "PARTUUID=" => uuid(name).map(DiskSelector::PartUuid),
        _ => {
            let prefixes = ["LABEL=", "UUID=", "PARTUUID=", "/dev/"];
            Err(no_such_value(prefix, &mut prefixes.into_iter()))
        }
    }
}

fn device(text: &str) -> Result<DiskSelector, Problem> {
    let node = text.strip_prefix("/dev/").unwrap_or_default();
    let printable = node.bytes().all(|byte| byte.is_ascii_graphic());
    let is_name = |component: &str| !matches!(component, "" | "." | "..");
    if printable && node.split('/').all(is_name) && text.len() <= MAX_DEVICE {
        return Ok(DiskSelector::Device(text.to_owned()));
    }
    Err(Problem::invalid("not a path of a device under /dev/"))
}

fn label(text: &str) -> Result<String, Problem> {
    let printable = text.chars().all(|letter| !letter.is_control());
    if printable && !text.is_empty() && text.len() <= MAX_LABEL {
        return Ok(text.to_owned());
    }
    Err(Problem::invalid("not a label: 1 to 255 bytes of text"))
}

/// Parses the UUID of any file system or partition table; those of FAT and of an MBR are short.
fn uuid(text: &str) -> Result<String, Problem> {
    let fits = (4..=36).contains(&text.len());
    if fits
        && text
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    {
        return Ok(text.to_owned());
    }
    Err(Problem::invalid(
        "not a UUID: 4 to 36 hexadecimal digits and dashes",
    ))
}

/// Sets a host name from `b2p.hostname=` or a like source. A name that is too long is cut, used, and
/// reported.
pub(crate) fn hostname(text: &str, to: &mut Option<String>) -> Result<(), Problem> {
    let fits = hostname::fit(text).ok_or(Problem::invalid(
        "not a host name: letters, digits, dashes inside, dots between; 64 bytes at most",
    ))?;
    let whole = text.strip_suffix('.').unwrap_or(text) == fits;
    *to = Some(fits.clone());
    match whole {
        true => Ok(()),
        false => Err(Problem::Cut { to: fits }),
    }
}

fn is_dns_name(text: &str, max: usize) -> bool {
    text.len() <= max && text.split('.').all(is_dns_label)
}

fn is_dns_label(label: &str) -> bool {
    let letters = label
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let outer_dash = label.starts_with('-') || label.ends_with('-');
    (1..=63).contains(&label.len()) && letters && !outer_dash
}

/// Parses `ntpserver=`, a DNS name or an address. A name is not resolved here.
pub(crate) fn server(text: &str) -> Result<String, Problem> {
    let v6 = |byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.';
    let is_v6 = text.contains(':') && text.len() <= 45 && text.bytes().all(v6);
    if is_v6 || is_dns_name(text, MAX_DNS_NAME) {
        return Ok(text.to_owned());
    }
    Err(Problem::invalid("not the name or address of a server"))
}

/// Parses `tz=`: a form of tzset(3), or a file that is below zoneinfo.
pub(crate) fn timezone(text: &str) -> Result<String, Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-,.:<>".contains(&byte);
    let inside = !text.starts_with('/') && !text.starts_with(":/") && !text.contains("..");
    if text.len() <= MAX_TZ && inside && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(Problem::invalid(
        "not a time zone, as CET-1CEST or Europe/Berlin",
    ))
}

/// Parses `waitusb=`: seconds, and the disk that ends the wait.
pub(crate) fn wait_usb(text: &str) -> Result<WaitUsb, Problem> {
    let (seconds, name) = match text.split_once(':') {
        Some((seconds, name)) => (seconds, Some(name)),
        None => (text, None),
    };
    let seconds = number(seconds, MAX_WAIT_S).ok_or(Problem::invalid("not seconds, 0 to 3600"))?;
    let disk = name.map(disk).transpose()?;
    Ok(WaitUsb { seconds, disk })
}

/// Parses `b2p.http_proxy=` and `b2p.https_proxy=`. The value is for other programs, and need only be safe in a line,
/// in a shell and in sshd's configuration.
pub(crate) fn proxy(text: &str) -> Result<String, Problem> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    if !rest.is_empty() && is_plain(text) {
        return Ok(text.to_owned());
    }
    Err(Problem::invalid(
        "not a proxy, as http://proxy.example:3128 (a quote, a space or a backslash in it is written as %22, %20, %5C)",
    ))
}

/// Numbers that a user may have. 980 to 999 are kept for the image's groups, Debian's policy (9.2.2) reserves
/// 60000 to 65535, of which systemd-homed gives 60001 to 60513 to people, and subordinate ids of all containers begin
/// at 2147483647. Those of the user, 100000 to 1099999, make room for the user's number
/// (`sys::account_files::change`): directories of organizations give numbers of that size. A Mac's first user has 501.
const UIDS: [std::ops::RangeInclusive<u32>; 4] = [
    500..=979,
    1000..=59_999,
    60_001..=60_513,
    65_536..=2_147_483_646,
];

/// Parses `b2p.user=`: a name, and perhaps a number.
pub(crate) fn user(text: &str) -> Result<(String, u32), Problem> {
    let (name, uid) = match text.split_once(':') {
        Some((name, number)) => (name, uid(number)?),
        None => (text, DEFAULT_UID),
    };
    Ok((user_name(name)?, uid))
}

fn uid(text: &str) -> Result<u32, Problem> {
    let number = text.parse::<u32>().ok().filter(|_| !text.starts_with('+'));
    let number = number.filter(|n| UIDS.iter().any(|range| range.contains(n)));
    number.ok_or(Problem::invalid(
        "not a number for a user (500 to 979, 1000 to 59999, 60001 to 60513, 65536 to 2147483646)",
    ))
}

/// Returns true for a name of a user or group: POSIX's portable names (XBD 3.4, user name) that do not begin with a
/// digit or a dot. Hosts have users such as `John.Doe`, and podman machine passes their names on.
#[must_use]
pub fn is_user_name(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_valid = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    text.starts_with(first) && text.len() <= MAX_USER && text.bytes().all(is_valid)
}

/// Parses a name that no system user has.
fn user_name(text: &str) -> Result<String, Problem> {
    if SYSTEM_USERS.contains(&text) {
        return Err(Problem::invalid("the name of a system user"));
    }
    match is_user_name(text) {
        true => Ok(text.to_owned()),
        false => Err(Problem::invalid(
            "not a user name (a letter or _ first, then letters, digits, _, - and .; at most 32)",
        )),
    }
}

/// Parses a line `NAME=value` of an environment.
pub(crate) fn variable(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let rest = bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let printable = !value.chars().any(char::is_control);
    (first && rest && printable).then(|| (name.to_owned(), value.to_owned()))
}

/// Parses `b2p.no_proxy=`.
pub(crate) fn no_proxy(text: &str) -> Result<String, Problem> {
    if is_plain(text) {
        return Ok(text.to_owned());
    }
    Err(Problem::invalid(
        "not a list of hosts, as localhost,10.0.0.0/8,.example",
    ))
}

/// Returns true if no character has a special meaning in a line, a shell or sshd's configuration.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'\\`$".contains(&byte);
    (1..=MAX_PROXY).contains(&text.len()) && text.bytes().all(plain)
}

/// Returns true if `text` has the form of a service's name: `[a-z0-9][a-z0-9-]{0,63}`, as in the control
/// channel (`control::Name`).
pub(crate) fn is_service_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let valid = text.bytes().all(|byte| letter(byte) || byte == b'-');
    valid && (1..=MAX_SERVICE_NAME).contains(&text.len()) && !text.starts_with('-')
}

/// Returns true if `text` has the form of an extension's name, which is also the name of its files.
#[must_use]
pub fn is_extension_name(text: &str) -> bool {
    text.len() <= MAX_EXTENSION_NAME && is_service_name(text)
}

/// Parses the name of a kernel module. The kernel has `_` for every `-` of a name.
pub(crate) fn module(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let valid = (1..=MAX_MODULE).contains(&text.len()) && text.bytes().all(allowed);
    valid.then(|| text.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn proxy_accepts_urls_and_refuses_other_text() {
        for good in ["http://p:3128", "http://me:pw%20@[::1]:8080/", "p:3128"] {
            assert_eq!(proxy(good).unwrap(), good);
        }
        for bad in [
            "",
            "http://",
            "http://a b",
            "http://a\"b",
            "http://$(x)",
            "http://\u{e9}",
        ] {
            assert!(proxy(bad).is_err(), "{bad}");
        }
        assert!(no_proxy("localhost,.example,10.0.0.0/8").is_ok() && no_proxy("a b").is_err());
    }
}
