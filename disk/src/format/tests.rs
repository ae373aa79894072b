// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;
use crate::bytes::put;
use crate::format_state::{FormatState, format_state, request_sector};
use crate::probe;
use crate::userdata::tests::{entry, machine};

mod fake_disk;

use fake_disk::{Coins, FakeDisk, LATER_DATA, PowerCut, USERDATA};

/// Takes the steps of `b2p data` at one boot. Returns true if there was anything to do.
fn boot(disk: &mut FakeDisk, random: u8) -> Result<bool, FormatError<PowerCut>> {
    let size = disk.size;
    match format_state(disk, 512).unwrap() {
        FormatState::Unrelated => Ok(false),
        FormatState::Requested(data, found) => {
            assert!(found.is_empty(), "{found:?}");
            let record = FormatRecord::new(
                data.raw,
                512,
                [[random; 16], [random + 1; 16], [random + 2; 16]],
            );
            format(size, &record, true, disk).map(|()| true)
        }
        FormatState::InProgress(record) => format(size, &record, false, disk).map(|()| true),
        FormatState::Complete(record) => finish(size, &record, disk)
            .map(|()| true)
            .map_err(FormatError::Step),
        FormatState::Refused(why) => panic!("refused: {why}"),
    }
}

/// Checks that the format is complete, with this archive in the file system.
fn assert_complete(disk: &FakeDisk, archive: &[u8]) {
    assert_eq!(format_state(disk, 512).unwrap(), FormatState::Unrelated);
    let parts = crate::partition_table::partitions(disk, 512).unwrap();
    assert_eq!(parts.len(), 1);
    let inside = crate::bytes::Range {
        source: disk,
        offset: parts[0].offset,
        len: parts[0].len,
    };
    let found = probe::probe(&inside).unwrap();
    assert_eq!(found[0].label.as_deref(), Some(LABELS[0]), "{found:?}");
    let stored = crate::bytes::read_at(&inside, USERDATA, archive.len()).unwrap();
    assert_eq!(stored, archive);
    let first = disk.sector(0);
    assert!(!crate::requests_format(&first));
    assert_eq!(
        crate::format_record::leftover(disk, &[1; 16], parts[0].offset).unwrap(),
        None
    );
}

fn archives() -> Vec<Vec<u8>> {
    let mut long = machine(&[b'k'; 743]);
    long.truncate(long.len() - 1024);
    for _ in 0..2 {
        long.extend(entry("x", b'0', &vec![b'x'; 530_000]));
    }
    long.extend([0; 1024]);
    let mut magic = crate::FORMAT_MAGIC[1].as_bytes().to_vec();
    magic.push(b'\n');
    vec![machine(&[b'k'; 743]), long, request_sector(), magic]
}

/// Returns the contents of userdata.tar for the bytes at the front of the disk.
fn expected(front: &[u8]) -> Vec<u8> {
    match front.len() {
        30 => Vec::new(),
        512 => [front, &[0; 1024]].concat(),
        _ => front.to_vec(),
    }
}

/// Cuts the power after every single write, with none, all, and some of the cached writes stored,
/// and then once more during the recovery.
#[test]
fn no_cut_loses_the_archive_or_is_taken_for_data() {
    for front in archives() {
        let (start, archive) = (FakeDisk::new(64 * MIB, &front), expected(&front));
        let mut whole = start.clone();
        assert!(boot(&mut whole, 1).unwrap());
        assert_complete(&whole, &archive);
        let step = if archive.len() > 100_000 { 9 } else { 1 };
        for at in (0..whole.writes_done - start.writes_done).step_by(step) {
            for seed in [0, u64::MAX, 0x9e37_79b9 + at as u64] {
                let mut coins = Coins(seed);
                let mut disk = FakeDisk {
                    writes_left: at,
                    writes_done: 0,
                    ..start.clone()
                };
                assert!(boot(&mut disk, 1).is_err());
                let mut disk = disk.after_power_cut(&mut coins);
                // The second cut is after any number of writes.
                disk.writes_left = Coins(at as u64 + 77).next() as usize % 140;
                if boot(&mut disk, 20).is_err() {
                    disk = disk.after_power_cut(&mut coins);
                }
                disk.writes_left = usize::MAX;
                for _ in 0..3 {
                    boot(&mut disk, 40).unwrap();
                }
                assert_complete(&disk, &archive);
            }
        }
    }
}

