// SPDX-License-Identifier: Apache-2.0
//! Names in DHCP options. The names are written unchanged to resolv.conf and into the kernel, and
//! the server is not trusted to write anything else there. Pure.

use super::options::Options;

/// Option codes: host name, domain name, domains to search (RFC 2132; RFC 3397).
const HOST_NAME: u8 = 12;
const DOMAIN_NAME: u8 = 15;
const DOMAIN_SEARCH: u8 = 119;
/// Largest number of domains to search (resolv.conf(5)).
const MAX_DOMAINS: usize = 6;
/// Longest name (RFC 1035, 2.3.4), and largest number of labels that pointers may lead through.
const MAX_NAME: usize = 253;
const MAX_LABELS: usize = 128;

/// Returns the host name. One that is too long, or not a name after its first dot, is cut there.
pub fn host_name(options: &mut Options) -> Option<String> {
    let value = options.get(HOST_NAME)?;
    let text = String::from_utf8_lossy(value.strip_suffix(b"\0").unwrap_or(value)).into_owned();
    let name = config::hostname::fit(&text);
    match &name {
        Some(name) if *name == text => {}
        Some(name) if Some(name.as_str()) == text.strip_suffix('.') => {}
        Some(name) => options.fault(
            HOST_NAME,
            &format!("{text:?} is too long or no host name, and is cut to {name}"),
        ),
        None => options.fault(HOST_NAME, &format!("{text:?} is no host name")),
    }
    name
}

/// Returns the domains to search, those of option 119 first.
pub fn domains(options: &mut Options) -> Vec<String> {
    let mut domains = Vec::new();
    if let Some(data) = options.get(DOMAIN_SEARCH) {
        match search_list(data) {
            Some(list) => domains = list,
            None => options.fault(DOMAIN_SEARCH, "is no list of domains"),
        }
    }
    if let Some(value) = options.get(DOMAIN_NAME) {
        let text = value.strip_suffix(b"\0").unwrap_or(value);
        match domain_name(text) {
            Some(name) if !domains.contains(&name) => domains.push(name),
            Some(_) => {}
            None => {
                let text = String::from_utf8_lossy(text).into_owned();
                options.fault(DOMAIN_NAME, &format!("{text:?} is no domain name"));
            }
        }
    }
    domains.truncate(MAX_DOMAINS);
    domains
}

/// Reads a name that may stand in resolv.conf; a dot at its end is dropped.
fn domain_name(text: &[u8]) -> Option<String> {
    let text = text.strip_suffix(b".").unwrap_or(text);
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |l: &[u8]| (1..=63).contains(&l.len()) && l.iter().all(plain);
    let good = text.len() <= MAX_NAME && text.split(|b| *b == b'.').all(label);
    good.then(|| String::from_utf8_lossy(text).into_owned())
}

/// Reads names in the form of RFC 1035, 4.1.4: labels with their lengths, and pointers into the
/// value. Returns `None` if anything is malformed.
fn search_list(data: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let (name, next) = compressed_name(data, at)?;
        if !names.contains(&name) {
            names.push(name);
        }
        at = next;
    }
    (!names.is_empty()).then_some(names)
}

/// Returns the name at `start` and the position after the name.
fn compressed_name(data: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut at, mut next) = (start, None);
    let mut labels: Vec<&[u8]> = Vec::new();
    for _ in 0..MAX_LABELS {
        let length = usize::from(*data.get(at)?);
        match length {
            0 => {
                let name = domain_name(&labels.join(&b'.'))?;
                return Some((name, next.unwrap_or(at + 1)));
            }
            1..=63 => {
                labels.push(data.get(at + 1..at + 1 + length)?);
                at += 1 + length;
            }
            0xc0.. => {
                let pointer = (length & 0x3f) << 8 | usize::from(*data.get(at + 1)?);
                next = next.or(Some(at + 2));
                // Only back, so that no pointer leads to itself.
                at = Some(pointer).filter(|to| *to < at)?;
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_a_name_and_nothing_more() {
        for (text, name) in [
            (&b"lan"[..], Some("lan")),
            (b"a.example.", Some("a.example")),
            (b"_tcp.lan", Some("_tcp.lan")),
            (b"lan\nnameserver 6.6.6.6", None),
            (b"lan other", None),
            (b"a..b", None),
            (b".", None),
            (b"", None),
            (&[b'a'; 64], None),
        ] {
            assert_eq!(domain_name(text).as_deref(), name, "{text:?}");
        }
    }

    #[test]
    fn a_search_list_with_pointers() {
        // The example of RFC 3397, section 2.
        let list = b"\x03eng\x05apple\x03com\0\x09marketing\xc0\x04";
        let wanted = ["eng.apple.com", "marketing.apple.com"];
        assert_eq!(
            search_list(list).as_deref(),
            Some(&wanted.map(String::from)[..])
        );
        for bad in [
            &b""[..],
            b"\x03en",
            b"\xc0\x00",
            b"\x01a\xc0\x00",
            b"\x01a\xc0",
            b"\x40a\0",
            b"\0",
            b"\x02a\n\0",
            b"\x01a",
        ] {
            assert_eq!(search_list(bad), None, "{bad:?}");
        }
    }
}
