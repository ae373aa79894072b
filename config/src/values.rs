//! Parsers for values of one word; `net` and `sshkey` have the others. None
//! lets a control character through.

use std::str::FromStr;

use crate::diagnostic::Problem;
use crate::settings::{DiskSelector, WaitUsb};
use crate::suggest::suggest;

/// Linux `HOST_NAME_MAX`.
const MAX_HOSTNAME: usize = 64;
/// RFC 1035, section 2.3.4.
const MAX_DNS_NAME: usize = 253;
/// The kernel's `MODULE_NAME_LEN` is 56 with the NUL.
const MAX_MODULE: usize = 55;
/// No file system has a longer label.
const MAX_LABEL: usize = 255;
/// Linux `PATH_MAX` is more than any device node needs.
const MAX_DEVICE: usize = 255;
/// An hour; longer is a typing error.
const MAX_WAIT: u16 = 3600;
const MAX_TZ: usize = 64;
/// useradd(8).
const MAX_USER: usize = 32;
/// Who is in the image's passwd(5) and group(5) besides core.
const SYSTEM: &[&str] = &[
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
/// A URL or a list that is longer is a mistake.
const MAX_PROXY: usize = 1024;

/// The value that `text` stands for in `table`.
pub(crate) fn pick<T: Copy>(text: &str, table: &[(&'static str, T)]) -> Result<T, Problem> {
    match table.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(*value),
        None => Err(unlike(text, &mut table.iter().map(|(word, _)| *word))),
    }
}

/// The diagnostic about a word that is none of `words`.
pub(crate) fn unlike(text: &str, words: &mut dyn Iterator<Item = &'static str>) -> Problem {
    Problem::Bad {
        why: "no such value",
        nearest: suggest(text, words),
    }
}

/// The words the kernel and people use for on and off.
pub(crate) fn switch(text: &str) -> Result<bool, Problem> {
    pick(
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

/// A decimal number of digits alone (`parse` would take a sign as well).
pub(crate) fn number<T: FromStr + PartialOrd>(text: &str, max: T) -> Option<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number <= max)
}

/// `b2p.data=`.
pub(crate) fn data(text: &str) -> Result<DiskSelector, Problem> {
    match text {
        "auto" => Ok(DiskSelector::Auto),
        "off" => Ok(DiskSelector::Off),
        _ if text.contains(['=', '/']) => disk(text),
        _ => Err(unlike(text, &mut ["auto", "off"].into_iter())),
    }
}

/// `swapfile=`: Tiny Core takes the partition without its `/dev/` as well.
pub(crate) fn partition(text: &str) -> Result<DiskSelector, Problem> {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(DiskSelector::Device(["/dev/", text].concat()));
    }
    disk(text)
}

/// A disk by label, UUID or device node.
pub(crate) fn disk(text: &str) -> Result<DiskSelector, Problem> {
    if text.starts_with("/dev/") {
        return device(text);
    }
    let end = text.find('=').map_or(text.len(), |at| at + 1);
    let (kind, name) = text.split_at_checked(end).unwrap_or((text, ""));
    // The kernel leaves the quotes of b2p.data=LABEL="my disk" where they are.
    let bare = name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'));
    let name = bare.unwrap_or(name);
    match kind {
        "LABEL=" => label(name).map(DiskSelector::Label),
        "UUID=" => uuid(name).map(DiskSelector::Uuid),
        "PARTUUID=" => uuid(name).map(DiskSelector::PartUuid),
        _ => {
            let kinds = ["LABEL=", "UUID=", "PARTUUID=", "/dev/"];
            Err(unlike(kind, &mut kinds.into_iter()))
        }
    }
}

fn device(text: &str) -> Result<DiskSelector, Problem> {
    let node = text.strip_prefix("/dev/").unwrap_or_default();
    let plain = node.bytes().all(|byte| byte.is_ascii_graphic());
    let steps = node.split('/').all(|step| !matches!(step, "" | "." | ".."));
    if plain && steps && text.len() <= MAX_DEVICE {
        return Ok(DiskSelector::Device(text.to_owned()));
    }
    Err(Problem::bad("not a path of a device under /dev/"))
}

fn label(text: &str) -> Result<String, Problem> {
    let printable = text.chars().all(|letter| !letter.is_control());
    if printable && !text.is_empty() && text.len() <= MAX_LABEL {
        return Ok(text.to_owned());
    }
    Err(Problem::bad("not a label: 1 to 255 bytes of text"))
}

/// A UUID of any file system or partition table: FAT's and MBR's are short.
fn uuid(text: &str) -> Result<String, Problem> {
    let fits = (4..=36).contains(&text.len());
    if fits
        && text
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    {
        return Ok(text.to_owned());
    }
    Err(Problem::bad(
        "not a UUID: 4 to 36 hexadecimal digits and dashes",
    ))
}

/// `b2p.hostname=`: RFC 1123, section 2.1.
pub(crate) fn hostname(text: &str) -> Result<String, Problem> {
    if is_dns_name(text, MAX_HOSTNAME) {
        return Ok(text.to_owned());
    }
    Err(Problem::bad(
        "not a host name: letters, digits, dashes inside, dots between; 64 bytes at most",
    ))
}

fn is_dns_name(text: &str, max: usize) -> bool {
    text.len() <= max && text.split('.').all(is_dns_label)
}

fn is_dns_label(label: &str) -> bool {
    let letters = label
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let dashed = label.starts_with('-') || label.ends_with('-');
    (1..=63).contains(&label.len()) && letters && !dashed
}

/// `ntpserver=`: a name or an address; whether it resolves shows when asked.
pub(crate) fn server(text: &str) -> Result<String, Problem> {
    let v6 = |byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.';
    let is_v6 = text.contains(':') && text.len() <= 45 && text.bytes().all(v6);
    if is_v6 || is_dns_name(text, MAX_DNS_NAME) {
        return Ok(text.to_owned());
    }
    Err(Problem::bad("not the name or address of a server"))
}

/// `tz=`: tzset(3) forms or a file under zoneinfo, which it must not leave.
pub(crate) fn timezone(text: &str) -> Result<String, Problem> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-,.:<>".contains(&byte);
    let inside = !text.starts_with('/') && !text.starts_with(":/") && !text.contains("..");
    if text.len() <= MAX_TZ && inside && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err(Problem::bad(
        "not a time zone, as CET-1CEST or Europe/Berlin",
    ))
}

