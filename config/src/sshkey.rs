//! SSH public keys: is this a line that sshd will take (sshd(8),
//! AUTHORIZED_KEYS FILE FORMAT), and if not, what happened to it?

use crate::diagnostic::Problem;
use crate::suggest::suggest;

/// How the first and the last line of a key begin that is no `.pub` line
/// (RFC 7468; RFC 4716 has four dashes and a space).
pub(crate) const ARMOUR: &str = "----";

/// sshd reads no longer lines (its `SSH_MAX_PUBKEY_BYTES`), in bytes.
const MAX_KEY: usize = 16 * 1024;

/// The key types and how many strings their blobs hold, the type's own
/// included (RFC 4253 6.6, RFC 5656 3.1, RFC 8709 4, OpenSSH PROTOCOL.u2f).
const TYPES: [(&str, usize); 7] = [
    ("ssh-ed25519", 2),
    ("ssh-rsa", 3),
    ("ecdsa-sha2-nistp256", 3),
    ("ecdsa-sha2-nistp384", 3),
    ("ecdsa-sha2-nistp521", 3),
    ("sk-ssh-ed25519@openssh.com", 3),
    ("sk-ecdsa-sha2-nistp256@openssh.com", 4),
];

/// The line to put in `authorized_keys`: trimmed, otherwise as it came.
pub(crate) fn key(text: &str) -> Result<String, Problem> {
    let line = text.trim_ascii();
    if line.starts_with(ARMOUR) || line.starts_with("PuTTY-User-Key-File") {
        return Err(private(line));
    }
    if line.contains(|letter: char| letter.is_ascii_control() && letter != '\t') {
        return Err(Problem::bad(
            "more than one line; give each key its own flag",
        ));
    }
    if line.len() > MAX_KEY {
        return Err(Problem::bad("longer than the 16 KiB sshd takes"));
    }
    let (first, rest) = word(line);
    let (kind, rest) = match known(first) {
        true => (first, rest),
        false => word(options(line)),
    };
    let Some((_, strings)) = TYPES.iter().find(|(name, _)| *name == kind) else {
        let nearest = suggest(first, &mut TYPES.iter().map(|(name, _)| *name));
        return Err(Problem::Bad {
            why: "not a type of SSH key",
            nearest,
        });
    };
    check(kind, *strings, word(rest).0)?;
    Ok(line.to_owned())
}

/// Whether the word may be shown when the key is refused: a type, right or
/// misspelt, but nothing that could be a part of a private key, whose base64
/// has no dash and whose armour has no small letters.
pub(crate) fn harmless(text: &str) -> Option<&str> {
    let first = word(text).0;
    let fits = |byte: u8| byte.is_ascii_lowercase() || b"0123456789-@.".contains(&byte);
    let named = first.contains('-') && !first.starts_with('-') && first.bytes().all(fits);
    (named && first.len() <= 40).then_some(first)
}

fn private(line: &str) -> Problem {
    Problem::bad(match line.contains("PUBLIC") {
        true => "this is a PEM file; give the one line that ssh-keygen -i makes of it",
        false => "this is a PRIVATE key; give the line of its .pub file, and make a new key",
    })
}

fn known(kind: &str) -> bool {
    TYPES.iter().any(|(name, _)| *name == kind)
}

/// The first word, and what follows it.
fn word(line: &str) -> (&str, &str) {
    let line = line.trim_ascii_start();
    line.split_once([' ', '\t']).unwrap_or((line, ""))
}

/// What follows the options in front of a key: they end at the first space
/// outside double quotes, in which `\"` is a quote.
fn options(line: &str) -> &str {
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

/// The blob is whole: its strings fill it exactly, so that a key cut short is
/// found even where the cut leaves good base64.
fn check(kind: &str, strings: usize, base64: &str) -> Result<(), Problem> {
    if base64.is_empty() {
        return Err(Problem::bad(
            "a type without its key; put double quotes around the whole",
        ));
    }
    let damaged = Problem::bad("the key is damaged or cut short");
    let blob = decode(base64).ok_or(damaged.clone())?;
    let (name, rest) = string(&blob).ok_or(damaged.clone())?;
    if name != kind.as_bytes() {
        return Err(Problem::bad(
            "the key is of another type than its first word says",
        ));
    }
    let mut rest = rest;
    for _ in 1..strings {
        (_, rest) = string(rest).ok_or(damaged.clone())?;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(damaged)
    }
}

/// The first string of an SSH blob (RFC 4251, section 5), and what follows.
fn string(blob: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = blob.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}

/// Base64 with its padding, strictly (RFC 4648, section 4), as sshd wants it.
fn decode(text: &str) -> Option<Vec<u8>> {
    let body = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - body.len() > 2 {
        return None;
    }
    let mut blob = Vec::with_capacity(text.len() / 4 * 3);
    let mut held = 0_u32;
    let mut bits = 0_u32;
    for byte in body.bytes() {
        held = held << 6 | u32::from(sextet(byte)?);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            blob.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    (held == 0).then_some(blob)
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
        assert_eq!(options("a,b=\"c d\",e f g"), " f g");
        assert_eq!(options("a=\"x \\\" y\" z"), " z");
        assert_eq!(options("a=\"x y"), "");
        assert_eq!(options("a"), "");
    }

    #[test]
    fn shows_types_only() {
        assert_eq!(harmless("ssh-ed25519 AAAA"), Some("ssh-ed25519"));
        assert_eq!(harmless("ssh-ed25591 AAAA"), Some("ssh-ed25591"));
        for secret in ["b3BlbnNzaC1rZXktdjEA", "-----BEGIN X", "MIIEow/+=", ""] {
            assert_eq!(harmless(secret), None, "{secret}");
        }
    }
}
