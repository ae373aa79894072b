// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used, clippy::ptr_arg)]
use super::*;
use crate::LABELS;
use crate::probe::probe;
use crate::truncation::tests::{SIZE, ext4, gpt_disk};

fn found(disk: &Vec<u8>, sector: u32) -> Option<TableFault> {
    table_fault(disk, sector, &probe(disk).unwrap()).unwrap()
}

#[test]
fn a_table_for_other_sectors_is_found_on_a_disk_of_ours_alone() {
    for (made_for, has) in [(512, 4096), (4096, 512)] {
        for (name, label, is_ours) in [
            (gpt::DATA_PARTITION_NAME, "", true),
            ("Linux", LABELS[0], true),
            ("Linux", "root", false),
        ] {
            let disk = gpt_disk(made_for, name, label, 6);
            let fault = is_ours.then_some(TableFault::OtherSector(made_for));
            assert_eq!(found(&disk, has), fault, "{made_for} {name} {label}");
            assert_eq!(found(&disk, made_for), None, "it is read");
        }
    }
}

#[test]
fn data_behind_a_damaged_table_are_found() {
    for sector in [512u32, 4096] {
        let whole = gpt_disk(sector, gpt::DATA_PARTITION_NAME, LABELS[0], 6);
        let unit = sector as usize;
        let end = SIZE as usize - unit;
        // The signatures, the checksums, an entry of each array, and all of the front and the end.
        for (front, back) in [
            (unit..unit + 1, end..end + 1),
            (unit + 16..unit + 17, end + 16..end + 17),
            (
                2 * unit + 32..2 * unit + 33,
                end - 16384 + 32..end - 16384 + 33,
            ),
            (0..64 << 10, SIZE as usize - (64 << 10)..SIZE as usize),
        ] {
            let mut disk = whole.clone();
            disk[front.clone()]
                .iter_mut()
                .for_each(|byte| *byte ^= 0x55);
            assert_eq!(found(&disk, sector), None, "the backup is read");
            disk[back].iter_mut().for_each(|byte| *byte ^= 0x55);
            assert_eq!(found(&disk, sector), Some(TableFault::Damaged), "{front:?}");
        }
        // An enlarged disk has no backup in its last sector.
        let mut disk = whole.clone();
        disk.resize(2 * SIZE as usize, 0);
        disk[unit + 16] ^= 1;
        assert_eq!(found(&disk, sector), Some(TableFault::Damaged));
        let mut others = gpt_disk(sector, "Linux", "root", 6);
        others[unit] ^= 1;
        others[end] ^= 1;
        assert_eq!(found(&others, sector), None, "a disk of somebody else");
    }
}

#[test]
fn the_rest_of_a_table_leads_to_a_partition_at_any_place() {
    let mut disk = gpt_disk(512, "Linux", "", 6);
    let at = 5 * MIB;
    let fs = ext4(LABELS[1], 1);
    crate::bytes::put(&mut disk, at as usize, &fs);
    for array in [1024, SIZE as usize - 512 - 16384] {
        crate::bytes::put(&mut disk, array + 32, &(at / 512).to_le_bytes());
    }
    assert_eq!(found(&disk, 512), Some(TableFault::Damaged));
}

#[test]
fn a_disk_without_data_says_nothing() {
    let blank = vec![0; SIZE as usize];
    let noise: Vec<u8> = (0..SIZE).map(|n| (n * n / 7) as u8).collect();
    for disk in [blank, noise, Vec::new(), vec![0; 4096]] {
        assert_eq!(found(&disk, 512), None);
    }
    let mut fs = ext4(LABELS[0], 8);
    fs.resize(SIZE as usize, 0);
    assert_eq!(found(&fs, 512), None, "no table is missing");
}
