// SPDX-License-Identifier: Apache-2.0
//! SSH keys in the formats of OpenSSH: a key pair for sshd, a check of public keys, and their
//! fingerprints. `ssh-keygen` does all of this as well, but its start, with libcrypto, costs a cold
//! machine a tenth of its boot (docs/measured/figures.md).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use config::FwCfg;
use ed25519_dalek::SigningKey;
use nix::errno::Errno;
use sha2::{Digest, Sha256};
use sys::error::{Doing, Error, Result};
use zeroize::Zeroizing;

/// First line of a private key (PROTOCOL.key of OpenSSH).
pub const FIRST_LINE: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
/// Last line of a private key.
pub const LAST_LINE: &str = "-----END OPENSSH PRIVATE KEY-----\n";

/// Type of the keys that are made here (RFC 8709).
const KEY_TYPE: &str = "ssh-ed25519";
/// Length of OpenSSH's lines of base64 (its sshbuf_dtob64()).
const LINE_LENGTH: usize = 70;
/// Block size of the cipher "none": the private half is padded to a multiple of this size.
const BLOCK_SIZE: usize = 8;

/// Texts of the two files of a key. The drop of the value wipes the private text from memory.
pub struct KeyPair {
    /// Private key without a passphrase.
    pub private: Zeroizing<String>,
    /// Text of the `.pub` file.
    pub public: String,
}

/// Returns a new ed25519 key. Waits until the kernel has random numbers (getrandom(2)).
///
/// # Errors
/// The kernel gives no random numbers.
pub fn generate(comment: &str) -> Result<KeyPair> {
    let mut seed = Zeroizing::new([0; 32]);
    let mut check = [0; 4];
    for bytes in [seed.as_mut_slice(), &mut check] {
        let filled = getrandom::fill(bytes).map_err(errno);
        filled.doing("random numbers for a key")?;
    }
    Ok(key_pair(&seed, check, comment))
}

fn errno(error: getrandom::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Returns the key of a seed (RFC 8032, 5.1.5). `check` is any number; by it the reader of an
/// encrypted key sees if the passphrase was right.
fn key_pair(seed: &[u8; 32], check: [u8; 4], comment: &str) -> KeyPair {
    let key = SigningKey::from_bytes(seed);
    let blob = blob(&[KEY_TYPE.as_bytes(), key.verifying_key().as_bytes()]);
    KeyPair {
        private: armour(&key_file(&blob, &private_part(&key, check, comment))),
        public: format!("{KEY_TYPE} {} {comment}\n", STANDARD.encode(&blob)),
    }
}

/// Returns the part of the file that a passphrase would encrypt.
fn private_part(key: &SigningKey, check: [u8; 4], comment: &str) -> Zeroizing<Vec<u8>> {
    let both_halves = Zeroizing::new(key.to_keypair_bytes());
    let public = key.verifying_key();
    let fields: [&[u8]; 4] = [
        KEY_TYPE.as_bytes(),
        public.as_bytes(),
        both_halves.as_slice(),
        comment.as_bytes(),
    ];
    // Enough capacity from the start: a vector that grows leaves copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(256 + comment.len()));
    out.extend([check, check].as_flattened());
    fields.iter().for_each(|field| push_string(&mut out, field));
    let padding = out.len().next_multiple_of(BLOCK_SIZE) - out.len();
    out.extend((1..).take(padding));
    out
}

/// Returns the bytes of the whole file: cipher "none", key derivation "none", one key.
fn key_file(public: &[u8], private: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(128 + public.len() + private.len()));
    out.extend(b"openssh-key-v1\0");
    for field in [b"none".as_slice(), b"none", b""] {
        push_string(&mut out, field);
    }
    out.extend(1_u32.to_be_bytes());
    push_string(&mut out, public);
    push_string(&mut out, private);
    out
}

/// Returns `bytes` as lines of base64 between the first and the last line.
fn armour(bytes: &[u8]) -> Zeroizing<String> {
    let text = Zeroizing::new(STANDARD.encode(bytes));
    let mut out = Zeroizing::new(String::with_capacity(128 + text.len() * 2));
    out.push_str(FIRST_LINE);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE_LENGTH));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push_str(LAST_LINE);
    out
}

/// Returns the fields as strings, one after the other (RFC 4253, 6.6).
fn blob(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    fields.iter().for_each(|field| push_string(&mut out, field));
    out
}

/// Appends a string: its length, then its bytes (RFC 4251, 5).
fn push_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

/// Returns one public key in the form of an authorized_keys file.
///
/// # Errors
/// `text` is not exactly one public key, of a type that sshd knows.
pub fn validate(text: &str) -> Result<String> {
    let entry = FwCfg {
        name: b"ssh_key",
        value: text.as_bytes(),
    };
    let (config, complaints) = config::parse(b"", &[entry]);
    match (config.ssh_keys.as_slice(), complaints.as_slice()) {
        ([key], []) => Ok(key.clone()),
        (_, [first, ..]) => Err(Error::invalid(first.to_string())),
        _ => Err(Error::invalid(
            "one key, as in a .pub file: <type> <base64> <comment>",
        )),
    }
}

