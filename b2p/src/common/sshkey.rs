//! SSH keys as OpenSSH writes them: a pair for sshd, and the fingerprint of one half.
//! `ssh-keygen` does both; to start it, libcrypto and all, costs a cold machine a tenth of
//! its boot (docs/measured/figures.md).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use config::FwCfg;
use ed25519_dalek::SigningKey;
use nix::errno::Errno;
use sha2::{Digest, Sha256};
use sys::error::{Doing, Error, Result};
use zeroize::Zeroizing;

/// What a private key begins and ends with (PROTOCOL.key of OpenSSH).
pub const BEGINS: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
/// The last line.
pub const ENDS: &str = "-----END OPENSSH PRIVATE KEY-----\n";

/// The one kind that is made here (RFC 8709).
const KIND: &str = "ssh-ed25519";
/// How many letters OpenSSH puts into a line (its sshbuf_dtob64()).
const LINE: usize = 70;
/// The private half is filled up to a multiple of this: the block size of "none".
const BLOCK: usize = 8;

/// Both files of a key. The private one is wiped from memory with the last use.
pub struct Pair {
    /// Without a passphrase.
    pub private: Zeroizing<String>,
    /// What `.pub` holds.
    pub public: String,
}

/// A new ed25519 key. Waits until the kernel has randomness (getrandom(2)).
///
/// # Errors
/// There is no randomness; then there is no key.
pub fn make(comment: &str) -> Result<Pair> {
    let mut seed = Zeroizing::new([0; 32]);
    let mut check = [0; 4];
    for bytes in [seed.as_mut_slice(), &mut check] {
        let filled = getrandom::fill(bytes).map_err(errno);
        filled.doing("random numbers for a key")?;
    }
    Ok(pair(&seed, check, comment))
}

fn errno(error: getrandom::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// The key of this seed (RFC 8032, 5.1.5). `check` is any number: who decrypts a key
/// sees by it whether the passphrase was right.
fn pair(seed: &[u8; 32], check: [u8; 4], comment: &str) -> Pair {
    let key = SigningKey::from_bytes(seed);
    let blob = blob(&[KIND.as_bytes(), key.verifying_key().as_bytes()]);
    Pair {
        private: armour(&envelope(&blob, &secret(&key, check, comment))),
        public: format!("{KIND} {} {comment}\n", STANDARD.encode(&blob)),
    }
}

/// What is encrypted where there is a passphrase.
fn secret(key: &SigningKey, check: [u8; 4], comment: &str) -> Zeroizing<Vec<u8>> {
    let (both, public) = (Zeroizing::new(key.to_keypair_bytes()), key.verifying_key());
    let fields: [&[u8]; 4] = [
        KIND.as_bytes(),
        public.as_bytes(),
        both.as_slice(),
        comment.as_bytes(),
    ];
    // Room for all of it: what grows leaves copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(256 + comment.len()));
    out.extend([check, check].as_flattened());
    fields.iter().for_each(|field| string(&mut out, field));
    let missing = out.len().next_multiple_of(BLOCK) - out.len();
    out.extend((1..).take(missing));
    out
}

/// The whole file's bytes: no cipher, no way from a passphrase to its key, one key.
fn envelope(public: &[u8], secret: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(128 + public.len() + secret.len()));
    out.extend(b"openssh-key-v1\0");
    for field in [b"none".as_slice(), b"none", b""] {
        string(&mut out, field);
    }
    out.extend(1_u32.to_be_bytes());
    string(&mut out, public);
    string(&mut out, secret);
    out
}

/// Base64 in lines, between the two that say what it is.
fn armour(bytes: &[u8]) -> Zeroizing<String> {
    let text = Zeroizing::new(STANDARD.encode(bytes));
    let mut out = Zeroizing::new(String::with_capacity(128 + text.len() * 2));
    out.push_str(BEGINS);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push_str(ENDS);
    out
}

/// Strings one after the other (RFC 4253, 6.6).
fn blob(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    fields.iter().for_each(|field| string(&mut out, field));
    out
}

/// A string: its length, then it (RFC 4251, 5).
fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

/// Returns one public key in the form in which sshd reads it from an authorized_keys file.
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

/// The fingerprint of the first key in a `.pub` file, as `ssh-keygen -l` shows it;
/// `None` where that is no whole key.
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

    // All of these are ssh-keygen's, of OpenSSH 9.2.
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
        let pair = pair(&seed, CHECK, "boot2podman");
        assert_eq!(pair.public, ED25519);
        assert_eq!(*pair.private, format!("{BEGINS}{SECRET}{ENDS}"));
    }

    #[test]
    fn each_comment_is_filled_up_to_whole_blocks() {
        // Twice the number, the kind, both keys, and the comment's length.
        const FIXED: usize = 8 + (4 + 11) + (4 + 32) + (4 + 64) + 4;
        let key = SigningKey::from_bytes(&[7; 32]);
        for length in 0..=2 * BLOCK {
            let comment = "c".repeat(length);
            let secret = secret(&key, CHECK, &comment);
            assert!(secret.len().is_multiple_of(BLOCK), "{length}");
            let (text, filled) = secret[FIXED..].split_at(length);
            assert_eq!(text, comment.as_bytes());
            let wanted: Vec<u8> = (1..8).take(filled.len()).collect();
            assert_eq!(filled, wanted, "{length}");
        }
    }

    #[test]
    fn no_two_keys_are_the_same() {
        let (one, two) = (make("x").unwrap(), make("x").unwrap());
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
    fn what_is_no_whole_key_has_no_fingerprint() {
        let blob = ED25519.split(' ').nth(1).unwrap();
        let cut = &blob[..blob.len() - 4];
        let other = format!("ssh-rsa {blob}");
        let option = format!("no-pty {ED25519}");
        let (short, cut) = (format!("{KIND} AAAA"), format!("{KIND} {cut}"));
        let secret = format!("{BEGINS}{SECRET}{ENDS}");
        for text in [
            "", "\n\n", "#", KIND, "é ü", "\0\0", &short, &cut, &other, &option, &secret,
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
        assert!(validate("ssh-ed25519 AAAA").is_err() && validate("").is_err());
        assert!(validate(&format!("{key}\n{key}x")).is_err());
    }
}
