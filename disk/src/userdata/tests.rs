// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;
use crate::FORMAT_MAGIC;
use proptest::prelude::*;

/// Returns an entry with its contents.
pub(crate) fn entry(name: &str, typeflag: u8, content: &[u8]) -> Vec<u8> {
    let mut header = vec![0u8; BLOCK];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    header[156] = typeflag;
    header[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut header);
    header.extend_from_slice(content);
    header.resize(header.len().next_multiple_of(BLOCK), 0);
    header
}

fn seal(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header[..BLOCK].iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// Returns an archive in the form of docker-machine (libmachine/mcnutils/b2d.go).
pub(crate) fn machine(key: &[u8]) -> Vec<u8> {
    let mut tar = entry(FORMAT_MAGIC[1], b'0', FORMAT_MAGIC[1].as_bytes());
    tar.extend(entry(".ssh", b'5', b""));
    tar.extend(entry(".ssh/authorized_keys", b'0', key));
    tar.extend(entry(".ssh/authorized_keys2", b'0', key));
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn on_disk(tar: &[u8]) -> Vec<u8> {
    let mut disk = tar.to_vec();
    disk.resize(MAX_ARCHIVE_BYTES + (1 << 20), 0);
    disk
}

fn error_of(entries: &[Vec<u8>]) -> String {
    let mut tar = entry(FORMAT_MAGIC[0], b'0', b"");
    tar.extend(entries.concat());
    read(&on_disk(&tar)).unwrap_err().to_string()
}

#[test]
fn docker_machine_and_keys_of_any_length() {
    for length in [80, 743, 4096, 100_000] {
        let key = vec![b'k'; length];
        let tar = machine(&key);
        let got = read(&on_disk(&tar)).unwrap();
        assert_eq!(got.raw, tar);
        assert_eq!(got.files.len(), 2, "the request is no file");
        assert_eq!(got.file(".ssh/authorized_keys"), Some(&key[..]));
        assert!(is_header(&tar[..512]) && got.files[0].mode == 0o644);
    }
}

#[test]
fn long_names_and_pax() {
    let long = format!("{}/x", "d".repeat(200));
    let mut tar = entry(FORMAT_MAGIC[0], 0, b"");
    tar.extend(entry("././@LongLink", b'L', format!("{long}\0").as_bytes()));
    tar.extend(entry("short", b'0', b"1"));
    let record = format!("path=./{long}2\n");
    let record = format!("{} {record}", record.len() + 4);
    tar.extend(entry("PaxHeaders", b'x', record.as_bytes()));
    tar.extend(entry("short", b'0', b"2"));
    tar.extend(entry("short", b'0', b"3"));
    let got = read(&on_disk(&tar)).unwrap();
    assert_eq!(got.file(&long), Some(&b"1"[..]));
    assert_eq!(got.file(&format!("{long}2")), Some(&b"2"[..]));
    assert_eq!(got.file("short"), Some(&b"3"[..]));
}

#[test]
fn a_prefix_is_part_of_the_name() {
    let mut header = entry("keys", b'0', b"k");
    header[345..349].copy_from_slice(b".ssh");
    seal(&mut header);
    let tar = [entry(FORMAT_MAGIC[0], b'0', b""), header].concat();
    assert_eq!(
        read(&on_disk(&tar)).unwrap().file(".ssh/keys"),
        Some(&b"k"[..])
    );
}

#[test]
fn an_archive_with_a_bad_entry_is_refused() {
    let good = entry("good", b'0', b"x");
    for (bad, what) in [
        (entry("/etc/passwd", b'0', b""), "an absolute path"),
        (entry("a/../../b", b'0', b""), "a path with `..`"),
        (entry("..", b'5', b""), "a path with `..`"),
        (entry("l", b'2', b""), "a link"),
        (entry("l", b'1', b""), "a link"),
        (entry("d", b'3', b""), "a device"),
        (entry("d", b'4', b""), "a device"),
        (entry("f", b'6', b""), "a device"),
        (entry("s", b'S', b""), "an entry of a type"),
        (entry("x", b'x', b"99 path=y\n"), "a malformed pax record"),
        (
            entry("x", b'x', b"17 size=-1234567\n"),
            "a malformed pax size",
        ),
        (entry("g", b'g', b"11 path=yy\n"), "an entry of a type"),
        (entry("a\nb", b'0', b""), "a name that is too long"),
        (
            entry("big", b'0', &vec![0; MAX_FILE_BYTES + 1]),
            "longer than 1 MiB",
        ),
    ] {
        let error = error_of(&[good.clone(), bad]);
        assert!(
            error.starts_with("at byte 1536: ") && error.contains(what),
            "{error}"
        );
    }
    let mut torn = good.clone();
    torn[0] ^= 1;
    assert!(error_of(&[torn]).contains("checksum"));
}

#[test]
fn sizes_and_numbers_are_bounded() {
    let meg = entry("m", b'0', &vec![1; MAX_FILE_BYTES]);
    assert!(error_of(&vec![meg; 17]).contains("longer than 16 MiB"));
    assert!(error_of(&vec![entry("e", b'0', b""); MAX_ENTRIES]).contains("1000 entries"));
    let exact = [
        vec![entry(FORMAT_MAGIC[0], b'0', b"")],
        vec![entry("e", b'0', b""); MAX_ENTRIES - 1],
    ]
    .concat();
    assert_eq!(
        read(&on_disk(&exact.concat())).unwrap().files.len(),
        MAX_ENTRIES - 1
    );
}

#[test]
fn the_end_may_be_one_block_or_the_end_of_the_disk() {
    let mut tar = machine(b"k");
    tar.truncate(tar.len() - 512);
    assert_eq!(read(&tar).unwrap().raw.len(), tar.len() + 512);
    let mut noise = tar.clone();
    noise.extend([7; 600]);
    assert_eq!(read(&noise).unwrap().raw, read(&tar).unwrap().raw);
    tar.truncate(tar.len() - 512);
    assert!(read(&tar).unwrap_err().to_string().contains("cut off"));
    assert!(
        read(&vec![0; 1024])
            .unwrap_err()
            .to_string()
            .contains("empty")
    );
    assert!(
        read(&entry("other", b'0', b""))
            .unwrap_err()
            .to_string()
            .contains("words")
    );
}

/// The length of a record in a pax header may have any number of digits (POSIX, pax, "pax Extended
/// Header"): more than an integer holds is a defect, not an overflow.
#[test]
fn a_pax_length_of_any_number_of_digits_is_refused() {
    for digits in [10, 20, 40, 400] {
        let record = format!("{} path=name\n", "9".repeat(digits));
        assert_eq!(pairs(record.as_bytes()).next(), Some(None), "{digits}");
        assert_eq!(decimal("9".repeat(digits).as_bytes()), None);
        assert_eq!(octal("7".repeat(digits + 2).as_bytes()), None);
    }
    assert_eq!(decimal(b"999999999"), Some(999_999_999));
    assert_eq!(octal(b"77777777777 "), Some(0o77777777777));
}

proptest! {
    #[test]
    fn any_change_is_read_or_refused(
        changes in proptest::collection::vec((0usize..4096, any::<u8>()), 1..30),
        reseal in any::<bool>(),
    ) {
        let mut tar = machine(&[b'k'; 800]);
        for (at, byte) in changes {
            tar[at] = byte;
        }
        if reseal {
            for block in tar.chunks_mut(BLOCK) {
                seal(block);
            }
        }
        if let Ok(got) = read(&tar) {
            prop_assert!(got.raw.len() <= MAX_ARCHIVE_BYTES + BLOCK);
            for file in &got.files {
                prop_assert!(!file.path.starts_with('/') && !file.path.split('/').any(|s| s == ".."));
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let _ = read(&bytes);
        let _ = is_header(&bytes);
    }
}
