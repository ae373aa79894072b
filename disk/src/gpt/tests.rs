// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used, clippy::ptr_arg, clippy::type_complexity)]
use super::*;
use crate::partition_table;
use proptest::prelude::*;

const SIZE: u64 = 8 * MIB;

fn data_table(size: u64, sector: u32) -> DataTable {
    DataTable {
        size,
        sector,
        offset: 2 * MIB,
        disk_guid: [7; 16],
        partition_guid: [9; 16],
    }
}

fn apply(disk: &mut Vec<u8>, ops: &[DiskOp]) {
    for op in ops {
        if let DiskOp::Write(offset, bytes) = op {
            let at = *offset as usize;
            disk[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }
}

fn disk_with_table(size: u64, sector: u32) -> Vec<u8> {
    let mut disk = vec![0; size as usize];
    apply(&mut disk, &data_table(size, sector).writes(&[]).unwrap());
    disk
}

#[test]
fn partition_table_round_trips_in_any_sector_size() {
    for sector in [512, 4096] {
        let disk = disk_with_table(SIZE, sector);
        let partitions = partition_table::partitions(&disk, sector).unwrap();
        assert_eq!(partitions.len(), 1);
        let p = &partitions[0];
        assert_eq!(
            (p.number, p.offset, p.len, p.name.as_str()),
            (1, 2 * MIB, 5 * MIB, DATA_PARTITION_NAME)
        );
        assert_eq!(p.uuid, "09090909-0909-0909-0909-090909090909");
        let gpt = read(&disk, sector).unwrap().unwrap();
        assert!(gpt.disk_guid == [7; 16] && !gpt.from_backup);
        assert!(gpt.grow(SIZE).is_none() && gpt.repair(SIZE).is_none());
        let signatures = crate::probe::probe(&disk).unwrap();
        assert!(
            signatures.len() == 1 && signatures[0].kind == crate::signature::SignatureKind::Gpt,
            "{signatures:?}"
        );
    }
}

#[test]
fn the_backup_is_read_and_restores_the_primary() {
    let mut disk = disk_with_table(SIZE, 512);
    disk[512 + 40] ^= 1;
    let gpt = read(&disk, 512).unwrap().unwrap();
    assert!(gpt.from_backup && gpt.partitions().len() == 1);
    let writes = gpt.repair(SIZE).unwrap();
    apply(&mut disk, &writes);
    assert_eq!(disk, disk_with_table(SIZE, 512));
    let end = disk.len() - 512;
    disk[512] = 0;
    disk[end] = 0;
    assert!(read(&disk, 512).unwrap().is_none());
}

#[test]
fn a_cut_while_growing_leaves_the_primary_readable() {
    for sector in [512u32, 4096] {
        let mut disk = disk_with_table(SIZE, sector);
        for size in [16 * MIB, 17 * MIB, 40 * MIB] {
            disk.resize(size as usize, 0);
            let old = read(&disk, sector).unwrap().unwrap();
            let (writes, grown) = old.grow(size).unwrap();
            assert_eq!(grown.offset + grown.len, size - MIB);
            // Sectors are written in any order between two flushes.
            let mut durable = disk.clone();
            for group in writes.split(|w| *w == DiskOp::Flush) {
                for reversed in [false, true] {
                    let mut now = durable.clone();
                    let mut sectors: Vec<(usize, Vec<u8>)> = Vec::new();
                    for op in group {
                        let DiskOp::Write(offset, bytes) = op else {
                            continue;
                        };
                        sectors.extend(
                            bytes
                                .chunks(512)
                                .enumerate()
                                .map(|(n, c)| (*offset as usize + n * 512, c.to_vec())),
                        );
                    }
                    if reversed {
                        sectors.reverse();
                    }
                    for (at, bytes) in sectors {
                        now[at..at + bytes.len()].copy_from_slice(&bytes);
                        let gpt = read(&now, sector).unwrap().unwrap();
                        assert!(!gpt.from_backup, "the kernel sees no table");
                        let p = &gpt.partitions()[0];
                        assert!(p.len == grown.len || *p == old.partitions()[0]);
                    }
                }
                apply(&mut durable, group);
            }
            disk = durable;
            assert_eq!(read(&disk, sector).unwrap().unwrap().partitions()[0], grown);
            assert!(read(&disk, sector).unwrap().unwrap().grow(size).is_none());
        }
    }
}

/// First sector with one partition of Linux.
fn foreign_first_sector() -> Vec<u8> {
    let mut sector = vec![0; 512];
    sector[446 + 4] = 0x83;
    sector[446 + 8..446 + 16].copy_from_slice(&[0, 8, 0, 0, 0, 8, 0, 0]);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

#[test]
fn a_backup_table_of_an_overwritten_disk_is_ignored() {
    let mut disk = disk_with_table(SIZE, 512);
    disk[..512].copy_from_slice(&foreign_first_sector());
    assert!(read(&disk, 512).unwrap().is_none(), "the primary");
    let mut larger = disk.clone();
    larger.truncate(disk.len() - 8192);
    assert!(read_oversized(&larger, 512).unwrap().is_none());
    disk[512..1024].fill(0);
    assert!(read(&disk, 512).unwrap().is_none(), "the backup");
    // A first sector that is no table is damage.
    disk[..512].fill(0xff);
    assert!(read(&disk, 512).unwrap().unwrap().from_backup);
}

#[test]
fn a_partition_that_has_grown_does_not_look_like_a_disk() {
    for sector in [512u32, 4096] {
        for growth in [MIB, MIB + 4096, 2 * MIB, 9 * MIB] {
            let mut disk = disk_with_table(SIZE, sector);
            let affected = disk.clone();
            let size = SIZE + growth;
            disk.resize(size as usize, 0);
            let gpt = read(&disk, sector).unwrap().unwrap();
            let (ops, grown) = gpt.grow(size).unwrap();
            apply(&mut disk, &ops);
            let range = grown.offset as usize..(grown.offset + grown.len) as usize;
            assert!(
                crate::probe::probe(&disk[range.clone()].to_vec())
                    .unwrap()
                    .is_empty()
            );
            let cleared = affected.len() - sector as usize..affected.len();
            let is_inside = range.contains(&cleared.start);
            assert!(!is_inside || disk[cleared].iter().all(|byte| *byte == 0));
            // A disk that grew before the header was cleared.
            disk[affected.len() - 4096..affected.len()]
                .copy_from_slice(&affected[affected.len() - 4096..]);
            let found = crate::probe::probe(&disk[range].to_vec()).unwrap();
            assert!(found.is_empty(), "{sector} {growth}: {found:?}");
        }
    }
}

#[test]
fn a_foreign_table_is_not_grown() {
    let mut disk = disk_with_table(SIZE, 512);
    let mut gpt = read(&disk, 512).unwrap().unwrap();
    gpt.entries[56] = b'x';
    apply(&mut disk, &gpt.writes(SIZE));
    disk.resize(16 << 20, 0);
    let gpt = read(&disk, 512).unwrap().unwrap();
    assert_eq!(gpt.partitions()[0].name, "xoot2podman-data");
    assert!(gpt.grow(16 * MIB).is_none());
}

#[test]
fn mbr_partitions_end_with_the_disk() {
    let mut disk = vec![0u8; SIZE as usize];
    disk[440..444].copy_from_slice(&[0x78, 0x56, 0x34, 0x12]);
    disk[446 + 4] = 0x83;
    disk[446 + 8..446 + 16].copy_from_slice(&[0, 8, 0, 0, 0, 8, 0, 0]);
    disk[462 + 4] = 0x82;
    disk[462 + 8..462 + 16].copy_from_slice(&[0, 16, 0, 0, 0, 0, 0, 1]);
    disk[478 + 4] = 0x83;
    disk[478 + 8..478 + 16].copy_from_slice(&[0, 0, 1, 0, 0, 8, 0, 0]);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let partitions = partition_table::partitions(&disk, 512).unwrap();
    assert_eq!(partitions.len(), 2, "the third begins behind the disk");
    assert_eq!(
        (partitions[1].offset, partitions[1].len),
        (2 * MIB, SIZE - 2 * MIB),
        "the second is longer than the disk"
    );
    assert_eq!(
        (
            partitions[0].offset,
            partitions[0].len,
            partitions[0].uuid.as_str()
        ),
        (MIB, MIB, "12345678-01")
    );
}

#[test]
fn a_disk_without_room_gets_no_table() {
    assert!(data_table(2 * MIB, 512).writes(&[]).is_none());
    assert!(data_table(3 * MIB + 16896, 512).writes(&[]).is_some());
}

proptest! {
    #[test]
    fn any_change_to_a_table_is_detected_or_harmless(at in 512usize..17_408, bit in 0u8..8) {
        let good = disk_with_table(SIZE, 512);
        let mut disk = good.clone();
        disk[at] ^= 1 << bit;
        // The rest of the header's sector is reserved; all other bytes have a checksum.
        let gpt = read(&disk, 512).unwrap().unwrap();
        prop_assert!(gpt.from_backup || (512 + HEADER_BYTES..1024).contains(&at));
        prop_assert_eq!(gpt.partitions(), read(&good, 512).unwrap().unwrap().partitions());
    }

    #[test]
    fn any_numbers_in_a_header_are_handled(
        fields in proptest::collection::vec((0usize..92, any::<u8>()), 0..20),
        entries in proptest::collection::vec((0usize..16384, any::<u8>()), 0..20),
    ) {
        let mut disk = disk_with_table(SIZE, 512);
        for (at, byte) in entries {
            disk[1024 + at] = byte;
        }
        let crc = crc32(&disk[1024..17408]);
        put(&mut disk, 512 + 88, &crc.to_le_bytes());
        for (at, byte) in fields {
            disk[512 + at] = byte;
        }
        let len = (le32(&disk, 512 + 12) as usize).min(512);
        put(&mut disk, 512 + 16, &[0; 4]);
        let crc = crc32(&disk[512..512 + len]);
        put(&mut disk, 512 + 16, &crc.to_le_bytes());
        if let Some(gpt) = read(&disk, 512).unwrap() {
            let _ = gpt.partitions();
            let _ = gpt.grow(SIZE * 4);
            let _ = gpt.repair(SIZE);
        }
    }
}

#[test]
fn boot_code_survives_the_growth_of_a_disk_with_several_partitions() {
    let partition = |n: u8, offset: u64, len: u64, name| NewPartition {
        type_guid: [n; 16],
        guid: [n + 1; 16],
        offset: offset * MIB,
        len: len * MIB,
        name,
    };
    let new = [
        partition(1, 1, 1, "boot"),
        partition(3, 2, 5, DATA_PARTITION_NAME),
    ];
    let mut disk = vec![0; SIZE as usize];
    apply(
        &mut disk,
        &create(SIZE, 512, [7; 16], &new, &[0x90; BOOT_CODE_BYTES]),
    );
    disk.resize(2 * SIZE as usize, 0);
    let table = read(&disk, 512).unwrap().unwrap();
    let (writes, grown) = table.grow(2 * SIZE).unwrap();
    assert_eq!(
        (grown.number, grown.offset, grown.len),
        (2, 2 * MIB, 13 * MIB)
    );
    apply(&mut disk, &writes);
    assert_eq!(disk[..BOOT_CODE_BYTES], [0x90; BOOT_CODE_BYTES]);
    assert_eq!(disk[510..512], [0x55, 0xaa]);
    let partitions = read(&disk, 512).unwrap().unwrap().partitions();
    assert_eq!(
        (
            partitions[0].offset,
            partitions[0].len,
            partitions[0].name.as_str()
        ),
        (MIB, MIB, "boot")
    );
    // The boot code also survives a repair from the backup.
    disk[512 + 40] ^= 1;
    let writes = read(&disk, 512).unwrap().unwrap().repair(2 * SIZE).unwrap();
    apply(&mut disk, &writes);
    assert_eq!(disk[..BOOT_CODE_BYTES], [0x90; BOOT_CODE_BYTES]);
}
