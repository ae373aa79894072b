// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;

/// Offset of the code in [`original`], and of the table of relocations.
const CODE: usize = 8;
const TABLE: usize = 40;

/// A file with the flags at 0, two calls in its code, and three relocations.
fn original() -> Vec<u8> {
    let mut file = vec![0; TABLE + 3 * RELOCATION];
    file[0] = 2;
    for (call, index) in [(4, 0), (20, 2)] {
        file[CODE + call..][..5].copy_from_slice(&CALL);
        let at = TABLE + index * RELOCATION;
        file[at..][..8].copy_from_slice(&(call as u64 + 1).to_le_bytes());
        file[at + 8..][..8].copy_from_slice(&(7u64 << 32 | 4).to_le_bytes());
    }
    file.extend(b"signature");
    file
}

/// Numbers of the record of [`patched`].
const CHANGES: [u64; 8] = [0, 2, CODE as u64, TABLE as u64, 7 << 32 | 4, 2, 0, 2];

fn patched(changes: &[u64]) -> Vec<u8> {
    let mut file = original();
    file[0] = 0;
    for (call, index) in [(4, 0), (20, 2)] {
        file[CODE + call..][..5].copy_from_slice(&NOP);
        file[TABLE + index * RELOCATION + 8..][..8].fill(0);
    }
    let start = file.len();
    for number in changes {
        let mut rest = *number;
        while rest > 0x7f {
            file.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        file.push(rest as u8);
    }
    let length = (file.len() - start) as u32;
    file.extend(length.to_le_bytes());
    file.extend(MAGIC);
    file
}

#[test]
fn the_original_is_restored() {
    let mut file = patched(&CHANGES);
    assert_eq!((restore(&mut file), file), (Ok(()), original()));
}

#[test]
fn without_changes_only_the_record_is_removed() {
    let mut file = [&b"module"[..], &[0; 4], MAGIC].concat();
    assert_eq!((restore(&mut file), &file[..]), (Ok(()), &b"module"[..]));
}

#[test]
fn a_file_without_a_record_is_left_alone() {
    for plain in [&b""[..], b"module", &MAGIC[1..], &original()] {
        let mut file = plain.to_vec();
        assert_eq!((restore(&mut file), &file[..]), (Ok(()), plain));
    }
}

#[test]
fn a_damaged_record_is_an_error() {
    let with = |at: usize, number: u64| {
        let mut changes = CHANGES;
        changes[at] = number;
        patched(&changes)
    };
    let length = |length: u32| {
        let mut file = patched(&CHANGES);
        let at = file.len() - MAGIC.len() - 4;
        file[at..at + 4].copy_from_slice(&length.to_le_bytes());
        file
    };
    let cases: [(&str, Vec<u8>); 14] = [
        ("only the magic", MAGIC.to_vec()),
        ("no room for the length", [&b"abc"[..], MAGIC].concat()),
        ("longer than the file", length(1 << 20)),
        ("longest", length(u32::MAX)),
        ("cut in the middle", length(3)),
        ("flags outside", with(0, 1 << 20)),
        ("code outside", with(2, 1 << 20)),
        ("code at the end of memory", with(2, u64::MAX)),
        ("table outside", with(3, u64::MAX - 4)),
        ("other code", with(2, CODE as u64 + 1)),
        ("more calls than numbers", with(5, u64::MAX)),
        ("fewer calls than numbers", with(5, 1)),
        ("the same call twice", with(7, 0)),
        ("a distance that overflows", with(7, u64::MAX)),
    ];
    for (what, mut file) in cases {
        assert_eq!(restore(&mut file), Err(Damaged), "{what}");
    }
}

#[test]
fn no_damage_is_a_reason_to_panic() {
    let file = patched(&CHANGES);
    for at in 0..file.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bent = file.clone();
            bent[at] = byte;
            let _ = restore(&mut bent);
            let mut cut = [&file[..at], MAGIC].concat();
            let _ = restore(&mut cut);
        }
    }
}
