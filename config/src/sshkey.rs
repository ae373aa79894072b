// SPDX-License-Identifier: Apache-2.0
//! Check of SSH public keys: lines that sshd accepts (sshd(8), AUTHORIZED_KEYS FILE FORMAT), and
//! the likely mistake in other ones.

use crate::diagnostic::Problem;
use crate::suggest::suggest;

/// Beginning of the first and the last line of a key in PEM (RFC 7468) or in the form of RFC 4716,
/// which has four dashes and a space.
pub(crate) const PEM_DASHES: &str = "----";

/// Maximum length of a line that sshd reads, in bytes (`SSH_MAX_PUBKEY_BYTES`).
const MAX_KEY_BYTES: usize = 16 * 1024;

/// Key types, each with the number of strings in its blob, including the type's own (RFC 4253 6.6,
/// RFC 5656 3.1, RFC 8709 4, OpenSSH PROTOCOL.u2f).
const KEY_TYPES: [(&str, usize); 7] = [
    ("ssh-ed25519", 2),
    ("ssh-rsa", 3),
    ("ecdsa-sha2-nistp256", 3),
    ("ecdsa-sha2-nistp384", 3),
    ("ecdsa-sha2-nistp521", 3),
    ("sk-ssh-ed25519@openssh.com", 3),
    ("sk-ecdsa-sha2-nistp256@openssh.com", 4),
];

/// Returns the line for `authorized_keys`: the text without white space at its ends.
pub(crate) fn key(text: &str) -> Result<String, Problem> {
    let line = text.trim_ascii();
    if line.starts_with(PEM_DASHES) || line.starts_with("PuTTY-User-Key-File") {
        return Err(not_a_pub_line(line));
    }
    if line.contains(|letter: char| letter.is_ascii_control() && letter != '\t') {
        return Err(Problem::invalid(
            "more than one line; give each key its own flag",
        ));
    }
    if line.len() > MAX_KEY_BYTES {
        return Err(Problem::invalid("longer than the 16 KiB that sshd takes"));
    }
    let (first, rest) = split_word(line);
    let (key_type, rest) = match is_key_type(first) {
        true => (first, rest),
        false => split_word(after_options(line)),
    };
    let Some((_, strings)) = KEY_TYPES.iter().find(|(name, _)| *name == key_type) else {
        let suggestion = suggest(first, &mut KEY_TYPES.iter().map(|(name, _)| *name));
        return Err(Problem::InvalidValue {
            why: "not a type of SSH key",
            suggestion,
        });
    };
    check_blob(key_type, *strings, split_word(rest).0)?;
    Ok(line.to_owned())
}

/// Returns the first word if a diagnostic may quote it: a key type, perhaps misspelt, but no part
/// of a private key, whose base64 has no dash and whose PEM lines have no lower case.
pub(crate) fn type_to_quote(text: &str) -> Option<&str> {
    let first = split_word(text).0;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || b"0123456789-@.".contains(&byte);
    let is_type = first.contains('-') && !first.starts_with('-') && first.bytes().all(allowed);
    (is_type && first.len() <= 40).then_some(first)
}

fn not_a_pub_line(line: &str) -> Problem {
    Problem::invalid(match line.contains("PUBLIC") {
        true => "this is a PEM file; give the line that ssh-keygen -i prints for it",
        false => "this is a PRIVATE key; give the line of its .pub file, and make a new key",
    })
}

fn is_key_type(text: &str) -> bool {
    KEY_TYPES.iter().any(|(name, _)| *name == text)
}

/// Splits a line into its first word and the rest.
fn split_word(line: &str) -> (&str, &str) {
    let line = line.trim_ascii_start();
    line.split_once([' ', '\t']).unwrap_or((line, ""))
}

/// Returns the text after the options in front of a key. The options end at the first space outside
/// of double quotes, in which `\"` is a quote.
fn after_options(line: &str) -> &str {
    let mut in_quote = false;
    let mut escaped = false;
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            b' ' | b'\t' if !in_quote => return line.get(at..).unwrap_or_default(),
            b'"' if !escaped => in_quote = !in_quote,
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
    }
    ""
}

/// Checks that the strings of the blob fill it exactly, so that a truncated key is found even in
/// valid base64.
fn check_blob(key_type: &str, strings: usize, base64: &str) -> Result<(), Problem> {
    if base64.is_empty() {
        return Err(Problem::invalid(
            "a type without its key; put double quotes around the whole",
        ));
    }
    let damaged = Problem::invalid("the key is damaged or cut short");
    let blob = decode(base64).ok_or(damaged.clone())?;
    let (name, rest) = read_string(&blob).ok_or(damaged.clone())?;
    if name != key_type.as_bytes() {
        return Err(Problem::invalid(
            "the key is of another type than its first word says",
        ));
    }
    let mut rest = rest;
    for _ in 1..strings {
        (_, rest) = read_string(rest).ok_or(damaged.clone())?;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(damaged)
    }
}

/// Splits an SSH blob into its first string (RFC 4251, section 5) and the rest.
fn read_string(blob: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = blob.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}

/// Decodes base64 with its padding, as strictly as sshd (RFC 4648, section 4).
fn decode(text: &str) -> Option<Vec<u8>> {
    let body = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - body.len() > 2 {
        return None;
    }
    let mut blob = Vec::with_capacity(text.len() / 4 * 3);
    let mut pending = 0_u32;
    let mut bits = 0_u32;
    for byte in body.bytes() {
        pending = pending << 6 | u32::from(sextet(byte)?);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            blob.push((pending >> bits) as u8);
            pending &= (1 << bits) - 1;
        }
    }
    (pending == 0).then_some(blob)
}

fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_strict() {
        assert_eq!(decode(""), Some(vec![]));
        assert_eq!(decode("Zg=="), Some(b"f".to_vec()));
        assert_eq!(decode("Zm8="), Some(b"fo".to_vec()));
        assert_eq!(decode("Zm9v"), Some(b"foo".to_vec()));
        assert_eq!(decode("+/+/"), Some(vec![0xfb, 0xff, 0xbf]));
        for bad in [
            "Z", "Zg", "Zg=", "Zh==", "Z===", "====", "Zm 9", "Zm9v\n", "Zm=9",
        ] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn options_end_at_a_bare_space() {
        assert_eq!(after_options("a,b=\"c d\",e f g"), " f g");
        assert_eq!(after_options("a=\"x \\\" y\" z"), " z");
        assert_eq!(after_options("a=\"x y"), "");
        assert_eq!(after_options("a"), "");
    }

    #[test]
    fn only_key_types_are_quoted() {
        assert_eq!(type_to_quote("ssh-ed25519 AAAA"), Some("ssh-ed25519"));
        assert_eq!(type_to_quote("ssh-ed25591 AAAA"), Some("ssh-ed25591"));
        for secret in ["b3BlbnNzaC1rZXktdjEA", "-----BEGIN X", "MIIEow/+=", ""] {
            assert_eq!(type_to_quote(secret), None, "{secret}");
        }
    }
}