/// Returns the fingerprint of the first key in a `.pub` file, in the form of `ssh-keygen -l`, or
/// `None` if that is not a whole key.
pub fn fingerprint(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let line = validate(line).ok()?;
    let blob = STANDARD
        .decode(line.split_ascii_whitespace().nth(1)?)
        .ok()?;
    let hash = STANDARD_NO_PAD.encode(Sha256::digest(blob));
    Some(format!("SHA256:{hash}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // All keys and fingerprints are from ssh-keygen of OpenSSH 9.2.
    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJvTUVoGBeCZTpmeXIkcPF0EdLRepoJzy3s9KW8+jOOX boot2podman\n";
    const ED25519_PRINT: &str = "SHA256:HyzfGRXMa3JOAVDQCtWZaAu8V1VAYE8UXzTCLW/6bGg";
    const SECRET: &str = "\
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACCb01FaBgXgmU6ZnlyJHDxdBHS0XqaCc8t7PSlvPozjlwAAAJBMbbE7TG2x
OwAAAAtzc2gtZWQyNTUxOQAAACCb01FaBgXgmU6ZnlyJHDxdBHS0XqaCc8t7PSlvPozjlw
AAAEBUM/j24yCb9URUY1Sv4DqWYAcPd/ntqNqwNbKHsvlZnZvTUVoGBeCZTpmeXIkcPF0E
dLRepoJzy3s9KW8+jOOXAAAAC2Jvb3QycG9kbWFuAQI=
";
    const SEED: &str = "VDP49uMgm/VEVGNUr+A6lmAHD3f57ajasDWyh7L5WZ0=";
    const CHECK: [u8; 4] = [0x4c, 0x6d, 0xb1, 0x3b];
    const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDR+pV9a1Yq4t73LvXFle3m8H7mE4/57B/V66d64vKwCF0cpJw8Ed2tVvH3tdTnUcCIuuYeeIHwkN5FTtISQ+RUwpCNT/Ut6B0qP8aVvsO4qGlYh88oZFSxbaQAQIy9lZleGELkJDilYMrDU9eWBU451Nr7oFygSJZx6PBc6Vazc3jhidpemMbmMby0gBBgeX75cOCI8luX2wVnRyY8hjWwed/Q+GA2XS7hzMIfzNzm4b3zchSMuLeeR57Mtcgv1cMovzPHhUEdxZFaYCpJcsE5wqY7eTBQhg0HV4UHIBFGxjCJALl8L4EI08lZoBbZFfdzdvUCdqYvfltkjbmij0Av a b";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBDcRkzAYgHuP33uA56Tg0XveAcX2KXsQJhL0w8gPLJakSNEPoJpJRD8a/9tEmhClvsAxb2CHENvUex/KgN+WYsY= x";

    #[test]
    fn both_files_are_what_ssh_keygen_made_of_the_same_seed() {
        let seed = STANDARD.decode(SEED).unwrap().try_into().unwrap();
        let pair = key_pair(&seed, CHECK, "boot2podman");
        assert_eq!(pair.public, ED25519);
        assert_eq!(*pair.private, format!("{FIRST_LINE}{SECRET}{LAST_LINE}"));
    }

    #[test]
    fn each_comment_is_filled_up_to_whole_blocks() {
        // Twice the number, the type, both keys, and the length of the comment.
        const FIXED: usize = 8 + (4 + 11) + (4 + 32) + (4 + 64) + 4;
        let key = SigningKey::from_bytes(&[7; 32]);
        for length in 0..=2 * BLOCK_SIZE {
            let comment = "c".repeat(length);
            let private = private_part(&key, CHECK, &comment);
            assert!(private.len().is_multiple_of(BLOCK_SIZE), "{length}");
            let (text, filled) = private[FIXED..].split_at(length);
            assert_eq!(text, comment.as_bytes());
            let wanted: Vec<u8> = (1..8).take(filled.len()).collect();
            assert_eq!(filled, wanted, "{length}");
        }
    }

    #[test]
    fn no_two_keys_are_the_same() {
        let (one, two) = (generate("x").unwrap(), generate("x").unwrap());
        assert!(*one.private != *two.private && one.public != two.public);
        assert!(fingerprint(&one.public).is_some());
    }

    #[test]
    fn fingerprints_are_those_of_ssh_keygen() {
        let rsa = "SHA256:w27iwzRLvDPYIcbqmdZQ6BGdkDlqMcN1QVh+//pkHy4";
        let ecdsa = "SHA256:H/8Ciika3Q0D1CaR5lWr8p0zN72k+5IXhKREvO7YEzM";
        for (text, wanted) in [(ED25519, ED25519_PRINT), (RSA, rsa), (ECDSA, ecdsa)] {
            assert_eq!(fingerprint(text).as_deref(), Some(wanted));
            let more = format!("\n# mine\r\n {text}\r\nssh-rsa AAAA\n");
            assert_eq!(fingerprint(&more).as_deref(), Some(wanted));
        }
    }

    #[test]
    fn incomplete_keys_have_no_fingerprint() {
        let blob = ED25519.split(' ').nth(1).unwrap();
        let cut = &blob[..blob.len() - 4];
        let other = format!("ssh-rsa {blob}");
        let option = format!("no-pty {ED25519}");
        let (short, cut) = (format!("{KEY_TYPE} AAAA"), format!("{KEY_TYPE} {cut}"));
        let secret = format!("{FIRST_LINE}{SECRET}{LAST_LINE}");
        for text in [
            "", "\n\n", "#", KEY_TYPE, "é ü", "\0\0", &short, &cut, &other, &option, &secret,
        ] {
            assert_eq!(fingerprint(text), None, "{text}");
        }
        for end in 0..ED25519.len() - " boot2podman\n".len() {
            assert_eq!(fingerprint(&ED25519[..end]), None, "{end}");
        }
    }

    #[test]
    fn only_one_whole_key_is_valid() {
        let key = ED25519.trim_end();
        assert_eq!(validate(&format!(" {key} \n")).unwrap(), key);
        assert_eq!(validate(&format!("\u{feff}{key}\r\n")).unwrap(), key);
        assert!(validate("ssh-ed25519 AAAA").is_err() && validate("").is_err());
        assert!(validate(&format!("{key}\n{key}x")).is_err());
    }
}
