// SPDX-License-Identifier: Apache-2.0
//! Host names from any source: the longest part of a name that Linux takes.

/// Longest host name in bytes (`HOST_NAME_MAX`, limits.h).
pub const MAX: usize = 64;
/// Longest label in bytes (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

/// Returns `text` if it is a host name (RFC 1123, 2.1) of at most [`MAX`] bytes; a dot at its end is
/// dropped. If the name is longer, or if a later label is invalid in a host name, the first label is
/// returned: the name of the machine itself, without its domain. A first label that is too long is
/// cut. `None` if the first label has other characters.
#[must_use]
pub fn fit(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.len() <= MAX && text.split('.').all(is_label) {
        return Some(text.to_owned());
    }
    let first = text.split('.').next().unwrap_or_default();
    let cut = match first.is_ascii() {
        true => first.get(..MAX_LABEL).unwrap_or(first),
        false => first,
    };
    let cut = match cut.len() < first.len() {
        true => cut.trim_end_matches('-'),
        false => cut,
    };
    is_label(cut).then(|| cut.to_owned())
}

fn is_label(label: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let outer_dash = label.starts_with('-') || label.ends_with('-');
    (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(letters) && !outer_dash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_rather_than_ignored() {
        let a40 = "a".repeat(40);
        let long = format!("{a40}.europe-west4-b.c.project-0123456789.internal");
        let (a63, a64) = ("a".repeat(63), "a".repeat(64));
        let dash = format!("{}-{}", "a".repeat(62), "b".repeat(9));
        let a62 = "a".repeat(62);
        for (text, name) in [
            ("box", Some("box")),
            ("web.example", Some("web.example")),
            ("web.example.", Some("web.example")),
            (&long, Some(a40.as_str())),
            (&format!("{long}."), Some(&a40)),
            (&a63, Some(&a63)),
            (&a64, Some(&a63)),
            (&dash, Some(&a62)),
            ("web.exa_mple", Some("web")),
            ("web..example", Some("web")),
            ("web.example\n", Some("web")),
            ("web_1.example", None),
            ("-x", None),
            ("x-", None),
            ("", None),
            (".", None),
            ("a b", None),
            ("ä.example", None),
        ] {
            assert_eq!(fit(text).as_deref(), name, "{text:?}");
        }
    }
}