/// `waitusb=`: seconds, and the disk waited for.
pub(crate) fn wait_usb(text: &str) -> Result<WaitUsb, Problem> {
    let (seconds, name) = match text.split_once(':') {
        Some((seconds, name)) => (seconds, Some(name)),
        None => (text, None),
    };
    let seconds = number(seconds, MAX_WAIT).ok_or(Problem::bad("not seconds, 0 to 3600"))?;
    let disk = name.map(disk).transpose()?;
    Ok(WaitUsb { seconds, disk })
}

/// `b2p.http_proxy=`: what programs make of it is theirs; it must fit through a
/// line, a shell and sshd's configuration.
pub(crate) fn proxy(text: &str) -> Result<String, Problem> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    if !rest.is_empty() && plain(text) {
        return Ok(text.to_owned());
    }
    Err(Problem::bad(
        "not a proxy, as http://proxy.example:3128 (a quote, a space or a backslash in it is written as %22, %20, %5C)",
    ))
}

/// `b2p.user=`: what useradd(8) takes on Debian, and no user of the system's.
pub(crate) fn user(text: &str) -> Result<String, Problem> {
    let mut bytes = text.bytes();
    let first = bytes
        .next()
        .is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
    if SYSTEM.contains(&text) {
        return Err(Problem::bad("the name of a user of the system's"));
    }
    match first && rest && text.len() <= MAX_USER {
        true => Ok(text.to_owned()),
        false => Err(Problem::bad(
            "not a user name (a-z or _ first, then a-z, 0-9, _ and -; at most 32)",
        )),
    }
}

/// A line `NAME=value` of the environment; `None` for what is none.
pub(crate) fn variable(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let rest = bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let plain = !value.chars().any(char::is_control);
    (first && rest && plain).then(|| (name.to_owned(), value.to_owned()))
}

/// `b2p.no_proxy=`.
pub(crate) fn no_proxy(text: &str) -> Result<String, Problem> {
    if plain(text) {
        return Ok(text.to_owned());
    }
    Err(Problem::bad(
        "not a list of hosts, as localhost,10.0.0.0/8,.example",
    ))
}

/// Nothing that a line, a shell or sshd's configuration gives a meaning.
fn plain(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"\"'\\`$".contains(&byte);
    (1..=MAX_PROXY).contains(&text.len()) && text.bytes().all(fits)
}

/// Whether it can be the name of a service: that of its file, of its cgroup, and
/// in the control channel's words.
pub(crate) fn service(text: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    text.len() <= 32 && text.bytes().next().is_some_and(first) && text.bytes().all(fits)
}

/// Whether it can be the name of an extension: that of its files.
pub fn extension(text: &str) -> bool {
    service(text) && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// A kernel module's name, as the kernel keeps it: with `_` for every `-`.
pub(crate) fn module(text: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let named = (1..=MAX_MODULE).contains(&text.len()) && text.bytes().all(fits);
    named.then(|| text.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn proxies() {
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
