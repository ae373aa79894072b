// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used, clippy::ptr_arg)]
use super::*;
use crate::bytes::put;
use crate::disk_op::DiskOp;

pub(crate) const SIZE: u64 = 8 * MIB;

/// Returns a disk with one partition of a GPT from 1 MiB to 7 MiB, and an ext4 of `fs_mib` in the
/// partition.
pub(crate) fn gpt_disk(sector: u32, name: &str, label: &str, fs_mib: u64) -> Vec<u8> {
    let partition = gpt::NewPartition {
        type_guid: [1; 16],
        guid: [2; 16],
        offset: MIB,
        len: 6 * MIB,
        name,
    };
    let mut disk = vec![0; SIZE as usize];
    for op in gpt::create(SIZE, sector, [3; 16], &[partition], &[]) {
        if let DiskOp::Write(at, bytes) = op {
            put(&mut disk, at as usize, &bytes);
        }
    }
    let fs = ext4(label, fs_mib);
    put(&mut disk, MIB as usize, &fs);
    disk
}

/// Returns the first bytes of an ext4 of `mib` MiB.
pub(crate) fn ext4(label: &str, mib: u64) -> Vec<u8> {
    let mut head = vec![0; 4096];
    put(&mut head, 1024 + 4, &((mib * 1024) as u32).to_le_bytes());
    put(&mut head, 1024 + 0x38, &[0x53, 0xef]);
    put(&mut head, 1024 + 0x60, &[0x40]); // INCOMPAT_EXTENTS
    put(&mut head, 1024 + 0x78, label.as_bytes());
    head
}

fn found(disk: &Vec<u8>, sector: u32) -> Option<Truncation> {
    truncation(disk, sector, &probe(disk).unwrap()).unwrap()
}

fn table(disk: &Vec<u8>, sector: u32) -> Option<(u64, Option<u64>, bool)> {
    match found(disk, sector)? {
        Truncation::Table(t) => Some((t.size, t.data_end, t.is_readable)),
        Truncation::FileSystem(..) => None,
    }
}

#[test]
fn every_cut_of_a_gpt_disk_is_found() {
    for sector in [512u32, 4096] {
        let whole = gpt_disk(sector, gpt::DATA_PARTITION_NAME, "x", 6);
        assert_eq!(found(&whole, sector), None);
        let unit = u64::from(sector);
        let array = 16 * 1024 / unit;
        // The backup alone; the last usable sector; the file system; all but the table.
        for (size, is_readable) in [
            (SIZE - unit, true),
            (SIZE - (array + 1) * unit, true),
            (SIZE - (array + 2) * unit, false),
            (6 * MIB, false),
            (2 * MIB, false),
            (64 * 1024, false),
        ] {
            let mut cut = whole.clone();
            cut.truncate(size as usize);
            let expected = Some((SIZE, Some(7 * MIB), is_readable));
            assert_eq!(table(&cut, sector), expected, "{size}");
        }
    }
}

#[test]
fn data_are_known_by_the_partition_or_by_the_label() {
    for (name, label, is_data) in [
        (gpt::DATA_PARTITION_NAME, "", true),
        ("Linux", LABELS[0], true),
        ("", LABELS[2], true),
        ("Linux", "root", false),
    ] {
        let mut cut = gpt_disk(512, name, label, 6);
        cut.truncate(4 << 20);
        let found = found(&cut, 512).unwrap();
        assert_eq!(found.describe(4 << 20).is_some(), is_data, "{name} {label}");
    }
}

#[test]
fn a_damaged_table_gives_no_size() {
    for at in [512, 512 + 16, 512 + 48, 1024 + 32] {
        let mut cut = gpt_disk(512, gpt::DATA_PARTITION_NAME, "x", 6);
        cut.truncate(4 << 20);
        cut[at] ^= 1;
        assert_eq!(found(&cut, 512), None, "{at}");
    }
}

#[test]
fn a_file_system_may_be_as_large_as_its_device_and_no_larger() {
    let mut disk = ext4(LABELS[0], 8);
    disk.resize(SIZE as usize, 0);
    assert_eq!(found(&disk, 512), None);
    disk.truncate(SIZE as usize - 512);
    let cut = found(&disk, 512).unwrap();
    assert_eq!(cut, Truncation::FileSystem(SignatureKind::Ext4, SIZE));
    let why = cut.describe(SIZE - 512).unwrap();
    assert!(
        why.starts_with("it has 8388096 bytes (7 MiB), but its ext4 has 8 MiB"),
        "{why}"
    );
}

#[test]
fn numbers_that_overflow_are_no_size() {
    for last in [u64::MAX, u64::MAX / 512, u64::MAX / 2] {
        let mut disk = gpt_disk(512, gpt::DATA_PARTITION_NAME, "x", 6);
        put(&mut disk, 512 + 32, &last.to_le_bytes());
        put(&mut disk, 512 + 16, &[0; 4]);
        let crc = crate::crc::crc32(&disk[512..512 + 92]);
        put(&mut disk, 512 + 16, &crc.to_le_bytes());
        let _ = found(&disk, 512);
    }
}