/// Simulates a disk that ignores the last flushes: format magic and record are back, after the file
/// system was used. Nothing inside the file system is changed.
#[test]
fn a_file_system_in_use_is_not_formatted_again() {
    let front = machine(b"key");
    let start = FakeDisk::new(64 * MIB, &front);
    let mut disk = start.clone();
    boot(&mut disk, 1).unwrap();
    let record = FormatRecord::new(front.clone(), 512, [[1; 16], [2; 16], [3; 16]]);
    let traces = [
        (0, gpt::protective_mbr(disk.size, 512, &record.boot_code())),
        (record.offset, record.to_bytes()),
    ];
    disk.write(record.partition_offset + LATER_DATA, b"precious")
        .unwrap();
    disk.flush().unwrap();
    for restored in [&traces[..], &traces[1..]] {
        let mut disk = disk.clone();
        for (at, bytes) in restored {
            disk.write(*at, bytes).unwrap();
        }
        disk.flush().unwrap();
        assert!(matches!(
            format_state(&disk, 512).unwrap(),
            FormatState::Complete(_)
        ));
        boot(&mut disk, 50).unwrap();
        assert_complete(&disk, &front);
        assert_eq!(
            &disk.sector((record.partition_offset + LATER_DATA) / 512)[..8],
            b"precious"
        );
    }
    // Another file system in the place of the partition is not overwritten either.
    disk.superblock(Some("00000000-0000-4000-8000-00000000beef"), "mine")
        .unwrap();
    for (at, bytes) in &traces {
        disk.write(*at, bytes).unwrap();
    }
    disk.flush().unwrap();
    assert!(matches!(
        format_state(&disk, 512).unwrap(),
        FormatState::Refused(_)
    ));
}

/// Simulates a cut between the two sectors of the superblock that has the label.
#[test]
fn a_torn_label_repeats_the_format() {
    let (mut disk, archive) = (FakeDisk::new(64 * MIB, &machine(b"key")), machine(b"key"));
    boot(&mut disk, 1).unwrap();
    let record = FormatRecord::new(archive, 512, [[1; 16], [2; 16], [3; 16]]);
    let front = gpt::protective_mbr(disk.size, 512, &record.boot_code());
    disk.write(0, &front).unwrap();
    disk.write(record.offset, &record.to_bytes()).unwrap();
    let mut first = disk.sector(record.partition_offset / 512 + 2);
    put(&mut first, 0x64, &0x400u32.to_le_bytes());
    for (mounts, repeats) in [(1, true), (2, false)] {
        put(&mut first, 0x34, &[mounts]);
        disk.write(record.partition_offset + 1024, &first).unwrap();
        let now = format_state(&disk, 512).unwrap();
        assert_eq!(
            matches!(now, FormatState::InProgress(_)),
            repeats,
            "{now:?}"
        );
    }
}

#[test]
fn a_newer_archive_replaces_the_record() {
    // A format was interrupted, and then a new request with a new archive was written.
    let mut disk = FakeDisk::new(64 * MIB, &machine(&vec![b'o'; 300_000]));
    disk.writes_left = 40;
    boot(&mut disk, 1).unwrap_err();
    let mut disk = disk.after_power_cut(&mut Coins(u64::MAX));
    let newer = machine(b"new key");
    disk.write(0, &newer).unwrap();
    disk.flush().unwrap();
    for at in (0..150).step_by(3) {
        let mut disk = FakeDisk {
            writes_left: at,
            ..disk.clone()
        };
        let _ = boot(&mut disk, 9);
        let mut disk = disk.after_power_cut(&mut Coins(at as u64));
        for _ in 0..2 {
            boot(&mut disk, 30).unwrap();
        }
        assert_complete(&disk, &newer);
    }
}

#[test]
fn requests_that_are_refused() {
    let signatures = |disk: &FakeDisk| match format_state(disk, 512).unwrap() {
        FormatState::Requested(_, found) => found.len(),
        other => panic!("{other:?}"),
    };
    let mut disk = FakeDisk::new(64 * MIB, &machine(b"k"));
    assert_eq!(signatures(&disk), 0);
    let mut block = [0; 512];
    put(&mut block, 64, b"_BHRfS_M");
    disk.write(65536, &block).unwrap();
    assert_eq!(signatures(&disk), 1);

    let mut torn = machine(b"k");
    torn[1600] ^= 1;
    torn[1024] ^= 1;
    let disk = FakeDisk::new(64 * MIB, &torn);
    let now = format!("{:?}", format_state(&disk, 512).unwrap());
    assert!(now.contains("Refused") && now.contains("BrokenUserdata"));

    let mut lost = FakeDisk::new(64 * MIB, &machine(b"k"));
    let record = FormatRecord::new(Vec::new(), 512, [[1; 16]; 3]);
    let front = gpt::protective_mbr(lost.size, 512, &record.boot_code());
    lost.write(0, &front).unwrap();
    let now = format_state(&lost, 512).unwrap();
    assert!(matches!(now, FormatState::Refused(_)), "{now:?}");
}

#[test]
fn a_disk_too_small_is_left_as_it_is() {
    let mut disk = FakeDisk::new(30 * MIB, &machine(b"k"));
    let before = disk.durable.clone();
    assert!(boot(&mut disk, 1).is_err_and(|e| e.to_string().contains("too few")));
    assert!(disk.durable == before && disk.cached.is_empty());
}
