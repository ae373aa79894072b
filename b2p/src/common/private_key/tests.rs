// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;
use crate::common::sshkey;

// Made by ssh-keygen of OpenSSH 9.2 for these tests.
const PASSPHRASE: &str = "\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABDzocO/WU
7exYY70UJz+zZhAAAABAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIMJU21qjkldzBlz/
Si3SBGB0yrjE2Y44mABSiR/X662jAAAAkNtRjMTf1i5MmQWpCpyrxVu0HpuvA0U7lVCXSi
2onIZwrBBreC7n/1igpFvY2lE1rU/V004CrsKihm6OUXLgi82OWoZz5IN5JNcNnG8LTF7c
E4ssO3QZdA4tZC6ELxmA6zoY0n0lPrLdEg0UtjJD8xu1sjDy4iS4jC6Td7DWQrYI6Vu5t6
XtU2uXabcA95NLrQ==
-----END OPENSSH PRIVATE KEY-----
";
const ECDSA: &str = "\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAaAAAABNlY2RzYS
1zaGEyLW5pc3RwMjU2AAAACG5pc3RwMjU2AAAAQQQRsYfRYCqzBbZ3DBHUR4AEet2B/NRS
TfoB9+T0/Vy93nk983HpmuueWo9Hih+7UvcAVJetC/A5QqskQ8DSUcT5AAAAoPMSuQzzEr
kMAAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBBGxh9FgKrMFtncM
EdRHgAR63YH81FJN+gH35PT9XL3eeT3zcema655aj0eKH7tS9wBUl60L8DlCqyRDwNJRxP
kAAAAgBpCd4PZE1DJeJea8oKSf+aCShNOEcz5u0HEOCjwmiGMAAAACZWMBAgMEBQY=
-----END OPENSSH PRIVATE KEY-----
";

fn reason(text: &[u8]) -> String {
    judge(text).unwrap_err().to_string()
}

/// Returns the key with its decoded bytes changed.
fn changed(private: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let body = private.strip_prefix(FIRST_LINE).unwrap();
    let body = body.strip_suffix(LAST_LINE).unwrap().replace('\n', "");
    let mut bytes = STANDARD.decode(body).unwrap();
    change(&mut bytes);
    format!("{FIRST_LINE}{}\n{LAST_LINE}", STANDARD.encode(bytes))
}

#[test]
fn a_whole_key_gives_its_public_half() {
    for comment in ["boot2podman", "a b", ""] {
        let pair = sshkey::generate(comment).unwrap();
        let line = pair.public.replace(" \n", "\n");
        assert_eq!(judge(pair.private.as_bytes()), Ok(Verdict::Whole(line)));
    }
    let pair = sshkey::generate("two\nlines").unwrap();
    let line = pair.public.lines().next().unwrap().trim_end_matches(" two");
    let whole = Verdict::Whole(format!("{line}\n"));
    assert_eq!(judge(pair.private.as_bytes()), Ok(whole));
}

#[test]
fn other_types_and_formats_are_for_openssh_to_judge() {
    let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n";
    for text in [ECDSA, pem] {
        assert_eq!(judge(text.as_bytes()), Ok(Verdict::Unknown), "{text}");
    }
}

#[test]
fn each_unusable_private_key_has_its_reason() {
    let pair = sshkey::generate("x").unwrap();
    let private = pair.private.as_str();
    let unfinished = private.strip_suffix(LAST_LINE).unwrap();
    let line = private.replacen("b3BlbnNzaC1rZXktdjEA", "b3BlbnNzaC1r%!XktdjEA", 1);
    let mut zeros = private.as_bytes().to_vec();
    zeros[100..200].fill(0);
    for (text, why) in [
        (PASSPHRASE.as_bytes(), "it has a passphrase"),
        (b"".as_slice(), "it is empty"),
        (b"\n \n", "it is empty"),
        (&[0; 400], "its first line is not that of a private key"),
        (&[0xff, 0xfe, 0x2d], "it is not text"),
        (b"hello", "its first line is not that of a private key"),
        (pair.public.as_bytes(), "it is the public half of a key"),
        (unfinished.as_bytes(), "its end is missing"),
        (line.as_bytes(), "a line of it is damaged"),
        (&zeros, "a line of it is damaged"),
        (
            changed(private, |b| b.truncate(40)).as_bytes(),
            "it is cut off",
        ),
        (changed(private, |b| b.push(0)).as_bytes(), "it is damaged"),
    ] {
        assert!(reason(text).starts_with(why), "{}: {why}", reason(text));
    }
}

/// The text may be cut anywhere, and any byte of the key be another.
#[test]
fn no_damage_is_missed() {
    let pair = sshkey::generate("c").unwrap();
    let private = pair.private.as_str();
    let last = private.trim_end().len();
    for end in 0..last {
        let judged = judge(&private.as_bytes()[..end]);
        assert!(
            matches!(judged, Err(_) | Ok(Verdict::Unknown)),
            "cut at {end}"
        );
    }
    let mut length = 0;
    changed(private, |bytes| length = bytes.len());
    let mut missed = Vec::new();
    for at in 0..length {
        for bit in 0..8 {
            let damaged = changed(private, |bytes| bytes[at] ^= 1 << bit);
            if !matches!(judge(damaged.as_bytes()), Err(_) | Ok(Verdict::Unknown)) {
                missed.push(at);
            }
        }
    }
    missed.dedup();
    // The comment "c", and its length, which may take in the four bytes of padding.
    assert_eq!(missed, [length - 6, length - 5], "of {length}");
}
